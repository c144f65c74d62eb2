"""The judgement: from what the parts know to what the risk machine and the permission table ask about."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from mm_runner.core.account import Account
from mm_runner.core.desk import as_decimal
from mm_runner.core.market import Market
from mm_runner.core.messages import Instant, Stream
from mm_runner.core.permissions import Situation
from mm_runner.core.risk import Exposure
from mm_runner.core.settings import MS, Settings

if TYPE_CHECKING:
    from mm_runner.core.engine import Engine

_ZERO: Final = Decimal(0)


def assess(engine: Engine, market: Market, account: Account, *, settings: Settings, now: Instant) -> None:
    """Let the risk machine look at everything, and tell where it moved."""
    risk, ledger = engine.risk, account.ledger
    latency = settings.risk.max_latency_ns
    for order in account.tracker.live.values():
        if not order.acknowledged and not order.unknown and now.boot_ns - order.sent_ns > latency:
            risk.on_round_trip(settings.risk, now.boot_ns - order.sent_ns, now)
    if not ledger.known:
        return
    price = as_decimal(market.mark_ticks(now.boot_ns), account.instrument)
    risk.assess(_exposure(account, price, now), settings.risk, now=now)
    if settings.risk.acknowledged_halt:
        risk.acknowledge(settings.risk.acknowledged_halt, ledger.equity(price) if price else None)
    if (risk.state, risk.reason) != engine.risk_said:
        _tell_risk(engine, now)


def _exposure(account: Account, price: Decimal, now: Instant) -> Exposure:
    ledger = account.ledger
    distance = math.inf
    if account.liquidation_price > 0 and ledger.position and price > 0:
        distance = float(abs(price - account.liquidation_price) / price)
    low, high = ledger.low, ledger.high
    return Exposure(
        position=high if abs(high) >= abs(low) else low,
        unrealized=ledger.unrealized(price) if price else _ZERO,
        equity=ledger.hold_equity(price),
        equity_known=price > 0 and account.settled_ns is not None and ledger.apart_since_ns is None,
        margin_ratio=account.margin_ratio,
        liquidation_distance=distance,
        volume=ledger.volume_of(now.wall_ms),
    )


def _tell_risk(engine: Engine, now: Instant) -> None:
    risk = engine.risk
    halt, previous = risk.halt, engine.risk_said[0]
    if risk.state is not previous:
        engine.risk_since_ms = now.wall_ms
    engine.risk_said = (risk.state, risk.reason)
    engine.force = True
    engine.outbox.log(
        "risk_event",
        state=risk.state.value,
        reason=risk.reason or "clear",
        previous=previous.value,
        haltId=halt.halt_id if halt else "",
        latched=risk.latched,
    )
    if halt is not None and risk.latched:
        engine.outbox.log("halt_latched", haltId=halt.halt_id, reason=halt.reason)


def situation_of(engine: Engine, market: Market, account: Account, *, settings: Settings, now: Instant) -> Situation:
    """Everything that the table of design section 3 asks about, as of now."""
    authority, risk, now_ns = engine.authority, engine.risk, now.boot_ns
    deadlines = authority.deadlines(settings)
    usable = market.usable(now_ns=now_ns, stale_ns=settings.risk.stale_ns)
    if usable is engine.stale:  # said stale and is usable, or the other way round
        _tell_freshness(engine, market, usable=usable, now_ns=now_ns)
    # The preflight's rules about the account hold until the engine has quoted; a person's later order is counted, not punished.
    fit = not account.hedge_mode and (engine.ever_quoted or not (settings.refuse_foreign and account.foreign_orders))
    return Situation(
        desired=settings.desired_state,
        halts=authority.halts,
        halts_readable=authority.halts_readable,
        local_halt=authority.local_halt,
        close_asked_locally=authority.local_close or (bool(authority.stopping) and authority.stop_closes),
        stopping=bool(authority.stopping),
        risk=risk.state,
        flatten_on_halt=settings.risk.flatten_on_halt and risk.halt is not None,
        stop_rule=risk.stop_rule,
        book_usable=usable,
        reconciled=fit and account.reconciled(now_ns) and _epoch_durable(engine),
        lease_held=authority.lease_held and now_ns < deadlines.lease_ns,
        superseded=authority.superseded_by > 0,
        dead_man_ready=now_ns < deadlines.ready_until_ns(recv_window_ns=settings.recv_window_ns),
        dry_run=settings.dry_run,
        dry_run_proven=settings.dry_run and account.proof.proven,
    )


def _epoch_durable(engine: Engine) -> bool:
    """Invariant 5: the epoch of every order is written down first, so that no later engine repeats it (test_engine.py)."""
    if not engine.epoch_durable:
        state = engine.risk.claim_state
        written = state is not None and state.epoch >= engine.epoch > 0
        engine.epoch_durable = written and engine.risk.all_persisted
    return engine.epoch_durable


def _tell_freshness(engine: Engine, market: Market, *, usable: bool, now_ns: int) -> None:
    age = market.age_ns(now_ns) // MS
    if usable:
        engine.stale = False
        engine.outbox.log("data_fresh", ageMs=age, stream=Stream.PUBLIC.value)
    elif market.book.synced:
        engine.stale = True
        engine.outbox.log("data_stale", ageMs=age, stream=Stream.PUBLIC.value)
