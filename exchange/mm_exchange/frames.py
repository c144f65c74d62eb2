"""Public stream frames: from market events to the JSON the venue sends, each serialised once for all listeners.

Sans-I/O: listeners are anything with `deliver`. A stream that nobody listens to costs a dictionary look-up.
"""

from __future__ import annotations

import dataclasses
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from mm_exchange.api.public import premium
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade

if TYPE_CHECKING:
    from mm_exchange.market import MarketEvent
    from mm_exchange.rules import SymbolRules
    from mm_exchange.venue import Listing, Venue

# `@depth` without a speed is 250 ms on USD-M futures.
_DEPTH = re.compile(r"depth(?P<levels>5|10|20)?(@(?P<speed>0|100|250|500)ms)?")
_PUBLIC = re.compile(r"depth(5|10|20)?(@(0|100|250|500)ms)?|bookTicker|trade")
_MARKET = re.compile(r"aggTrade|markPrice(@1s)?")
_AGGREGATION_MS = 100


class Frame:
    """One payload of one stream, in both shapes a socket may want. `parsed` is set for depth frames' faults only."""

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


def route_of(stream: str) -> str | None:
    """'public' or 'market': the base a stream is served on; None for a name that is no stream."""
    _, _, kind = stream.partition("@")
    if _PUBLIC.fullmatch(kind):
        return "public"
    return "market" if _MARKET.fullmatch(kind) else None


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


class _SymbolStreams:
    """The open streams of one symbol and what they have gathered."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.name = listing.rules.symbol.lower()
        self.listeners: dict[str, set[Listener]] = {}
        self.diffs: dict[str, _Diff] = {}
        self.periodic: dict[str, int] = {}
        self.group: list[Trade] = []
        self.group_due_ms = 0
        self.aggregate_id = 1_000_000


class StreamHub:
    """All public streams of a venue."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._symbols: dict[str, _SymbolStreams] = {}

    def subscribe(self, stream: str, listener: Listener, *, now_ms: int) -> bool:
        """Add a listener; False when there is no such stream (the venue then stays silent)."""
        symbol, _, kind = stream.partition("@")
        listing = self._venue.listings.get(symbol.upper())
        if listing is None or symbol != symbol.lower() or route_of(stream) is None:
            return False
        streams = self._symbols.get(symbol.upper())
        if streams is None:
            streams = self._symbols[symbol.upper()] = _SymbolStreams(listing)
        listeners = streams.listeners.setdefault(kind, set())
        if not listeners:
            self._open(streams, kind, now_ms=now_ms)
        listeners.add(listener)
        return True

    def unsubscribe(self, stream: str, listener: Listener) -> None:
        """Remove a listener; the last one closes the stream."""
        symbol, _, kind = stream.partition("@")
        streams = self._symbols.get(symbol.upper())
        listeners = streams.listeners.get(kind) if streams is not None else None
        if streams is None or listeners is None:
            return
        listeners.discard(listener)
        if not listeners:
            del streams.listeners[kind]
            streams.diffs.pop(kind, None)
            streams.periodic.pop(kind, None)

    def _open(self, streams: _SymbolStreams, kind: str, *, now_ms: int) -> None:
        depth = _DEPTH.fullmatch(kind)
        if depth is None:
            if kind.startswith("markPrice"):
                streams.periodic[kind] = now_ms
            return
        interval = int(depth["speed"] or 250)
        if depth["levels"]:
            streams.periodic[kind] = now_ms
        elif interval:
            book = streams.listing.market.book
            streams.diffs[kind] = _Diff(interval, now_ms + interval, book.last_update_id)

    def publish(self, event: MarketEvent, now_ms: int) -> None:
        """Send one event to whoever listens."""
        streams = self._symbols.get(event.symbol)
        if streams is None or not streams.listeners:
            return
        match event:
            case DepthUpdate():
                for diff in streams.diffs.values():
                    _gather(diff, event)
                self._send(streams, "depth@0ms", lambda: depth_payload(event, streams.listing.rules))
            case Touch():
                self._send(streams, "bookTicker", lambda: touch_payload(event, streams.listing.rules))
            case Trade():
                self._send(streams, "trade", lambda: trade_payload(event, streams.listing.rules))
                if "aggTrade" in streams.listeners:
                    self._aggregate(streams, event, now_ms=now_ms)
            case Snapshot():
                # The book starts anew: what was gathered belongs to the old one, and `pu` must show the break.
                for diff in streams.diffs.values():
                    diff.bids.clear()
                    diff.asks.clear()
                    diff.first_id, diff.previous_id = 0, event.last_id

    def tick(self, now_ms: int) -> None:
        """Send what is due by time: slow depth, partial books, mark prices, aggregated trades."""
        for streams in self._symbols.values():
            for kind, diff in streams.diffs.items():
                if diff.due_ms <= now_ms:
                    self._flush(streams, kind, diff=diff, now_ms=now_ms)
            for kind, due_ms in streams.periodic.items():
                if due_ms <= now_ms:
                    self._periodic(streams, kind, now_ms=now_ms)
            if streams.group and streams.group_due_ms <= now_ms:
                self._flush_group(streams)

    def _flush(self, streams: _SymbolStreams, kind: str, *, diff: _Diff, now_ms: int) -> None:
        diff.due_ms = _next(diff.due_ms, diff.interval_ms, now_ms=now_ms)
        if not diff.first_id:
            return
        update = DepthUpdate(
            streams.listing.rules.symbol, now_ms, diff.transaction_ms, diff.first_id, diff.last_id,
            diff.previous_id, sorted(diff.bids.items()), sorted(diff.asks.items()),
        )  # fmt: skip
        diff.previous_id, diff.first_id = diff.last_id, 0
        diff.bids.clear()
        diff.asks.clear()
        self._send(streams, kind, lambda: depth_payload(update, streams.listing.rules))

    def _periodic(self, streams: _SymbolStreams, kind: str, *, now_ms: int) -> None:
        depth = _DEPTH.fullmatch(kind)
        if depth is not None:
            interval = int(depth["speed"] or 250) or 100
            levels = int(depth["levels"])
            self._send(streams, kind, lambda: partial_payload(streams.listing, levels, now_ms=now_ms))
        else:
            interval = 1000 if kind.endswith("@1s") else 3000
            self._send(streams, kind, lambda: mark_payload(streams.listing, now_ms))
        streams.periodic[kind] = _next(streams.periodic[kind], interval, now_ms=now_ms)

    def _aggregate(self, streams: _SymbolStreams, trade: Trade, *, now_ms: int) -> None:
        """Fills of one taker order at one price become one aggTrade: same time, price and side."""
        group = streams.group
        if group and _key(group[-1]) != _key(trade):
            self._flush_group(streams)
        if not streams.group:
            streams.group_due_ms = now_ms + _AGGREGATION_MS
        streams.group.append(trade)

    def _flush_group(self, streams: _SymbolStreams) -> None:
        group, streams.group = streams.group, []
        streams.aggregate_id += 1
        self._send(
            streams, "aggTrade", lambda: aggregate_payload(group, streams.aggregate_id, rules=streams.listing.rules)
        )

    def _send(self, streams: _SymbolStreams, kind: str, build: Any) -> None:
        listeners = streams.listeners.get(kind)
        if not listeners:
            return
        frame = Frame(f"{streams.name}@{kind}", orjson.dumps(build()), streams.listing.rules.symbol)
        # A listener may leave while it is delivered to (a slow consumer is closed).
        for listener in tuple(listeners):
            listener.deliver(frame)


def _key(trade: Trade) -> tuple[int, int, bool]:
    return trade.transaction_ms, trade.price, trade.buyer_is_maker


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


def _rows(levels: Any, rules: SymbolRules) -> list[tuple[str, str]]:
    price, quantity = rules.prices.text, rules.quantities.text
    return [(price(at), quantity(size)) for at, size in levels]


def depth_payload(event: DepthUpdate, rules: SymbolRules) -> dict[str, Any]:
    """A diff depth frame."""
    return {
        "e": "depthUpdate", "E": event.event_ms, "T": event.transaction_ms, "s": event.symbol,
        "U": event.first_id, "u": event.last_id, "pu": event.previous_id,
        "b": _rows(event.bids, rules), "a": _rows(event.asks, rules),
    }  # fmt: skip


def partial_payload(listing: Listing, levels: int, *, now_ms: int) -> dict[str, Any]:
    """A partial book frame: the best levels, absolute."""
    book, rules = listing.market.book, listing.rules
    last = book.last_update_id
    return {
        "e": "depthUpdate", "E": now_ms, "T": listing.market.event_ms, "s": rules.symbol, "U": last, "u": last,
        "pu": last, "b": _rows(book.bids(levels), rules), "a": _rows(book.asks(levels), rules),
    }  # fmt: skip


def touch_payload(touch: Touch, rules: SymbolRules) -> dict[str, Any]:
    """A bookTicker frame."""
    price, quantity = rules.prices.text, rules.quantities.text
    return {
        "e": "bookTicker", "u": touch.update_id, "s": touch.symbol, "b": price(touch.bid),
        "B": quantity(touch.bid_quantity), "a": price(touch.ask), "A": quantity(touch.ask_quantity),
        "T": touch.transaction_ms, "E": touch.event_ms,
    }  # fmt: skip


def trade_payload(trade: Trade, rules: SymbolRules) -> dict[str, Any]:
    """A trade frame."""
    return {
        "e": "trade", "E": trade.event_ms, "T": trade.transaction_ms, "s": trade.symbol, "t": trade.trade_id,
        "p": rules.prices.text(trade.price), "q": rules.quantities.text(trade.quantity),
        "X": "MARKET" if trade.market else "INSURANCE_FUND", "m": trade.buyer_is_maker,
    }  # fmt: skip


def aggregate_payload(group: list[Trade], aggregate_id: int, *, rules: SymbolRules) -> dict[str, Any]:
    """An aggTrade frame of the fills of one taker order at one price."""
    first, last = group[0], group[-1]
    quantity = rules.quantities.text(sum(trade.quantity for trade in group))
    return {
        "e": "aggTrade", "E": last.event_ms, "s": first.symbol, "a": aggregate_id,
        "p": rules.prices.text(first.price), "q": quantity, "nq": quantity, "f": first.trade_id,
        "l": last.trade_id, "T": last.transaction_ms, "m": first.buyer_is_maker,
    }  # fmt: skip


def mark_payload(listing: Listing, now_ms: int) -> dict[str, Any]:
    """A markPrice frame."""
    shown = premium(listing, now_ms)
    return {
        "e": "markPriceUpdate", "E": now_ms, "s": shown["symbol"], "p": shown["markPrice"],
        "ap": shown["markPrice"], "P": shown["estimatedSettlePrice"], "i": shown["indexPrice"],
        "r": shown["lastFundingRate"], "T": shown["nextFundingTime"],
    }  # fmt: skip
