"""The displayed order book of a symbol: aggregated levels as the venue publishes them, without our own orders.

Sans-I/O. A REST snapshot replaces it, depth updates set absolute sizes level by level. Updates come far more often
than anybody walks the book, so the sides are plain dicts with the touch kept beside them; order is made on demand.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Level = tuple[int, int]  # price units, quantity units

# Prices that are probed one unit after another before a side is sorted instead: real books are dense near the touch.
_PROBES = 200
# Above every price: the best ask of an empty side.
_FAR = 1 << 62


class Book:
    """Bids and asks by price; iteration starts at the touch."""

    __slots__ = ("_asks", "_best_ask", "_best_bid", "_bids", "last_update_id")

    def __init__(self) -> None:
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best_bid: int | None = None
        self._best_ask: int | None = None
        self.last_update_id = 0

    def replace(self, last_update_id: int, bids: Iterable[Level], *, asks: Iterable[Level]) -> None:
        """Take over a snapshot."""
        self._bids = {price: quantity for price, quantity in bids if quantity}
        self._asks = {price: quantity for price, quantity in asks if quantity}
        self._best_bid = max(self._bids, default=None)
        self._best_ask = min(self._asks, default=None)
        self.last_update_id = last_update_id

    def apply(self, last_update_id: int, bids: Iterable[Level], *, asks: Iterable[Level]) -> None:  # noqa: C901 - see below
        """Set absolute sizes; 0 removes a level."""
        # Twice the same loop: this is the busiest one of a backtest, and a call per level would double its cost.
        side = self._bids
        best = old = -1 if self._best_bid is None else self._best_bid
        for price, quantity in bids:
            if quantity:
                side[price] = quantity
                if price > best:  # noqa: PLR1730 - a call per level is what this loop avoids
                    best = price
            elif price in side:
                del side[price]
        if best != old or best not in side:
            self._best_bid = best if best in side else _next(side, best, -1)
        side = self._asks
        best = old = _FAR if self._best_ask is None else self._best_ask
        for price, quantity in asks:
            if quantity:
                side[price] = quantity
                if price < best:  # noqa: PLR1730 - as above
                    best = price
            elif price in side:
                del side[price]
        if best != old or best not in side:
            self._best_ask = best if best in side else _next(side, best, 1)
        self.last_update_id = last_update_id

    def best_bid(self) -> Level | None:
        """Highest bid, or None."""
        price = self._best_bid
        return None if price is None else (price, self._bids[price])

    def best_ask(self) -> Level | None:
        """Lowest ask, or None."""
        price = self._best_ask
        return None if price is None else (price, self._asks[price])

    def bids(self, limit: int | None = None) -> Iterator[Level]:
        """Bids, best first."""
        return islice(_walk(self._bids, self._best_bid, -1), limit)

    def asks(self, limit: int | None = None) -> Iterator[Level]:
        """Asks, best first."""
        return islice(_walk(self._asks, self._best_ask, 1), limit)

    def size_at(self, price: int, *, buy: bool) -> int:
        """Displayed size at a price of the bid (`buy`) or ask side; 0 when there is none."""
        return (self._bids if buy else self._asks).get(price, 0)


def _next(side: dict[int, int], price: int, step: int) -> int | None:
    """The best level when the one at `price` is gone and none is better."""
    if not side:
        return None
    for candidate in range(price + step, price + step * _PROBES, step):
        if candidate in side:
            return candidate
    return max(side) if step < 0 else min(side)


def _walk(side: dict[int, int], price: int | None, step: int) -> Iterator[Level]:
    """Levels from the touch outwards: probed while they are dense, sorted from the first wide hole on."""
    if price is None:
        return
    misses = 0
    while misses < _PROBES:
        quantity = side.get(price)
        if quantity is None:
            misses += 1
        else:
            misses = 0
            yield price, quantity
        price += step
    rest = (at for at in side if (at - price) * step >= 0)
    for at in sorted(rest, reverse=step < 0):
        yield at, side[at]
