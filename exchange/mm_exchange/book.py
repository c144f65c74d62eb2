"""The displayed order book of a symbol: aggregated levels as the venue publishes them, without our own orders.

Sans-I/O. A REST snapshot replaces it, depth updates set absolute sizes level by level.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Level = tuple[int, int]  # price units, quantity units


class Book:
    """Bids and asks by price; iteration starts at the touch."""

    __slots__ = ("_asks", "_bids", "last_update_id")

    def __init__(self) -> None:
        # Bids are kept under the negative price so that both sides iterate best first.
        self._bids: SortedDict = SortedDict()
        self._asks: SortedDict = SortedDict()
        self.last_update_id = 0

    def replace(self, last_update_id: int, bids: Iterable[Level], *, asks: Iterable[Level]) -> None:
        """Take over a snapshot."""
        self._bids = SortedDict((-price, quantity) for price, quantity in bids if quantity)
        self._asks = SortedDict((price, quantity) for price, quantity in asks if quantity)
        self.last_update_id = last_update_id

    def apply(self, last_update_id: int, bids: Iterable[Level], *, asks: Iterable[Level]) -> None:
        """Set absolute sizes; 0 removes a level."""
        for price, quantity in bids:
            if quantity:
                self._bids[-price] = quantity
            else:
                self._bids.pop(-price, None)
        for price, quantity in asks:
            if quantity:
                self._asks[price] = quantity
            else:
                self._asks.pop(price, None)
        self.last_update_id = last_update_id

    def best_bid(self) -> Level | None:
        """Highest bid, or None."""
        if not self._bids:
            return None
        price, quantity = self._bids.peekitem(0)
        return -price, quantity

    def best_ask(self) -> Level | None:
        """Lowest ask, or None."""
        if not self._asks:
            return None
        price, quantity = self._asks.peekitem(0)
        return price, quantity

    def bids(self, limit: int | None = None) -> Iterator[Level]:
        """Bids, best first."""
        return ((-price, quantity) for price, quantity in islice(self._bids.items(), limit))

    def asks(self, limit: int | None = None) -> Iterator[Level]:
        """Asks, best first."""
        return ((price, quantity) for price, quantity in islice(self._asks.items(), limit))

    def size_at(self, price: int, *, buy: bool) -> int:
        """Displayed size at a price of the bid (`buy`) or ask side; 0 when there is none."""
        side, key = (self._bids, -price) if buy else (self._asks, price)
        return int(side.get(key, 0))
