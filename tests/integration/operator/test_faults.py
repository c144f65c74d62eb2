"""What befalls the operator and its surroundings: the API server away, a lost node, a namespaced install, an unknown command line."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm_contract.report import EffectiveSection, FiguresSection
from mm_contract.states import EffectiveState, Phase
from support.operator_world import SYSTEM, Operator, World, wait_for
from support.operator_world_door import Door

pytestmark = pytest.mark.apiserver
QUOTING = EffectiveSection(phase=Phase.QUOTING, state=EffectiveState.RUNNING, ruled_by="spec", reconciled=True)


@pytest.fixture
def own_operator(world: World, tmp_path: Path) -> Iterator[Operator]:
    """A second configuration in place of the shared operator, which comes back with the next test."""
    shared = world.operator
    shared.stop()
    own = Operator(list(shared.arguments), dict(shared.environment), tmp_path / "own.log")
    world.operator = own
    yield own
    if own.process is not None:
        own.stop(signal.SIGKILL)
    world.operator = shared


@pytest.fixture
def door(own_operator: Operator, apiserver: Any, tmp_path: Path) -> Iterator[Door]:
    """The operator's own way to the API server."""
    config = yaml.safe_load(Path(apiserver.kubeconfig).read_text())
    cluster = config["clusters"][0]["cluster"]
    host, port = re.fullmatch(r"https://([^:]+):(\d+)", cluster["server"]).groups()
    door = Door((host, int(port)))
    cluster["server"] = f"https://127.0.0.1:{door.port}"
    mine = tmp_path / "kubeconfig"
    mine.write_text(yaml.safe_dump(config))
    own_operator.environment["KUBECONFIG"] = str(mine)
    yield door
    door.close()


def test_an_api_server_that_is_away_for_a_while_ends_nothing(world: World, own_operator: Operator, door: Door) -> None:
    own_operator.start()
    world.apply()
    pod = world.await_pod()
    engine = world.engine(pod)
    engine.say(effective=QUOTING)
    wait_for(lambda: world.condition("Ready").get("status") == "True", what="Ready")
    door.shut()
    engine.say(figures=FiguresSection(position="5"), effective=QUOTING)
    world.apply("second", symbol="BTCUSDT")
    time.sleep(12)  # longer than the first back-offs
    assert own_operator.process is not None
    assert own_operator.process.poll() is None, "the operator lives"
    door.open()
    world.await_pod("second")
    wait_for(lambda: world.status().get("position") == "5", what="the status follows again", seconds=40)
    assert [
        each["metadata"]["uid"] for each in world.pods() if each["metadata"]["name"] == pod["metadata"]["name"]
    ] == [pod["metadata"]["uid"]], "no engine was touched"


def test_an_engine_on_a_lost_node_is_replaced_elsewhere_without_waiting(world: World) -> None:
    world.apply()
    pod = world.await_pod()
    engine = world.engine(pod)
    engine.say(effective=QUOTING)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    engine.stop()
    world.node_is(ready=False)
    successor = world.await_pod(attempt=2)
    assert world.find("pod", pod["metadata"]["name"]) is not None, "its object is still there"
    assert world.stopping(pod)["metadata"]["deletionGracePeriodSeconds"] > 0, "never forced"
    node_affinity = successor["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert node_affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"] == [world.node]


def test_an_engine_that_is_silent_in_every_way_is_replaced(world: World) -> None:
    world.apply(failover={"leaseSeconds": 12, "deadManSeconds": 5})
    pod = world.await_pod()
    engine = world.engine(pod)
    engine.say(effective=QUOTING)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    engine.stop()
    began = time.monotonic()
    world.await_pod(attempt=1)
    wait_for(
        lambda: [each for each in world.pods() if each["metadata"]["name"].endswith("-2")], what="attempt 2", seconds=60
    )
    assert time.monotonic() - began > 12, "the Lease was given its time"


def test_a_renewed_lease_keeps_an_engine_whose_stream_is_lost(world: World) -> None:
    world.apply(failover={"leaseSeconds": 12, "deadManSeconds": 5})
    pod = world.await_pod()
    engine = world.engine(pod)
    engine.say(effective=QUOTING)
    wait_for(lambda: world.condition("EngineConnected").get("status") == "True", what="connected")
    engine.stop()
    lease = f"mm-{pod['metadata']['labels']['marketmaker.io/claim']}"
    end = time.monotonic() + 22
    while time.monotonic() < end:
        renewed = f'{{"spec":{{"renewTime":"{time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())}.000000Z"}}}}'
        world.kubectl("-n", SYSTEM, "patch", "lease", lease, "--type=merge", "-p", renewed)
        world.node_is(ready=True)  # a node without heartbeats is lost within a minute, however slow this machine is
        time.sleep(2)  # the engine's pace
    assert len(world.pods()) == 1


def test_a_namespaced_install_serves_its_namespaces_and_no_other(world: World, own_operator: Operator) -> None:
    other = f"{world.namespace}-other"
    world.kubectl("create", "namespace", other)
    own_operator.arguments.append(f"--watch-namespace={world.namespace}")
    own_operator.start()
    world.apply()
    here, world.namespace = world.namespace, other
    world.apply()
    world.namespace = here
    pod = world.await_pod()
    claim = pod["metadata"]["labels"]["marketmaker.io/claim"]
    assert world.find("lease", f"mm-{claim}", namespace=SYSTEM) is not None
    time.sleep(3)  # a resync, by which the other namespace would have been served
    assert not world.items("pods", namespace=other)
    world.kubectl("delete", "namespace", other, "--wait=false")


def test_without_a_key_the_operator_says_what_to_give() -> None:
    command = [str(Path(sys.executable).with_name("mm-operator")), "run", "--runner-image=x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--status-key-dir" in done.stderr


def test_the_uninstall_guard_names_what_is_left(world: World, apiserver: Any) -> None:
    world.apply()
    command = [str(Path(sys.executable).with_name("mm-operator")), "guard-uninstall", f"--namespace={world.namespace}"]
    environment = world.operator.environment
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert refused.returncode == 1
    assert f"{world.namespace}/ethusdt" in refused.stderr
    empty = [*command[:-1], "--namespace=default"]
    assert subprocess.run(empty, capture_output=True, timeout=60, check=False, env=environment).returncode == 0
