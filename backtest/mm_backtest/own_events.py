"""The user stream on the virtual clock: what the venue tells the account, as the live decoder reads it, after the user stream's latency."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import orjson

from mm_backtest.counter import API_KEY
from mm_backtest.latency import Delay
from mm_backtest.schedule import Schedule
from mm_exchange.orders import Side, Status
from mm_exchange.scales import MONEY
from mm_exchange.user_events import AccountUpdate, OrderUpdate
from mm_exchange.venue import Venue
from mm_runner.core import messages as m
from mm_runner.core.instrument import Instrument
from mm_runner.venue.answers import status_of
from mm_runner.venue.wire import UserDecoder

_NOTHING: Final = Decimal(0)
_SIDES: Final = {one: m.Side(one.value) for one in Side}
_STATUSES: Final = {one: status_of(one.value) for one in Status}


class OwnEvents:
    """Takes the venue's user events and delivers them in their order.

    Args:
        venue: whose outbox is drained.
        instrument: the current one.
        schedule: what is due later.
        delay: the user stream's latency; an event never overtakes the one before it.
        deliver: gets each message.
        wire: every event takes the long way, through the venue's JSON and the live decoder.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        venue: Venue,
        instrument: Callable[[], Instrument],
        *,
        schedule: Schedule,
        delay: Delay,
        deliver: Callable[[m.Event, int], None],
        wire: bool = False,
    ) -> None:
        self._venue = venue
        self._instrument = instrument
        self._schedule = schedule
        self._delay = delay
        self._deliver = deliver
        self._wire = wire
        self._decoder = UserDecoder(instrument)
        self._newest_ns = 0

    def send(self, time_ns: int) -> None:
        """Put everything that the venue has to say since the last time on its way."""
        for event in self._venue.drain():
            if event.api_key != API_KEY:
                continue
            message: m.Event | None = None
            if isinstance(event, OrderUpdate) and not self._wire:
                message = order_report(event)
            elif isinstance(event, OrderUpdate | AccountUpdate):
                decoded = self._decoder.decode(orjson.dumps(event.payload))
                message = decoded if isinstance(decoded, m.OrderReport | m.AccountReport) else None
            if message is not None:
                self._newest_ns = max(self._newest_ns, time_ns + self._delay())
                self._schedule.at(self._newest_ns, self._deliver, message)


def order_report(event: OrderUpdate) -> m.OrderReport:
    """What the live decoder makes of an ORDER_TRADE_UPDATE, without the text in between (tests/integration/backtest/test_order_entry.py)."""
    order, fill = event.order, event.fill
    rules, request = order.rules, order.request
    tick, step = rules.tick, rules.step
    return m.OrderReport(
        client_order_id=request.client_order_id,
        order_id=order.order_id,
        side=_SIDES[request.side],
        status=_STATUSES[event.status],
        price=event.price // tick,
        quantity=event.quantity // step,
        executed=event.filled // step,
        reduce_only=request.reduce_only,
        execution_type=event.execution,
        last_lots=fill.quantity // step if fill else 0,
        last_price=fill.price // tick if fill else 0,
        trade_id=fill.trade_id if fill else 0,
        commission=MONEY.decimal(fill.commission) if fill else _NOTHING,
        commission_asset=rules.quote,
        realized_pnl=MONEY.decimal(fill.realized) if fill else _NOTHING,
        maker=fill.maker if fill else False,
        event_ms=event.now_ms,
        transaction_ms=event.now_ms,
    )
