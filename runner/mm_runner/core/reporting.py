"""What the engine says of itself: report sections, gauges, and the sentence for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from mm_contract.report import EffectiveSection, FiguresSection, MarketDataSection, RiskSection, SpecSection
from mm_contract.states import DesiredState, EffectiveState, Phase, Ruler
from mm_runner.core.closing import is_dust
from mm_runner.core.desk import as_decimal, count
from mm_runner.core.messages import Instant, Side
from mm_runner.core.settings import SECOND
from mm_runner.core.timestamps import rfc3339

if TYPE_CHECKING:
    from mm_runner.core.engine import Engine

GRACE_NS: Final = 3 * SECOND
"""Between the cancel of a quote and its replacement a side is bare for a moment: that is still quoting."""
_EFFECTIVE_GAUGE: Final = {
    EffectiveState.RUNNING: 0,
    EffectiveState.REDUCE_ONLY: 1,
    EffectiveState.FLAT: 2,
    EffectiveState.HALTED: 3,
}


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
    pnl: float = 0.0
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


def phase_of(engine: Engine, now: Instant) -> Phase:
    """The engine's own word for what it does."""
    if engine.authority.stopping:
        return Phase.STOPPING
    state, ruler = engine.effective
    desk, settings = engine.desk, engine.settings
    closing = (settings is not None and settings.desired_state is DesiredState.FLAT) or engine.authority.local_close
    match state:
        case EffectiveState.RUNNING:
            return Phase.QUOTING if _quoting(engine, now) else Phase.STARTING
        case EffectiveState.REDUCE_ONLY:
            return Phase.FLATTENING if closing else Phase.REDUCE_ONLY
        case EffectiveState.FLAT:
            return Phase.FLATTENING
        case EffectiveState.HALTED:
            if closing and desk is not None and not is_dust(desk.account, desk.instrument):
                return Phase.FLATTENING
            machinery = ruler in (Ruler.LEASE, Ruler.RECONCILING, Ruler.DATA, Ruler.DEADMAN)
            return Phase.STARTING if machinery and not engine.ever_quoted else Phase.HALTED


def _quoting(engine: Engine, now: Instant) -> bool:
    return engine.both_sides_ns is not None and now.boot_ns - engine.both_sides_ns <= GRACE_NS


def message_of(engine: Engine, now: Instant) -> str:
    """A sentence: why the engine does not do what is desired, and what to do. Empty when all is well."""
    authority, account, settings = engine.authority, engine.account, engine.settings
    if authority.stopping:
        return f"stopping ({authority.stopping}): cancelling own orders and proving that none is left"
    if account is None:
        return "waiting for the exchange's filters and fees"
    if settings is None:
        return "waiting for a spec that this engine can act on"
    state, ruler = engine.effective
    if state is EffectiveState.RUNNING:
        if _quoting(engine, now):
            return ""
        return "about to quote; if this lasts, look at risk_reject and order_reject lines: sizes below the venue's minimum, or no margin"
    speaker = _SPEAKERS.get(ruler)
    return speaker(engine) if speaker else f"{ruler} rules; remove it to go on"


def _is_flat(engine: Engine) -> bool:
    desk = engine.desk
    return engine.effective[0] is EffectiveState.FLAT and desk is not None and is_dust(desk.account, desk.instrument)


def _wanted(engine: Engine) -> str:
    if _is_flat(engine):
        return "flat: the position is zero (or less than one order) and no order is sent"
    return ""


def _risk_message(engine: Engine) -> str:
    halt = engine.risk.halt
    if engine.risk.unreadable:
        return "the claim state cannot be read, which counts as a halt; restore it, or remove it after looking at the account"
    if halt is None:
        return f"{engine.risk.reason} allows nothing but reducing for now"
    if engine.risk.latched:
        return f"halted by {halt.reason}; look at the account, then set spec.risk.acknowledgedHalt to {halt.halt_id}"
    return f"halted by {halt.reason} for spec.risk.haltSeconds"


def _reconciling(engine: Engine) -> str:
    account, settings = engine.account, engine.settings
    if account is not None and account.hedge_mode:
        return "the account is in hedge mode; switch it to one-way mode, this engine refuses to trade otherwise"
    if account is not None and account.foreign_orders and settings is not None and settings.refuse_foreign:
        return (
            f"{account.foreign_orders} orders that are not ours rest on the symbol; cancel them, or set"
            " spec.exchange.foreignOrders to Tolerate (the dead-man switch would cancel them too)"
        )
    if not engine.authority.halts_readable:
        return "the namespace's TradingHalts have not been read yet, which counts as a halt"
    return "position and open orders are being read from the exchange; nothing is quoted before they agree"


def _lease_message(engine: Engine) -> str:
    plane = "" if engine.authority.control_plane_ok else "; the API server cannot be read"
    return f"the claim's Lease is not held, so nothing may be sent{plane}"


_SPEAKERS: Final[Mapping[str, Callable[[Engine], str]]] = {
    Ruler.SPEC: _wanted,
    Ruler.RISK: _risk_message,
    Ruler.RECONCILING: _reconciling,
    Ruler.LEASE: _lease_message,
    Ruler.LOCAL: lambda _: "the local latch is set; remove it with mm-runner halt --clear in the pod",
    Ruler.DRY_RUN: lambda _: "dry run: everything works but no order is sent; set spec.dryRun to false to trade",
    Ruler.DEADMAN: lambda _: "the dead-man switch is not armed yet, so nothing may be sent",
    Ruler.DATA: lambda _: "the order book is not in step with the exchange or too old; quotes are pulled until it is",
}


def transition_key(engine: Engine, now: Instant) -> object:
    """Everything whose change must reach the resource at once."""
    risk, account, market, settings = engine.risk, engine.account, engine.market, engine.settings
    return (
        phase_of(engine, now),
        engine.effective,
        risk.state,
        risk.reason,
        risk.halt,
        engine.observed_generation,
        engine.applied_generation,
        engine.refused,
        account is not None and account.reconciled(now.boot_ns),
        market is not None and market.book.synced,
        engine.stale,
        settings.desired_state if settings else None,
        _is_flat(engine),
    )


def build_report(engine: Engine, now: Instant) -> EngineReport:
    """All sections as of now."""
    generation, reason, message = engine.refused
    return EngineReport(
        spec=SpecSection(
            observed_generation=engine.observed_generation,
            applied_generation=engine.applied_generation,
            refused_generation=generation,
            refused_reason=reason,
            refused_message=message,
        ),
        effective=EffectiveSection(
            phase=phase_of(engine, now),
            state=engine.effective[0],
            ruled_by=engine.effective[1],
            desired=engine.settings.desired_state.value if engine.settings else "",
            reconciled=engine.account is not None and engine.account.reconciled(now.boot_ns),
            quoting_both_sides=engine.desk is not None and engine.desk.own_touch() is not None,
            flat=_is_flat(engine),
            message=message_of(engine, now),
        ),
        risk=_risk_section(engine),
        figures=_figures(engine, now),
        market_data=_market_data(engine, now),
    )


def _risk_section(engine: Engine) -> RiskSection:
    halt = engine.risk.halt
    return RiskSection(
        state=engine.risk.state,
        reason=engine.risk.reason,
        since=rfc3339(engine.risk_since_ms),
        halt_id=halt.halt_id if halt else "",
        latched=engine.risk.latched,
    )


def _figures(engine: Engine, now: Instant) -> FiguresSection:
    account, market = engine.account, engine.market
    if account is None or market is None or not account.ledger.known:
        return FiguresSection()
    ledger, instrument = account.ledger, account.instrument
    price = as_decimal(market.mark_ticks(now.boot_ns), instrument)
    return FiguresSection(
        position=str(instrument.quantity(ledger.position)),
        open_orders=sum(1 for order in account.tracker.live.values() if order.resting),
        equity=_money(ledger.equity(price)),
        pnl=_money(ledger.pnl(price)),
        unrealized_pnl=_money(ledger.unrealized(price)),
        realized_pnl=_money(ledger.realized),
        fees=_money(ledger.fees),
        last_fill_time=rfc3339(ledger.last_fill_ms),
    )


_CENT: Final = Decimal("0.00000001")


def _money(amount: Decimal) -> str:
    text = format(amount.quantize(_CENT), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def _market_data(engine: Engine, now: Instant) -> MarketDataSection:
    market = engine.market
    if market is None or not market.fresh_ns:
        return MarketDataSection()
    own = engine.desk.own_touch() if engine.desk else None
    return MarketDataSection(
        synced=market.book.synced,
        age_seconds=round(market.age_ns(now.boot_ns) / SECOND, 3),
        spread_bps=round((own[1] - own[0]) / (own[1] + own[0]) * 2e4, 3) if own else 0.0,
    )


def build_gauges(engine: Engine, now: Instant) -> Gauges:
    """Every gauge as of now."""
    account, market, desk, settings = engine.account, engine.market, engine.desk, engine.settings
    if account is None or market is None or desk is None:
        return Gauges(risk_state=engine.risk.state.gauge, applied_generation=engine.applied_generation)
    ledger, instrument, tick, lot = account.ledger, account.instrument, account.instrument.tick, account.instrument.lot
    price = as_decimal(market.mark_ticks(now.boot_ns), instrument)
    own = desk.own_touch()
    synced = market.book.synced
    live = account.tracker.live.values()
    equity = ledger.equity(price)
    return Gauges(
        mid_price=market.mid_ticks * tick if synced else 0.0,
        spread=(own[1] - own[0]) * tick if own else 0.0,
        spread_bps=(own[1] - own[0]) / (own[1] + own[0]) * 2e4 if own else 0.0,
        quote_interval_seconds=settings.quote.interval_ns / SECOND if settings else 0.0,
        risk_state=engine.risk.state.gauge,
        effective_state=_EFFECTIVE_GAUGE[engine.effective[0]],
        position=ledger.position * lot,
        open_buys=count(live, Side.BUY),
        open_sells=count(live, Side.SELL),
        worst_case_long=desk.gate.worst_long() * lot,
        worst_case_short=desk.gate.worst_short() * lot,
        max_position=settings.risk.max_lots * lot if settings else 0.0,
        unrealized_pnl=float(ledger.unrealized(price)),
        realized_pnl=float(ledger.realized),
        pnl=float(ledger.pnl(price)),
        fees=float(ledger.fees),
        equity=float(equity),
        drawdown_ratio=engine.risk.drawdown(equity),
        market_bid_price=market.book.best_bid * tick if synced else 0.0,
        market_ask_price=market.book.best_ask * tick if synced else 0.0,
        book_age_seconds=market.age_ns(now.boot_ns) / SECOND if market.fresh_ns else 0.0,
        book_synced=synced,
        book_resyncs=market.resyncs,
        quoting_both_sides=own is not None,
        quotes=desk.rounds,
        risk_rejects=desk.rejects,
        last_fill_timestamp_seconds=ledger.last_fill_ms / 1000,
        applied_generation=engine.applied_generation,
        foreign_orders=account.foreign_orders,
        malformed=market.malformed,
    )
