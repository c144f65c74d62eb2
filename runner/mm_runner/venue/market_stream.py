"""Market data: depth and bookTicker from `/public`, aggTrade and markPrice from `/market`, each on a connection of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from mm_runner.core.messages import BookTicker, DepthDiff, Event, MarkPrice, Stream, StreamDown, StreamUp, Trade
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.endpoints import Endpoints
from mm_runner.venue.keeper import KeeperSettings, StreamKeeper
from mm_runner.venue.sockets import Opener
from mm_runner.venue.wire import MalformedError, MarketDecoder


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
        if event is not None and not self._is_copy(event):
            self._deliver(event)

    def _is_copy(self, event: DepthDiff | BookTicker | Trade | MarkPrice) -> bool:
        """While two connections deliver, each event comes twice; the first one counts. Otherwise nothing is ever held back here."""
        number, kind = self._decoder.sequence, type(event)
        if self.keeper.overlapping and number <= self._newest.get(kind, -1):
            return True
        self._newest[kind] = number
        return False
