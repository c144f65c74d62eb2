"""What the beginning of a tape tells about all of it: symbols, their rules, clock skew, and which streams it has."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.flow.wire import AggregateFrame, BookFrame, DepthFrame, TouchFrame, TradeFrame, decode, lines_of
from mm_exchange.rules import SymbolRules, infer_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mm_exchange.flow.wire import Frame

# The lines that rules, clock skew and the first snapshot are looked for in.
_SCAN_LINES = 5_000
_ENOUGH_NUMBERS = 20_000


@dataclasses.dataclass(frozen=True)
class Scan:
    """What the beginning of a tape tells: rules by symbol, clock skew, and what has to be derived.

    `skew_ms` is how far the venue's event times run ahead of the recorder's clock at most; `has_touch` and
    `has_trades` are False where bookTicker or trade frames are missing (then the touch is derived from the book,
    trades from aggTrade). `preroll_lines` is how many lines it takes until every symbol had its first snapshot;
    `first_ns` is the receive time of the first market frame, `first_ids` holds the first depth id of each symbol.
    """

    path: Path
    rules: dict[str, SymbolRules]
    skew_ms: float
    first_ns: int
    has_touch: bool
    has_trades: bool
    preroll_lines: int
    first_ids: dict[str, int]


class _Notes:
    """What is gathered while scanning."""

    def __init__(self) -> None:
        self.numbers: dict[str, tuple[set[str], set[str]]] = {}
        self.first_ids: dict[str, int] = {}
        self.kinds: set[type[Frame]] = set()
        self.snapshots: list[tuple[int, BookFrame]] = []
        self.skew = float("-inf")
        self.first_ns = 0

    def take(self, line: int, received_ns: int, *, frame: Frame) -> None:
        self.first_ns = self.first_ns or received_ns
        if isinstance(frame, BookFrame):
            self.snapshots.append((line, frame))
            return
        if not frame.s:
            return
        self.kinds.add(type(frame))
        if isinstance(frame, DepthFrame):
            self.first_ids.setdefault(frame.s, frame.u)
        self.skew = max(self.skew, frame.E - received_ns / 1e6)
        _note(self.numbers.setdefault(frame.s, (set(), set())), _numbers(frame))


def scan(path: Path) -> Scan:
    """Look at the beginning of a tape.

    Raises:
        ValueError: the file holds no market frame.
    """
    notes = _Notes()
    for number, line in enumerate(islice(lines_of(path), _SCAN_LINES), start=1):
        received, _, frame = line.partition(b" ")
        try:
            decoded, received_ns = decode(frame), int(received)
        except (msgspec.DecodeError, ValueError):
            continue
        if decoded is not None:
            notes.take(number, received_ns, frame=decoded.frame)
    seen = notes.numbers
    if not seen:
        raise ValueError(f"{path.name} holds no market frames; a tape has '<ns> <raw frame>' lines")
    for _, book in notes.snapshots:
        # A REST book names no symbol: it belongs to the depth stream whose ids it is nearest to.
        owner = min(seen, key=lambda symbol: abs(notes.first_ids.get(symbol, 0) - book.last_update_id))
        _note(seen[owner], (*book.bids, *book.asks))
    rules = {symbol: infer_rules(symbol, prices, quantities) for symbol, (prices, quantities) in seen.items()}
    needed = notes.snapshots[: len(seen)]
    preroll = needed[-1][0] if needed else 0
    has_touch, has_trades = TouchFrame in notes.kinds, TradeFrame in notes.kinds
    return Scan(path, rules, notes.skew, notes.first_ns, has_touch, has_trades, preroll, notes.first_ids)


def _note(seen: tuple[set[str], set[str]], rows: Iterable[tuple[str, str]]) -> None:
    prices, quantities = seen
    for price, quantity in rows:
        if len(prices) < _ENOUGH_NUMBERS:
            prices.add(price)
        if len(quantities) < _ENOUGH_NUMBERS:
            quantities.add(quantity)


def _numbers(frame: TouchFrame | TradeFrame | AggregateFrame | DepthFrame) -> Iterator[tuple[str, str]]:
    match frame:
        case DepthFrame():
            yield from frame.b
            yield from frame.a
        case TouchFrame():
            yield frame.b, frame.B
            yield frame.a, frame.A
        case TradeFrame() | AggregateFrame():
            yield frame.p, frame.q
