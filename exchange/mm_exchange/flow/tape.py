"""Playing a recorded tape: from its lines to market events, with ids and times re-based.

Sans-I/O apart from reading the file line by line. Frames may be combined (`{"stream","data"}`) or raw, of one symbol
or several, with or without bookTicker; a REST depth snapshot (no `stream` key) is what a book is synchronised from.
Serving reads a tape through this on the wall clock; `loaded` keeps a pass of it for many runs on a virtual one.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.flow.scan import Scan as Scan  # noqa: PLC0414 - what callers of a player need beside it
from mm_exchange.flow.scan import scan as scan  # noqa: PLC0414
from mm_exchange.flow.wire import (
    AggregateFrame,
    BookFrame,
    DepthFrame,
    TouchFrame,
    TradeFrame,
    UnitDecoder,
    UnitDepth,
    decode,
    lines_of,
    wrapped_aggregate,
    wrapped_touch,
    wrapped_trade,
)
from mm_exchange.market import DepthUpdate, MarketEvent, Snapshot, Touch, Trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mm_exchange.flow.wire import Decoded, Frame
    from mm_exchange.rules import SymbolRules

# Gap between the last id of one pass and the first of the next: clients must see a break, never a continuation.
_WRAP_GAP = 1_000
# Diffs that a late snapshot may have to be merged with.
_RECENT_DIFFS = 500
# Where a combined frame's stream name begins: `{"stream":"ethusdt@depth@0ms","data":…`.
_NAME_AT = 11


# An event and when it is due, in nanoseconds since the pass began (tape time, before `--speed`).
Timed = tuple[int, MarketEvent]


class _Times:
    """Places the tape's event times on the serving clock: by the recorder's clock, never ahead of the arrival."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.skew_ms = 0.0
        self.start_ms = 0.0
        self.epoch_ms = 0.0

    def event_ms(self, tape_ms: int) -> int:
        return int(self.epoch_ms + (tape_ms - self.skew_ms - self.start_ms) / self.speed)


class _Symbol:
    """One symbol of a tape: its numbers' scales, the highest ids given out, and where the tape's book stands.

    `book_id` is the tape's own id of the last applied update (0: no book yet); `broken` that its `pu` chain is;
    `recent` holds the latest diffs, which a snapshot that arrives late is merged with, as text: keeping thousands of
    levels alive would cost more than decoding them again, which is rare. `diffs_only` says that the tape has no
    snapshot for this symbol.
    """

    def __init__(self, name: str, rules: SymbolRules, *, times: _Times) -> None:
        self.name = name
        self.units = UnitDecoder(rules)
        self._prices, self._quantities = self.units.prices, self.units.quantities
        self._times = times
        self._update_offset = 0
        self._trade_offset: int | None = None
        self.last_update = 0
        self._last_trade = 0
        self.book_id = 0
        self._broken = True
        self.diffs_only = False
        self._latest = 0
        self._recent: deque[bytes] = deque(maxlen=_RECENT_DIFFS)
        # The last bookTicker's event time, as the tape has it and as it is served: many come within a millisecond.
        self._touch_tape_ms = self._touch_ms = -1

    def begin_pass(self, first_id: int) -> None:
        """Forget the book, keep what was given out. `first_id`: where the tape's depth stream begins, 0 if unknown."""
        self.book_id, self._broken, self.diffs_only, self._trade_offset = 0, True, False, None
        self._latest = first_id
        self._recent.clear()

    def begin_playing(self, *, diffs_only: bool) -> None:
        """The pass's books are known and its clock stands: what was reckoned by an earlier one is forgotten."""
        self.diffs_only = diffs_only
        self._touch_tape_ms = -1

    @property
    def latest_id(self) -> int:
        """The newest tape id of its depth stream."""
        return self._latest or self.book_id

    def _rebase(self, first_id: int) -> None:
        """Choose the pass's offset: the tape's own ids where they go on upwards, else shifted past all given out."""
        self._update_offset = 0 if first_id > self.last_update else self.last_update + _WRAP_GAP - first_id

    def _give_update(self, tape_id: int) -> int:
        served = tape_id + self._update_offset
        self.last_update = max(self.last_update, served)
        return served

    def _give_trade(self, tape_id: int) -> int:
        if self._trade_offset is None:
            self._trade_offset = 0 if tape_id > self._last_trade else self._last_trade + 1 - tape_id
        self._last_trade = tape_id + self._trade_offset
        return self._last_trade

    # Each of the following takes one frame: None where it is passed over, ValueError where a number does not fit.

    def touch(self, frame: TouchFrame) -> Touch | None:
        """A bookTicker."""
        if not self.book_id:
            return None
        prices, quantities, tape_ms = self._prices, self._quantities, frame.E
        # The most frequent kind of frame by far: nothing is asked or made twice.
        if tape_ms != self._touch_tape_ms:
            self._touch_tape_ms, self._touch_ms = tape_ms, self._times.event_ms(tape_ms)
        event_ms = self._touch_ms
        update_id = frame.u + self._update_offset
        touch = Touch(
            self.name, event_ms, event_ms - tape_ms + frame.T, update_id, prices[frame.b], quantities[frame.B],
            prices[frame.a], quantities[frame.A],
        )  # fmt: skip
        if update_id > self.last_update:  # noqa: PLR1730 - as above
            self.last_update = update_id
        return touch

    def trade(self, frame: TradeFrame) -> Trade | None:
        """A trade."""
        return self._trade(frame, frame.t, market=frame.X == "MARKET")

    def aggregate(self, frame: AggregateFrame) -> Trade | None:
        """An aggTrade, which stands for a trade where the tape has none."""
        return self._trade(frame, frame.a, market=True)

    def _trade(self, frame: TradeFrame | AggregateFrame, trade_id: int, *, market: bool) -> Trade | None:
        if not self.book_id:
            return None
        event_ms = self._times.event_ms(frame.E)
        price, quantity = self.units.prices[frame.p], self.units.quantities[frame.q]
        return Trade(
            self.name, event_ms, event_ms - (frame.E - frame.T), self._give_trade(trade_id), price, quantity,
            frame.m, market,
        )  # fmt: skip

    def depth(self, frame: UnitDepth, text: bytes) -> DepthUpdate | None:
        """A diff of the book, and the line it was."""
        self._latest = frame.u
        self._recent.append(text)
        if not self.book_id:
            # Diffs before the pass's first snapshot are only remembered, for merging; their ids are not given out.
            if not self.diffs_only:
                return None
            self._rebase(frame.U)
        elif frame.u <= self.book_id:
            return None
        self._broken = frame.pu != self.book_id and not frame.U <= self.book_id <= frame.u
        self.book_id = frame.u
        event_ms, shift = self._times.event_ms(frame.E), self._update_offset
        return DepthUpdate(
            self.name, event_ms, event_ms - (frame.E - frame.T), frame.U + shift, self._give_update(frame.u),
            frame.pu + shift, frame.b, frame.a,
        )  # fmt: skip

    def snapshot(self, book: BookFrame, received_ms: float) -> Snapshot | None:
        """A REST book. One that adds nothing to an unbroken chain (a recorder's periodic copy) is passed over."""
        if not self._broken and self.book_id >= book.last_update_id:
            return None
        bids, asks = dict(self.units.levels(book.bids)), dict(self.units.levels(book.asks))
        if not self.book_id:
            self._rebase(book.last_update_id)
        self.book_id, self._broken = book.last_update_id, False
        # Diffs that were recorded before the snapshot arrived, but are newer than it, belong on top of it.
        for text in self._recent:
            decoded = decode(text)
            if decoded is not None and isinstance(decoded.frame, DepthFrame) and decoded.frame.u > book.last_update_id:
                bids.update(self.units.levels(decoded.frame.b))
                asks.update(self.units.levels(decoded.frame.a))
                self.book_id = max(self.book_id, decoded.frame.u)
        times = self._times
        at_ms = int(times.epoch_ms + (received_ms - times.start_ms) / times.speed)
        return Snapshot(self.name, at_ms, self._give_update(self.book_id), list(bids.items()), list(asks.items()))

    def route(self, frame: Frame, *, aggregates: bool) -> Callable[[bytes], MarketEvent | None]:
        """What turns further combined frames of the same stream into events without asking for their kind again."""
        if isinstance(frame, TouchFrame):
            return self._touch_text
        if isinstance(frame, DepthFrame):
            return self._depth_text
        if isinstance(frame, TradeFrame):
            return self._trade_text
        if isinstance(frame, AggregateFrame) and aggregates:
            return self._aggregate_text
        return _pass_over

    def _touch_text(self, text: bytes) -> Touch | None:
        return self.touch(wrapped_touch(text).data)

    def _depth_text(self, text: bytes) -> DepthUpdate | None:
        return self.depth(self.units.depth(text), text)

    def _trade_text(self, text: bytes) -> Trade | None:
        return self.trade(wrapped_trade(text).data)

    def _aggregate_text(self, text: bytes) -> Trade | None:
        return self.aggregate(wrapped_aggregate(text).data)


def _pass_over(_: bytes) -> None:
    """For frames that the tape tells twice."""


class TapePlayer:
    """Plays tapes of the same symbols one after another, again and again.

    The first pass keeps the tape's ids; a pass whose ids would repeat shifts them past everything given out. Every
    pass begins with a snapshot, so that `pu` breaks and clients have to resynchronise. Event times are placed on the
    serving clock by the caller's `epoch_ms` (serving time of the start of the pass) and `speed`. `skipped` counts
    frames whose numbers do not fit the symbol's scale: they are never served rounded.
    """

    def __init__(self, scans: list[Scan], *, speed: float = 1.0) -> None:
        self.scans = scans
        self.rules = scans[0].rules
        self.speed = speed
        self.skipped = 0
        self._times = _Times(speed)
        self._symbols = {name: _Symbol(name, rules, times=self._times) for name, rules in self.rules.items()}
        self._scan = scans[0]
        self._routes: dict[bytes, Callable[[bytes], MarketEvent | None]] = {}

    def play(self, scanned: Scan, epoch_ms: float, *, origin_ns: int = 0) -> Iterator[Timed]:
        """One pass over one tape; `origin_ns` is when it begins on the clock that the due times are wanted on."""
        self._scan, self._times.epoch_ms, self._times.skew_ms = scanned, epoch_ms, scanned.skew_ms
        self._routes = {}
        for name, symbol in self._symbols.items():
            symbol.begin_pass(scanned.first_ids.get(name, 0))
        lines = lines_of(scanned.path)
        start_ns = scanned.first_ns
        self._times.start_ms = start_ns / 1e6
        books: dict[str, Snapshot] = {}
        for line in islice(lines, scanned.preroll_lines):
            received, _, frame = line.partition(b" ")
            if received.isdigit():
                start_ns = int(received)
                self._times.start_ms = start_ns / 1e6
            self._merge(books, self._event(received, frame))
        for begin_ns, snapshot in self._beginning(books):
            yield origin_ns + begin_ns, snapshot
        routes, shift_ns = self._routes, origin_ns - start_ns
        for line in lines:
            received, _, frame = line.partition(b" ")
            route = routes.get(frame[_NAME_AT : frame.find(b'"', _NAME_AT)])
            try:
                event = route(frame) if route is not None else self._event(received, frame)
                if event is not None:
                    due_ns = int(received) + shift_ns
                    yield due_ns if due_ns > origin_ns else origin_ns, event  # noqa: FURB136 - a call for every line
            except msgspec.DecodeError:
                continue
            except ValueError:
                self.skipped += 1

    @staticmethod
    def begin_ns(scanned: Scan) -> int:
        """When a pass begins on the recorder's clock: at the line that completes the preroll."""
        begin_ns = scanned.first_ns
        for line in islice(lines_of(scanned.path), scanned.preroll_lines):
            received = line.partition(b" ")[0]
            begin_ns = int(received) if received.isdigit() else begin_ns
        return begin_ns

    def _merge(self, books: dict[str, Snapshot], event: MarketEvent | None) -> None:
        """Collect the books of the preroll: depth is merged into them, other frames are passed over."""
        if isinstance(event, Snapshot):
            books[event.symbol] = event
        elif isinstance(event, DepthUpdate) and event.symbol in books:
            book = books[event.symbol]
            bids, asks = dict(book.bids) | dict(event.bids), dict(book.asks) | dict(event.asks)
            books[event.symbol] = msgspec.structs.replace(book, bids=list(bids.items()), asks=list(asks.items()))

    def _beginning(self, books: dict[str, Snapshot]) -> Iterator[Timed]:
        """One whole book for each symbol, due at once, where every symbol has its snapshot.

        A symbol whose tape has no snapshot begins with an empty book that its diffs fill.
        """
        for name, symbol in self._symbols.items():
            symbol.begin_playing(diffs_only=name not in books)
            book = books.get(name)
            bids, asks = (book.bids, book.asks) if book is not None else ([], [])
            yield 0, Snapshot(name, int(self._times.epoch_ms), symbol.last_update, bids, asks)

    def _event(self, received: bytes, text: bytes) -> MarketEvent | None:
        """Any line's event, the slow way: by looking what it is. Learns the route for its stream."""
        try:
            decoded = decode(text) if received.isdigit() else None
            if decoded is None:
                return None
            if isinstance(decoded.frame, BookFrame):
                # It names no symbol: it belongs to the depth stream whose ids it is nearest to.
                last_id = decoded.frame.last_update_id
                symbol = min(self._symbols.values(), key=lambda one: abs(one.latest_id - last_id))
                return symbol.snapshot(decoded.frame, int(received) / 1e6)
            return self._of_stream(decoded, text)
        except msgspec.DecodeError:
            return None
        except ValueError:
            self.skipped += 1
            return None

    def _of_stream(self, decoded: Decoded, text: bytes) -> MarketEvent | None:
        frame = decoded.frame
        symbol = self._symbols.get(frame.s) if not isinstance(frame, BookFrame) else None
        if symbol is None:
            return None
        # `!bookTicker` and its like carry many symbols: no route for them.
        if decoded.stream.startswith(f"{symbol.name.lower()}@"):
            self._routes[decoded.stream.encode()] = symbol.route(frame, aggregates=not self._scan.has_trades)
        match frame:
            case TouchFrame():
                return symbol.touch(frame)
            case DepthFrame():
                bids, asks = symbol.units.levels(frame.b), symbol.units.levels(frame.a)
                return symbol.depth(UnitDepth(frame.u, bids, asks, frame.U, frame.pu, frame.E, frame.T), text)
            case TradeFrame():
                return symbol.trade(frame)
            case AggregateFrame() if not self._scan.has_trades:
                return symbol.aggregate(frame)
            case _:
                return None
