"""Reading a recorded tape: `<local receive time, ns> <raw frame>` per line, gzip or plain.

Sans-I/O apart from reading the file line by line, so memory does not grow with the tape. Frames may be combined
(`{"stream","data"}`) or raw, of one symbol or several, with or without bookTicker; a REST depth snapshot (no
`stream` key) is what a book is synchronised from. `TapePlayer` re-bases ids and times, `scan` infers the rules.
"""

from __future__ import annotations

import dataclasses
import gzip
import re
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.rules import SymbolRules, infer_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mm_exchange.book import Level
    from mm_exchange.market import MarketEvent

# The lines that rules, clock skew and the first snapshot are looked for in.
_SCAN_LINES = 5_000
_ENOUGH_NUMBERS = 20_000
# Gap between the last id of one pass and the first of the next: clients must see a break, never a continuation.
_WRAP_GAP = 1_000
# Diffs that a late snapshot may have to be merged with.
_RECENT_DIFFS = 500
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
    last_update_id: int = msgspec.field(default=0, name="lastUpdateId")
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
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            received, _, frame = line.partition(b" ")
            try:
                decoded = _decode(frame)
                received_ns = int(received)
            except (msgspec.DecodeError, ValueError):
                continue
            if decoded.last_update_id:
                yield Record(received_ns, decoded, decoded)
            elif not _PARTIAL_DEPTH.search(decoded.stream):
                yield Record(received_ns, decoded.data or decoded)


@dataclasses.dataclass(frozen=True)
class Scan:
    """What the beginning of a tape tells: rules by symbol, clock skew, and what has to be derived.

    `skew_ms` is how far the venue's event times run ahead of the recorder's clock at most; `has_touch` and
    `has_trades` are False where bookTicker or trade frames are missing (then the touch is derived from the book,
    trades from aggTrade). `preroll_lines` is how many lines it takes until every symbol had its first snapshot.
    """

    path: Path
    rules: dict[str, SymbolRules]
    skew_ms: float
    first_ns: int
    has_touch: bool
    has_trades: bool
    preroll_lines: int


def scan(path: Path) -> Scan:
    """Look at the beginning of a tape.

    Raises:
        ValueError: the file holds no market frame.
    """
    seen: dict[str, tuple[set[str], set[str]]] = {}
    kinds: set[str] = set()
    first_ids: dict[str, int] = {}
    snapshots: list[tuple[int, _Line]] = []
    skew, first_ns = float("-inf"), 0
    for line, record in enumerate(islice(read(path), _SCAN_LINES), start=1):
        first_ns = first_ns or record.received_ns
        if record.snapshot is not None:
            snapshots.append((line, record.snapshot))
            continue
        payload = record.payload
        if not payload.s:
            continue
        kinds.add(payload.e)
        if payload.e == "depthUpdate":
            first_ids.setdefault(payload.s, payload.u)
        skew = max(skew, payload.E - record.received_ns / 1e6)
        _note(seen.setdefault(payload.s, (set(), set())), _numbers(payload))
    if not seen:
        raise ValueError(f"{path.name} holds no market frames; a tape has '<ns> <raw frame>' lines")
    for _, book in snapshots:
        # A REST book names no symbol: it belongs to the depth stream whose ids it is nearest to.
        owner = min(seen, key=lambda symbol: abs(first_ids.get(symbol, 0) - book.last_update_id))
        _note(seen[owner], (*book.bids, *book.asks))
    rules = {symbol: infer_rules(symbol, prices, quantities) for symbol, (prices, quantities) in seen.items()}
    needed = snapshots[: len(seen)]
    preroll = needed[-1][0] if needed else 0
    return Scan(path, rules, skew, first_ns, "bookTicker" in kinds, "trade" in kinds, preroll)


def _note(seen: tuple[set[str], set[str]], rows: Iterable[tuple[str, str]]) -> None:
    prices, quantities = seen
    for price, quantity in rows:
        if len(prices) < _ENOUGH_NUMBERS:
            prices.add(price)
        if len(quantities) < _ENOUGH_NUMBERS:
            quantities.add(quantity)


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
    """The state of one symbol: offsets of this pass, the highest ids given out, and where its tape's book stands.

    `book_id` is the tape's own id of the last applied update (0: no book yet); `broken` that its `pu` chain is;
    `recent` holds the latest diffs, which a snapshot that arrives late is merged with; `diffs_only` that the tape
    has no snapshot for this symbol.
    """

    update_offset: int = 0
    trade_offset: int | None = None
    last_update: int = 0
    last_trade: int = 0
    book_id: int = 0
    broken: bool = True
    diffs_only: bool = False
    recent: deque[_Payload] = dataclasses.field(default_factory=lambda: deque(maxlen=_RECENT_DIFFS))

    def begin_pass(self) -> None:
        """Forget the book, keep what was given out."""
        self.book_id, self.broken, self.diffs_only, self.trade_offset = 0, True, False, None
        self.recent.clear()

    def rebase(self, first_id: int) -> None:
        """Choose the pass's offset: the tape's own ids where they go on upwards, else shifted past all given out."""
        self.update_offset = 0 if first_id > self.last_update else self.last_update + _WRAP_GAP - first_id

    def give_update(self, tape_id: int) -> int:
        """The served id of a tape's update id."""
        served = tape_id + self.update_offset
        self.last_update = max(self.last_update, served)
        return served

    def give_trade(self, tape_id: int) -> int:
        """The served id of a tape's trade id."""
        if self.trade_offset is None:
            self.trade_offset = 0 if tape_id > self.last_trade else self.last_trade + 1 - tape_id
        self.last_trade = tape_id + self.trade_offset
        return self.last_trade


@dataclasses.dataclass(frozen=True, slots=True)
class _Levels:
    """A book under construction; size 0 means removed."""

    bids: dict[int, int]
    asks: dict[int, int]

    def snapshot(self, symbol: str, last_id: int, *, at_ms: int) -> Snapshot:
        return Snapshot(symbol, at_ms, last_id, bids=list(self.bids.items()), asks=list(self.asks.items()))


class TapePlayer:
    """Plays tapes of the same symbols one after another, again and again.

    The first pass keeps the tape's ids; a pass whose ids would repeat shifts them past everything given out. Every
    pass begins with a snapshot, so that `pu` breaks and clients have to resynchronise. Event times are placed on the
    serving clock by the caller's `epoch_ms` (serving time of the start of the pass) and `speed`.
    """

    def __init__(self, scans: list[Scan], *, speed: float = 1.0) -> None:
        self.scans = scans
        self.rules = scans[0].rules
        self.speed = speed
        self.skipped = 0
        self._ids = {symbol: _Ids() for symbol in self.rules}
        self._scan = scans[0]
        self._start_ns = scans[0].first_ns
        self._epoch_ms = 0.0

    def play(self, scanned: Scan, epoch_ms: float) -> Iterator[Timed]:
        """One pass over one tape."""
        self._scan, self._epoch_ms = scanned, epoch_ms
        for ids in self._ids.values():
            ids.begin_pass()
        records = read(scanned.path)
        yield from self._preroll(records)
        for record in records:
            event = self._usable_event(record)
            if event is not None:
                yield Timed(max(0, record.received_ns - self._start_ns), event)

    def _preroll(self, records: Iterator[Record]) -> Iterator[Timed]:
        """Go to where every symbol has its snapshot, and begin there: one whole book for each symbol, due at once.

        Depth before that is merged into the books; other frames before it are passed over. A symbol whose tape has no
        snapshot begins with an empty book that its diffs fill.
        """
        books: dict[str, _Levels] = {}
        self._start_ns = self._scan.first_ns
        for record in islice(records, self._scan.preroll_lines):
            self._start_ns = record.received_ns
            event = self._usable_event(record)
            if isinstance(event, Snapshot):
                books[event.symbol] = _Levels(dict(event.bids), dict(event.asks))
            elif isinstance(event, DepthUpdate) and event.symbol in books:
                books[event.symbol].bids.update(event.bids)
                books[event.symbol].asks.update(event.asks)
        for symbol, ids in self._ids.items():
            ids.diffs_only = symbol not in books
            book = books.get(symbol, _Levels({}, {}))
            yield Timed(0, book.snapshot(symbol, ids.last_update, at_ms=int(self._epoch_ms)))

    def _usable_event(self, record: Record) -> MarketEvent | None:
        try:
            if record.snapshot is not None:
                return self._snapshot(record.received_ns, record.snapshot)
            return self._event(record.payload)
        except ValueError:
            # A number finer than the inferred scale, or not a number: counted, never served rounded.
            self.skipped += 1
            return None

    def _event(self, payload: _Payload) -> MarketEvent | None:
        ids, rules = self._ids.get(payload.s), self.rules.get(payload.s)
        if ids is None or rules is None:
            return None
        match payload.e:
            case "depthUpdate":
                return self._depth(payload, rules, ids=ids)
            case "bookTicker":
                return self._touch(payload, rules, ids=ids)
            case "trade":
                return self._trade(payload, payload.t, rules=rules, ids=ids)
            case "aggTrade" if not self._scan.has_trades and isinstance(payload.a, int):
                return self._trade(payload, payload.a, rules=rules, ids=ids)
            case _:
                return None

    def _time(self, event_ms: int) -> int:
        tape_ms = event_ms - self._scan.skew_ms - self._start_ns / 1e6
        return int(self._epoch_ms + tape_ms / self.speed)

    def _snapshot(self, received_ns: int, book: _Line) -> Snapshot | None:
        """A REST book. One that adds nothing to an unbroken chain (a recorder's periodic copy) is passed over."""
        # It names no symbol: it belongs to the depth stream whose ids it is nearest to.
        symbol = min(self._ids, key=lambda name: abs(_latest(self._ids[name]) - book.last_update_id))
        ids, rules = self._ids[symbol], self.rules[symbol]
        if not ids.broken and ids.book_id >= book.last_update_id:
            return None
        if not ids.book_id:
            ids.rebase(book.last_update_id)
        ids.book_id, ids.broken = book.last_update_id, False
        levels = _Levels(dict(_levels(book.bids, rules)), dict(_levels(book.asks, rules)))
        # Diffs that were recorded before the snapshot arrived, but are newer than it, belong on top of it.
        for payload in ids.recent:
            if payload.u > book.last_update_id and isinstance(payload.b, list) and isinstance(payload.a, list):
                levels.bids.update(_levels(payload.b, rules))
                levels.asks.update(_levels(payload.a, rules))
                ids.book_id = max(ids.book_id, payload.u)
        at_ms = int(self._epoch_ms + (received_ns - self._start_ns) / 1e6 / self.speed)
        return levels.snapshot(symbol, ids.give_update(ids.book_id), at_ms=at_ms)

    def _depth(self, payload: _Payload, rules: SymbolRules, *, ids: _Ids) -> DepthUpdate | None:
        if not isinstance(payload.b, list) or not isinstance(payload.a, list):
            return None
        bids, asks = _levels(payload.b, rules), _levels(payload.a, rules)
        ids.recent.append(payload)
        if not ids.book_id:
            # Diffs before the pass's first snapshot are only remembered, for merging; their ids are not given out.
            if not ids.diffs_only:
                return None
            ids.rebase(payload.U)
        elif payload.u <= ids.book_id:
            return None
        ids.broken = payload.pu != ids.book_id and not payload.U <= ids.book_id <= payload.u
        ids.book_id = payload.u
        event_ms, shift = self._time(payload.E), ids.update_offset
        return DepthUpdate(
            payload.s, event_ms, event_ms - (payload.E - payload.T), payload.U + shift, ids.give_update(payload.u),
            payload.pu + shift, bids, asks,
        )  # fmt: skip

    def _touch(self, payload: _Payload, rules: SymbolRules, *, ids: _Ids) -> Touch | None:
        if not isinstance(payload.b, str) or not isinstance(payload.a, str) or not ids.book_id:
            return None
        prices, quantities, event_ms = rules.prices.parse, rules.quantities.parse, self._time(payload.E)
        return Touch(
            payload.s, event_ms, event_ms - (payload.E - payload.T), ids.give_update(payload.u), prices(payload.b),
            quantities(payload.B), prices(payload.a), quantities(payload.A),
        )  # fmt: skip

    def _trade(self, payload: _Payload, trade_id: int, *, rules: SymbolRules, ids: _Ids) -> Trade | None:
        if not ids.book_id:
            return None
        event_ms = self._time(payload.E)
        return Trade(
            payload.s, event_ms, event_ms - (payload.E - payload.T), ids.give_trade(trade_id),
            rules.prices.parse(payload.p), rules.quantities.parse(payload.q), payload.m, payload.X == "MARKET",
        )  # fmt: skip


def _latest(ids: _Ids) -> int:
    return ids.recent[-1].u if ids.recent else ids.book_id


def _levels(rows: list[tuple[str, str]], rules: SymbolRules) -> list[Level]:
    price, quantity = rules.prices.parse, rules.quantities.parse
    return [(price(at), quantity(size)) for at, size in rows]
