"""Made-up facts for the operator's pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mm_contract.names import FINALIZER, pod_name
from mm_contract.report import EffectiveSection, EngineSection, MarketDataSection, SpecSection, StatusReport
from mm_contract.resource import MarketMakerSpec, parse_market_maker
from mm_contract.states import EffectiveState, Phase
from mm_operator.conditions import Situation
from mm_operator.contact import Contact
from mm_operator.render import Context, restart_hash
from mm_operator.settings import Settings, StatusKey
from mm_operator.views import Container, PodView, ResourceView, resource_view
from support.manifests import good, merged

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = "abcdef12-0000"
SETTINGS = Settings(
    "runner:1",
    (StatusKey(b"0123456789abcdef"),),
    claims_namespace="claims",
    simulated_rest="http://exchange",
    simulated_ws="ws://exchange",
)
CONTEXT = Context(SETTINGS)


def manifest(change: Any = None, *, status: Any = None, **metadata: Any) -> dict[str, Any]:
    """A MarketMaker as the API server would show it."""
    known = {
        "namespace": "trading",
        "uid": UID,
        "generation": 3,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": [FINALIZER],
    }
    document = merged(good(), {"metadata": known | metadata, "spec": change or {}})
    return document | ({"status": status} if status is not None else {})


def view(change: Any = None, *, status: Any = None, **metadata: Any) -> ResourceView:
    return resource_view(manifest(change, status=status, **metadata))


def spec(change: Any = None) -> MarketMakerSpec:
    return parse_market_maker(manifest(change)).spec


def pod(attempt: int = 1, **fields: Any) -> PodView:
    """A running pod of the resource."""
    known: dict[str, Any] = {
        "name": pod_name("ethusdt", UID, attempt),
        "namespace": "trading",
        "uid": f"pod-{attempt}",
        "owner_uid": UID,
        "attempt": attempt,
        "phase": "Running",
        "node": "node-1",
        "ip": "10.0.0.1",
        "created": NOW,
        "restart_hash": restart_hash(spec()),
        "dead_man_seconds": 10,
        "container": Container(running=True),
    }
    return PodView(**known | fields)


def report(**sections: Any) -> StatusReport:
    """An engine that quotes and is well."""
    known: dict[str, Any] = {
        "engine": EngineSection(namespace="trading", name="ethusdt", uid=UID, symbol="ETHUSDT", epoch=5),
        "spec": SpecSection(observed_generation=3, applied_generation=3),
        "effective": EffectiveSection(
            phase=Phase.QUOTING, state=EffectiveState.RUNNING, ruled_by="spec", reconciled=True
        ),
        "market_data": MarketDataSection(synced=True, age_seconds=0.1, spread_bps=4.0),
    }
    return StatusReport(**known | sections)


def situation(said: StatusReport | None = None, **facts: Any) -> Situation:
    """A resource whose engine is connected and says `said`."""
    contact = Contact("pod-1", connected=True, report=said or report())
    known: dict[str, Any] = {"resource": view(), "pod": pod(), "contact": contact}
    return Situation(**known | facts)


def lost(facts: Situation, since: datetime) -> Situation:
    """The same, after its stream was lost."""
    return replace(facts, contact=replace(facts.contact, connected=False, lost_since=since))
