"""`spec.strategy`: exactly one block, which names the strategy and holds its parameters."""

from __future__ import annotations

from typing import Annotated

from mm_contract.resource._fields import Block, between, hot


class GridSpec(Block):
    """Levels around a centre that leans against the inventory; pins, then grinds, as the position grows."""

    skew_factor: Annotated[float, hot("Lean of the centre at full position, in spreads."), between(0.0, 10.0)] = 0.5
    volatility_factor: Annotated[float, hot("How much short volatility widens the spread."), between(0.0, 100.0)] = 1.0
    pinning_threshold: Annotated[
        float,
        hot("Part of maxPosition from which the reducing side pins to the touch; below grindingThreshold."),
        between(0.0, 1.0),
    ] = 0.45
    grinding_threshold: Annotated[
        float,
        hot("Part of maxPosition from which the position is ground down; below risk.reduceOnlyEnter."),
        between(0.0, 1.0),
    ] = 0.6


class AsmmSpec(Block):
    """Adaptive spread: skew, volatility, regime and order-flow toxicity."""

    skew_factor: Annotated[
        float, hot("Lean of the reservation price at full position, in spreads."), between(0.0, 10.0)
    ] = 1.5
    volatility_factor: Annotated[float, hot("How much short volatility widens the spread."), between(0.0, 100.0)] = 0.8
    trend_spread_multiplier: Annotated[float, hot("Spread multiplier in a trend."), between(1.0, 20.0)] = 1.5
    high_vol_spread_multiplier: Annotated[float, hot("Spread multiplier in high volatility."), between(1.0, 20.0)] = 2.0
    vpin_threshold: Annotated[float, hot("VPIN from which the flow counts as toxic."), between(0.0, 1.0)] = 0.4
    toxic_spread_multiplier: Annotated[float, hot("Spread multiplier in toxic flow."), between(1.0, 20.0)] = 2.5


class AvellanedaStoikovSpec(Block):
    """Avellaneda and Stoikov (2008), with a rolling horizon."""

    risk_aversion: Annotated[float, hot("Gamma."), between(0.000001, 1000.0)] = 0.1
    horizon_seconds: Annotated[int, hot("Rolling horizon in seconds."), between(1, 86_400)] = 60
    kappa: Annotated[
        float | None,
        hot("Decay of the fill rate with distance; null: estimated from trades."),
        between(0.000001, 1_000_000.0),
    ] = None
    volatility_half_life_seconds: Annotated[
        int, hot("Half-life of the volatility estimate in seconds."), between(1, 86_400)
    ] = 30


class GlftSpec(Block):
    """Guéant, Lehalle and Fernandez-Tapia (2013), with the usual two adjustments."""

    risk_aversion: Annotated[float, hot("Gamma."), between(0.000001, 1000.0)] = 0.05
    adjustment1: Annotated[float, hot("Multiplier of the half spread."), between(0.0, 100.0)] = 1.0
    adjustment2: Annotated[float, hot("Multiplier of the inventory skew."), between(0.0, 100.0)] = 1.0


class StrategySpec(Block):
    """Exactly one of the four blocks; an empty one (`grid: {}`) takes the defaults."""

    grid: Annotated[GridSpec | None, hot("Levels around a centre that leans against the inventory.")] = None
    asmm: Annotated[AsmmSpec | None, hot("Adaptive spread: skew, volatility, regime, toxicity.")] = None
    avellaneda_stoikov: Annotated[AvellanedaStoikovSpec | None, hot("Avellaneda-Stoikov with a rolling horizon.")] = (
        None
    )
    glft: Annotated[GlftSpec | None, hot("Guéant-Lehalle-Fernandez-Tapia.")] = None

    @property
    def chosen(self) -> tuple[str, GridSpec | AsmmSpec | AvellanedaStoikovSpec | GlftSpec]:
        """The block that is set, with its name on the wire.

        Raises:
            ValueError: none or several are set, which no parsed spec shows.
        """
        blocks = {"grid": self.grid, "asmm": self.asmm, "avellanedaStoikov": self.avellaneda_stoikov, "glft": self.glft}
        present = [(name, chosen) for name, chosen in blocks.items() if chosen is not None]
        if len(present) != 1:
            raise ValueError(f"exactly one strategy block must be set, found {len(present)}")
        return present[0]
