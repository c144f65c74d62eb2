"""The reconcile's thinking: from what is and what should be to the next calls of the API server. Pure and level-triggered.

It is called again after every batch of actions, after every event and after every restart, and has no memory of its own but what `Observed`
carries. What a stale cache could make dangerous (a pod too many, a finalizer too early) is only planned on a fresh read: otherwise the plan is
`Refresh`. Phases of a reconcile: guard (finalizer), exclusivity, children, pod; or for a deletion: drain, proof, release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from mm_contract import names
from mm_contract.resource import MarketMakerSpec
from mm_operator.actions import (
    Action,
    AddFinalizer,
    Announce,
    ApplyChild,
    CreateOnce,
    CreatePod,
    DeleteChild,
    DeletePod,
    Refresh,
    RemoveFinalizer,
    WriteAttempt,
)
from mm_operator.drift import matches, sealed
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import BY_KIND, CONFIG_MAP, LEASE, ROLE, ROLE_BINDING, SECRET
from mm_operator.proof import Evidence, Verdict, judge
from mm_operator.render import Context, children, claim_state, lease, pod, restart_hash, token_secret
from mm_operator.render.access import claim_access_name
from mm_operator.render.identity import claim_of
from mm_operator.views import ChildRef, Key, PodView, ResourceView

CLAIM_CHECK: Final = timedelta(minutes=5)
"""How often Lease and claim state are created again in case somebody deleted them (409 says that they are there)."""
CLAIM_CHECK_UNHELD: Final = timedelta(seconds=5)
"""The same while the engine says that it does not hold its Lease."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long the next attempt waits, from the history of the attempts before it."""

    failures: int = 0
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that is known of one resource."""

    resource: ResourceView
    pods: tuple[PodView, ...]
    children: Mapping[ChildRef, Mapping[str, Any]]
    fresh: bool = False
    """Whether resource and pods were just read from the quorum."""
    lost_pods: frozenset[str] = frozenset()
    """UIDs of pods whose node is lost or whose engine is silent in every way (see `lost`)."""
    lease_held: bool | None = None
    """What the engine says; None while it says nothing."""
    claim_checked: datetime | None = None
    evidence: Evidence = field(default_factory=Evidence)
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Desired:
    """What should be."""

    context: Context
    spec: MarketMakerSpec | None
    """None: the spec is refused, and whatever runs is left alone."""
    holder: Key | None = None
    """An older resource that has the claim; this one then gets no pod."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in this order, and when to look again at the latest."""

    actions: tuple[Action, ...] = ()
    again_at: datetime | None = None
    verdict: Verdict | None = None
    """How far the proof of a deletion is; None while nothing is being deleted."""


def plan(observed: Observed, desired: Desired, now: datetime) -> Plan:
    """The next actions; empty where all is as it should be."""
    resource = observed.resource
    if resource.deleting:
        return _deletion(observed, desired, now)
    if names.FINALIZER not in resource.finalizers:
        return Plan((AddFinalizer(resource.resource_version),))
    if desired.spec is None:
        return Plan()
    if desired.holder is not None:
        return Plan(tuple(_drain(observed, reason="ClaimHeldBy")))
    upkeep = [*_children(observed, desired, desired.spec), *_claim(observed, desired, desired.spec, now)]
    engine = _engine(observed, desired, desired.spec, now)
    return Plan((*upkeep, *engine.actions), engine.again_at)


# Children.


def _children(observed: Observed, desired: Desired, spec: MarketMakerSpec) -> Iterator[Action]:
    wanted = [sealed(each) for each in children(observed.resource, spec, desired.context)]
    first = observed.resource.attempt == 0
    for manifest in wanted:
        if not matches(observed.children.get(_ref(manifest)), manifest):
            yield ApplyChild(BY_KIND[manifest["kind"]], manifest, repairs=not first)
    yield from _obsolete(observed, wanted)


def _obsolete(observed: Observed, wanted: list[Manifest]) -> Iterator[Action]:
    refs = {_ref(each) for each in wanted}
    for ref, live in observed.children.items():
        if ref not in refs:
            yield DeleteChild(BY_KIND[ref.kind], ref, str(live.get("metadata", {}).get("uid", "")))


def _ref(manifest: Manifest) -> ChildRef:
    metadata = manifest["metadata"]
    return ChildRef(manifest["kind"], metadata["namespace"], metadata["name"])


def _claim(observed: Observed, desired: Desired, spec: MarketMakerSpec, now: datetime) -> Iterator[Action]:
    """Lease and claim state: made before the first pod, and made again where somebody deleted them."""
    due = CLAIM_CHECK_UNHELD if observed.lease_held is False else CLAIM_CHECK
    if observed.claim_checked is not None and now - observed.claim_checked < due:
        return
    claim, namespace = claim_of(spec), desired.context.claims_namespace(observed.resource)
    yield CreateOnce(CONFIG_MAP, claim_state(claim, namespace=namespace))
    yield CreateOnce(LEASE, lease(claim, namespace=namespace, lease_seconds=spec.failover.lease_seconds))


# The pod.


def _engine(observed: Observed, desired: Desired, spec: MarketMakerSpec, now: datetime) -> Plan:
    resource = observed.resource
    current = _current(observed)
    live = [each for each in observed.pods if not each.finished]
    strays = [each for each in live if each is not current]
    tidy = tuple(_stop(each, "Superseded") for each in strays if not each.deleting)
    if current is not None and not current.finished:
        if current.uid in observed.lost_pods:
            return _after(_replace(observed, now, reason="EngineLost"), tidy, *_stop_unless_deleting(current))
        if not current.deleting and current.restart_hash != restart_hash(spec):
            return Plan((*tidy, _stop(current, "RestartFieldChanged")))
        return Plan((*tidy, *_clean_up(observed, current)))
    blocking = [each for each in strays if each.uid not in observed.lost_pods]
    if blocking:
        # Never two live pods of one resource: wait until the other one is gone.
        return Plan(tidy)
    if not observed.fresh:
        return Plan((Refresh(),))
    if current is not None:
        return _replace(
            observed, now, reason=current.reason or ("Completed" if current.phase == "Succeeded" else "Failed")
        )
    if resource.attempt > 0 and resource.seen_pod != _name(resource, resource.attempt):
        return Plan(_create(observed, desired, spec))
    return _replace(observed, now, reason="Started" if resource.attempt == 0 else "PodGone")


def _current(observed: Observed) -> PodView | None:
    return next((each for each in observed.pods if each.attempt == observed.resource.attempt), None)


def _name(resource: ResourceView, attempt: int) -> str:
    return names.pod_name(resource.key.name, resource.uid, attempt)


def _replace(observed: Observed, now: datetime, *, reason: str) -> Plan:
    """The next attempt, after the back-off. The number is written first: it is what makes a second operator's pod impossible."""
    if not observed.fresh:
        return Plan((Refresh(),))
    not_before = observed.backoff.not_before
    if not_before is not None and now < not_before:
        return Plan(again_at=not_before)
    resource = observed.resource
    return Plan((WriteAttempt(resource.attempt + 1, resource.resource_version, reason),))


def _create(observed: Observed, desired: Desired, spec: MarketMakerSpec) -> tuple[Action, ...]:
    resource = observed.resource
    avoid = tuple(sorted({each.node for each in observed.pods if each.uid in observed.lost_pods and each.node}))
    manifest = pod(resource, spec, desired.context, attempt=resource.attempt, avoid_nodes=avoid)
    secret = token_secret(resource, desired.context.settings.status_keys[0])
    return (CreateOnce(SECRET, secret), CreatePod(resource.attempt, manifest))


def _clean_up(observed: Observed, current: PodView) -> Iterator[Action]:
    """Finished pods of earlier attempts have said their last word."""
    for each in observed.pods:
        if each.finished and not each.deleting and each.attempt < current.attempt:
            yield _stop(each, "Replaced")


def _after(following: Plan, *first: Action | tuple[Action, ...]) -> Plan:
    actions: list[Action] = []
    for each in first:
        actions.extend(each if isinstance(each, tuple) else (each,))
    return Plan((*actions, *following.actions), following.again_at)


def _stop(target: PodView, reason: str) -> DeletePod:
    return DeletePod(target.name, target.namespace, target.uid, reason)


def _stop_unless_deleting(target: PodView) -> tuple[Action, ...]:
    return () if target.deleting else (_stop(target, "EngineLost"),)


def _drain(observed: Observed, *, reason: str) -> Iterator[Action]:
    for each in observed.pods:
        if not each.finished and not each.deleting:
            yield _stop(each, reason)


# Deletion.


def _deletion(observed: Observed, desired: Desired, now: datetime) -> Plan:
    resource = observed.resource
    if names.FINALIZER not in resource.finalizers:
        return Plan()
    if not observed.fresh:
        return Plan((Refresh(),))
    draining = tuple(_drain(observed, reason="Deleted"))
    if resource.abandoned:
        told = Announce("OrdersAbandoned", "the proof of zero own orders was given up by annotation", warning=True)
        return Plan((told, *draining, *_release(observed, desired)), verdict=Verdict.abandoned())
    unfinished = [each for each in observed.pods if not each.finished]
    if unfinished:
        return Plan(draining, verdict=_while_unfinished(unfinished, observed.lost_pods))
    verdict = judge(observed.evidence, resource, observed.pods, spec=desired.spec, now=now)
    if not verdict.proven:
        return Plan(again_at=verdict.again_at, verdict=verdict)
    told = Announce("OrdersProven", verdict.message)
    return Plan((told, *_release(observed, desired)), verdict=verdict)


def _while_unfinished(pods: list[PodView], lost: frozenset[str]) -> Verdict:
    if any(each.uid in lost for each in pods):
        # A lost node's container may still run: nothing that can be seen from here proves the contrary.
        message = "the engine's node is lost; bring it back or remove it from the cluster, or look at the account and annotate"
        return Verdict(
            proven=False, blocked=True, message=f"{message} the resource with {names.ABANDON_ANNOTATION}=<its uid>"
        )
    return Verdict.waiting("the engine is cancelling its orders")


def _release(observed: Observed, desired: Desired) -> Iterator[Action]:
    """The claims namespace knows no owner references, so its Role and RoleBinding go here; then the finalizer, last of all."""
    resource = observed.resource
    namespace, name = desired.context.claims_namespace(resource), claim_access_name(resource)
    for kind in (ROLE_BINDING, ROLE):
        ref = ChildRef(kind.kind, namespace, name)
        live = observed.children.get(ref)
        yield DeleteChild(kind, ref, str((live or {}).get("metadata", {}).get("uid", "")))
    yield RemoveFinalizer(resource.resource_version)
