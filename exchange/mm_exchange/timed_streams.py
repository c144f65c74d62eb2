"""Streams that are sent by time: partial books, candles, tickers and mark prices, of a symbol or of the whole market.

Sans-I/O. The hub asks each when it is due; what has not changed is not sent again.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

from mm_exchange import payloads
from mm_exchange.stream_names import depth_kind, kline_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.candles import Candle
    from mm_exchange.statistics import Statistics, SymbolStatistics
    from mm_exchange.venue import Listing, Venue

_PARTIAL_FASTEST_MS = 100
_KLINE_MS = 250
_TICKER_MS = 2000
_ALL_TICKERS_MS = 1000
_ALL_TOUCHES_MS = 5000


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """A stream that is looked at every `interval_ms`; `build` gives the payloads to send at a time, often none."""

    interval_ms: int
    build: Callable[[int], list[Any]]


class TimedStreams:
    """How each timed stream is built."""

    def __init__(self, venue: Venue, statistics: Statistics) -> None:
        self._venue = venue
        self._statistics = statistics

    def of(self, listing: Listing, kind: str) -> Timed | None:
        """A symbol's timed stream; None for a stream that is sent as things happen."""
        figures = self._statistics.of(listing.rules.symbol)
        depth, interval = depth_kind(kind), kline_interval(kind)
        if depth is not None and depth.levels:
            levels = depth.levels
            return Timed(
                depth.interval_ms or _PARTIAL_FASTEST_MS,
                lambda now_ms: [payloads.partial_payload(listing, levels, now_ms=now_ms)],
            )
        if interval is not None:
            return Timed(_KLINE_MS, _Candles(figures, interval, continuous=kind.startswith("continuous")).payloads)
        if kind.startswith("markPrice"):
            return Timed(_mark_interval(kind), lambda now_ms: [payloads.mark_payload(listing, now_ms)])
        if kind in ("ticker", "miniTicker"):
            return Timed(_TICKER_MS, lambda now_ms: [_ticker(figures, now_ms, mini=kind == "miniTicker")])
        return None

    def of_all(self, kind: str) -> Timed | None:
        """A timed stream of the whole market; None for those of rare events."""
        if kind == "!bookTicker":
            return Timed(_ALL_TOUCHES_MS, self._touches)
        if kind.startswith("!markPrice"):
            return Timed(_mark_interval(kind), lambda now_ms: [self._marks(now_ms)])
        if kind in ("!ticker@arr", "!miniTicker@arr"):
            return Timed(_ALL_TICKERS_MS, partial(self._tickers, {}, mini=kind == "!miniTicker@arr"))
        return None

    def _touches(self, _now_ms: int) -> list[Any]:
        listings = self._venue.listings.values()
        return [payloads.touch_payload(one.market.touch, one.rules) for one in listings if one.market.touch is not None]

    def _marks(self, now_ms: int) -> list[Any]:
        return [payloads.mark_payload(listing, now_ms) for listing in self._venue.listings.values()]

    def _tickers(self, sent: dict[str, int], now_ms: int, *, mini: bool) -> list[Any]:
        """Only symbols whose figures changed since the last array; no array when none did."""
        changed = []
        for figures in self._statistics.every():
            symbol = figures.listing.rules.symbol
            if sent.get(symbol) != figures.trades:
                sent[symbol] = figures.trades
                changed.append(_ticker(figures, now_ms, mini=mini))
        return [changed] if changed else []


class _Candles:
    """One candle stream: the present candle when it changed, and once more, closed, when its span is over."""

    def __init__(self, figures: SymbolStatistics, interval: str, *, continuous: bool) -> None:
        self._figures = figures
        self._interval = interval
        self._continuous = continuous
        self._shown: Candle | None = None
        self._seen = -1

    def payloads(self, now_ms: int) -> list[Any]:
        """Frames that are due."""
        current = self._figures.traded.current(self._interval, now_ms)
        if current is None:
            return []
        due: list[Any] = []
        if self._shown is not None and self._shown.open_ms != current.open_ms:
            ended = self._figures.traded.span(self._interval, self._shown.open_ms)
            due.append(self._frame(ended or self._shown, now_ms, closed=True))
        elif self._seen == self._figures.trades:
            return []
        self._shown, self._seen = current, self._figures.trades
        return [*due, self._frame(current, now_ms, closed=False)]

    def _frame(self, candle: Candle, now_ms: int, *, closed: bool) -> dict[str, Any]:
        build = payloads.continuous_kline_payload if self._continuous else payloads.kline_payload
        return build(candle, self._interval, rules=self._figures.listing.rules, now_ms=now_ms, closed=closed)


def _ticker(figures: SymbolStatistics, now_ms: int, *, mini: bool) -> dict[str, Any]:
    build = payloads.mini_ticker_payload if mini else payloads.ticker_payload
    return build(figures.day(now_ms), figures.listing.rules, now_ms=now_ms)


def _mark_interval(kind: str) -> int:
    return 1000 if kind.endswith("@1s") else 3000
