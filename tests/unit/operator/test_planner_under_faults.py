"""The reconcile under Sieve's faults: the operator dies at any call, loses any event, works from a stale cache; and everything else fails as well.

Whatever happens: never two live pods of one resource, no finalizer gone without proof, and once the faults end, everything settles.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mm_contract.names import FINALIZER
from mm_contract.termination import TerminationMessage, encode
from mm_operator.cache import Cache
from mm_operator.controller import Controller
from mm_operator.kube.kinds import CHILD_KINDS, MARKET_MAKER, NODE, POD
from mm_operator.memory import Desk, Memory
from mm_operator.metrics import Metrics
from mm_operator.recorder import Recorder
from mm_operator.resync import Resync
from mm_operator.settings import Settings, StatusKey
from mm_operator.views import Key, resource_view
from support.api_model import ApiModel, OperatorDiedError
from support.manifests import good, merged
from support.soak import examples

PROOF = encode(TerminationMessage(epoch=1, zero_own_orders=True, time="2026-01-01T00:00:00Z")).decode()
NAMES = ("a", "b")
NODES = ("n1", "n2", "n3")
SETTLE_ROUNDS = 20


class Operator:
    """One life of the operator process: everything in it is lost when it dies."""

    def __init__(self, api: ApiModel, clock: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = Settings("runner:1", (StatusKey(b"0123456789abcdef"),), claims_namespace="claims")
        self.metrics = Metrics()
        self.cache = Cache(self.settings)
        recorder = Recorder(api, clock, instance="test")
        self.controller = Controller(
            api, self.cache, recorder=recorder, metrics=self.metrics, settings=self.settings, now=clock
        )
        self.resync = Resync(api, self.cache, self.settings, self.metrics)
        self.desks: dict[Key, Desk] = {}
        loop.run_until_complete(self.resync.fill())

    async def reconcile(self, key: Key) -> None:
        view = self.cache.resources.get(key)
        if view is None:
            self.desks.pop(key, None)
            return
        desk = self.desks.setdefault(key, Desk(Memory(view.uid)))
        await self.controller._reconcile_safely(key, desk)


class Desks(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.api = ApiModel()
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self.loop = asyncio.new_event_loop()
        self.operator = Operator(self.api, lambda: self.now, self.loop)
        self.stale = Operator(self.api, lambda: self.now, self.loop)
        """A second operator, that should not be there, and whose watches show nothing unless it is started anew."""
        self.was_lost: set[str] = set()
        """UIDs of pods whose node was lost at some time: a replacement does not wait for them."""
        for node in NODES:
            self.api.add(NODE, {"kind": "Node", "metadata": {"name": node, "namespace": ""}, "status": _ready("True")})
        for name in NAMES:
            self.apply(name)
        self.all_is_shown_and_reconciled()

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.loop.close()

    # People.

    @rule(name=st.sampled_from(NAMES))
    def apply(self, name: str) -> None:
        if ("marketmakers", "trading", name) not in self.api.objects:
            manifest = merged(
                good(name), {"metadata": {"namespace": "trading"}, "spec": {"exchange": {"account": name}}}
            )
            self.api.add(MARKET_MAKER, manifest)

    @rule(name=st.sampled_from(NAMES), leverage=st.integers(1, 3))
    def change_a_restart_field(self, name: str, leverage: int) -> None:
        if ("marketmakers", "trading", name) in self.api.objects:
            self.api.edit(MARKET_MAKER, "trading", name, {"spec": {"exchange": {"leverage": leverage}}})

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        if ("marketmakers", "trading", name) in self.api.objects:
            self.api.remove(MARKET_MAKER, "trading", name)

    @rule(choice=st.integers(0, 99))
    def delete_a_child(self, choice: int) -> None:
        children = [(kind, each) for kind in CHILD_KINDS for each in self.api.of(kind)]
        if children:
            kind, child = children[choice % len(children)]
            self.api.remove(kind, child["metadata"]["namespace"], child["metadata"]["name"])

    # The cluster.

    def _pod(self, choice: int) -> dict[str, Any] | None:
        pods = self.api.of(POD)
        return pods[choice % len(pods)] if pods else None

    @rule(choice=st.integers(0, 9))
    def a_pod_runs(self, choice: int) -> None:
        pod = self._pod(choice)
        if pod is None or _finished(pod) or pod["spec"].get("nodeName"):
            return
        fit = [each for each in NODES if each not in str(pod["spec"].get("affinity")) and not self._is_lost(each)]
        if fit:
            name = pod["metadata"]["name"]
            self.api.edit(POD, "trading", name, {"spec": {"nodeName": fit[choice % len(fit)]}})
            self._status(pod, "Running", {"running": {}})

    @rule(node=st.sampled_from(NODES), ready=st.booleans())
    def a_node_is_lost_or_comes_back(self, node: str, *, ready: bool) -> None:
        self.api.edit(NODE, "", node, {"status": _ready("True" if ready else "Unknown")})
        if not ready:
            self.was_lost |= {
                each["metadata"]["uid"] for each in self.api.of(POD) if each["spec"].get("nodeName") == node
            }

    def _is_lost(self, node: str) -> bool:
        return self.api.objects["nodes", "", node]["status"] != _ready("True")

    @rule(choice=st.integers(0, 9), says=st.sampled_from([PROOF, ""]))
    def a_pod_ends(self, choice: int, says: str) -> None:
        pod = self._pod(choice)
        if pod is not None and not _finished(pod):
            self._end(pod, says)

    @rule(choice=st.integers(0, 9))
    def a_pod_is_deleted_by_somebody(self, choice: int) -> None:
        pod = self._pod(choice)
        if pod is not None:
            self.api.remove(POD, "trading", pod["metadata"]["name"])

    @rule(choice=st.integers(0, 9))
    def a_kubelet_removes_a_finished_pod(self, choice: int) -> None:
        pod = self._pod(choice)
        if pod is not None and pod["metadata"].get("deletionTimestamp") and _finished(pod):
            self.api.erase(POD, "trading", pod["metadata"]["name"])

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # The operator, and what befalls it.

    @rule(count=st.integers(1, 30))
    def the_watch_shows(self, count: int) -> None:
        for _ in range(min(count, len(self.api.events))):
            kind, event, manifest = self.api.events.pop(0)
            (self.operator.cache.drop if event == "DELETED" else self.operator.cache.put)(kind, manifest)

    @rule()
    def all_is_shown_and_reconciled(self) -> None:
        self.the_watch_shows(10_000)
        for name in NAMES:
            self._run(name)

    @rule()
    def a_second_operator_starts(self) -> None:
        self.stale = Operator(self.api, lambda: self.now, self.loop)

    @rule(name=st.sampled_from(NAMES))
    def a_stale_second_operator_reconciles(self, name: str) -> None:
        self._run(name, self.stale)

    @precondition(lambda self: self.api.events)
    @rule(choice=st.integers(0, 99))
    def the_watch_loses_an_event(self, choice: int) -> None:
        del self.api.events[choice % len(self.api.events)]

    @rule(name=st.sampled_from(NAMES))
    def reconcile(self, name: str) -> None:
        self._run(name)

    @rule(name=st.sampled_from(NAMES), call=st.integers(0, 12), after=st.booleans())
    def reconcile_and_die(self, name: str, call: int, *, after: bool) -> None:
        at = len(self.api.calls) + call
        self.api.dies_before, self.api.dies_after = (None, at) if after else (at, None)
        try:
            self._run(name)
        except OperatorDiedError:
            self.api.dies_before = self.api.dies_after = None
            self.restart()
        finally:
            self.api.dies_before = self.api.dies_after = None

    @rule()
    def restart(self) -> None:
        self.api.events.clear()
        self.operator = Operator(self.api, lambda: self.now, self.loop)

    @rule(name=st.sampled_from(NAMES))
    def reconcile_while_the_api_is_away(self, name: str) -> None:
        self.api.away = True
        try:
            self._run(name)
        finally:
            self.api.away = False

    def _run(self, name: str, operator: Operator | None = None) -> None:
        operator = operator or self.operator
        before = {each["metadata"]["uid"]: each for each in self.api.of(MARKET_MAKER)}
        try:
            self.loop.run_until_complete(operator.reconcile(Key("trading", name)))
            for desk in operator.desks.values():
                assert "see its log" not in desk.memory.obstacle, "a defect in the reconcile"
        finally:
            self._check_finalizers(before)
            self.api.collect_garbage()

    def _check_finalizers(self, before: dict[str, Any]) -> None:
        after = {each["metadata"]["uid"]: each for each in self.api.of(MARKET_MAKER)}
        for uid, old in before.items():
            had = FINALIZER in (old["metadata"].get("finalizers") or ())
            has = uid in after and FINALIZER in (after[uid]["metadata"].get("finalizers") or ())
            if had and not has:
                live = [each for each in self._pods_of(uid) if not _finished(each)]
                assert not live, "the finalizer went while an engine was alive"

    def _pods_of(self, uid: str) -> list[dict[str, Any]]:
        return [each for each in self.api.of(POD) if each["metadata"]["labels"]["marketmaker.io/uid"] == uid]

    def _status(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        status = {"phase": phase, "containerStatuses": [{"name": "runner", "state": state}]}
        self.api.edit(POD, "trading", pod["metadata"]["name"], {"status": status})

    def _end(self, pod: dict[str, Any], says: str) -> None:
        ended = {"exitCode": 0, "message": says, "finishedAt": self.now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        self._status(pod, "Succeeded", {"terminated": ended})
        if pod["metadata"].get("deletionTimestamp"):
            self.api.erase(POD, "trading", pod["metadata"]["name"])

    # What holds at every moment.

    @invariant()
    def never_two_live_pods_of_one_resource(self) -> None:
        live: dict[str, list[str]] = {}
        for pod in self.api.of(POD):
            replaced = pod["metadata"].get("deletionTimestamp") and pod["metadata"]["uid"] in self.was_lost
            if not _finished(pod) and not replaced:
                live.setdefault(pod["metadata"]["labels"]["marketmaker.io/uid"], []).append(pod["metadata"]["name"])
        assert all(len(names) <= 1 for names in live.values()), live

    @invariant()
    def a_pod_always_has_its_attempt_written_and_its_resource_guarded(self) -> None:
        resources = {each["metadata"]["uid"]: resource_view(each) for each in self.api.of(MARKET_MAKER)}
        for pod in self.api.of(POD):
            owner = resources.get(pod["metadata"]["labels"]["marketmaker.io/uid"])
            if owner is not None and not _finished(pod):
                assert int(pod["metadata"]["labels"]["marketmaker.io/attempt"]) <= owner.attempt
                assert FINALIZER in owner.finalizers

    # And in the end.

    def settle(self) -> None:
        """Without faults everything comes to rest in a bounded number of rounds."""
        self.restart()
        for node in NODES:
            self.a_node_is_lost_or_comes_back(node, ready=True)
        for _ in range(SETTLE_ROUNDS):
            self.now += timedelta(seconds=400)
            for pod in list(self.api.of(POD)):
                if pod["metadata"].get("deletionTimestamp"):
                    if not _finished(pod):
                        self._end(pod, PROOF)
                    else:
                        self.api.erase(POD, "trading", pod["metadata"]["name"])
            self.the_watch_shows(10_000)
            for name in NAMES:
                self._run(name)
            self.the_watch_shows(10_000)
        for resource in self.api.of(MARKET_MAKER):
            assert not resource["metadata"].get("deletionTimestamp"), "a deletion never came to its end"
            live = [each for each in self._pods_of(resource["metadata"]["uid"]) if not _finished(each)]
            assert len(live) == 1, "a resource without an engine"
            assert live[0]["metadata"]["labels"]["marketmaker.io/attempt"] == str(resource_view(resource).attempt)
        before = len(self.api.calls)
        for name in NAMES:
            self._run(name)
        assert self.api.calls[before:] == [], "a settled resource costs no calls"


def _ready(status: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status}]}


def _finished(pod: dict[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


TestDesks = pytest.mark.timeout(300)(Desks.TestCase)
TestDesks.settings = settings(
    max_examples=examples(100), stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_an_operator_that_slept_through_two_attempts_makes_no_second_pod() -> None:
    desks = Desks()
    desks.delete("b")
    desks.api.remove(MARKET_MAKER, "trading", "a")
    desks.settle()
    desks.apply("a")
    desks.the_watch_shows(100)
    # It dies between writing the number and making the pod: whoever reads now believes that attempt 1 has no pod yet.
    desks.reconcile_and_die("a", _calls_until("patch marketmakers/status"), after=True)
    desks.a_second_operator_starts()
    desks.reconcile("a")
    desks.a_pod_ends(0, "")
    desks.the_watch_shows(100)
    desks.time_passes(100)
    desks.reconcile("a")
    assert [pod["metadata"]["labels"]["marketmaker.io/attempt"] for pod in desks.api.of(POD)][-1] == "2"
    desks.a_stale_second_operator_reconciles("a")
    desks.never_two_live_pods_of_one_resource()
    desks.teardown()


def _calls_until(what: str) -> int:
    """How many calls a first reconcile makes before this one."""
    desks = Desks()
    desks.loop.close()
    first = desks.api.calls
    return first.index(what, first.index("patch marketmakers")) - first.index("patch marketmakers")
