"""A tape on the virtual clock: the exchange's events with the messages that the engine gets of them, in the tape's order.

Read line by line, so that memory does not grow with the tape; or kept in memory in columns, for sweeps, which play it many times.
"""

from __future__ import annotations

import gzip
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from mm_backtest.errors import BacktestError
from mm_backtest.words import Words
from mm_exchange.flow.loaded import LoadedTape, stream
from mm_exchange.flow.scan import Scan, scan
from mm_exchange.flow.tape import TapePlayer
from mm_exchange.market import Market, MarketEvent, Snapshot, Touch
from mm_exchange.rules import SymbolRules
from mm_runner.core.messages import Event

Step: TypeAlias = tuple[int, MarketEvent, Event | None]
"""Unix nanoseconds of the virtual clock, what the exchange gets, and what the engine gets of it."""
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a tape, in seconds from its beginning; `end` None: to its end."""

    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class Tape:
    """A recorded tape that holds the wanted symbol."""

    path: Path
    rules: SymbolRules
    scanned: Scan

    start_ns: int
    """When it begins, by its recorder's clock."""
    loaded: LoadedTape | None = None

    def steps(self, stretch: Stretch | None = None) -> Iterator[Step]:
        """Every usable event of the symbol from one whole book on; a later start begins with the book as it stands then."""
        events = _within(self._events(), self.rules, start_ns=self.start_ns, wanted=stretch or Stretch())
        return _translated(events, Words(self.rules))

    def in_memory(self) -> Tape:
        """The same tape, parsed once."""
        return replace(self, loaded=LoadedTape.load(self.scanned))

    def _events(self) -> Iterator[tuple[int, MarketEvent]]:
        events = stream(self.scanned) if self.loaded is None else self.loaded.events()
        if len(self.scanned.rules) == 1:
            return events
        symbol = self.rules.symbol
        return ((time_ns, event) for time_ns, event in events if event.symbol == symbol)


def open_tape(path: Path, symbol: str) -> Tape:
    """Look at a tape's beginning.

    Raises:
        BacktestError: it is not there, holds no market frame, or none of the symbol.
    """
    try:
        scanned = scan(path)
    except FileNotFoundError:
        raise BacktestError(
            f"the tape {path} is not there: give a recorded one; docs/backtest.md says what a tape looks like"
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise BacktestError(f"the tape {path} cannot be used: {error}") from error
    rules = scanned.rules.get(symbol)
    if rules is None:
        held = ", ".join(sorted(scanned.rules))
        raise BacktestError(f"the tape {path} holds {held}, but spec.symbol is {symbol}: give a tape of {symbol}")
    return Tape(path, rules, scanned, TapePlayer.begin_ns(scanned))


def seconds_of(path: Path) -> float:
    """How long a tape is, by its recorder's clock; every line's time is looked at, no frame is decoded."""
    first = last = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            received, _, _ = line.partition(b" ")
            if received.isdigit():
                last = int(received)
                first = first or last
    return (last - first) / _SECOND


def _translated(events: Iterable[tuple[int, MarketEvent]], words: Words) -> Iterator[Step]:
    # By kind, and the most frequent one first: a call between would cost as much as the translation.
    of, touch = words.of, words.touch
    for time_ns, event in events:
        yield time_ns, event, touch(event) if type(event) is Touch else of(event)


def _within(
    events: Iterator[tuple[int, MarketEvent]], rules: SymbolRules, *, start_ns: int, wanted: Stretch
) -> Iterator[tuple[int, MarketEvent]]:
    if wanted.start > 0:
        begin = start_ns + int(wanted.start * _SECOND)
        first = yield from _book_at(events, rules, begin)
        if first is None:
            return
        yield first
    if wanted.end is None:
        yield from events
        return
    end = start_ns + int(wanted.end * _SECOND)
    for time_ns, event in events:
        if time_ns >= end:
            return
        yield time_ns, event


def _book_at(
    events: Iterator[tuple[int, MarketEvent]], rules: SymbolRules, begin: int
) -> Generator[tuple[int, MarketEvent], None, tuple[int, MarketEvent] | None]:
    """Keep the book up to `begin` and yield it whole; returns the first event from then on, None at the tape's end."""
    market = Market(rules)
    for time_ns, event in events:
        if time_ns < begin:
            market.apply(event)
            continue
        yield begin, _whole(market, begin // 1_000_000)
        touch = market.touch
        if touch is not None and touch.update_id > market.book.last_update_id:
            yield begin, touch
        return time_ns, event
    return None


def _whole(market: Market, at_ms: int) -> Snapshot:
    book = market.book
    return Snapshot(market.rules.symbol, at_ms, book.last_update_id, bids=list(book.bids()), asks=list(book.asks()))
