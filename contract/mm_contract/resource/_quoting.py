"""`spec.quoting`: how wide, how deep, how much and how often the engine quotes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from mm_contract.resource._fields import Block, PositiveAmount, between, block, hot


class StaticLegSpec(Block):
    """A part of each quote that stays further out and rests longer."""

    fraction: Annotated[
        float, hot("Part of each quote's size that goes to the static leg; 0 off."), between(0.0, 1.0)
    ] = 0.0
    ticks: Annotated[int, hot("Ticks that the static leg stands behind the dynamic one."), between(1, 10_000)] = 10
    rest_ms: Annotated[int, hot("Milliseconds that the static leg rests at least."), between(0, 600_000)] = 2500


class QuotingSpec(Block):
    """How wide, how deep, how much and how often."""

    interval_ms: Annotated[
        int,
        hot("Slowest refresh in milliseconds; every book change may trigger an earlier one."),
        between(10, 60_000),
    ] = 500
    min_interval_ms: Annotated[
        int, hot("Fastest refresh in milliseconds; not above intervalMs."), between(1, 60_000)
    ] = 50
    base_size: Annotated[PositiveAmount, hot("Size of the first level in base units; not above risk.maxPosition.")] = (
        Decimal("0.02")
    )
    levels: Annotated[int, hot("Levels a side."), between(1, 20)] = 2
    level_spacing_bps: Annotated[
        float, hot("Distance from the first level to the second, in basis points of the mid."), between(0.01, 1000.0)
    ] = 3.0
    level_spacing_ratio: Annotated[
        float,
        hot("Each further distance is the one before times this: 1 arithmetic, more is geometric."),
        between(1.0, 10.0),
    ] = 1.0
    level_size_ratio: Annotated[
        float, hot("Each further level's size is the one before times this."), between(0.01, 10.0)
    ] = 1.0
    min_spread_bps: Annotated[
        float,
        hot(
            "Narrowest full spread in basis points of the mid; not above maxSpreadBps; never below round-trip fees"
            " unless allowBelowFees."
        ),
        between(0.0, 5000.0),
    ] = 4.0
    max_spread_bps: Annotated[float, hot("Widest full spread in basis points of the mid."), between(0.0, 5000.0)] = 60.0
    allow_below_fees: Annotated[bool, hot("Whether the spread may be narrower than the fees of a round trip.")] = False
    post_only: Annotated[bool, hot("Quotes are post-only (GTX): one that would take is refused by the venue.")] = True
    rest_ms: Annotated[
        int, hot("Milliseconds that a quote rests at least, unless risk says otherwise."), between(0, 600_000)
    ] = 300
    tolerance_ticks: Annotated[
        int, hot("A wanted price this many ticks away leaves the quote."), between(0, 10_000)
    ] = 2
    max_orders_per_minute: Annotated[int, hot("New orders and amendments per minute."), between(1, 1200)] = 240
    max_cancels_per_minute: Annotated[
        int, hot("Cancels per minute while quoting; a way out is never held back by it."), between(1, 2400)
    ] = 240
    static_leg: Annotated[StaticLegSpec, block("A part of each quote that stays further out and rests longer.")] = (
        StaticLegSpec()
    )
    take_profit_bps: Annotated[
        float,
        hot("Basis points from the entry price at which a position is offered whole; 0 off."),
        between(0.0, 10_000.0),
    ] = 0.0
    funding_bias: Annotated[
        float,
        hot("How far the quotes lean towards the side that receives funding, as a factor of the rate; 0 off."),
        between(0.0, 100.0),
    ] = 0.0
