"""The public market of one symbol: its book, its touch, its last trade and the mark price derived from them.

The three event types are what a source (tape or synthetic flow) produces and what the stream hub publishes. All
numbers are integer units of the symbol's scales; times are milliseconds of the serving clock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.book import Book

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.book import Level
    from mm_exchange.impact import Consumed
    from mm_exchange.rules import SymbolRules

_INDEX_TIME_CONSTANT_MS = 30_000
# The transaction time of what has none: before every trade.
UNTIMED = -1


class DepthUpdate(msgspec.Struct, frozen=True, gc=False):
    """One diff of the book: absolute sizes, with the venue's `U`, `u`, `pu`."""

    symbol: str
    event_ms: int
    transaction_ms: int
    first_id: int
    last_id: int
    previous_id: int
    bids: list[Level]
    asks: list[Level]


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole book; a source sends it at its start and after a break in its own recording."""

    symbol: str
    event_ms: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask with sizes (bookTicker)."""

    symbol: str
    event_ms: int
    transaction_ms: int
    update_id: int
    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One public trade. `buyer_is_maker`: the aggressor sold. `market` is False for insurance-fund and ADL prints."""

    symbol: str
    event_ms: int
    transaction_ms: int
    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool
    market: bool = True


MarketEvent = DepthUpdate | Snapshot | Touch | Trade


class Market:
    """What is displayed to everybody. Updated by events, read by matching and by REST."""

    def __init__(self, rules: SymbolRules, consumed: Consumed | None = None) -> None:
        self.rules = rules
        self.book = Book()
        self._consumed = consumed
        self.touch: Touch | None = None
        self.last_trade: Trade | None = None
        self.recent_trades: deque[Trade] = deque(maxlen=1000)
        self.event_ms = 0
        self._depth_ms = UNTIMED
        self._index: float | None = None
        self._index_ms = 0

    def apply(self, event: MarketEvent) -> None:
        """Take one event over."""
        # This runs for every event: no calls, no match statement, and the most frequent kind first.
        if event.event_ms > self.event_ms:  # noqa: PLR1730 - max() is a call
            self.event_ms = event.event_ms
        if isinstance(event, Touch):
            self.touch = event
        elif isinstance(event, DepthUpdate):
            self.book.apply(event.last_id, event.bids, asks=event.asks)
            self._depth_ms = event.transaction_ms
        elif isinstance(event, Trade):
            self.last_trade = event
            self.recent_trades.append(event)
        else:
            self.book.replace(event.last_id, event.bids, asks=event.asks)
            self.touch = None
            self._depth_ms = UNTIMED

    def _fresh_touch(self) -> Touch | None:
        # A recorded bookTicker runs ahead of the batched depth stream; once depth has caught up, the book rules.
        touch = self.touch
        return touch if touch is not None and touch.update_id > self.book.last_update_id else None

    def best_bid(self) -> Level | None:
        """Best bid now: the newer of bookTicker and book."""
        touch = self._fresh_touch()
        return (touch.bid, touch.bid_quantity) if touch is not None else self.book.best_bid()

    def best_ask(self) -> Level | None:
        """Best ask now: the newer of bookTicker and book."""
        touch = self._fresh_touch()
        return (touch.ask, touch.ask_quantity) if touch is not None else self.book.best_ask()

    def opposite(self, *, buy: bool) -> Iterator[Level]:
        """The levels a taker walks, best first: asks for a buy, bids for a sell, less what takers have consumed."""
        levels = self._shown_opposite(buy=buy)
        return levels if self._consumed is None else self._left(levels, self._consumed, buy=buy)

    def _shown_opposite(self, *, buy: bool) -> Iterator[Level]:
        best = self.best_ask() if buy else self.best_bid()
        if best is None:
            return
        yield best
        for level in self.book.asks() if buy else self.book.bids():
            if (level[0] > best[0]) if buy else (level[0] < best[0]):
                yield level

    def _left(self, levels: Iterator[Level], consumed: Consumed, *, buy: bool) -> Iterator[Level]:
        for price, quantity in levels:
            left = quantity - consumed.hidden(price, bids=not buy, now_ms=self.event_ms)
            if left > 0:
                yield price, left

    def consume(self, price: int, quantity: int, *, buy: bool) -> None:
        """A taker who bought (`buy`) or sold took this quantity from the level of the other side."""
        if self._consumed is not None:
            self._consumed.take(price, quantity, bids=not buy, now_ms=self.event_ms)

    def hidden(self, price: int, *, bids: bool) -> int:
        """How much of the displayed level our takers have consumed already."""
        return 0 if self._consumed is None else self._consumed.hidden(price, bids=bids, now_ms=self.event_ms)

    def displayed(self, price: int, *, buy: bool) -> int:
        """Size shown at a price on the own side: what a new order there queues behind."""
        return self.displayed_as_of(price, buy=buy)[0]

    def displayed_as_of(self, price: int, *, buy: bool) -> tuple[int, int, int]:
        """Size shown at a price on the own side, and whose word it is: update id and transaction time."""
        touch = self._fresh_touch()
        if touch is not None:
            best, size = (touch.bid, touch.bid_quantity) if buy else (touch.ask, touch.ask_quantity)
            if price == best:
                return size, touch.update_id, touch.transaction_ms
            if (price > best) if buy else (price < best):
                return 0, touch.update_id, touch.transaction_ms
        return self.book.size_at(price, buy=buy), self.book.last_update_id, self._depth_ms

    def mid(self) -> float | None:
        """Middle of the touch in price units (half units possible), or None while a side is empty."""
        bid, ask = self.best_bid(), self.best_ask()
        return (bid[0] + ask[0]) / 2 if bid is not None and ask is not None else None

    def mark(self) -> int:
        """Mark price in price units: median of best bid, best ask and last trade (the venue's contract price).

        0 while nothing is known. The basis term of the venue's formula needs spot prices and is left out.
        """
        known = [level[0] for level in (self.best_bid(), self.best_ask()) if level is not None]
        if self.last_trade is not None:
            known.append(self.last_trade.price)
        known.sort()
        return known[len(known) // 2] if known else 0

    def index(self, now_ms: int) -> float:
        """Index price in price units: the mid smoothed with a time constant of 30 s (there is no spot market here)."""
        mid = self.mid()
        if mid is None:
            return self._index or float(self.mark())
        if self._index is None:
            self._index = mid
        else:
            weight = min(1.0, max(0, now_ms - self._index_ms) / _INDEX_TIME_CONSTANT_MS)
            self._index += (mid - self._index) * weight
        self._index_ms = now_ms
        return self._index
