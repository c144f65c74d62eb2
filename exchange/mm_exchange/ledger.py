"""The exchange's own record of everything that happened: the oracle of the project's tests.

Append-only, in memory. Each entry is one JSON object of `GET /admin/ledger`; keys that do not apply are absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.orders import Order

# A `since` below this is a sequence number, from it on a time in milliseconds (1e12 ms is the year 2001).
_TIME_FROM = 10**12


class Entry(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One event. Prices, quantities and amounts are decimal text; `time` is milliseconds, `time_ns` nanoseconds."""

    seq: int
    time: int
    time_ns: int
    kind: str
    symbol: str | None = None
    api_key: str | None = None
    client_order_id: str | None = None
    order_id: int | None = None
    side: str | None = None
    type: str | None = None
    time_in_force: str | None = None
    reduce_only: bool | None = None
    price: str | None = None
    quantity: str | None = None
    executed_quantity: str | None = None
    status: str | None = None
    last_quantity: str | None = None
    last_price: str | None = None
    maker: bool | None = None
    commission: str | None = None
    realized_pnl: str | None = None
    trade_id: int | None = None
    position_after: str | None = None
    by: str | None = None
    code: int | None = None
    msg: str | None = None
    address: str | None = None
    request_time: int | None = None
    countdown_time: int | None = None
    detail: dict[str, Any] | None = None


class Ledger:
    """Appends entries with a rising `seq` and answers filtered reads."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._last_ns = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, kind: str, now_ns: int, **fields: Any) -> Entry:
        """Append one entry of a kind at a time; a clock that steps back is held at the last time."""
        now_ns = self._last_ns = max(self._last_ns, now_ns)
        entry = Entry(seq=len(self._entries) + 1, time=now_ns // 1_000_000, time_ns=now_ns, kind=kind, **fields)
        self._entries.append(entry)
        return entry

    def add_order(self, kind: str, now_ns: int, *, order: Order, **fields: Any) -> Entry:
        """Append one entry about an order, with the order's own fields filled in."""
        request, quantities = order.request, order.rules.quantities
        return self.add(
            kind, now_ns, symbol=order.symbol, api_key=order.api_key, client_order_id=order.client_order_id,
            order_id=order.order_id, side=request.side.value, type=request.type.value,
            time_in_force=request.time_in_force.value, reduce_only=request.reduce_only,
            price=order.rules.prices.text(order.price), quantity=quantities.text(order.quantity),
            executed_quantity=quantities.text(order.filled), status=order.status.value, **fields,
        )  # fmt: skip

    def read(self, *, symbol: str | None = None, api_key: str | None = None, since: int = 0) -> Iterator[Entry]:
        """Entries in order. `since` below 1e12 asks for a larger `seq`, else for a `time` from then on."""
        start = since if since < _TIME_FROM else self._first_at(since)
        for entry in self._entries[max(0, start) :]:
            if (symbol is None or entry.symbol == symbol) and (api_key is None or entry.api_key == api_key):
                yield entry

    def _first_at(self, time_ms: int) -> int:
        low, high = 0, len(self._entries)
        while low < high:
            middle = (low + high) // 2
            if self._entries[middle].time < time_ms:
                low = middle + 1
            else:
                high = middle
        return low
