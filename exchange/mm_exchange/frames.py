"""Public stream frames: from market events to the JSON the venue sends, each serialised once for all listeners.

Sans-I/O: listeners are anything with `deliver`. A stream that nobody listens to costs a dictionary look-up.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from mm_exchange import payloads
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.statistics import Statistics
from mm_exchange.stream_names import depth_kind, parse_stream
from mm_exchange.timed_streams import TimedStreams

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.market import MarketEvent
    from mm_exchange.venue import Listing, Venue

# How long a symbol that nobody listens to is left alone (opening a stream ends it).
_IDLE_MS = 60_000


class Frame:
    """One payload of one stream, in both shapes a socket may want."""

    __slots__ = ("__dict__", "payload", "stream", "symbol")

    def __init__(self, stream: str, payload: bytes, symbol: str | None) -> None:
        self.stream = stream
        self.payload = payload
        self.symbol = symbol

    @cached_property
    def wrapped(self) -> bytes:
        """The combined form of `/stream` sockets."""
        return b'{"stream":' + orjson.dumps(self.stream) + b',"data":' + self.payload + b"}"


class Listener(Protocol):
    """What receives frames."""

    def deliver(self, frame: Frame) -> None:
        """Take one frame; must not block."""


@dataclasses.dataclass(slots=True)
class _Diff:
    """Changes gathered for one slow diff stream."""

    interval_ms: int
    due_ms: int
    previous_id: int
    first_id: int = 0
    last_id: int = 0
    transaction_ms: int = 0
    bids: dict[int, int] = dataclasses.field(default_factory=dict)
    asks: dict[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class _Periodic:
    """A stream that is looked at every `interval_ms`; `build` gives the payloads to send, often none."""

    interval_ms: int
    due_ms: int
    build: Callable[[int], list[Any]]


class _Streams:
    """The open streams of one symbol, or (`listing` None) those of the whole market, and what they have gathered."""

    def __init__(self, listing: Listing | None) -> None:
        self.listing = listing
        self.symbol = listing.rules.symbol if listing is not None else None
        self.listeners: dict[str, set[Listener]] = {}
        self.names: dict[str, str] = {}
        self.diffs: dict[str, _Diff] = {}
        self.periodic: dict[str, _Periodic] = {}
        # Nothing is due before: the clock asks a hundred times a second, of every symbol.
        self.due_ms = 0


class StreamHub:
    """All public streams of a venue.

    Args:
        venue: whose market is told.
        statistics: derived figures; the hub feeds them with every event.
    """

    def __init__(self, venue: Venue, statistics: Statistics | None = None) -> None:
        self._venue = venue
        self.statistics = statistics or Statistics(venue)
        self._symbols: dict[str, _Streams] = {}
        self._all = _Streams(None)
        self._timed = TimedStreams(venue, self.statistics)

    # -- who listens -------------------------------------------------------------------------------------------

    def subscribe(self, stream: str, listener: Listener, *, now_ms: int) -> bool:
        """Add a listener; False when there is no such stream (the venue then stays silent)."""
        name = parse_stream(stream)
        streams = self._streams(name.symbol) if name is not None else None
        if name is None or streams is None:
            return False
        listeners = streams.listeners.setdefault(name.kind, set())
        if not listeners:
            streams.names[name.kind] = stream
            self._open(streams, name.kind, now_ms=now_ms)
        listeners.add(listener)
        return True

    def _streams(self, symbol: str) -> _Streams | None:
        if not symbol:
            return self._all
        found = self._symbols.get(symbol)
        listing = self._venue.listings.get(symbol)
        if found is None and listing is not None:
            found = self._symbols[symbol] = _Streams(listing)
        return found

    def unsubscribe(self, stream: str, listener: Listener) -> None:
        """Remove a listener; the last one closes the stream."""
        name = parse_stream(stream)
        streams = self._streams(name.symbol) if name is not None else None
        listeners = streams.listeners.get(name.kind) if streams is not None and name is not None else None
        if streams is None or name is None or listeners is None:
            return
        listeners.discard(listener)
        if not listeners:
            for opened in (streams.listeners, streams.diffs, streams.periodic, streams.names):
                opened.pop(name.kind, None)

    def _open(self, streams: _Streams, kind: str, *, now_ms: int) -> None:
        streams.due_ms = 0
        timed = self._timed.of_all(kind) if streams.listing is None else self._timed.of(streams.listing, kind)
        if timed is not None:
            streams.periodic[kind] = _Periodic(timed.interval_ms, now_ms, timed.build)
            return
        depth = depth_kind(kind)
        if depth is not None and depth.interval_ms and streams.listing is not None:
            book = streams.listing.market.book
            streams.diffs[kind] = _Diff(depth.interval_ms, now_ms + depth.interval_ms, book.last_update_id)

    # -- what they hear ----------------------------------------------------------------------------------------

    def publish(self, event: MarketEvent, now_ms: int) -> None:
        """Send one event to whoever listens."""
        streams = self._symbols.get(event.symbol)
        if isinstance(event, Trade):
            ended = self.statistics.of(event.symbol).on_trade(event, now_ms)
            if streams is not None and streams.listing is not None:
                rules = streams.listing.rules
                self._send(streams, "trade", lambda: payloads.trade_payload(event, rules))
                if ended is not None:
                    self._send(streams, "aggTrade", lambda: payloads.aggregate_payload(ended, rules))
            return
        if streams is None or streams.listing is None or not streams.listeners:
            return
        rules = streams.listing.rules
        match event:
            case DepthUpdate():
                for diff in streams.diffs.values():
                    _gather(diff, event)
                self._send(streams, "depth@0ms", lambda: payloads.depth_payload(event, rules))
            case Touch():
                self._send(streams, "bookTicker", lambda: payloads.touch_payload(event, rules))
            case Snapshot():
                # The book starts anew: what was gathered belongs to the old one, and `pu` must show the break.
                for diff in streams.diffs.values():
                    diff.bids.clear()
                    diff.asks.clear()
                    diff.first_id, diff.previous_id = 0, event.last_id

    def tell(self, symbol: str, kind: str, payload: dict[str, Any]) -> None:
        """Send to whoever listens to a symbol's stream of rare events, such as `forceOrder`."""
        streams = self._symbols.get(symbol)
        if streams is not None:
            self._send(streams, kind, partial(_same, payload))

    def tell_all(self, kind: str, payload: dict[str, Any]) -> None:
        """Send to whoever listens to a stream of the whole market, such as `!contractInfo`."""
        self._send(self._all, kind, partial(_same, payload))

    def tick(self, now_ms: int) -> None:
        """Send what is due by time: slow depth, partial books, prices, candles, aggregated trades."""
        self.statistics.tick(now_ms)
        for streams in self._symbols.values():
            self._tick(streams, now_ms)
        self._tick(self._all, now_ms)
        for rules, ended in self.statistics.due(now_ms):
            opened = self._symbols.get(rules.symbol)
            if opened is not None:
                self._send(opened, "aggTrade", partial(payloads.aggregate_payload, ended, rules))

    def _tick(self, streams: _Streams, now_ms: int) -> None:
        if now_ms < streams.due_ms:
            return
        for kind, diff in streams.diffs.items():
            if diff.due_ms <= now_ms:
                self._flush(streams, kind, diff=diff, now_ms=now_ms)
        for kind, timed in streams.periodic.items():
            if timed.due_ms <= now_ms:
                timed.due_ms = _next(timed.due_ms, timed.interval_ms, now_ms=now_ms)
                for payload in timed.build(now_ms):
                    self._send(streams, kind, partial(_same, payload))
        dues = [diff.due_ms for diff in streams.diffs.values()] + [timed.due_ms for timed in streams.periodic.values()]
        streams.due_ms = min(dues, default=now_ms + _IDLE_MS)

    def _flush(self, streams: _Streams, kind: str, *, diff: _Diff, now_ms: int) -> None:
        diff.due_ms = _next(diff.due_ms, diff.interval_ms, now_ms=now_ms)
        if not diff.first_id or streams.listing is None:
            return
        rules = streams.listing.rules
        update = DepthUpdate(
            rules.symbol, now_ms, diff.transaction_ms, diff.first_id, diff.last_id, diff.previous_id,
            sorted(diff.bids.items()), sorted(diff.asks.items()),
        )  # fmt: skip
        diff.previous_id, diff.first_id = diff.last_id, 0
        diff.bids.clear()
        diff.asks.clear()
        self._send(streams, kind, lambda: payloads.depth_payload(update, rules))

    def _send(self, streams: _Streams, kind: str, build: Callable[[], Any]) -> None:
        listeners = streams.listeners.get(kind)
        if not listeners:
            return
        frame = Frame(streams.names[kind], orjson.dumps(build()), streams.symbol)
        # A listener may leave while it is delivered to (a slow consumer is closed).
        for listener in tuple(listeners):
            listener.deliver(frame)


def _same(payload: Any) -> Any:
    return payload


def _next(due_ms: int, interval_ms: int, *, now_ms: int) -> int:
    """The next slot on the same raster, after now; missed ones are not made up for."""
    return due_ms + interval_ms * ((now_ms - due_ms) // interval_ms + 1)


def _gather(diff: _Diff, event: DepthUpdate) -> None:
    if not diff.first_id:
        diff.first_id = event.first_id
        # A recording gap stays a gap in the slow streams too.
        diff.previous_id = max(diff.previous_id, event.previous_id)
    diff.last_id, diff.transaction_ms = event.last_id, event.transaction_ms
    diff.bids.update(event.bids)
    diff.asks.update(event.asks)
