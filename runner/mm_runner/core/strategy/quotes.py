"""What a strategy is given, and what it wants."""

from __future__ import annotations

import msgspec

from mm_runner.core.messages import Side


class View(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The market and the position as a strategy sees them. Prices in ticks."""

    best_bid: int
    best_ask: int
    position: int
    """Lots, signed."""
    entry: float
    """Average entry price in ticks; 0.0 when flat."""
    volatility: float
    """Root mean square move of the mid per quoting interval, as a part of the mid."""
    volatility_unit: float
    """The move that counts as one unit of volatility (the shock bound)."""
    funding_rate: float
    maker_fee: float

    @property
    def mid(self) -> float:
        """Mid price in ticks."""
        return (self.best_bid + self.best_ask) / 2


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """One quote that should rest."""

    side: Side
    price: int
    lots: int
    static: bool = False


class Quotes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A strategy's answer, with the figures of `strategy_adjust`. Best first on each side."""

    bids: tuple[Wanted, ...]
    asks: tuple[Wanted, ...]
    spread: float
    """Full width as a part of the mid, before rounding."""
    volatility_factor: float
    inventory_factor: float
    reservation: float
    """Centre of the quotes in ticks."""
