"""What orders were before they were amended, as `orderAmendment` shows it."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm_exchange.orders import Order

_KEPT = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Amendment:
    """One accepted amendment: price and quantity in units, before and after. `count` is how often the order changed."""

    amendment_id: int
    order: Order
    price: tuple[int, int]
    quantity: tuple[int, int]
    count: int
    time_ms: int


class Amendments:
    """The amendments of every account, the latest ones."""

    def __init__(self) -> None:
        self._rows: dict[str, deque[Amendment]] = {}
        self._next_id = 1

    def add(self, order: Order, *, price: tuple[int, int], quantity: tuple[int, int], now_ms: int) -> None:
        """Note what an order was and is."""
        rows = self._rows.setdefault(order.api_key, deque(maxlen=_KEPT))
        count = 1 + sum(row.order is order for row in rows)
        rows.append(Amendment(self._next_id, order, price, quantity, count, now_ms))
        self._next_id += 1

    def of(self, api_key: str) -> list[Amendment]:
        """An account's amendments, oldest first."""
        return list(self._rows.get(api_key, ()))
