"""The planner's decisions one by one; together and under faults they are tested beside this."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mm_contract.names import ABANDON_ANNOTATION, pod_name
from mm_contract.termination import TerminationMessage, encode
from mm_operator import actions
from mm_operator.backoff import after_attempt
from mm_operator.contact import Contact, LeaseSight, is_lost, seen
from mm_operator.drift import sealed
from mm_operator.planner import Backoff, Desired, Observed, Plan, plan
from mm_operator.proof import Evidence, with_pod
from mm_operator.render import children
from mm_operator.views import ChildRef, Container, Key
from support.operator_facts import CONTEXT, NOW, UID, pod, report, spec, view

WELL = Desired(CONTEXT, spec())
PROOF = TerminationMessage(epoch=1, zero_own_orders=True, time="t")
UNPROVEN = TerminationMessage(epoch=1, zero_own_orders=False, time="t")
DELETED = "2026-01-01T00:00:00Z"


def engine(attempt: int = 1, seen_pod: str = "") -> dict[str, Any]:
    return {"engine": {"attempt": attempt, "podName": seen_pod or pod_name("ethusdt", UID, attempt)}}


def observed(**facts: Any) -> Observed:
    """All children in place, the claim just checked."""
    kept = {}
    for child in children(view(), spec(), CONTEXT):
        metadata = child["metadata"]
        kept[ChildRef(child["kind"], metadata["namespace"], metadata["name"])] = sealed(child)
    known: dict[str, Any] = {
        "resource": view(status=engine()),
        "pods": (pod(),),
        "children": kept,
        "claim_checked": NOW,
        "fresh": True,
    }
    return Observed(**known | facts)


def names_of(decided: Plan) -> list[str]:
    return [type(each).__name__ for each in decided.actions]


def test_a_settled_resource_needs_nothing() -> None:
    assert plan(observed(), WELL, NOW) == Plan()


def test_the_finalizer_comes_before_everything_else() -> None:
    facts = observed(resource=view(finalizers=[]), pods=(), children={})
    assert names_of(plan(facts, WELL, NOW)) == ["AddFinalizer"]


def test_nothing_dangerous_is_decided_on_a_stale_cache() -> None:
    for facts in (
        observed(fresh=False, pods=()),
        observed(fresh=False, pods=(), resource=view(status=engine(2, pod_name("ethusdt", UID, 1)))),
        observed(fresh=False, pods=(pod(phase="Failed"),)),
        observed(fresh=False, resource=view(status=engine(), deletionTimestamp=DELETED), pods=()),
    ):
        assert names_of(plan(facts, WELL, NOW)) == ["Refresh"]


def test_the_attempt_is_written_before_its_pod_is_made() -> None:
    first = plan(observed(resource=view(), pods=()), WELL, NOW)
    assert first.actions == (actions.WriteAttempt(1, "7", "Started"),)
    written = observed(resource=view(status={"engine": {"attempt": 1}}), pods=())
    assert names_of(plan(written, WELL, NOW)) == ["CreateOnce", "CreatePod"]


def test_a_pod_that_is_gone_gets_a_successor_and_not_a_double() -> None:
    decided = plan(observed(pods=()), WELL, NOW)
    assert decided.actions == (actions.WriteAttempt(2, "7", "PodGone"),)


def test_no_pod_is_made_while_another_of_the_resource_lives() -> None:
    facts = observed(resource=view(status=engine(2, pod_name("ethusdt", UID, 1))), pods=(pod(1, deleting=True),))
    assert plan(facts, WELL, NOW) == Plan()


def test_a_stray_pod_is_stopped_first() -> None:
    facts = observed(resource=view(status=engine(2, pod_name("ethusdt", UID, 1))), pods=(pod(1),))
    (action,) = plan(facts, WELL, NOW).actions
    assert isinstance(action, actions.DeletePod)
    assert action.reason == "Superseded"


def test_a_restart_field_drains_and_waits() -> None:
    facts = observed(pods=(pod(restart_hash="other"),))
    (action,) = plan(facts, WELL, NOW).actions
    assert isinstance(action, actions.DeletePod)
    assert plan(observed(pods=(pod(restart_hash="other", deleting=True),)), WELL, NOW) == Plan()


def test_a_lost_pod_is_not_waited_for_and_its_node_is_avoided() -> None:
    lost = observed(lost_pods=frozenset({"pod-1"}))
    assert names_of(plan(lost, WELL, NOW)) == ["DeletePod", "WriteAttempt"]
    replaced = observed(
        resource=view(status=engine(2, pod_name("ethusdt", UID, 1))),
        pods=(pod(1, deleting=True),),
        lost_pods=frozenset({"pod-1"}),
    )
    made = plan(replaced, WELL, NOW).actions[-1]
    assert isinstance(made, actions.CreatePod)
    assert "node-1" in str(made.manifest["spec"]["affinity"])


def test_a_finished_pod_is_cleaned_up_once_its_successor_exists() -> None:
    facts = observed(resource=view(status=engine(2)), pods=(pod(1, phase="Failed"), pod(2)))
    (action,) = plan(facts, WELL, NOW).actions
    assert isinstance(action, actions.DeletePod)
    assert action.name == pod_name("ethusdt", UID, 1)


def test_the_back_off_holds_the_next_attempt_and_says_until_when() -> None:
    until = NOW + timedelta(seconds=9)
    facts = observed(pods=(pod(phase="Failed"),), backoff=Backoff(3, until))
    assert plan(facts, WELL, NOW) == Plan(again_at=until)
    assert names_of(plan(facts, WELL, until)) == ["WriteAttempt"]


def test_the_first_replacement_is_immediate_and_the_wait_is_capped() -> None:
    backoff = after_attempt(Backoff(), born=NOW, now=NOW)
    assert backoff.not_before is None
    for _ in range(20):
        backoff = after_attempt(backoff, born=NOW, now=NOW)
    assert backoff.not_before == NOW + timedelta(seconds=60)
    assert after_attempt(backoff, born=NOW - timedelta(minutes=2), now=NOW) == Backoff()


def test_a_refused_spec_leaves_everything_alone() -> None:
    assert plan(observed(pods=(pod(restart_hash="other"),), children={}), Desired(CONTEXT, None), NOW) == Plan()


def test_the_younger_resource_gets_no_pod_and_loses_one_that_it_has() -> None:
    younger = Desired(CONTEXT, spec(), holder=Key("trading", "older"))
    assert plan(observed(pods=()), younger, NOW) == Plan()
    assert names_of(plan(observed(), younger, NOW)) == ["DeletePod"]


def test_a_claim_that_the_engine_does_not_hold_is_checked_sooner() -> None:
    facts = observed(claim_checked=NOW - timedelta(seconds=10))
    assert plan(facts, WELL, NOW) == Plan()
    assert names_of(plan(replace(facts, lease_held=False), WELL, NOW)) == ["CreateOnce", "CreateOnce"]


# Deletion.


def deleting(**facts: Any) -> Observed:
    return observed(**{"resource": view(status=engine(), deletionTimestamp=DELETED)} | facts)


def released(decided: Plan) -> bool:
    return any(isinstance(each, actions.RemoveFinalizer) for each in decided.actions)


def test_a_deletion_stops_the_engine_and_waits_for_it() -> None:
    decided = plan(deleting(), WELL, NOW)
    assert names_of(decided) == ["DeletePod"]
    assert plan(deleting(pods=(pod(deleting=True),)), WELL, NOW).actions == ()


def test_a_resource_that_never_had_an_engine_goes_at_once() -> None:
    assert released(plan(deleting(resource=view(deletionTimestamp=DELETED), pods=()), WELL, NOW))


def test_the_claims_rights_go_before_the_finalizer() -> None:
    decided = plan(deleting(pods=(), evidence=Evidence(1, PROOF)), WELL, NOW)
    assert names_of(decided) == ["Announce", "DeleteChild", "DeleteChild", "RemoveFinalizer"]


@pytest.mark.parametrize(
    ("evidence", "after_seconds", "goes"),
    [
        (Evidence(1, PROOF), 0, True),
        (Evidence(1, UNPROVEN, 10, NOW), 0, False),
        (Evidence(1, UNPROVEN, 10, NOW), 14, True),
        (Evidence(1, None, 10, NOW), 13, False),
        (Evidence(1, None, 10, NOW), 14, True),
        (Evidence(1, None, 0, NOW), 100_000, False),
        (Evidence(1, None, None, None), 0, False),
    ],
)
def test_the_finalizer_goes_only_with_a_proof(evidence: Evidence, after_seconds: int, *, goes: bool) -> None:
    decided = plan(deleting(pods=(), evidence=evidence), WELL, NOW + timedelta(seconds=after_seconds))
    assert released(decided) is goes


def test_the_proof_of_an_earlier_attempt_does_not_count() -> None:
    facts = deleting(
        resource=view(status=engine(2), deletionTimestamp=DELETED), pods=(), evidence=Evidence(1, PROOF, 0, NOW)
    )
    assert not released(plan(facts, WELL, NOW))


def test_a_finished_pods_last_word_counts() -> None:
    ended = Container(message=encode(PROOF).decode(), exit_code=0, finished_at=NOW)
    assert released(plan(deleting(pods=(pod(phase="Succeeded", container=ended),)), WELL, NOW))


def test_an_earlier_containers_word_is_no_proof_for_the_running_one() -> None:
    running = pod(deleting=True, container=Container(running=True, message=encode(PROOF).decode()))
    assert with_pod(Evidence(), running).last_word is None


def test_the_annotation_counts_only_with_this_resources_uid() -> None:
    def facts(uid: str) -> Observed:
        marked = view(status=engine(), deletionTimestamp=DELETED, annotations={ABANDON_ANNOTATION: uid})
        return deleting(resource=marked)

    assert released(plan(facts(UID), WELL, NOW))
    assert not released(plan(facts("other"), WELL, NOW))


def test_a_lost_node_blocks_a_deletion_visibly() -> None:
    decided = plan(deleting(pods=(pod(deleting=True),), lost_pods=frozenset({"pod-1"})), WELL, NOW)
    assert decided.verdict is not None
    assert decided.verdict.blocked


# Lost.


def lost(**facts: Any) -> bool:
    known: dict[str, Any] = {
        "node_ready": True,
        "lease": LeaseSight("1", NOW),
        "lease_seconds": 15,
        "now": NOW + timedelta(seconds=16),
    }
    contact = facts.pop("contact", Contact("pod-1", report=report(), lost_since=NOW))
    return is_lost(facts.pop("pod", pod()), contact, **known | facts)


def test_an_engine_that_is_silent_in_every_way_is_lost() -> None:
    assert lost()
    assert not lost(now=NOW + timedelta(seconds=15))
    assert not lost(lease=None)
    assert not lost(contact=Contact("pod-1", lost_since=NOW)), "it was never heard and may still be starting"
    assert not lost(lease=LeaseSight("2", NOW + timedelta(seconds=5)))
    assert not lost(contact=Contact("pod-1", connected=True, report=report()))
    assert not lost(pod=pod(container=Container(waiting_reason="CrashLoopBackOff"))), "the kubelet is alive"


def test_a_node_that_is_not_ready_loses_its_engine_unless_it_still_speaks() -> None:
    assert lost(node_ready=False, lease=None)
    assert not lost(node_ready=False, contact=Contact("pod-1", connected=True, report=report()))


def test_a_lease_that_moves_begins_anew() -> None:
    first = seen(None, "1", NOW)
    later = NOW + timedelta(seconds=5)
    assert seen(first, "1", later) == first
    assert seen(first, "2", later).since == later
