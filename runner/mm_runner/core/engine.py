"""The engine: composes book, tracker, ledger, risk, gate and strategy behind `handle(event, now) -> actions`.

Skeleton: the shape that venue and shell code against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mm_contract.claim import Claim
from mm_contract.report import EffectiveSection, FiguresSection, MarketDataSection, RiskSection, SpecSection
from mm_runner.core.messages import Action, Event, Instant


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The sections of the status report that the core knows; the shell adds engine, lease and listenKey."""

    spec: SpecSection
    effective: EffectiveSection
    risk: RiskSection
    figures: FiguresSection
    market_data: MarketDataSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Figures for the metrics, in venue units (floats are exact enough there)."""

    mid_price: float = 0.0
    spread: float = 0.0
    spread_bps: float = 0.0
    quote_interval_seconds: float = 0.0
    risk_state: int = 0
    effective_state: int = 3
    position: float = 0.0
    open_buys: int = 0
    open_sells: int = 0
    worst_case_long: float = 0.0
    worst_case_short: float = 0.0
    max_position: float = 0.0
    unrealized_pnl: float = 0.0
    realized_pnl: float = 0.0
    fees: float = 0.0
    equity: float = 0.0
    drawdown_ratio: float = 0.0
    market_bid_price: float = 0.0
    market_ask_price: float = 0.0
    book_age_seconds: float = 0.0
    book_synced: bool = False
    book_resyncs: int = 0
    quoting_both_sides: bool = False
    quotes: int = 0
    risk_rejects: int = 0
    last_fill_timestamp_seconds: float = 0.0
    applied_generation: int = 0
    foreign_orders: int = 0
    malformed: int = 0


class Engine:
    """One symbol's engine. Nothing is known at first: instrument, spec, Lease, claim state and account arrive as events.

    Args:
        claim: whose orders are ours.
    """

    def __init__(self, *, claim: Claim) -> None:
        self.claim = claim

    def handle(self, event: Event, now: Instant) -> Sequence[Action]:
        """Take one event; returns what to do, in order. Never raises on bad input; the same inputs give the same actions."""
        raise NotImplementedError

    def report(self, now: Instant) -> EngineReport:
        """What the engine says of itself."""
        raise NotImplementedError

    def gauges(self, now: Instant) -> Gauges:
        """What the metrics show."""
        raise NotImplementedError

    @property
    def next_wake_ns(self) -> int | None:
        """CLOCK_BOOTTIME at which the core wants a Tick at the latest; None: no wish."""
        raise NotImplementedError

    @property
    def highest_order_epoch(self) -> int:
        """The highest epoch among own orders ever seen on the exchange: a witness for `next_epoch`; 0 before the first AccountSnapshot."""
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """For `/readyz`: book synced and fresh, account reconciled."""
        raise NotImplementedError

    @property
    def safe_without_data(self) -> bool:
        """For `/healthz`: no own order open or unresolved, so that old data need not restart the process."""
        raise NotImplementedError
