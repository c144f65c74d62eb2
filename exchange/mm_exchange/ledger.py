"""The exchange's own record of everything that happened: the oracle of the project's tests.

Append-only. Each entry is one JSON object of `GET /admin/ledger`; keys that do not apply are absent. Adding keeps a
small tuple (about a microsecond); text is made when somebody reads. The newest entries stay in memory; with a
`LedgerFile` older ones move there, in slices that the shell's clock asks for with `spill`, and reads go over both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mm_exchange.scales import MONEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.ledger_file import LedgerFile
    from mm_exchange.orders import Order
    from mm_exchange.user_events import FillReport

# A `since` below this is a sequence number, from it on a time in milliseconds (1e12 ms is the year 2001).
_TIME_FROM = 10**12
# Entries that stay in memory when there is a file for older ones.
KEPT = 20_000
# Entries rendered and handed to the file in one slice of `spill`: one to two milliseconds of work.
_SLICE = 256
# Times what is kept: more than this never waits in memory.
_TOO_MANY = 5
_PAGE = 500


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


# What is kept of an entry until somebody reads it: time, kind, fields as they came; then, for what is about an order,
# the order and the parts of it that change: price, quantity, filled, status.
_Raw = tuple[Any, ...]


class Ledger:
    """Appends entries with a rising `seq` and answers filtered reads.

    Args:
        kept: how many of the newest entries stay in memory once there is a file.
    """

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        # Entries `_base + 1 … len(self)`; those up to `_sent` have been handed to the file, those up to `_base` are
        # on disk for certain.
        self._recent: list[_Raw] = []
        self._base = 0
        self._sent = 0
        self._last_ns = 0
        self._file: LedgerFile | None = None

    def __len__(self) -> int:
        return self._base + len(self._recent)

    def add(self, kind: str, now_ns: int, **fields: Any) -> None:
        """Append one entry of a kind at a time; a clock that steps back is held at the last time."""
        if now_ns < self._last_ns:  # noqa: PLR1730 - max() would cost as much as all the rest
            now_ns = self._last_ns
        self._last_ns = now_ns
        self._recent.append((now_ns, kind, fields, None))

    def add_order(self, kind: str, now_ns: int, *, order: Order, **fields: Any) -> None:
        """Append one entry about an order, with the order's own fields filled in."""
        if now_ns < self._last_ns:  # noqa: PLR1730 - max() would cost as much as all the rest
            now_ns = self._last_ns
        self._last_ns = now_ns
        self._recent.append(
            (now_ns, kind, fields, order, order.request, order.price, order.quantity, order.filled, order.status)
        )

    def add_fill(self, now_ns: int, *, order: Order, report: FillReport, position: int, by: str | None = None) -> None:
        """Append a fill; `position` is the account's, in quantity units, after it; `by` says who closed it, if not a client."""
        if now_ns < self._last_ns:  # noqa: PLR1730 - max() would cost as much as all the rest
            now_ns = self._last_ns
        self._last_ns = now_ns
        self._recent.append(
            (now_ns, "fill", (report, position, by), order, order.request, order.price, order.quantity, order.filled,
             order.status)
        )  # fmt: skip

    # -- reading -----------------------------------------------------------------------------------------------

    def read(
        self, *, symbol: str | None = None, api_key: str | None = None, kind: str | None = None, since: int = 0
    ) -> Iterator[Entry]:
        """Entries in order. `since` below 1e12 asks for a larger `seq`, else for a `time` from then on."""
        for seq, found in self._pages(symbol, api_key, kind=kind, since=since):
            yield msgspec.json.decode(found, type=Entry) if isinstance(found, str) else _rendered(seq, found)

    def read_json(
        self, *, symbol: str | None = None, api_key: str | None = None, kind: str | None = None, since: int = 0
    ) -> Iterator[tuple[int, bytes]]:
        """The same as JSON objects, with their `seq`."""
        for seq, found in self._pages(symbol, api_key, kind=kind, since=since):
            yield seq, found.encode() if isinstance(found, str) else msgspec.json.encode(_rendered(seq, found))

    def newest(self, count: int, *, kinds: frozenset[str], symbol: str | None = None) -> list[Entry]:
        """The newest entries of some kinds that are still in memory, the newest first; of a symbol or of none at all."""
        found: list[Entry] = []
        for index in range(len(self._recent) - 1, -1, -1):
            raw = self._recent[index]
            if raw[1] in kinds and symbol in (None, _symbol(raw) or symbol):
                found.append(_rendered(self._base + index + 1, raw))
                if len(found) == count:
                    break
        return found

    def _pages(
        self, symbol: str | None, api_key: str | None, *, kind: str | None, since: int
    ) -> Iterator[tuple[int, Any]]:
        """Matching entries as (`seq`, JSON text or raw), up to what is there now.

        The border between file and memory may move while a caller waits between two entries, so each page looks
        anew where its entries are.
        """
        wanted = {"symbol": symbol, "apiKey": api_key, "kind": kind}
        end = len(self)
        at = since if since < _TIME_FROM else self._before(since)
        while at < end:
            if at < self._base and self._file is not None:
                rows = self._file.page(at, min(self._base, end), most=_PAGE, wanted=wanted)
                at = rows[-1][0] if len(rows) == _PAGE else min(self._base, end)
                yield from rows
            else:
                start = at - self._base
                raws = self._recent[start : min(start + _PAGE, end - self._base)]
                first, at = at + 1, at + len(raws)
                for seq, raw in enumerate(raws, first):
                    if _matches(raw, symbol, api_key, kind=kind):
                        yield seq, raw

    def _before(self, time_ms: int) -> int:
        """The last `seq` whose time is before a time."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._time_ms(middle + 1) < time_ms:
                low = middle + 1
            else:
                high = middle
        return low

    def _time_ms(self, seq: int) -> int:
        if seq <= self._base and self._file is not None:
            return self._file.time_ms(seq)
        return int(self._recent[seq - self._base - 1][0] // 1_000_000)

    # -- the file ----------------------------------------------------------------------------------------------

    def spill_to(self, file: LedgerFile) -> None:
        """Let older entries move to a file."""
        self._file = file

    def spill(self, *, most: int = _SLICE) -> None:
        """Forget what is on disk, and hand the next slice to the file. Called by the clock.

        Raises:
            OSError: the file cannot be written.
        """
        file = self._file
        if file is None:
            return
        self._settle(file)
        ready = len(self) if file.eager else len(self) - self._kept
        end = min(self._sent + most, ready)
        if end > self._sent and file.idle:
            self._send(file, end)
        # A disk that cannot keep pace holds the exchange up in the end, rather than filling memory.
        while len(self._recent) > _TOO_MANY * self._kept:
            self._send(file, min(self._sent + most, len(self)))
            file.wait()
            self._settle(file)

    def _settle(self, file: LedgerFile) -> None:
        """What is in the file may leave memory, but for the newest, which are read most. In slices: each moves the rest."""
        through = min(file.written(), len(self) - self._kept)
        if through - self._base >= min(_SLICE, self._kept):
            del self._recent[: through - self._base]
            self._base = through

    def _send(self, file: LedgerFile, end: int) -> None:
        first = self._sent - self._base
        raws = self._recent[first : end - self._base]
        entries = [_rendered(seq, raw) for seq, raw in enumerate(raws, self._sent + 1)]
        file.write(msgspec.json.encode(entries), first=self._sent + 1, last=end)
        self._sent = end

    def close(self) -> None:
        """Bring a lasting file up to date, and leave it; a temporary one goes."""
        file, self._file = self._file, None
        if file is None:
            return
        while file.eager and self._sent < len(self):
            self._send(file, min(self._sent + _SLICE, len(self)))
        file.close()


def _matches(raw: _Raw, symbol: str | None, api_key: str | None, *, kind: str | None) -> bool:
    if kind is not None and raw[1] != kind:
        return False
    order = raw[3]
    if order is not None:
        return (symbol is None or order.symbol == symbol) and (api_key is None or order.api_key == api_key)
    fields = raw[2]
    return (symbol is None or fields.get("symbol") == symbol) and (api_key is None or fields.get("api_key") == api_key)


def _symbol(raw: _Raw) -> str | None:
    found: str | None = raw[2].get("symbol") if raw[3] is None else raw[3].symbol
    return found


def _rendered(seq: int, raw: _Raw) -> Entry:
    now_ns, kind, fields, order = raw[:4]
    if order is None:
        return Entry(seq=seq, time=now_ns // 1_000_000, time_ns=now_ns, kind=kind, **fields)
    _, _, _, _, request, price, quantity, filled, status = raw
    prices, quantities = order.rules.prices, order.rules.quantities
    if isinstance(fields, tuple):
        report, position, by = fields
        fields = {
            "last_quantity": quantities.text(report.quantity), "last_price": prices.text(report.price),
            "maker": report.maker, "commission": MONEY.text(report.commission),
            "realized_pnl": MONEY.text(report.realized), "trade_id": report.trade_id,
            "position_after": quantities.text(position), "by": by,
        }  # fmt: skip
    return Entry(
        seq=seq, time=now_ns // 1_000_000, time_ns=now_ns, kind=kind, symbol=order.symbol, api_key=order.api_key,
        client_order_id=request.client_order_id, order_id=order.order_id, side=request.side.value,
        type=request.type.value, time_in_force=request.time_in_force.value, reduce_only=request.reduce_only,
        price=prices.text(price), quantity=quantities.text(quantity), executed_quantity=quantities.text(filled),
        status=status.value, **fields,
    )  # fmt: skip
