"""Conditions as the Kubernetes API conventions and kstatus read them. Pure.

Nine verdicts, each from one function; `Ready` is judged last and from the same facts. `lastTransitionTime` moves only with the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mm_contract.report import StatusReport
from mm_contract.resource import ConditionStatus
from mm_contract.states import ConditionType, DesiredState, EffectiveState, ListenKeyState, Phase, RiskState
from mm_operator.contact import Contact
from mm_operator.proof import Verdict
from mm_operator.views import Key, PodView, ResourceView

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
MAX_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Situation:
    """All facts from which a status is made."""

    resource: ResourceView
    pod: PodView | None
    """The newest attempt's pod, where it exists."""
    contact: Contact
    refusal: str = ""
    """Why the operator refuses the spec; empty where it does not."""
    holder: Key | None = None
    """The older resource that has the claim."""
    verdict: Verdict | None = None
    """How far the proof is, while being deleted."""
    obstacle: str = ""
    """Why the last actions did not go through; empty where they did."""
    draining: bool = False
    """The pod is being stopped to be replaced."""

    @property
    def report(self) -> StatusReport | None:
        """What the engine says now; None while its stream is down."""
        return self.contact.report if self.contact.connected else None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One condition's content."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


def judged(situation: Situation) -> tuple[Verdicts, ...]:
    """All conditions, `Ready` first as people read them."""
    spec_applied = _spec_applied(situation)
    stalled = _stalled(situation)
    return (
        _ready(situation, spec_applied),
        _reconciling(situation, spec_applied, stalled),
        stalled,
        _exclusive(situation),
        _engine_connected(situation),
        _market_data(situation),
        _listen_key(situation),
        _risk_normal(situation),
        spec_applied,
    )


def merged(
    verdicts: Sequence[Verdicts], previous: Sequence[Mapping[str, Any]], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """meta/v1 Conditions; the time of the last transition is kept while the verdict stays."""
    before = {each.get("type"): each for each in previous}
    return [_condition(each, before.get(each.type.value), generation=generation, now=now) for each in verdicts]


def _condition(
    verdict: Verdicts, before: Mapping[str, Any] | None, *, generation: int, now: datetime
) -> dict[str, Any]:
    unchanged = before is not None and before.get("status") == verdict.status.value
    since = before["lastTransitionTime"] if before is not None and unchanged else now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": verdict.type.value,
        "status": verdict.status.value,
        "reason": verdict.reason,
        "message": verdict.message[:MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since,
    }


def _exclusive(situation: Situation) -> Verdicts:
    kind = ConditionType.EXCLUSIVE
    if situation.holder is not None:
        message = f"{situation.holder} trades this symbol on this account already; delete one of the two"
        return Verdicts(kind, FALSE, "ClaimHeldBy", message)
    if situation.report is not None and situation.report.lease.alias_of:
        message = (
            f"the same account is also called {situation.report.lease.alias_of}; give both resources one name for it"
        )
        return Verdicts(kind, FALSE, "AccountAlias", message)
    return Verdicts(kind, TRUE, "OnlyOne")


def _engine_connected(situation: Situation) -> Verdicts:
    kind = ConditionType.ENGINE_CONNECTED
    if situation.contact.connected:
        return Verdicts(kind, TRUE, "StreamUp")
    if situation.pod is None:
        return Verdicts(kind, FALSE, "NoPod", "there is no pod")
    if situation.contact.was_up:
        return Verdicts(kind, FALSE, "StreamLost", "the engine's status stream is lost; what it does now is not known")
    return Verdicts(kind, FALSE, "NotConnectedYet", "the engine's status stream is not up yet")


def _market_data(situation: Situation) -> Verdicts:
    kind, report = ConditionType.MARKET_DATA_SYNCED, situation.report
    if report is None:
        return _not_known(kind)
    if report.market_data.synced:
        return Verdicts(kind, TRUE, "Synced")
    return Verdicts(kind, FALSE, "NotSynced", "the order book is not in step with the venue; nothing is quoted")


def _listen_key(situation: Situation) -> Verdicts:
    kind, report = ConditionType.LISTEN_KEY_HEALTHY, situation.report
    if report is None:
        return _not_known(kind)
    state = report.listen_key.state
    if state in {ListenKeyState.ACTIVE, ListenKeyState.NOT_REQUIRED}:
        return Verdicts(kind, TRUE, state.value)
    return Verdicts(kind, FALSE, state.value, "the user stream's key is not alive; the engine renews it")


def _risk_normal(situation: Situation) -> Verdicts:
    kind, report = ConditionType.RISK_NORMAL, situation.report
    if report is None:
        return _not_known(kind)
    match report.risk.state:
        case RiskState.NORMAL:
            return Verdicts(kind, TRUE, "Normal")
        case RiskState.REDUCE_ONLY:
            return Verdicts(kind, FALSE, "RiskReduceOnly", report.risk.reason)
        case RiskState.HALTED:
            return Verdicts(kind, FALSE, "RiskHalted", _halt_message(report))


def _halt_message(report: StatusReport) -> str:
    risk = report.risk
    if not risk.latched:
        return risk.reason
    return f"{risk.reason}; to release it set spec.risk.acknowledgedHalt to {risk.halt_id}"


def _spec_applied(situation: Situation) -> Verdicts:
    kind, report = ConditionType.SPEC_APPLIED, situation.report
    if situation.refusal:
        return Verdicts(kind, FALSE, "SpecRefused", situation.refusal)
    if report is None:
        return _not_known(kind)
    generation, spec = situation.resource.generation, report.spec
    if spec.refused_generation == generation:
        return Verdicts(kind, FALSE, "SpecRefused", spec.refused_message or spec.refused_reason)
    if spec.applied_generation == generation or situation.resource.deleting:
        return Verdicts(kind, TRUE, "Applied", f"the engine acts on generation {spec.applied_generation}")
    message = f"the engine acts on generation {spec.applied_generation}, wanted is {generation}"
    return Verdicts(kind, FALSE, "NotAppliedYet", message)


def _stalled(situation: Situation) -> Verdicts:
    kind, report = ConditionType.STALLED, situation.report
    if situation.resource.deleting:
        if situation.verdict is not None and situation.verdict.blocked:
            return Verdicts(kind, TRUE, "ProofMissing", situation.verdict.message)
        return Verdicts(kind, FALSE, "Deleting")
    if situation.refusal:
        return Verdicts(kind, TRUE, "SpecRefused", situation.refusal)
    if situation.holder is not None:
        return Verdicts(kind, TRUE, "ClaimHeldBy", f"{situation.holder} has the claim")
    if report is not None and report.spec.refused_generation == situation.resource.generation:
        return Verdicts(kind, TRUE, "SpecRefused", report.spec.refused_message or report.spec.refused_reason)
    return Verdicts(kind, FALSE, "Progressing")


def _reconciling(situation: Situation, spec_applied: Verdicts, stalled: Verdicts) -> Verdicts:
    kind = ConditionType.RECONCILING
    if situation.resource.deleting:
        return Verdicts(kind, TRUE, "Deleting", situation.verdict.message if situation.verdict else "")
    if stalled.status is TRUE:
        return Verdicts(kind, FALSE, stalled.reason)
    if situation.obstacle:
        return Verdicts(kind, TRUE, "Retrying", situation.obstacle)
    if situation.draining:
        return Verdicts(kind, TRUE, "Draining", "the engine is being stopped; a new pod follows")
    if situation.pod is None or not situation.contact.was_up:
        return Verdicts(kind, TRUE, "Starting", _pod_message(situation.pod))
    if spec_applied.status is FALSE:
        return Verdicts(kind, TRUE, spec_applied.reason, spec_applied.message)
    return Verdicts(kind, FALSE, "UpToDate")


def _ready(situation: Situation, spec_applied: Verdicts) -> Verdicts:
    kind, report = ConditionType.READY, situation.report
    if situation.resource.deleting:
        return Verdicts(kind, FALSE, "Deleting", situation.verdict.message if situation.verdict else "")
    if situation.holder is not None:
        return Verdicts(kind, FALSE, "ClaimHeldBy", f"{situation.holder} has the claim")
    if report is None:
        if situation.contact.was_up:
            return Verdicts(kind, UNKNOWN, "EngineUnreachable", "the engine's status stream is lost")
        if situation.refusal:
            return Verdicts(kind, FALSE, "SpecRefused", situation.refusal)
        return Verdicts(kind, FALSE, "Starting", situation.obstacle or _pod_message(situation.pod))
    if spec_applied.status is FALSE:
        return Verdicts(kind, FALSE, spec_applied.reason, spec_applied.message)
    return _does_what_is_desired(situation, report)


def _does_what_is_desired(situation: Situation, report: StatusReport) -> Verdicts:
    """True when the engine does what people want: a wanted halt is Ready, a halt of the engine's own is not."""
    kind, effective = ConditionType.READY, report.effective
    desired = situation.resource.manifest.get("spec", {}).get("desiredState", DesiredState.RUNNING.value)
    ruler = effective.ruled_by
    if report.risk.state is RiskState.HALTED and desired != DesiredState.HALTED.value:
        return Verdicts(kind, FALSE, "RiskHalted", _halt_message(report))
    if report.lease.alias_of:
        return Verdicts(kind, FALSE, "AccountAlias", f"the same account is also called {report.lease.alias_of}")
    if ruler.startswith("TradingHalt/") and effective.state in {EffectiveState.HALTED, EffectiveState.REDUCE_ONLY}:
        return Verdicts(kind, TRUE, "HaltedByTradingHalt", f"as {ruler} wants")
    if effective.state.value != desired:
        return Verdicts(
            kind,
            FALSE,
            _reason(ruler),
            effective.message or f"{desired} is desired, {ruler} makes it {effective.state.value}",
        )
    if effective.flat:
        return Verdicts(kind, TRUE, "Flat", effective.message)
    if effective.phase in {Phase.STARTING, Phase.FLATTENING, Phase.STOPPING}:
        return Verdicts(kind, FALSE, effective.phase.value, effective.message)
    return Verdicts(kind, TRUE, effective.phase.value if ruler != "dryRun" else "DryRun", effective.message)


def _reason(ruler: str) -> str:
    return {
        "risk": "RiskReduceOnly",
        "data": "MarketDataStale",
        "lease": "LeaseNotHeld",
        "deadman": "DeadManNotArmed",
        "reconciling": "Reconciling",
        "local": "LocalHalt",
        "dryRun": "DryRun",
    }.get(ruler, "NotAsDesired")


def _pod_message(pod: PodView | None) -> str:
    if pod is None:
        return "there is no pod yet"
    detail = pod.container.waiting_reason or pod.message or pod.reason
    return f"pod {pod.name} is {pod.phase}" + (f": {detail}" if detail else "")


def _not_known(kind: ConditionType) -> Verdicts:
    return Verdicts(kind, UNKNOWN, "EngineNotConnected", "the engine's status stream is not up")
