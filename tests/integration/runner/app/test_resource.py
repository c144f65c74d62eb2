"""The engine as it runs in a pod: resource, halts, Lease and claim state on a real API server, which can be taken away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from mm_contract.claim import Claim

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(240)]
LEASE_SECONDS = 10


class Passage:
    """A TCP proxy before the API server: open, or closed with every connection cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.open = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self.open:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.open = False
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()


class Pod:
    """What the operator would have made for one resource, and the engine in it."""

    def __init__(self, engine: Any, apiserver: Any, namespace: str) -> None:
        self.engine = engine
        self.kubectl = apiserver.kubectl
        self.namespace = namespace
        self.name = engine.spec["metadata"]["name"]
        engine.spec["metadata"]["namespace"] = namespace
        engine.spec["spec"]["failover"]["leaseSeconds"] = LEASE_SECONDS
        claim = Claim("binance-usdm", "simulated", engine.spec["spec"]["exchange"]["account"], "ETHUSDT")
        self.object = claim.object_name
        config = yaml.safe_load(apiserver.kubeconfig.read_text())
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self.passage = Passage((server.hostname, server.port))
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.passage.port}"
        config["clusters"][0]["cluster"]["tls-server-name"] = server.hostname
        (engine.folder / "kubeconfig").write_text(yaml.safe_dump(config))

    def apply(self, manifest: dict[str, Any]) -> None:
        self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", kind, name, "-n", self.namespace, "-o", "json").stdout)

    def patch(self, spec: dict[str, Any]) -> float:
        """Patch the resource's spec; returns when the API server had accepted it."""
        self.kubectl("patch", "mm", self.name, "-n", self.namespace, "--type=merge", "-p", json.dumps({"spec": spec}))
        return time.time()

    def make_claim_objects(self) -> None:
        metadata = {"name": self.object}
        self.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}})
        state = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"state.json": "{}"}}
        self.apply(state)

    def start(self, engine: Any = None, pod_uid: str = "00000000-pod") -> None:
        kubeconfig = self.engine.folder / "kubeconfig"
        engine = engine or self.engine
        uid = self.get("mm", self.name)["metadata"]["uid"]
        env = {
            **engine.env,
            "KUBECONFIG": str(kubeconfig),
            "MM_NAMESPACE": self.namespace,
            "MM_NAME": self.name,
            "MM_UID": uid,
            "MM_CLAIMS_NAMESPACE": self.namespace,
            "MM_POD_UID": pod_uid,
            "MM_POD_NAME": f"{self.name}-pod",
        }
        env.pop("KUBERNETES_SERVICE_HOST", None)
        command = [str(Path(sys.executable).with_name("mm-runner")), "run", "--host", "127.0.0.1"]
        engine.process = subprocess.Popen(
            [*command, "--metrics-port", "0", "--status-port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        )
        threading.Thread(target=engine._read, args=(engine.process,), daemon=True).start()


@pytest.fixture
def pod(engine: Any, apiserver: Any) -> Iterator[Pod]:
    namespace = f"r-{os.getpid()}-{time.monotonic_ns() % 10**9}"
    apiserver.kubectl("create", "namespace", namespace)
    made = Pod(engine, apiserver, namespace)
    made.apply(engine.spec)
    yield made
    made.passage.close()
    if engine.process is not None and engine.process.poll() is None:
        engine.process.kill()
        engine.process.wait(5)
    apiserver.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def quoting(pod: Pod) -> Pod:
    pod.make_claim_objects()
    pod.start()
    pod.engine.wait(pod.engine.both_sides, 60, "both sides rest")
    return pod


def assert_halted_since(engine: Any, asked: float) -> None:
    """By the ledger's own times, and with patience enough that an order which should not come would have come."""
    engine.wait(lambda: time.time() > asked + 3.0, 5.0, "time to sin")
    assert engine.open_orders() == []
    assert engine.orders_after(asked + 1.0) == []
    assert engine.last_end_of_an_order() - asked <= 2.0


def test_a_patch_halts_within_the_promise_and_the_lease_and_state_show_the_engine(quoting: Pod) -> None:
    engine = quoting.engine
    lease = quoting.get("lease", quoting.object)["spec"]
    assert lease["holderIdentity"].startswith("00000000-pod/")
    assert lease["leaseTransitions"] == 1
    state = json.loads(quoting.get("configmap", quoting.object)["data"]["state.json"])
    assert state["epoch"] == 2  # one more than the Lease's transitions
    assert_halted_since(engine, quoting.patch({"desiredState": "Halted"}))
    quoting.patch({"desiredState": "Running"})
    engine.wait(engine.both_sides, 10, "quotes are back")
    assert engine.end() == 0
    assert quoting.get("lease", quoting.object)["spec"].get("holderIdentity", "") == ""
    assert engine.last_word()["zeroOwnOrders"] is True


def test_a_trading_halt_of_the_namespace_is_obeyed_and_its_removal_too(quoting: Pod) -> None:
    engine = quoting.engine
    halt = {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "TradingHalt",
        "metadata": {"name": "desk"},
        "spec": {"selector": {"matchLabels": {"desk": "a"}}, "state": "Halted", "reason": "a test"},
    }
    quoting.apply(halt)
    assert_halted_since(engine, time.time())
    quoting.kubectl("delete", "tradinghalt", "desk", "-n", quoting.namespace)
    engine.wait(engine.both_sides, 10, "quotes are back")


def test_a_restart_change_waits_for_the_operator_while_its_hot_part_acts(quoting: Pod) -> None:
    asked = quoting.patch({"exchange": {"leverage": 7}, "desiredState": "Halted"})
    assert_halted_since(quoting.engine, asked)
    assert not [line for line in quoting.engine.lines if line["event"] == "spec_refused"]


def test_without_its_claim_objects_an_engine_waits_and_sends_nothing(pod: Pod) -> None:
    engine = pod.engine
    pod.start()
    engine.event("listening", 60)
    assert engine.probe("/healthz") == 200
    assert engine.probe("/readyz") == 503
    pod.make_claim_objects()
    engine.wait(engine.both_sides, 30, "it goes on by itself")


def test_the_api_server_away_pulls_the_quotes_by_the_deadline_and_brings_them_back(quoting: Pod) -> None:
    engine = quoting.engine
    quoting.passage.cut()
    away = time.time()
    engine.wait(lambda: time.time() > away + 20, 25, "an outage")
    # Two thirds of the Lease after the last renewal, and the time that a cancel takes.
    assert engine.last_end_of_an_order() - away <= LEASE_SECONDS * 2 / 3 + 1.5
    assert engine.orders_after(away + LEASE_SECONDS * 2 / 3) == []
    assert engine.process.poll() is None
    assert engine.probe("/healthz") == 200
    assert engine.none_rest()
    quoting.passage.open = True
    engine.wait(engine.both_sides, 30, "quotes are back")
    assert quoting.get("lease", quoting.object)["spec"]["leaseTransitions"] == 1


def test_a_stolen_lease_ends_the_engine_by_cancelling(quoting: Pod) -> None:
    lease = quoting.get("lease", quoting.object)
    lease["spec"]["holderIdentity"] = "a person"
    lease["metadata"].pop("resourceVersion")
    quoting.kubectl(
        "patch",
        "lease",
        quoting.object,
        "-n",
        quoting.namespace,
        "--type=merge",
        "-p",
        json.dumps({"spec": lease["spec"]}),
    )
    assert quoting.engine.process.wait(30) == 5
    assert quoting.engine.open_orders() == []


def test_a_deleted_resource_is_an_orderly_end_with_the_proof(quoting: Pod) -> None:
    quoting.kubectl("delete", "mm", quoting.name, "-n", quoting.namespace)
    assert quoting.engine.process.wait(30) == 0
    assert quoting.engine.open_orders() == []
    assert quoting.engine.last_word()["zeroOwnOrders"] is True


def epochs(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["clientOrderId"].split("-")[1] for entry in entries}


def test_a_killed_engine_is_followed_by_one_that_waits_the_lease_out_and_quotes(quoting: Pod) -> None:
    engine = quoting.engine
    engine.process.kill()
    killed = time.time()
    engine.process.wait(5)
    engine.lines.clear()
    quoting.start()
    engine.wait(lambda: epochs(engine.open_orders()) == {"3"} and engine.both_sides(), LEASE_SECONDS + 45, "new quotes")
    first = min(e["timeNs"] / 1e9 for e in engine.ledger("order") if epochs([e]) == {"3"})
    assert first - killed >= LEASE_SECONDS * 2 / 3
    assert first - killed <= LEASE_SECONDS + 15
    assert quoting.get("lease", quoting.object)["spec"]["leaseTransitions"] == 2


def test_a_frozen_engine_is_replaced_only_after_its_orders_are_gone_and_sends_nothing_when_it_wakes(
    quoting: Pod, make_engine: Any
) -> None:
    """Promise P6, with a stopped process in the place of a lost node."""
    old = quoting.engine
    new = make_engine("b")
    new.spec, new.keys = old.spec, old.keys
    new.write_keys(old.keys)
    old.process.send_signal(signal.SIGSTOP)
    quoting.start(new, pod_uid="11111111-pod")
    new.wait(lambda: epochs(new.open_orders()) == {"3"} and new.both_sides(), LEASE_SECONDS + 60, "the new one quotes")
    entries = new.ledger("order", "cancel", "fill", "expire")
    first_new = min(e["seq"] for e in entries if e["kind"] == "order" and epochs([e]) == {"3"})
    last_old = max(e["seq"] for e in entries if epochs([e]) == {"2"})
    assert last_old < first_new
    old.process.send_signal(signal.SIGCONT)
    assert old.process.wait(40) == 5
    assert max(e["seq"] for e in new.ledger("order", "reject") if epochs([e]) == {"2"}) < first_new
    assert new.both_sides()
    assert new.end() == 0
