"""From apply to delete against a real API server: children, status, drift, deletion, restarts."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from typing import Any

import pytest

from mm_contract.report import EffectiveSection, FiguresSection, MarketDataSection, RiskSection, SpecSection
from mm_contract.states import EffectiveState, Phase, RiskState
from mm_contract.termination import TerminationMessage, encode
from support.operator_world import SYSTEM, World, wait_for

pytestmark = pytest.mark.apiserver
PROOF = encode(TerminationMessage(epoch=7, zero_own_orders=True, time="2026-01-01T00:00:00Z")).decode()
QUOTING = EffectiveSection(
    phase=Phase.QUOTING, state=EffectiveState.RUNNING, ruled_by="spec", reconciled=True, quoting_both_sides=True
)
SYNCED = MarketDataSection(synced=True, age_seconds=0.2, spread_bps=4.04)


def test_a_resource_gets_all_its_children(world: World) -> None:
    resource = world.apply()
    uid = resource["metadata"]["uid"]
    pod = world.await_pod()
    assert pod["metadata"]["name"] == f"ethusdt-{uid[:5]}-1"
    for kind in ("serviceaccount", "role", "rolebinding", "service"):
        child = world.find(kind, "mm-ethusdt")
        assert child is not None, kind
        assert child["metadata"]["ownerReferences"][0]["uid"] == uid
    secrets = [each for each in world.items("secret") if each["metadata"]["name"].startswith("mm-ethusdt-")]
    assert len(secrets) == 1
    assert secrets[0]["immutable"] is True
    claim = pod["metadata"]["labels"]["marketmaker.io/claim"]
    for kind in ("lease", "configmap"):
        shared = world.find(kind, f"mm-{claim}", namespace=SYSTEM)
        assert shared is not None, kind
        assert "ownerReferences" not in shared["metadata"], "a claim outlives its resource"
    assert world.find("role", f"mm-{world.namespace}-ethusdt-{uid[:5]}", namespace=SYSTEM) is not None
    status = wait_for(lambda: world.status().get("engine", {}).get("podName") and world.status(), what="podName")
    assert status["engine"]["attempt"] == 1
    assert "marketmaker.io/orders" in world.resource()["metadata"]["finalizers"]


def test_an_engine_report_becomes_the_status(world: World) -> None:
    world.apply()
    engine = world.engine(world.await_pod())
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    assert world.condition("Ready")["status"] == "False"
    engine.say(effective=QUOTING, market_data=SYNCED, figures=FiguresSection(position="0.0200", equity="9999.123"))
    wait_for(lambda: world.condition("Ready").get("status") == "True", what="Ready")
    status = world.status()
    assert status["phase"] == "Quoting"
    assert status["effective"] == {"state": "Running", "ruledBy": "spec"}
    assert status["engine"]["epoch"] == 7
    assert status["appliedGeneration"] == world.resource()["metadata"]["generation"]
    began = time.monotonic()
    engine.say(
        risk=RiskSection(
            state=RiskState.HALTED, reason="stopLoss", halt_id="a-b", latched=True, since="2026-01-01T00:00:00Z"
        )
    )
    wait_for(lambda: world.condition("RiskNormal").get("reason") == "RiskHalted", what="risk in the status", seconds=3)
    assert time.monotonic() - began < 2
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RiskHalted")
    wait_for(lambda: world.events("RiskHalted"), what="an Event of the halt")


def test_figures_wait_for_their_interval_and_nothing_is_written_while_nothing_moves(world: World) -> None:
    world.apply()
    engine = world.engine(world.await_pod())
    engine.say(effective=QUOTING, market_data=SYNCED, figures=FiguresSection(position="1", equity="100"))
    wait_for(lambda: world.status().get("phase") == "Quoting", what="Quoting")
    before = world.resource()["metadata"]["resourceVersion"]
    for step in range(20):
        engine.say(figures=FiguresSection(position=f"1.{step}", equity="100"))
        time.sleep(0.05)  # the engine's own pace
    time.sleep(1)  # what would have been written, would be by now
    assert world.resource()["metadata"]["resourceVersion"] == before


def test_a_lost_stream_is_never_all_is_well(world: World) -> None:
    world.apply()
    engine = world.engine(world.await_pod())
    engine.say(effective=QUOTING, market_data=SYNCED)
    wait_for(lambda: world.condition("Ready").get("status") == "True", what="Ready")
    engine.stop()
    wait_for(lambda: world.condition("Ready").get("status") == "Unknown", what="Ready=Unknown", seconds=5)
    assert world.condition("EngineConnected")["status"] == "False"
    wait_for(lambda: world.status().get("phase") == "Unknown", what="phase Unknown after the grace", seconds=20)


def test_a_refused_change_is_stalled(world: World) -> None:
    world.apply()
    engine = world.engine(world.await_pod())
    engine.say(effective=QUOTING, market_data=SYNCED)
    wait_for(lambda: world.condition("Ready").get("status") == "True", what="Ready")
    world.patch("ethusdt", {"spec": {"quoting": {"levels": 3}}})
    generation = world.resource()["metadata"]["generation"]
    engine.say(
        spec=SpecSection(
            observed_generation=generation,
            applied_generation=generation - 1,
            refused_generation=generation,
            refused_reason="NotBuilt",
            refused_message="levels cannot be 3 today",
        )
    )
    wait_for(lambda: world.condition("Stalled").get("status") == "True", what="Stalled")
    assert world.condition("SpecApplied")["message"] == "levels cannot be 3 today"
    assert world.status()["appliedGeneration"] == generation - 1


@pytest.mark.parametrize(
    ("kind", "name", "damage"),
    [
        ("service", "mm-ethusdt", {"spec": {"publishNotReadyAddresses": False}}),
        ("role", "mm-ethusdt", {"rules": []}),
        ("serviceaccount", "mm-ethusdt", {"metadata": {"labels": {"app.kubernetes.io/component": "other"}}}),
        ("rolebinding", "mm-ethusdt", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
    ],
)
def test_an_edited_child_is_repaired(world: World, kind: str, name: str, damage: dict[str, Any]) -> None:
    world.apply()
    world.await_pod()
    before = world.find(kind, name)
    world.patch(name, damage, kind=kind)

    def repaired() -> bool:
        now = world.find(kind, name)
        return all(now.get(part) == before.get(part) for part in ("spec", "rules")) and (
            now["metadata"]["labels"] == before["metadata"]["labels"]
        )

    wait_for(repaired, what=f"{kind} as it was")


def test_a_deleted_child_comes_back(world: World) -> None:
    resource = world.apply()
    world.await_pod()
    for kind in ("service", "rolebinding", "serviceaccount"):
        world.kubectl("-n", world.namespace, "delete", kind, "mm-ethusdt")
        wait_for(lambda kind=kind: world.find(kind, "mm-ethusdt"), what=f"{kind} again")
    name = f"mm-{world.namespace}-ethusdt-{resource['metadata']['uid'][:5]}"
    world.kubectl("-n", SYSTEM, "delete", "role", name)
    wait_for(lambda: world.find("role", name, namespace=SYSTEM), what="the claim's Role again")


def test_an_unwanted_child_goes_and_comes_with_the_sidecar(world: World) -> None:
    world.apply(telemetry={"logSidecar": "promtail", "lokiUrl": "http://loki/loki/api/v1/push"})
    pod = world.await_pod()
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["log-sidecar"]
    assert world.find("configmap", "mm-ethusdt") is not None
    world.apply(telemetry={"logSidecar": "none"})
    wait_for(lambda: world.find("configmap", "mm-ethusdt") is None, what="ConfigMap gone")


def test_a_settled_resource_costs_no_writes(world: World) -> None:
    world.apply()
    world.await_pod()
    wait_for(lambda: world.status().get("engine", {}).get("podName"), what="podName")

    def versions() -> list[str]:
        kinds = "mm,pods,sa,role,rolebinding,svc,secrets"
        return sorted(each["metadata"]["resourceVersion"] for each in world.items(kinds))

    settled = versions()
    time.sleep(6)  # three resyncs
    assert versions() == settled


def test_a_restart_class_change_drains_before_it_replaces(world: World) -> None:
    world.apply()
    pod = world.await_pod()
    world.engine(pod)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    world.patch("ethusdt", {"spec": {"exchange": {"leverage": 7}}})
    assert world.stopping(pod)["metadata"]["deletionGracePeriodSeconds"] == 45, (
        "graceSeconds and a margin, never forced"
    )
    time.sleep(1)  # a second pod would be there by now
    assert len(world.pods()) == 1
    world.finish(pod, PROOF)
    world.removed(pod)
    world.await_pod(attempt=2)
    assert world.status()["engine"]["attempt"] == 2


def test_a_hot_change_leaves_the_pod_alone(world: World) -> None:
    world.apply()
    uid = world.await_pod()["metadata"]["uid"]
    world.patch("ethusdt", {"spec": {"quoting": {"levels": 4}, "desiredState": "Halted"}})
    generation = world.resource()["metadata"]["generation"]
    wait_for(lambda: world.status().get("observedGeneration") == generation, what="the change was seen")
    assert [each["metadata"]["uid"] for each in world.pods()] == [uid]
    assert "deletionTimestamp" not in world.pods()[0]["metadata"]


def test_a_failed_pod_is_followed_by_the_next_attempt(world: World) -> None:
    world.apply()
    world.finish(world.await_pod(), exit_code=1)
    world.await_pod(attempt=2)
    wait_for(lambda: len(world.pods()) == 1, what="the failed pod is cleaned up")


def test_a_pod_that_somebody_deleted_is_followed_by_the_next_attempt(world: World) -> None:
    world.apply()
    pod = world.await_pod()
    wait_for(lambda: world.status().get("engine", {}).get("podName"), what="podName")
    world.kubectl("-n", world.namespace, "delete", "pod", pod["metadata"]["name"], "--grace-period=1")
    world.await_pod(attempt=2)


def test_deletion_waits_for_the_proof(world: World) -> None:
    resource = world.apply()
    pod = world.await_pod()
    world.engine(pod)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    world.kubectl("-n", world.namespace, "delete", "mm", "ethusdt", "--wait=false")
    wait_for(lambda: world.status().get("phase") == "Stopping", what="Stopping")
    world.stopping(pod)
    time.sleep(1)  # the finalizer would be gone by now
    assert world.find("mm", "ethusdt") is not None, "the engine still runs"
    world.finish(pod, PROOF)
    wait_for(lambda: world.find("mm", "ethusdt") is None, what="the resource is gone", seconds=5)
    name = f"mm-{world.namespace}-ethusdt-{resource['metadata']['uid'][:5]}"
    assert world.find("role", name, namespace=SYSTEM) is None
    assert world.find("rolebinding", name, namespace=SYSTEM) is None
    assert world.find("lease", f"mm-{pod['metadata']['labels']['marketmaker.io/claim']}", namespace=SYSTEM) is not None


def test_without_a_last_word_deletion_waits_for_the_dead_man_switch(world: World) -> None:
    world.apply(failover={"deadManSeconds": 5})
    pod = world.await_pod()
    world.engine(pod)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    ended = time.monotonic()
    world.finish(pod, exit_code=137)
    world.kubectl("-n", world.namespace, "delete", "mm", "ethusdt", "--wait=false")
    wait_for(lambda: world.find("mm", "ethusdt") is None, what="the resource is gone", seconds=30)
    assert time.monotonic() - ended >= 5 + 2


def test_without_proof_and_switch_deletion_is_blocked_until_a_person_gives_it_up(world: World) -> None:
    resource = world.apply(failover={"deadManSwitch": False})
    world.finish(world.await_pod(), exit_code=137)
    world.kubectl("-n", world.namespace, "delete", "mm", "ethusdt", "--wait=false")
    wait_for(lambda: world.condition("Stalled").get("reason") == "ProofMissing", what="Stalled, with the way out")
    assert "abandon-orders" in world.condition("Stalled")["message"]
    world.kubectl("-n", world.namespace, "annotate", "mm", "ethusdt", "marketmaker.io/abandon-orders=not-this-uid")
    time.sleep(1)  # an annotation for another resource's uid must not count
    assert world.find("mm", "ethusdt") is not None
    uid = resource["metadata"]["uid"]
    world.kubectl(
        "-n", world.namespace, "annotate", "--overwrite", "mm", "ethusdt", f"marketmaker.io/abandon-orders={uid}"
    )
    wait_for(lambda: world.find("mm", "ethusdt") is None, what="the resource is gone")
    assert world.events("OrdersAbandoned")


def test_a_deletion_asked_for_while_the_operator_was_down_is_guarded(world: World) -> None:
    world.apply()
    pod = world.await_pod()
    world.engine(pod)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    world.operator.stop(signal.SIGKILL)
    world.kubectl("-n", world.namespace, "delete", "mm", "ethusdt", "--wait=false")
    world.operator.start()
    world.stopping(pod)
    assert world.find("mm", "ethusdt") is not None
    world.finish(pod, PROOF)
    wait_for(lambda: world.find("mm", "ethusdt") is None, what="the resource is gone")


def test_a_restart_of_the_operator_touches_no_engine(world: World) -> None:
    world.apply()
    pod = world.await_pod()
    engine = world.engine(pod)
    engine.say(effective=QUOTING, market_data=SYNCED)
    wait_for(lambda: world.condition("Ready").get("status") == "True", what="Ready")
    since = world.condition("Ready")["lastTransitionTime"]
    time.sleep(1.1)  # transition times have whole seconds
    assert world.operator.stop() == 0, "SIGTERM is a clean end"
    engine.say(figures=FiguresSection(position="3"))
    world.operator.start()
    wait_for(lambda: world.status().get("position") == "3", what="the status follows again")
    assert [each["metadata"]["uid"] for each in world.pods()] == [pod["metadata"]["uid"]]
    ready = world.condition("Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", since), "nobody who watches Ready notices"


def test_the_younger_resource_on_a_claim_gets_no_pod(world: World) -> None:
    world.apply("older")
    world.await_pod("older")
    time.sleep(1.1)  # creation times have whole seconds
    world.apply("younger")
    wait_for(lambda: world.condition("Exclusive", "younger").get("status") == "False", what="Exclusive=False")
    condition = world.condition("Exclusive", "younger")
    assert condition["reason"] == "ClaimHeldBy"
    assert f"{world.namespace}/older" in condition["message"]
    assert {each["metadata"]["labels"]["marketmaker.io/name"] for each in world.pods()} == {"older"}
    world.finish(world.await_pod("older"), PROOF)
    world.kubectl("-n", world.namespace, "delete", "mm", "older", "--wait=false")
    world.await_pod("younger")
    wait_for(lambda: world.condition("Exclusive", "younger").get("status") == "True", what="Exclusive=True")


def test_an_image_outside_the_allow_list_is_refused(world: World) -> None:
    world.apply(pod={"image": "evil.test/miner:1"})
    wait_for(lambda: world.condition("Stalled").get("reason") == "SpecRefused", what="Stalled")
    assert not world.pods()
    world.patch("ethusdt", {"spec": {"pod": {"image": "registry.test/runner:2"}}})
    assert world.await_pod()["spec"]["containers"][0]["image"] == "registry.test/runner:2"


def test_a_wrong_token_is_no_engine(world: World) -> None:
    world.apply()
    engine = world.engine(world.await_pod())
    engine.uid = "another"
    engine.stop()
    engine.start()
    wait_for(lambda: engine.refused, what="the operator was refused")
    assert world.condition("Ready").get("status") != "True"
    text = world.operator.log.read_text()
    assert "Bearer" not in text


def test_metrics_and_probes_are_served(world: World) -> None:
    world.apply()
    world.await_pod()

    def get(port: str, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{world.operator.port(port)}{path}", timeout=5) as answer:
            return answer.read().decode()

    assert get("health_port", "/healthz").startswith("ok")
    assert get("health_port", "/readyz").startswith("ok")
    metrics = get("metrics_port", "/metrics")
    assert 'mm_operator_resources{phase="Pending"}' in metrics
    assert 'mm_operator_actions_total{action="CreatePod"}' in metrics
    assert json.dumps(world.operator.lines()), "every line is JSON"
