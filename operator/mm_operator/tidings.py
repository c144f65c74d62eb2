"""Which changes of a status are worth a Kubernetes Event. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mm_contract.states import ConditionType, ListenKeyState, Phase, RiskState
from mm_operator.actions import Announce


def tidings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Announce]:
    """Risk transitions, listenKey failures, refused specs, halts, lost engines, claims held by others."""
    phases = {old.get("phase"), new.get("phase")}
    yield from _risk(old.get("risk") or {}, new.get("risk") or {})
    if Phase.STARTING.value not in phases:
        # A starting engine has no key yet; that is no failure of one.
        yield from _listen_key(old.get("listenKey") or {}, new.get("listenKey") or {})
    yield from _effective(old.get("effective") or {}, new.get("effective") or {})
    before, after = _conditions(old), _conditions(new)
    for kind, reasons in _WARNED.items():
        if kind is ConditionType.ENGINE_CONNECTED and new.get("phase") == Phase.STOPPING.value:
            continue  # an engine that was told to stop is expected to fall silent
        yield from _turned(kind, reasons, before, after)


_WARNED: Mapping[ConditionType, frozenset[str]] = {
    ConditionType.SPEC_APPLIED: frozenset({"SpecRefused"}),
    ConditionType.EXCLUSIVE: frozenset({"ClaimHeldBy", "AccountAlias"}),
    ConditionType.ENGINE_CONNECTED: frozenset({"StreamLost"}),
    ConditionType.STALLED: frozenset({"ProofMissing"}),
}


def _risk(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Announce]:
    state = new.get("state")
    if state is None or state == old.get("state", RiskState.NORMAL.value):
        return
    reason = {"normal": "RiskNormal", "reduce_only": "RiskReduceOnly", "halted": "RiskHalted"}.get(state, "RiskChanged")
    message = f"risk is {state}" + (f": {new['reason']}" if new.get("reason") else "")
    if new.get("haltId") and new.get("latched"):
        message += f"; release it with spec.risk.acknowledgedHalt={new['haltId']}"
    yield Announce(reason, message, warning=state != RiskState.NORMAL.value)


def _listen_key(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Announce]:
    state = new.get("state")
    if state is None or state == old.get("state"):
        return
    failing = {ListenKeyState.RETRYING.value, ListenKeyState.EXPIRED.value}
    if state in failing:
        yield Announce(f"ListenKey{state}", f"the user stream's key is {state}", warning=True)
    elif old.get("state") in failing:
        yield Announce("ListenKeyRecovered", f"the user stream's key is {state} again")


def _effective(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Announce]:
    """What people asked for; what risk or stale data do is told by their own."""
    state, ruler = new.get("state"), str(new.get("ruledBy", ""))
    if state is None or (state, ruler) == (old.get("state"), old.get("ruledBy")) or not old:
        return
    if ruler == "spec" or ruler.startswith("TradingHalt/") or ruler == "local":
        yield Announce(f"Now{state}", f"the engine's state is {state}, ruled by {ruler}", warning=ruler == "local")


def _turned(
    kind: ConditionType,
    reasons: frozenset[str],
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
) -> Iterator[Announce]:
    now, then = after.get(kind.value, {}), before.get(kind.value, {})
    if now.get("reason") in reasons and (now.get("reason"), now.get("message")) != (
        then.get("reason"),
        then.get("message"),
    ):
        yield Announce(str(now["reason"]), str(now.get("message", "")), warning=True)


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(each.get("type")): each for each in status.get("conditions") or ()}
