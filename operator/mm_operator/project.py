"""From what is known of an engine to the resource's status. Pure; what did not move is not written.

Transitions (phase, risk, listenKey, conditions, who and where) go out at once. Figures are quantised, coalesced to `statusIntervalSeconds` and only
written when they moved: live figures belong to Prometheus. There is no heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

from mm_contract.report import FiguresSection, MarketDataSection, StatusReport
from mm_contract.states import Phase
from mm_operator.conditions import Situation, judged, merged

UNKNOWN_AFTER: Final = timedelta(seconds=10)
"""A stream may be lost this long before the phase says Unknown; Ready is Unknown at once."""
_MONEY: Final = Decimal("0.0001")
_EQUITY: Final = Decimal("0.01")
_MAX_RULED_BY: Final = 265


@dataclass(frozen=True, slots=True)
class Projection:
    """What to write."""

    patch: dict[str, Any]
    """JSON merge patch of `status`; empty where nothing moved."""
    status: dict[str, Any]
    """The status after it."""
    writes_figures: bool
    figures_pending: bool
    """Figures moved but it is not their time yet."""
    again_at: datetime | None = None
    """When time alone changes the status."""


def project(situation: Situation, now: datetime, *, figures_due: bool) -> Projection:
    """The status that the situation calls for, against the one that the resource has.

    Args:
        situation: all facts; `situation.resource.status` is the previous status.
        now: wall clock, for transition times and the grace of a lost stream.
        figures_due: whether `statusIntervalSeconds` have passed since figures were last written.
    """
    previous = situation.resource.status
    status = _transitions(situation, previous, now)
    figures = _figures(situation.report) if situation.report is not None else {}
    moved = any(_differs(previous.get(name), value) for name, value in figures.items())
    kept = {name: previous[name] for name in _FIGURES if name in previous}
    status |= _merge(kept, figures) if figures_due else kept
    if situation.report is not None:
        # Whether the book is in step is a transition, its age and spread are figures.
        book = dict(status.get("marketData") or {}) | {"synced": situation.report.market_data.synced}
        status["marketData"] = book
    patch = difference(previous, status)
    lost_since = situation.contact.lost_since
    grace_ends = lost_since + UNKNOWN_AFTER if lost_since is not None and not situation.contact.connected else None
    return Projection(
        patch=patch,
        status=status,
        writes_figures=moved and figures_due,
        figures_pending=moved and not figures_due,
        again_at=grace_ends if grace_ends is not None and grace_ends > now else None,
    )


_FIGURES: Final = (
    "position",
    "openOrders",
    "equity",
    "pnl",
    "unrealizedPnl",
    "realizedPnl",
    "fees",
    "lastFillTime",
    "marketData",
)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that leads from old to new."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = difference(before, value)
            if inner:
                patch[name] = inner
        elif name not in old or before != value:
            patch[name] = value
    return patch


def _transitions(situation: Situation, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    resource = situation.resource
    report = situation.report
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "phase": phase(situation, now).value,
        "engine": _engine(situation, previous.get("engine") or {}),
        "conditions": merged(
            judged(situation), previous.get("conditions") or (), generation=resource.generation, now=now
        ),
    }
    if report is None:
        # The last words of an engine stay readable; the conditions say that they are not known to hold any more.
        for name in ("appliedGeneration", "effective", "risk", "listenKey"):
            if name in previous:
                status[name] = previous[name]
        return status
    status["appliedGeneration"] = report.spec.applied_generation
    status["effective"] = {
        "state": report.effective.state.value,
        "ruledBy": report.effective.ruled_by[:_MAX_RULED_BY],
    }
    status["risk"] = _present(
        state=report.risk.state.value,
        reason=report.risk.reason[:1024],
        since=report.risk.since,
        haltId=report.risk.halt_id,
        latched=report.risk.latched,
    )
    key = report.listen_key
    status["listenKey"] = _present(
        state=key.state.value,
        fingerprint=key.fingerprint,
        lastKeepaliveTime=key.last_keepalive_time,
        expiresAt=key.expires_at,
        consecutiveFailures=key.consecutive_failures,
    )
    return status


def phase(situation: Situation, now: datetime) -> Phase:
    """One word for a person."""
    pod, contact = situation.pod, situation.contact
    if situation.resource.deleting or situation.draining:
        return Phase.STOPPING
    if pod is None:
        return Phase.PENDING
    if situation.report is not None:
        return situation.report.effective.phase
    if pod.phase == "Failed" or pod.container.waiting_reason in {
        "CrashLoopBackOff",
        "ErrImagePull",
        "ImagePullBackOff",
    }:
        return Phase.FAILED
    if contact.was_up and contact.lost_since is not None:
        last = situation.resource.status.get("phase")
        if now - contact.lost_since < UNKNOWN_AFTER and last in set(Phase):
            return Phase(last)
        return Phase.UNKNOWN
    return Phase.STARTING if pod.phase == "Running" else Phase.PENDING


def _engine(situation: Situation, previous: Mapping[str, Any]) -> dict[str, Any]:
    engine = dict(previous) | {"connected": situation.contact.connected}
    if situation.pod is not None:
        engine |= {"podName": situation.pod.name, "nodeName": situation.pod.node}
    report = situation.report
    if report is not None:
        engine |= {"version": report.engine.version[:128], "startedAt": report.engine.started_at}
        # The API server refuses an epoch that falls (CEL); an engine that says so is a defect that must not stop the projection.
        engine["epoch"] = max(int(previous.get("epoch") or 0), report.engine.epoch)
    return _present(**engine)


def _figures(report: StatusReport) -> dict[str, Any]:
    figures: FiguresSection = report.figures
    return _present(
        position=_amount(figures.position),
        openOrders=figures.open_orders,
        equity=_amount(figures.equity, _EQUITY),
        pnl=_amount(figures.pnl, _MONEY),
        unrealizedPnl=_amount(figures.unrealized_pnl, _MONEY),
        realizedPnl=_amount(figures.realized_pnl, _MONEY),
        fees=_amount(figures.fees, _MONEY),
        lastFillTime=figures.last_fill_time,
        marketData=_book(report.market_data),
    )


def _book(book: MarketDataSection) -> dict[str, Any]:
    return {"ageSeconds": round(book.age_seconds), "spreadBps": round(book.spread_bps, 1)}


def _amount(text: str, quantum: Decimal | None = None) -> str:
    """Plain digits without trailing zeros; what is not a number is shown as it came."""
    try:
        number = Decimal(text)
        if quantum is not None:
            number = number.quantize(quantum, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        return text[:64]
    number = number.normalize() if number else Decimal(0)
    return format(number, "f")[:64]


def _differs(old: object, new: object) -> bool:
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        return any(_differs(old.get(name), value) for name, value in new.items())
    return old != new


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return dict(old) | {
        name: dict(old[name]) | value if isinstance(value, dict) and isinstance(old.get(name), dict) else value
        for name, value in new.items()
    }


def _present(**fields: Any) -> dict[str, Any]:
    """Without empty texts: times and ids that are not known are absent, as the schema wants it."""
    return {name: value for name, value in fields.items() if value not in ("", None)}
