"""Settings: the spec in the engine's own units, and the sentence that refuses a spec this engine cannot act on.

The shell hands in the contract's model; from here on there are only ticks, lots, nanoseconds and ratios.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mm_contract.resource import ForeignOrders, HaltPolicy, MarketMakerSpec, OnHalt, OrderEntry
from mm_contract.states import DesiredState
from mm_runner.core.instrument import Instrument, Rounding

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
NEVER_NS: Final = 1 << 62
"""An instant that no clock reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteSettings:
    """How wide, how deep, how much and how often. `*_ratio` and `*_spread` are parts of the mid."""

    interval_ns: int
    min_interval_ns: int
    base_lots: int
    levels: int
    spacing: float
    spacing_ratio: float
    size_ratio: float
    min_spread: float
    max_spread: float
    allow_below_fees: bool
    post_only: bool
    rest_ns: int
    tolerance_ticks: int
    max_orders_per_minute: int
    max_cancels_per_minute: int
    static_fraction: float
    static_ticks: int
    static_rest_ns: int
    take_profit: float
    funding_bias: float
    skew_factor: float
    volatility_factor: float
    pinning: float
    grinding: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSettings:
    """Limits. Amounts are quote units, `max_lots` and `target_lots` lots."""

    max_lots: int
    target_lots: int
    reduce_only_enter: float
    reduce_only_exit: float
    max_order_units: int
    """maxOrderNotional in the instrument's notional units."""
    max_daily_volume: Decimal
    max_daily_loss: Decimal
    stop_loss: Decimal
    max_drawdown: float
    max_margin_ratio: float
    min_liquidation_distance: float
    profit_limit: Decimal
    max_latency_ns: int
    storm_errors: int
    storm_window_ns: int
    storm_pause_ns: int
    shock_move: float
    shock_window_ns: int
    shock_pause_ns: int
    stale_ns: int
    max_reduce_slippage: float
    flatten_on_halt: bool
    latched: bool
    halt_ns: int
    acknowledged_halt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One accepted generation of the spec."""

    generation: int
    desired_state: DesiredState
    dry_run: bool
    recv_window_ms: int
    refuse_foreign: bool
    dead_man: bool
    dead_man_seconds: int
    quote: QuoteSettings
    risk: RiskSettings

    @property
    def recv_window_ns(self) -> int:
        """How long after its timestamp a request may still land."""
        return self.recv_window_ms * MS


def refusal(spec: MarketMakerSpec, *, symbol: str) -> str | None:
    """Why this engine cannot act on a spec that the contract accepts; None where it can.

    A field that has no effect here must not be taken in silence: whoever set it believes that it protects him.
    """
    if spec.symbol != symbol:
        return f"spec.symbol is {spec.symbol}, but this engine holds the claim of {symbol}; symbol is immutable"
    if spec.strategy.grid is None:
        return "spec.strategy: this version runs only the grid strategy; set strategy to {grid: {}}"
    if spec.exchange.order_entry is not OrderEntry.REST:
        return "spec.exchange.orderEntry: this version sends orders over REST only; set it to Rest"
    if spec.risk.max_account_notional:
        return 'spec.risk.maxAccountNotional: this version has no account-wide guard; set it to "0" and bound each resource by maxPosition'
    if spec.risk.drawdown_bands:
        return "spec.risk.drawdownBands: this version does not act on bands; remove them, maxDrawdown halts"
    if spec.risk.adaptive.enabled:
        return "spec.risk.adaptive: this version has no adaptive limits; set enabled to false"
    return None


def settings_of(spec: MarketMakerSpec, *, generation: int, instrument: Instrument) -> Settings:
    """Compile a spec that `refusal` lets through."""
    return Settings(
        generation=generation,
        desired_state=spec.desired_state,
        dry_run=spec.dry_run,
        recv_window_ms=spec.exchange.recv_window_ms,
        refuse_foreign=spec.exchange.foreign_orders is ForeignOrders.REFUSE,
        dead_man=spec.failover.dead_man_switch,
        dead_man_seconds=spec.failover.dead_man_seconds,
        quote=_quote(spec, instrument),
        risk=_risk(spec, instrument),
    )


def _quote(spec: MarketMakerSpec, instrument: Instrument) -> QuoteSettings:
    quoting, grid = spec.quoting, spec.strategy.grid
    if grid is None:
        raise ValueError("only a spec with a grid block can be compiled; refusal() tells the user")
    return QuoteSettings(
        interval_ns=quoting.interval_ms * MS,
        min_interval_ns=quoting.min_interval_ms * MS,
        base_lots=max(1, instrument.round_quantity(quoting.base_size)),
        levels=quoting.levels,
        spacing=quoting.level_spacing_bps / 1e4,
        spacing_ratio=quoting.level_spacing_ratio,
        size_ratio=quoting.level_size_ratio,
        min_spread=quoting.min_spread_bps / 1e4,
        max_spread=quoting.max_spread_bps / 1e4,
        allow_below_fees=quoting.allow_below_fees,
        post_only=quoting.post_only,
        rest_ns=quoting.rest_ms * MS,
        tolerance_ticks=quoting.tolerance_ticks,
        max_orders_per_minute=quoting.max_orders_per_minute,
        max_cancels_per_minute=quoting.max_cancels_per_minute,
        static_fraction=quoting.static_leg.fraction,
        static_ticks=quoting.static_leg.ticks,
        static_rest_ns=quoting.static_leg.rest_ms * MS,
        take_profit=quoting.take_profit_bps / 1e4,
        funding_bias=quoting.funding_bias,
        skew_factor=grid.skew_factor,
        volatility_factor=grid.volatility_factor,
        pinning=grid.pinning_threshold,
        grinding=grid.grinding_threshold,
    )


def _risk(spec: MarketMakerSpec, instrument: Instrument) -> RiskSettings:
    risk = spec.risk
    return RiskSettings(
        max_lots=instrument.round_quantity(risk.max_position),
        target_lots=instrument.round_quantity(risk.target_position, Rounding.DOWN),
        reduce_only_enter=risk.reduce_only_enter,
        reduce_only_exit=risk.reduce_only_exit,
        max_order_units=instrument.notional_units(risk.max_order_notional),
        max_daily_volume=risk.max_daily_volume,
        max_daily_loss=risk.max_daily_loss,
        stop_loss=risk.stop_loss,
        max_drawdown=risk.max_drawdown,
        max_margin_ratio=risk.max_margin_ratio,
        min_liquidation_distance=risk.min_liquidation_distance_bps / 1e4,
        profit_limit=risk.profit_limit,
        max_latency_ns=risk.max_latency_ms * MS,
        storm_errors=risk.error_storm.errors,
        storm_window_ns=risk.error_storm.window_seconds * SECOND,
        storm_pause_ns=risk.error_storm.pause_seconds * SECOND,
        shock_move=risk.shock.move_bps / 1e4,
        shock_window_ns=risk.shock.window_ms * MS,
        shock_pause_ns=risk.shock.pause_seconds * SECOND,
        stale_ns=risk.stale_after_ms * MS,
        max_reduce_slippage=risk.max_reduce_slippage_bps / 1e4,
        flatten_on_halt=risk.on_halt is OnHalt.FLATTEN,
        latched=risk.halt_policy is HaltPolicy.LATCHED,
        halt_ns=risk.halt_seconds * SECOND,
        acknowledged_halt=risk.acknowledged_halt,
    )
