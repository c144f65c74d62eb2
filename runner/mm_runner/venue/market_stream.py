"""Market data: depth and bookTicker from `/public`, aggTrade and markPrice from `/market`, each on a connection of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from mm_runner.core.messages import DepthDiff, Event, Stream, StreamDown, StreamUp
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.endpoints import Endpoints
from mm_runner.venue.keeper import KeeperSettings, StreamKeeper
from mm_runner.venue.sockets import Opener
from mm_runner.venue.wire import MalformedError, MarketDecoder, MarketEvent


class MarketStreams:
    """Both market connections of one symbol.

    Args:
        deliver: gets each event inside the read callback.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        endpoints: Endpoints,
        symbol: str,
        *,
        deliver: Callable[[Event], None],
        telemetry: Telemetry,
        opener: Opener,
        chance: random.Random,
        boot_ns: Callable[[], int],
        settings: KeeperSettings | None = None,
    ) -> None:
        name = symbol.lower()
        public = endpoints.public_url((f"{name}@depth@100ms", f"{name}@bookTicker"))
        market = endpoints.market_url((f"{name}@aggTrade", f"{name}@markPrice@1s"))
        self._feeds = tuple(
            _Feed(
                stream,
                url,
                symbol=symbol,
                deliver=deliver,
                telemetry=telemetry,
                opener=opener,
                backoff=Backoff(chance),
                boot_ns=boot_ns,
                settings=settings or KeeperSettings(),
            )
            for stream, url in ((Stream.PUBLIC, public), (Stream.MARKET, market))
        )

    async def run(self) -> None:
        """Keep both alive until cancelled."""
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(feed.keeper.run(), name=f"{feed.keeper.stream} stream")

    def keepers(self) -> tuple[StreamKeeper, ...]:
        """For ages and for being told to reconnect."""
        return tuple(feed.keeper for feed in self._feeds)


class _Feed:
    """One connection: frames in, events out."""

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        stream: Stream,
        url: str,
        *,
        symbol: str,
        deliver: Callable[[Event], None],
        telemetry: Telemetry,
        opener: Opener,
        backoff: Backoff,
        boot_ns: Callable[[], int],
        settings: KeeperSettings,
    ) -> None:
        self._url = url
        self._deliver = deliver
        self._telemetry = telemetry
        self._decoder = MarketDecoder(symbol)
        self._newest: dict[type, int] = {}
        self._ahead: dict[int, DepthDiff] = {}
        self.keeper = StreamKeeper(
            stream,
            url=self._address,
            opener=opener,
            on_frame=self._frame,
            on_up=lambda: deliver(StreamUp(stream=stream)),
            on_down=lambda reason: deliver(StreamDown(stream=stream, error=reason)),
            telemetry=telemetry,
            backoff=backoff,
            boot_ns=boot_ns,
            settings=settings,
        )

    async def _address(self) -> str:
        return self._url

    def _frame(self, payload: bytes) -> None:
        try:
            event = self._decoder.decode(payload)
        except MalformedError as error:
            self._telemetry.malformed(error.kind, source=self.keeper.stream.value, error=str(error))
            return
        if event is None:
            return
        if self.keeper.overlapping:
            self._merge(event)
            return
        self._ahead.clear()
        self._newest[type(event)] = self._decoder.sequence
        self._deliver(event)

    def _merge(self, event: MarketEvent) -> None:
        """While two connections deliver, each event comes twice and the newer connection may be ahead: the first copy counts, depth keeps its chain."""
        number, newest = self._decoder.sequence, self._newest.get(type(event), -1)
        if number <= newest:
            return
        if isinstance(event, DepthDiff) and 0 <= newest < event.previous_update_id:
            self._ahead[event.previous_update_id] = event
            return
        self._newest[type(event)] = number
        self._deliver(event)
        while isinstance(event, DepthDiff) and (later := self._ahead.pop(event.last_update_id, None)) is not None:
            self._newest[DepthDiff] = later.last_update_id
            self._deliver(later)
            event = later
