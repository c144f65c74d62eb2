"""Candles: what traded in a span of time, kept per minute and folded into longer intervals when somebody asks.

Sans-I/O. Prices, quantities and amounts are integer units of the symbol's scales; times are milliseconds (UTC).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MINUTE_MS = 60_000
_DAY_MS = 1440 * MINUTE_MS
# A rolling day and an hour: what the 24-h figures need. Older minutes are forgotten.
_KEPT_MS = 1500 * MINUTE_MS
# The venue's interval names; weeks start on Monday, months on their first day.
INTERVALS: dict[str, int] = {
    name: minutes * MINUTE_MS
    for name, minutes in (
        ("1m", 1), ("3m", 3), ("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60), ("2h", 120), ("4h", 240), ("6h", 360),
        ("8h", 480), ("12h", 720), ("1d", 1440), ("3d", 4320), ("1w", 10_080), ("1M", 44_640),
    )
}  # fmt: skip
# 1970-01-01 was a Thursday.
_MONDAY_MS = 4 * _DAY_MS


@dataclasses.dataclass(slots=True)
class Candle:
    """One span. `taker` sums are those of buyers who took; `first_id` and `last_id` are -1 while nothing traded."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote: int = 0
    count: int = 0
    taker_volume: int = 0
    taker_quote: int = 0
    first_id: int = -1
    last_id: int = -1

    def touch(self, price: int) -> None:
        """Take a price over."""
        self.close = price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price

    def absorb(self, later: Candle) -> None:
        """Take a later span over."""
        self.high, self.low, self.close = max(self.high, later.high), min(self.low, later.low), later.close
        self.volume += later.volume
        self.quote += later.quote
        self.count += later.count
        self.taker_volume += later.taker_volume
        self.taker_quote += later.taker_quote
        if self.first_id < 0:
            self.first_id = later.first_id
        if later.last_id >= 0:
            self.last_id = later.last_id


def open_of(interval: str, at_ms: int) -> int:
    """Where the span that holds a time begins."""
    if interval == "1M":
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()) * 1000
    offset = _MONDAY_MS if interval == "1w" else 0
    return at_ms - (at_ms - offset) % INTERVALS[interval]


def close_of(interval: str, open_ms: int) -> int:
    """The last millisecond of the span that begins there."""
    if interval == "1M":
        return open_of("1M", open_ms + 31 * _DAY_MS) - 1
    return open_ms + INTERVALS[interval] - 1


class Minutes:
    """The minutes of one price series. Only those in which something happened are kept; readers see the rest flat."""

    def __init__(self) -> None:
        self._kept: deque[Candle] = deque()

    @property
    def last(self) -> Candle | None:
        """The newest minute, or None before the first event."""
        return self._kept[-1] if self._kept else None

    def at(self, at_ms: int, price: int) -> Candle:
        """The minute of a time, with a price taken over. A time before the newest minute counts to that one."""
        kept = self._kept
        if kept and at_ms < kept[-1].open_ms + MINUTE_MS:
            kept[-1].touch(price)
            return kept[-1]
        made = Candle(at_ms - at_ms % MINUTE_MS, price, price, price, price)
        kept.append(made)
        # The one before the window stays: quiet spans after it show its price.
        while len(kept) > 1 and kept[1].open_ms < made.open_ms - _KEPT_MS:
            kept.popleft()
        return made

    def since(self, start_ms: int) -> Iterator[Candle]:
        """Kept minutes that begin at a time or later, oldest first."""
        return (candle for candle in self._kept if candle.open_ms >= start_ms)

    def folded(self, interval: str, now_ms: int) -> list[Candle]:
        """Spans of an interval over the kept time up to now, none left out; oldest first."""
        rows: list[Candle] = []
        for minute in self._kept:
            opened = open_of(interval, minute.open_ms)
            if rows and rows[-1].open_ms == opened:
                rows[-1].absorb(minute)
                continue
            _fill(rows, interval, opened)
            rows.append(dataclasses.replace(minute, open_ms=opened))
        _fill(rows, interval, open_of(interval, now_ms) + 1)
        return rows

    def span(self, interval: str, open_ms: int) -> Candle | None:
        """One span, folded; None when nothing happened in it."""
        end = close_of(interval, open_ms)
        return fold((minute for minute in self.since(open_ms) if minute.open_ms <= end), open_ms)

    def current(self, interval: str, now_ms: int) -> Candle | None:
        """The span of now; None before the first event."""
        opened = open_of(interval, now_ms)
        found = self.span(interval, opened)
        if found is None and self._kept:
            return _flat(opened, self._kept[-1].close)
        return found


def fold(minutes: Iterable[Candle], open_ms: int) -> Candle | None:
    """One candle of several minutes."""
    whole: Candle | None = None
    for minute in minutes:
        if whole is None:
            whole = dataclasses.replace(minute, open_ms=open_ms)
        else:
            whole.absorb(minute)
    return whole


def _flat(open_ms: int, price: int) -> Candle:
    return Candle(open_ms, price, price, price, price)


def _fill(rows: list[Candle], interval: str, until_ms: int) -> None:
    """Append spans in which nothing happened, at the price before them, up to a time; at most the kept time of them."""
    if not rows:
        return
    price = rows[-1].close
    opened = close_of(interval, rows[-1].open_ms) + 1
    if until_ms - opened > _KEPT_MS:
        opened = open_of(interval, until_ms - _KEPT_MS)
    while opened < until_ms:
        rows.append(_flat(opened, price))
        opened = close_of(interval, opened) + 1
