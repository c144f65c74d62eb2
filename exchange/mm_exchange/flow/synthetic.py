"""Synthetic flow: a continuous two-sided book that moves, with noise traders on both sides.

Sans-I/O and seeded: `step` yields the events of one interval. The mid is a mean-reverting random walk whose default
volatility (1.5 bps per square-root second, about 84 % a year) fills quotes a few bps from the mid within seconds
and stays far from any shock guard. Informed traders, jumps and thin books are not here yet.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.rules import default_price, rules_for
from mm_exchange.scales import to_decimal

if TYPE_CHECKING:
    from random import Random

    from mm_exchange.market import MarketEvent
    from mm_exchange.rules import SymbolRules


class FlowParameters(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Parameters of one symbol's flow, as `--flow FILE` gives them.

    `price` starts the walk; `volatility_bps` is per square-root second; `reversion_seconds` pulls back to the start;
    `level_size` and `trade_size` are medians in quote units; `sweep` is the share of trades that walk the book.
    """

    price: str = ""
    volatility_bps: float = 1.5
    reversion_seconds: float = 900.0
    interval_ms: int = 100
    levels: int = 25
    spread_ticks: int = 1
    level_spacing_bps: float = 0.4
    level_size: float = 12_000.0
    trades_per_second: float = 8.0
    trade_size: float = 800.0
    sweep: float = 0.1

    def __post_init__(self) -> None:
        if self.levels < 1 or self.interval_ms < 1 or self.spread_ticks < 1:
            raise ValueError("levels, intervalMs and spreadTicks must be at least 1")
        if min(self.volatility_bps, self.trades_per_second) < 0 or min(self.level_size, self.trade_size) <= 0:
            raise ValueError("volatilityBps and tradesPerSecond must not be negative; sizes must be positive")


def rules_of(symbol: str, parameters: FlowParameters) -> SymbolRules:
    """The rules of a synthetic symbol, fitting its starting price."""
    return rules_for(symbol, to_decimal(parameters.price) if parameters.price else None)


class SyntheticFlow:
    """The public market of one made-up symbol."""

    def __init__(self, rules: SymbolRules, parameters: FlowParameters, *, rng: Random) -> None:
        self.rules = rules
        self.parameters = parameters
        self._rng = rng
        start = to_decimal(parameters.price) if parameters.price else default_price(rules.symbol)
        self._anchor = self._mid = float(start * rules.prices.one)
        self._books: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._update_id = 1_000_000
        self._trade_id = 1_000_000

    def begin(self, now_ms: int) -> list[MarketEvent]:
        """The first book and touch."""
        self._books = self._shape()
        bids, asks = (list(side.items()) for side in self._books)
        snapshot = Snapshot(self.rules.symbol, now_ms, self._update_id, bids=bids, asks=asks)
        return [snapshot, self._touch(now_ms)]

    def step(self, now_ms: int) -> list[MarketEvent]:
        """One interval: trades against the old book, then the book moves."""
        seconds = self.parameters.interval_ms / 1000
        events: list[MarketEvent] = []
        for _ in range(self._poisson(self.parameters.trades_per_second * seconds)):
            events += self._trade(now_ms)
        pull = seconds / self.parameters.reversion_seconds if self.parameters.reversion_seconds > 0 else 0.0
        noise = self._rng.gauss(0.0, self.parameters.volatility_bps * 1e-4 * math.sqrt(seconds))
        self._mid += self._mid * noise + (self._anchor - self._mid) * min(1.0, pull)
        return events + self._move(now_ms)

    def push(self, move_bps: float, now_ms: int) -> list[MarketEvent]:
        """Move the whole market at once, for tests and demonstrations."""
        factor = 1 + move_bps * 1e-4
        self._mid *= factor
        self._anchor *= factor
        return self._move(now_ms)

    def _move(self, now_ms: int) -> list[MarketEvent]:
        old, new = self._books, self._shape()
        bids, asks = (_difference(before, after) for before, after in zip(old, new, strict=True))
        self._books = new
        previous = self._update_id
        self._update_id += max(1, len(bids) + len(asks))
        update = DepthUpdate(
            self.rules.symbol, now_ms, now_ms, previous + 1, self._update_id, previous, bids=bids, asks=asks
        )
        return [update, self._touch(now_ms)]

    def _touch(self, now_ms: int) -> Touch:
        bid, ask = max(self._books[0]), min(self._books[1])
        return Touch(
            self.rules.symbol, now_ms, now_ms, self._update_id, bid, self._books[0][bid], ask, self._books[1][ask]
        )

    def _shape(self) -> tuple[dict[int, int], dict[int, int]]:
        """Both sides around the mid. A level that was shown before mostly keeps its size."""
        tick, spread = self.rules.tick, self.parameters.spread_ticks
        bid = max(tick * (1 + self.parameters.levels), round((self._mid / tick) - spread / 2) * tick)
        spacing = max(1, round(self._mid * self.parameters.level_spacing_bps * 1e-4 / tick)) * tick
        sides: list[dict[int, int]] = []
        for best, direction, old in ((bid, -1, self._books[0]), (bid + spread * tick, 1, self._books[1])):
            # Behind the touch, levels sit on a fixed grid so that they stay where they are while the touch moves.
            first = best - best % spacing if direction < 0 else best + (-best) % spacing
            prices = {best} | {first + direction * spacing * number for number in range(1, self.parameters.levels)}
            sides.append({price: self._size(old.get(price)) for price in prices if price > 0})
        return sides[0], sides[1]

    def _size(self, shown: int | None) -> int:
        if shown is not None and self._rng.random() > 0.1:
            return shown
        return self._lots(self.parameters.level_size, spread=0.6)

    def _lots(self, median_quote: float, *, spread: float) -> int:
        wanted = median_quote * math.exp(self._rng.gauss(0.0, spread))
        lots = int(wanted / (self._mid / self.rules.prices.one) * self.rules.quantities.one)
        return max(self.rules.min_quantity, lots - lots % self.rules.step)

    def _trade(self, now_ms: int) -> list[MarketEvent]:
        """One aggressor: at the touch, or sweeping several levels."""
        sells = self._rng.random() < 0.5
        levels = sorted(self._books[0], reverse=True) if sells else sorted(self._books[1])
        depth = 1 + int(self._rng.random() * 4) if self._rng.random() < self.parameters.sweep else 1
        prints: list[MarketEvent] = []
        for price in levels[:depth]:
            self._trade_id += 1
            shown = self._books[0 if sells else 1][price]
            last = len(prints) == depth - 1
            quantity = min(shown, self._lots(self.parameters.trade_size, spread=1.0)) if last else shown
            prints.append(Trade(self.rules.symbol, now_ms, now_ms, self._trade_id, price, quantity, sells))
        return prints

    def _poisson(self, mean: float) -> int:
        limit, product, count = math.exp(-mean), self._rng.random(), 0
        while product > limit:
            product *= self._rng.random()
            count += 1
        return count


def _difference(before: dict[int, int], after: dict[int, int]) -> list[tuple[int, int]]:
    """Levels to set, and levels to remove with size 0."""
    changed = [(price, size) for price, size in after.items() if before.get(price) != size]
    return changed + [(price, 0) for price in before if price not in after]
