"""Synthetic flow: a continuous two-sided book around a hidden price, with noise traders and informed ones.

Sans-I/O and seeded: `step` yields the events of one interval, the same for the same seed and parameters on every
machine. By default a mean-reverting walk of 1.5 bps per square-root second (about 84 % a year), which fills quotes a
few bps from the mid within seconds and stays far from any shock guard; everything else is `FlowParameters`'.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mm_exchange.flow.parameters import FlowParameters as FlowParameters  # noqa: PLC0414 - what its callers need
from mm_exchange.flow.path import PricePath
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.rules import default_price, rules_for
from mm_exchange.scales import to_decimal

if TYPE_CHECKING:
    from random import Random

    from mm_exchange.market import MarketEvent
    from mm_exchange.rules import SymbolRules

    Side = dict[int, int]  # price units to quantity units, best first; 0 is a hole

_BIDS, _ASKS = 0, 1
# The share of levels whose size changes in an interval although nobody trades there.
_REFRESHED = 0.1
_LEVEL_SPREAD = 0.6
_TRADE_SPREAD = 1.0
_TABLE = 1024


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
        self._path = PricePath(float(start * rules.prices.one), parameters, rng=rng)
        # Level sizes are needed by the thousand: drawn from a table, which costs a tenth of drawing each.
        self._sizes = [math.exp(rng.gauss(0.0, _LEVEL_SPREAD)) for _ in range(_TABLE)]
        self._books: tuple[Side, Side] = ({}, {})
        # What was traded since the book last moved.
        self._eaten: tuple[Side, Side] = ({}, {})
        self._stressed = False
        self._update_id = 1_000_000
        self._trade_id = 1_000_000

    def begin(self, now_ms: int) -> list[MarketEvent]:
        """The first book and touch."""
        self._books = self._shape()
        bids, asks = ([(price, size) for price, size in side.items() if size] for side in self._books)
        return [Snapshot(self.rules.symbol, now_ms, self._update_id, bids, asks), self._touch(now_ms)]

    def step(self, now_ms: int) -> list[MarketEvent]:
        """One interval: trades against the old book, then the book moves."""
        parameters, seconds = self.parameters, self.parameters.interval_ms / 1000
        events: list[MarketEvent] = []
        for _ in range(self._poisson(parameters.trades_per_second * seconds)):
            events += self._noise_trade(now_ms)
        if parameters.informed_per_second:
            for _ in range(self._poisson(parameters.informed_per_second * seconds)):
                events += self._informed_trade(now_ms)
        self._path.step()
        return events + self._move(now_ms)

    def push(self, move_bps: float, now_ms: int) -> list[MarketEvent]:
        """Move the whole market at once, for tests and demonstrations."""
        self._path.push(1 + move_bps * 1e-4)
        return self._move(now_ms)

    def _move(self, now_ms: int) -> list[MarketEvent]:
        old, new = self._books, self._shape()
        bids, asks = _difference(old[_BIDS], new[_BIDS]), _difference(old[_ASKS], new[_ASKS])
        self._books = new
        previous = self._update_id
        self._update_id += max(1, len(bids) + len(asks))
        update = DepthUpdate(self.rules.symbol, now_ms, now_ms, previous + 1, self._update_id, previous, bids, asks)
        return [update, self._touch(now_ms)]

    def _touch(self, now_ms: int) -> Touch:
        bid, ask = next(iter(self._books[_BIDS].items())), next(iter(self._books[_ASKS].items()))
        return Touch(self.rules.symbol, now_ms, now_ms, self._update_id, *bid, *ask)

    def _shape(self) -> tuple[Side, Side]:
        """Both sides around the price. A level that was shown before mostly keeps its size."""
        parameters, tick, mid, stressed = self.parameters, self.rules.tick, self._path.mid, self._path.stressed
        # Makers pull and replace everything when stress begins or ends.
        kept: tuple[Side, Side] = self._books if stressed == self._stressed else ({}, {})
        self._stressed = stressed
        spread = round(parameters.spread_ticks * parameters.stress_spread) if stressed else parameters.spread_ticks
        bid = max(tick * (1 + parameters.levels), round(mid / tick - spread / 2) * tick)
        spacing = max(1, round(mid * parameters.level_spacing_bps * 1e-4 / tick)) * tick
        ask = bid + spread * tick
        # Behind the touch, levels sit on a fixed grid so that they stay where they are while the touch moves.
        below, above, count = bid - bid % spacing, ask + -ask % spacing, parameters.levels
        sides = (
            [bid, *(price for price in range(below - spacing, below - spacing * count, -spacing) if price > 0)],
            [ask, *range(above + spacing, above + spacing * count, spacing)],
        )
        median = parameters.level_size * (parameters.stress_depth if stressed else 1.0) / mid
        bids = self._sized(sides[_BIDS], kept[_BIDS], eaten=self._eaten[_BIDS], median=median)
        return bids, self._sized(sides[_ASKS], kept[_ASKS], eaten=self._eaten[_ASKS], median=median)

    def _sized(self, prices: list[int], old: Side, *, eaten: Side, median: float) -> Side:
        """A side of these prices: sizes as before, less what was traded; new ones, and some refreshed ones, drawn."""
        rng, sizes, rules, holes = self._rng.random, self._sizes, self.rules, self.parameters.holes
        if eaten:
            old = {price: size - eaten.get(price, 0) for price, size in old.items()}
            # What was traded away whole is new liquidity when it comes back.
            for price in [price for price in eaten if old.get(price, 1) <= 0]:
                del old[price]
            eaten.clear()
        lots = median * rules.prices.one * rules.quantities.one / rules.step

        def draw() -> int:
            if holes and rng() < holes:
                return 0
            return max(rules.min_quantity, int(lots * sizes[int(rng() * _TABLE)]) * rules.step)

        side = {price: (old[price] if price in old else draw()) for price in prices}
        refreshed = _REFRESHED * len(prices)
        for _ in range(int(refreshed) + (rng() < refreshed % 1)):
            side[prices[int(rng() * len(prices))]] = draw()
        # There is always somebody at the touch.
        best = prices[0]
        while not side[best]:
            side[best] = draw()
        return side

    def _noise_trade(self, now_ms: int) -> list[MarketEvent]:
        """Somebody who knows nothing: at the touch, or sweeping several levels."""
        rng, parameters = self._rng, self.parameters
        sells = rng.random() < 0.5
        depth = 1 + int(rng.random() * 4) if rng.random() < parameters.sweep else 1
        size = self._lots(parameters.trade_size * math.exp(rng.gauss(0.0, _TRADE_SPREAD)))
        return self._prints(size, depth, sells=sells, now_ms=now_ms)

    def _informed_trade(self, now_ms: int) -> list[MarketEvent]:
        """Somebody who knows where the price will be, and takes the touch when that pays."""
        parameters, path = self.parameters, self._path
        bid, ask = next(iter(self._books[_BIDS])), next(iter(self._books[_ASKS]))
        edge = path.mid * parameters.informed_edge_bps * 1e-4
        if bid - edge <= path.known <= ask + edge:
            return []
        return self._prints(self._lots(parameters.informed_size), 1, sells=path.known < bid, now_ms=now_ms)

    def _prints(self, size: int, depth: int, *, sells: bool, now_ms: int) -> list[MarketEvent]:
        """The trades of one aggressor: whole levels but for the last. What was traded already is not there again."""
        number = _BIDS if sells else _ASKS
        eaten = self._eaten[number]
        prints: list[MarketEvent] = []
        for price, shown in self._books[number].items():
            left = shown - eaten.get(price, 0)
            if left <= 0:
                continue
            quantity = min(left, size) if len(prints) == depth - 1 else left
            eaten[price] = eaten.get(price, 0) + quantity
            self._trade_id += 1
            prints.append(Trade(self.rules.symbol, now_ms, now_ms, self._trade_id, price, quantity, sells))
            if len(prints) == depth:
                break
        return prints

    def _lots(self, quote: float) -> int:
        rules = self.rules
        lots = int(quote / (self._path.mid / rules.prices.one) * rules.quantities.one)
        return max(rules.min_quantity, lots - lots % rules.step)

    def _poisson(self, mean: float) -> int:
        limit, product, count = math.exp(-mean), self._rng.random(), 0
        while product > limit:
            product *= self._rng.random()
            count += 1
        return count


def _difference(before: Side, after: Side) -> list[tuple[int, int]]:
    """Levels to set, and levels to remove with size 0."""
    changed = [(price, size) for price, size in after.items() if before.get(price, 0) != size]
    return changed + [(price, 0) for price, size in before.items() if size and price not in after]
