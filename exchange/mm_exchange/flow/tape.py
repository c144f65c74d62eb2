"""Reading a recorded tape: `<local receive time, ns> <raw frame>` per line, gzip or plain.

Sans-I/O apart from reading the file line by line, so memory does not grow with the tape. Frames may be combined
(`{"stream","data"}`) or raw, of one symbol or several, with or without bookTicker; a REST depth snapshot (no
`stream` key) is what a book is synchronised from. `TapePlayer` re-bases ids and times, `scan` infers the rules.
"""

from __future__ import annotations

import dataclasses
import gzip
import re
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.rules import SymbolRules, infer_rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mm_exchange.book import Level
    from mm_exchange.market import MarketEvent

# The lines that rules, clock skew and the first snapshot are looked for in.
_SCAN_LINES = 5_000
# Gap between the last id of one pass and the first of the next: clients must see a break, never a continuation.
_WRAP_GAP = 1_000
_PARTIAL_DEPTH = re.compile(r"@depth\d+(@|$)")


class _Payload(msgspec.Struct):
    """Any market frame; absent fields keep their defaults."""

    e: str = ""
    E: int = 0
    T: int = 0
    s: str = ""
    U: int = 0
    u: int = 0
    pu: int = 0
    b: list[tuple[str, str]] | str = ""
    B: str = ""
    a: list[tuple[str, str]] | str | int = ""
    A: str = ""
    t: int = 0
    p: str = ""
    q: str = ""
    X: str = "MARKET"
    m: bool = False


class _Line(_Payload):
    """A combined frame, a raw frame or a REST snapshot."""

    stream: str = ""
    data: _Payload | None = None
    lastUpdateId: int = 0
    bids: list[tuple[str, str]] = msgspec.field(default_factory=list)
    asks: list[tuple[str, str]] = msgspec.field(default_factory=list)


_decode = msgspec.json.Decoder(_Line).decode


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One line of a tape. `snapshot` has the REST book, else `payload` a frame with its symbol."""

    received_ns: int
    payload: _Payload
    snapshot: _Line | None = None


def read(path: Path) -> Iterator[Record]:
    """The usable lines of a tape; lines that are no market frame are passed over."""
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with opened as lines:
        for line in lines:
            received, _, frame = line.partition(b" ")
            try:
                decoded = _decode(frame)
                received_ns = int(received)
            except (msgspec.DecodeError, ValueError):
                continue
            if decoded.lastUpdateId:
                yield Record(received_ns, decoded, decoded)
            elif not _PARTIAL_DEPTH.search(decoded.stream):
                yield Record(received_ns, decoded.data or decoded)


@dataclasses.dataclass(frozen=True)
class Scan:
    """What the beginning of a tape tells: rules by symbol, clock skew, and what has to be derived.

    `skew_ms` is how far the venue's event times run ahead of the recorder's clock at most; `has_touch` and
    `has_trades` are False where bookTicker or trade frames are missing (then the touch is derived from the book,
    trades from aggTrade).
    """

    path: Path
    rules: dict[str, SymbolRules]
    skew_ms: float
    first_ns: int
    has_touch: bool
    has_trades: bool


def scan(path: Path) -> Scan:
    """Look at the beginning of a tape.

    Raises:
        ValueError: the file holds no market frame.
    """
    prices: dict[str, list[str]] = {}
    quantities: dict[str, list[str]] = {}
    skew, first_ns, kinds = float("-inf"), 0, set()
    snapshots: list[_Line] = []
    for record in islice(read(path), _SCAN_LINES):
        first_ns = first_ns or record.received_ns
        if record.snapshot is not None:
            snapshots.append(record.snapshot)
            continue
        payload = record.payload
        kinds.add(payload.e)
        skew = max(skew, payload.E - record.received_ns / 1e6)
        seen_prices, seen_quantities = prices.setdefault(payload.s, []), quantities.setdefault(payload.s, [])
        for price, quantity in _numbers(payload):
            seen_prices.append(price)
            seen_quantities.append(quantity)
    prices.pop("", None)
    if not prices:
        raise ValueError(f"{path.name} holds no market frames; a tape has '<ns> <raw frame>' lines")
    if len(prices) == 1:
        only = next(iter(prices))
        for book in snapshots:
            for price, quantity in (*book.bids, *book.asks):
                prices[only].append(price)
                quantities[only].append(quantity)
    rules = {symbol: infer_rules(symbol, prices[symbol], quantities[symbol]) for symbol in prices}
    return Scan(path, rules, skew, first_ns, "bookTicker" in kinds, "trade" in kinds)


def _numbers(payload: _Payload) -> Iterator[tuple[str, str]]:
    for side in (payload.b, payload.a):
        if isinstance(side, list):
            yield from side
    if payload.e == "bookTicker":
        yield str(payload.b), payload.B
        yield str(payload.a), payload.A
    elif payload.p and payload.q:
        yield payload.p, payload.q


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """An event and when it is due, in nanoseconds since the pass began (tape time, before `--speed`)."""

    due_ns: int
    event: MarketEvent


@dataclasses.dataclass(slots=True)
class _Ids:
    """The re-basing state of one symbol: offsets of this pass, and the highest ids given out."""

    update_offset: int = 0
    trade_offset: int = 0
    last_update: int = 0
    last_trade: int = 0
    tape_last_update: int = 0


class TapePlayer:
    """Passes over one tape.

    The first pass keeps the tape's ids; each further one shifts them past everything given out, and begins with a
    snapshot, so that `pu` breaks and every client has to resynchronise. Event times are placed on the serving
    clock by the caller's `epoch_ms` (serving time of the start of the pass) and `speed`.
    """

    def __init__(self, scanned: Scan, *, speed: float = 1.0) -> None:
        self.scan = scanned
        self.speed = speed
        self.skipped = 0
        self._ids = {symbol: _Ids() for symbol in scanned.rules}
        self._passes = 0
        self._start_ns = scanned.first_ns
        self._epoch_ms = 0.0

    def play(self, epoch_ms: float) -> Iterator[Timed]:
        """One pass, beginning at the first snapshot (or at the first frame where a tape has none)."""
        start_ns, held = self._preroll()
        self._passes += 1
        self._start_ns, self._epoch_ms = start_ns, epoch_ms
        rebased: set[str] = set()
        for record in held:
            yield from self._timed(record, rebased)

    def _preroll(self) -> tuple[int, Iterator[Record]]:
        """The time the pass begins at, and its records: the snapshot first, then whatever it does not cover yet."""
        records = read(self.scan.path)
        before: list[Record] = []
        for record in islice(records, _SCAN_LINES):
            if record.snapshot is not None:
                last_id = record.snapshot.lastUpdateId
                late = [held for held in before if held.payload.u >= last_id and held.payload.e == "depthUpdate"]
                self._note_ids(before)
                return record.received_ns, _chain([record, *late], records)
            before.append(record)
        return self.scan.first_ns, _chain(before, records)

    def _note_ids(self, before: list[Record]) -> None:
        for record in before:
            if record.payload.e == "depthUpdate" and record.payload.s in self._ids:
                self._ids[record.payload.s].tape_last_update = record.payload.u

    def _timed(self, record: Record, rebased: set[str]) -> Iterator[Timed]:
        symbol = record.payload.s if record.snapshot is None else self._owner(record.snapshot)
        ids = self._ids.get(symbol)
        if ids is None:
            return
        if symbol not in rebased:
            rebased.add(symbol)
            self._rebase(record, ids)
        try:
            event = self._event(record, symbol, ids=ids)
        except ValueError:
            # A number finer than the inferred scale, or not a number: counted, never served rounded.
            self.skipped += 1
            return
        if event is not None:
            yield Timed(max(0, record.received_ns - self._start_ns), event)

    def _owner(self, book: _Line) -> str:
        """A REST book names no symbol: it belongs to the depth stream whose ids it is nearest to."""
        return min(self._ids, key=lambda symbol: abs(self._ids[symbol].tape_last_update - book.lastUpdateId))

    def _rebase(self, record: Record, ids: _Ids) -> None:
        if self._passes == 1:
            return
        first = record.snapshot.lastUpdateId if record.snapshot is not None else record.payload.U or record.payload.u
        ids.update_offset = ids.last_update + _WRAP_GAP - first
        ids.trade_offset = 0

    def _time(self, event_ms: int) -> int:
        tape_ms = event_ms - self.scan.skew_ms - self._start_ns / 1e6
        return int(self._epoch_ms + tape_ms / self.speed)

    def _event(self, record: Record, symbol: str, *, ids: _Ids) -> MarketEvent | None:
        rules = self.scan.rules[symbol]
        if record.snapshot is not None:
            book = record.snapshot
            last_id = ids.last_update = book.lastUpdateId + ids.update_offset
            ids.tape_last_update = book.lastUpdateId
            at_ms = int(self._epoch_ms + (record.received_ns - self._start_ns) / 1e6 / self.speed)
            return Snapshot(symbol, at_ms, last_id, bids=_levels(book.bids, rules), asks=_levels(book.asks, rules))
        match record.payload.e:
            case "depthUpdate":
                return self._depth(record.payload, rules, ids=ids)
            case "bookTicker":
                return self._touch(record.payload, rules, ids=ids)
            case "trade":
                return self._trade(record.payload, record.payload.t, rules=rules, ids=ids)
            case "aggTrade" if not self.scan.has_trades and isinstance(record.payload.a, int):
                return self._trade(record.payload, record.payload.a, rules=rules, ids=ids)
            case _:
                return None

    def _depth(self, payload: _Payload, rules: SymbolRules, *, ids: _Ids) -> DepthUpdate | None:
        if not isinstance(payload.b, list) or not isinstance(payload.a, list):
            return None
        event_ms = self._time(payload.E)
        ids.tape_last_update = payload.u
        shift = ids.update_offset
        ids.last_update = max(ids.last_update, payload.u + shift)
        return DepthUpdate(
            payload.s, event_ms, event_ms - (payload.E - payload.T), payload.U + shift, payload.u + shift,
            payload.pu + shift, _levels(payload.b, rules), _levels(payload.a, rules),
        )  # fmt: skip

    def _touch(self, payload: _Payload, rules: SymbolRules, *, ids: _Ids) -> Touch | None:
        if not isinstance(payload.b, str) or not isinstance(payload.a, str):
            return None
        prices, quantities, event_ms = rules.prices.parse, rules.quantities.parse, self._time(payload.E)
        update_id = payload.u + ids.update_offset
        ids.last_update = max(ids.last_update, update_id)
        return Touch(
            payload.s, event_ms, event_ms - (payload.E - payload.T), update_id, prices(payload.b),
            quantities(payload.B), prices(payload.a), quantities(payload.A),
        )  # fmt: skip

    def _trade(self, payload: _Payload, trade_id: int, *, rules: SymbolRules, ids: _Ids) -> Trade:
        if self._passes > 1 and not ids.trade_offset:
            ids.trade_offset = ids.last_trade + 1 - trade_id
        given = ids.last_trade = trade_id + ids.trade_offset
        event_ms = self._time(payload.E)
        return Trade(
            payload.s, event_ms, event_ms - (payload.E - payload.T), given, rules.prices.parse(payload.p),
            rules.quantities.parse(payload.q), payload.m, payload.X == "MARKET",
        )  # fmt: skip


def _levels(rows: list[tuple[str, str]], rules: SymbolRules) -> list[Level]:
    price, quantity = rules.prices.parse, rules.quantities.parse
    return [(price(at), quantity(size)) for at, size in rows]


def _chain(first: list[Record], rest: Iterator[Record]) -> Iterator[Record]:
    yield from first
    yield from rest
