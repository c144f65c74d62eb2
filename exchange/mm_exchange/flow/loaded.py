"""A tape for a virtual clock: its events with their due times, streamed once or kept in columns for many runs.

`stream` parses while it yields (one backtest); `LoadedTape.load` parses once into arrays that are small, quick to
pickle, shared by forked workers and turned into events at several times the speed of parsing (sweeps). Both give the
same events: the tape's own update ids, event times on the recorder's clock, and touches derived from the book where
the tape has no bookTicker (or `touches="derived"` asks for that).
"""

from __future__ import annotations

from array import array
from itertools import repeat
from typing import TYPE_CHECKING, Literal

import msgspec

from mm_exchange.book import Book
from mm_exchange.flow.tape import TapePlayer
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mm_exchange.book import Level
    from mm_exchange.flow.scan import Scan
    from mm_exchange.market import MarketEvent
    from mm_exchange.rules import SymbolRules

    Timed = tuple[int, MarketEvent]

Touches = Literal["recorded", "derived"]
_TOUCH, _DEPTH, _TRADE, _SNAPSHOT = range(4)
_ROWS = 4096


def stream(scanned: Scan, *, touches: Touches = "recorded") -> Iterator[Timed]:
    """Every event of a tape with the UTC nanosecond it was received at, in order.

    The first events are one `Snapshot` a symbol. Event times are milliseconds on the recorder's clock: the venue's,
    less how far they ran ahead of it at most, so that no event is younger than its arrival.
    """
    player = TapePlayer([scanned])
    begin_ns = player.begin_ns(scanned)
    timed = player.play(scanned, begin_ns / 1e6, origin_ns=begin_ns)
    if scanned.has_touch and touches == "recorded":
        return timed
    return _with_derived(timed)


def _with_derived(timed: Iterable[Timed]) -> Iterator[Timed]:
    """Put a touch after each change of the book's best levels, in place of recorded ones."""
    books: dict[str, Book] = {}
    touches: dict[str, tuple[Level, Level]] = {}
    for due_ns, event in timed:
        if isinstance(event, Touch):
            continue
        yield due_ns, event
        if isinstance(event, Trade):
            continue
        book = books.setdefault(event.symbol, Book())
        transaction_ms = event.event_ms
        if isinstance(event, Snapshot):
            book.replace(event.last_id, event.bids, asks=event.asks)
        else:
            book.apply(event.last_id, event.bids, asks=event.asks)
            transaction_ms = event.transaction_ms
        bid, ask = book.best_bid(), book.best_ask()
        if bid is not None and ask is not None and touches.get(event.symbol) != (bid, ask):
            touches[event.symbol] = bid, ask
            yield due_ns, Touch(event.symbol, event.event_ms, transaction_ms, event.last_id, *bid, *ask)


class _Columns:
    """Whole numbers of one kind of event, row after row; the first is the symbol's number."""

    def __init__(self, count: int) -> None:
        self.columns = tuple(array("q") for _ in range(count))
        self._rows: list[tuple[int, ...]] = []

    def append(self, row: tuple[int, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Rows become columns thousands at a time, which is much faster than one by one."""
        if self._rows:
            for column, values in zip(self.columns, zip(*self._rows, strict=True), strict=True):
                column.extend(values)
            self._rows.clear()


class _Levels:
    """Levels of many books, end to end."""

    def __init__(self) -> None:
        self.prices = array("q")
        self.sizes = array("q")

    def append(self, levels: list[Level]) -> int:
        self.prices.extend([price for price, _ in levels])
        self.sizes.extend([size for _, size in levels])
        return len(self.prices)

    def read(self, begin: int, end: int) -> list[Level]:
        return list(zip(self.prices[begin:end], self.sizes[begin:end], strict=True))


class LoadedTape:
    """A tape in memory: about 8 bytes a number. Picklable; `events` may run any number of times, also at once."""

    def __init__(self, rules: dict[str, SymbolRules]) -> None:
        self.rules = rules
        self.symbols = list(rules)
        self._kinds = bytearray()
        self._due = array("q")
        # The columns of each kind are the fields of its event, levels being the place where they end.
        self._touches = _Columns(8)
        self._depths = _Columns(8)
        self._trades = _Columns(8)
        self._snapshots = _Columns(5)
        self._levels = _Levels()

    @classmethod
    def load(cls, scanned: Scan, *, touches: Touches = "recorded") -> LoadedTape:
        """Parse a whole tape."""
        tape = cls(scanned.rules)
        index = {symbol: number for number, symbol in enumerate(tape.symbols)}
        for due_ns, event in stream(scanned, touches=touches):
            tape._append(due_ns, event, symbol=index[event.symbol])
        for kind in (tape._touches, tape._depths, tape._trades, tape._snapshots):
            kind.flush()
        return tape

    @property
    def arrays(self) -> list[array[int]]:
        """Every column, in one order, for saving."""
        kinds = (self._touches, self._depths, self._trades, self._snapshots)
        columns = [column for kind in kinds for column in kind.columns]
        return [self._due, self._levels.prices, self._levels.sizes, *columns]

    @property
    def kinds(self) -> bytearray:
        """The kind of each event, in order, for saving."""
        return self._kinds

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def begin_ns(self) -> int:
        """When the first event is due."""
        return self._due[0]

    @property
    def end_ns(self) -> int:
        """When the last event is due."""
        return self._due[-1]

    def _append(self, due_ns: int, event: MarketEvent, *, symbol: int) -> None:
        if isinstance(event, Touch):
            kind = _TOUCH
            self._touches.append((symbol, *msgspec.structs.astuple(event)[1:]))
        elif isinstance(event, Trade):
            kind = _TRADE
            self._trades.append((symbol, *msgspec.structs.astuple(event)[1:]))
        else:
            ends = self._levels.append(event.bids), self._levels.append(event.asks)
            if isinstance(event, DepthUpdate):
                kind = _DEPTH
                ids = event.first_id, event.last_id, event.previous_id
                self._depths.append((symbol, event.event_ms, event.transaction_ms, *ids, *ends))
            else:
                kind = _SNAPSHOT
                self._snapshots.append((symbol, event.event_ms, event.last_id, *ends))
        self._kinds.append(kind)
        self._due.append(due_ns)

    def events(self, begin: int = 0, end: int | None = None) -> Iterator[Timed]:
        """The events in order, from number `begin` up to `end`; a walk-forward split begins with a whole book."""
        timed = zip(self._due, self._made(), strict=True)
        if begin == 0 and end is None:
            return timed
        return _part(timed, self.symbols, begin=begin, end=len(self) if end is None else end)

    def _made(self) -> Iterator[MarketEvent]:
        makers = (iter(self._made_touches()), iter(self._made_books()), iter(self._made_trades()))
        for kind in self._kinds:
            # Snapshots and depth updates share one run of levels, so one maker makes both.
            yield next(makers[kind if kind != _SNAPSHOT else _DEPTH])

    def _names(self, column: array[int]) -> Iterable[str]:
        return repeat(self.symbols[0], len(column)) if len(self.symbols) == 1 else map(self.symbols.__getitem__, column)

    def _made_touches(self) -> Iterator[Touch]:
        symbols, *columns = self._touches.columns
        return map(Touch, self._names(symbols), *columns)

    def _made_trades(self) -> Iterator[Trade]:
        symbols, *columns, sides, markets = self._trades.columns
        return map(Trade, self._names(symbols), *columns, map(bool, sides), map(bool, markets))

    def _made_books(self) -> Iterator[DepthUpdate | Snapshot]:
        depths, snapshots = zip(*self._depths.columns, strict=True), zip(*self._snapshots.columns, strict=True)
        symbols, read, at = self.symbols, self._levels.read, 0
        for kind in self._kinds:
            if kind == _DEPTH:
                symbol, event_ms, transaction_ms, first_id, last_id, previous_id, middle, end = next(depths)
                yield DepthUpdate(symbols[symbol], event_ms, transaction_ms, first_id, last_id, previous_id,
                                  read(at, middle), read(middle, end))  # fmt: skip
                at = end
            elif kind == _SNAPSHOT:
                symbol, event_ms, last_id, middle, end = next(snapshots)
                yield Snapshot(symbols[symbol], event_ms, last_id, read(at, middle), read(middle, end))
                at = end


def _part(timed: Iterator[Timed], symbols: list[str], *, begin: int, end: int) -> Iterator[Timed]:
    """A stretch of a tape, preceded by the books as they stood when it begins."""
    books = {symbol: Book() for symbol in symbols}
    for number, (due_ns, event) in enumerate(timed):
        if number >= end:
            return
        if number == begin:
            for symbol, book in books.items():
                yield (
                    due_ns,
                    Snapshot(symbol, event.event_ms, book.last_update_id, list(book.bids()), list(book.asks())),
                )
        if number >= begin:
            yield due_ns, event
        elif isinstance(event, Snapshot):
            books[event.symbol].replace(event.last_id, event.bids, asks=event.asks)
        elif isinstance(event, DepthUpdate):
            books[event.symbol].apply(event.last_id, event.bids, asks=event.asks)
