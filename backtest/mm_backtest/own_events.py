"""The user stream on the virtual clock: what the venue tells the account, decoded by the live decoder, after the user stream's latency."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from mm_backtest.counter import API_KEY
from mm_backtest.latency import Delay
from mm_backtest.schedule import Schedule
from mm_exchange.venue import Venue
from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import AccountReport, Event, OrderReport
from mm_runner.venue.wire import UserDecoder

_HEARD = frozenset({"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"})


class OwnEvents:
    """Takes the venue's user events and delivers them in their order.

    Args:
        venue: whose outbox is drained.
        schedule: what is due later.
        delay: the user stream's latency; an event never overtakes the one before it.
        deliver: gets each message.
    """

    def __init__(
        self,
        venue: Venue,
        instrument: Callable[[], Instrument],
        *,
        schedule: Schedule,
        delay: Delay,
        deliver: Callable[[Event, int], None],
    ) -> None:
        self._venue = venue
        self._schedule = schedule
        self._delay = delay
        self._deliver = deliver
        self._decoder = UserDecoder(instrument)
        self._newest_ns = 0

    def send(self, time_ns: int) -> None:
        """Put everything that the venue has to say since the last time on its way."""
        for event in self._venue.drain():
            if event.api_key != API_KEY or event.name not in _HEARD:
                continue
            message = self._decoder.decode(orjson.dumps(event.payload))
            if isinstance(message, OrderReport | AccountReport):
                self._newest_ns = max(self._newest_ns, time_ns + self._delay())
                self._schedule.at(self._newest_ns, self._deliver, message)
