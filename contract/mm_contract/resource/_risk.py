"""`spec.risk`: every limit of the engine, and what it does when one is reached."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from mm_contract.resource._choices import HaltPolicy, OnHalt
from mm_contract.resource._fields import (
    Amount,
    Block,
    Format,
    PositiveAmount,
    SignedAmount,
    at_most,
    between,
    block,
    hot,
)

HALT_ID: Final = Format(
    pattern=r"^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$",
    message="must be empty or the haltId of a halt; change it to the UUID that status.risk.haltId shows",
    max_length=36,
)


class DrawdownBand(Block):
    """From this drawdown on, this part of the position is taken off."""

    drawdown: Annotated[float, hot("Part of the equity high-water mark that is lost."), between(0.0001, 1.0)]
    reduce: Annotated[float, hot("Part of the position that is then reduced, once per band."), between(0.0001, 1.0)]


class ErrorStormSpec(Block):
    """A pause when the venue answers with too many errors."""

    errors: Annotated[int, hot("Errors within the window that make a storm."), between(1, 10_000)] = 20
    window_seconds: Annotated[int, hot("Window in seconds."), between(1, 3600)] = 10
    pause_seconds: Annotated[int, hot("Seconds without opening orders after a storm."), between(1, 86_400)] = 30


class ShockSpec(Block):
    """A pause when the price jumps."""

    move_bps: Annotated[
        float, hot("Move of the mid within the window, in basis points, that is a shock."), between(1, 10_000)
    ] = 100
    window_ms: Annotated[int, hot("Window in milliseconds."), between(50, 600_000)] = 1000
    pause_seconds: Annotated[int, hot("Seconds without opening orders after a shock."), between(1, 86_400)] = 30


class AdaptiveSpec(Block):
    """Limits that follow the markouts of one's own fills."""

    enabled: Annotated[bool, hot("Whether baseSize and maxPosition are scaled by the markouts.")] = False
    window_fills: Annotated[int, hot("Fills over which the markouts are judged."), between(1, 10_000)] = 50
    min_factor: Annotated[float, hot("Smallest scale; not above maxFactor."), between(0.01, 1.0)] = 0.5
    max_factor: Annotated[float, hot("Largest scale; maxPosition itself is never exceeded."), between(0.01, 10.0)] = 1.5


class RiskSpec(Block):
    """Limits, and what happens at them."""

    max_position: Annotated[
        PositiveAmount, hot("Base units; position + open + in-flight orders are never beyond it on either side.")
    ] = Decimal("0.50")
    target_position: Annotated[
        SignedAmount, hot("Position in base units towards which quotes lean; within maxPosition.")
    ] = Decimal(0)
    reduce_only_enter: Annotated[
        float, hot("Part of maxPosition from which the engine only reduces; above reduceOnlyExit."), between(0.01, 1.0)
    ] = 0.7
    reduce_only_exit: Annotated[float, hot("Part of maxPosition below which it opens again."), between(0.0, 1.0)] = 0.5
    max_order_notional: Annotated[PositiveAmount, hot("Largest notional of one order in quote units.")] = Decimal(500)
    max_account_notional: Annotated[
        Amount, hot("Soft guard over all engines of the account, in quote units; 0 off.")
    ] = Decimal(0)
    max_daily_volume: Annotated[Amount, hot("Quote units traded per UTC day; 0 off.")] = Decimal(0)
    max_daily_loss: Annotated[PositiveAmount, hot("Loss in quote units since UTC midnight that halts.")] = Decimal(50)
    stop_loss: Annotated[PositiveAmount, hot("Unrealised loss in quote units that halts; a positive number.")] = (
        Decimal(20)
    )
    max_drawdown: Annotated[
        float, hot("Part of the equity high-water mark whose loss halts."), between(0.0001, 1.0)
    ] = 0.10
    drawdown_bands: Annotated[
        tuple[DrawdownBand, ...], hot("Bands of rising drawdown, each of which reduces the position."), at_most(10)
    ] = ()
    max_margin_ratio: Annotated[
        float, hot("Maintenance margin over margin balance above which the engine only reduces."), between(0.01, 1.0)
    ] = 0.6
    min_liquidation_distance_bps: Annotated[
        float,
        hot("Basis points from the mark to the liquidation price; nearer means reduce_only; 0 off."),
        between(0, 10_000),
    ] = 500
    profit_limit: Annotated[
        Amount, hot("Unrealised profit in quote units; with stopLoss it makes the PnL band; 0 off.")
    ] = Decimal(0)
    max_latency_ms: Annotated[
        int, hot("Order round trip in milliseconds above which nothing opens; 0 off."), between(0, 60_000)
    ] = 1000
    error_storm: Annotated[ErrorStormSpec, block("A pause when the venue answers with too many errors.")] = (
        ErrorStormSpec()
    )
    shock: Annotated[ShockSpec, block("A pause when the price jumps.")] = ShockSpec()
    stale_after_ms: Annotated[
        int, hot("Age of the book in milliseconds from which quotes are pulled."), between(100, 60_000)
    ] = 2000
    max_reduce_slippage_bps: Annotated[
        float, hot("Slippage in basis points that a reducing taker order may cost."), between(0, 1000)
    ] = 20
    on_halt: Annotated[OnHalt, hot("What becomes of the position in halts of the engine's own.")] = OnHalt.HOLD
    halt_policy: Annotated[
        HaltPolicy, hot("Latched: a halt waits for acknowledgedHalt. Timed: it ends after haltSeconds.")
    ] = HaltPolicy.LATCHED
    halt_seconds: Annotated[int, hot("Seconds that a Timed halt lasts; more than 0 then."), between(0, 86_400)] = 30
    acknowledged_halt: Annotated[
        str, hot("The haltId (a UUID) that a person has looked at; each works once."), HALT_ID
    ] = ""
    adaptive: Annotated[AdaptiveSpec, block("Limits that follow the markouts of one's own fills.")] = AdaptiveSpec()
