"""A desk against a real API server: the operator as a process, engines that say what a test wants them to say.

There are no nodes, so the tests play the kubelet: they write the pod status that a kubelet would write.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mm_contract.report import EngineSection, SpecSection, StatusReport
from support.operator_world_engine import Engine
from support.waiting import wait_for

Json = dict[str, Any]
SYSTEM = "mm-system"


@dataclass
class Operator:
    """`mm-operator run` as a process."""

    arguments: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [str(Path(sys.executable).with_name("mm-operator")), "run", *self.arguments]
            before = len(self._started())
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        wait_for(lambda: len(self._started()) > before, seconds=90, what="the operator has filled its caches")

    def _started(self) -> list[Json]:
        return [line for line in self.lines() if line["event"] == "caches_filled"] if self.log.exists() else []

    def stop(self, how: signal.Signals = signal.SIGTERM, *, seconds: float = 15) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(seconds)
        self.process = None
        return code

    def lines(self) -> list[Json]:
        whole, _, _still_being_written = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def port(self, name: str) -> int:
        started = [line for line in self.lines() if line["event"] == "operator_start"]
        return int(started[-1][name])


@dataclass
class World:
    """One namespace of its own on the shared API server, and one operator that watches nothing else."""

    kubectl: Callable[..., subprocess.CompletedProcess[str]]
    namespace: str
    operator: Operator
    status_port: int
    address: int
    engines: list[Engine] = field(default_factory=list)

    def json(self, *arguments: str) -> Json:
        return json.loads(self.kubectl("-n", self.namespace, *arguments, "-o", "json").stdout)

    def find(self, kind: str, name: str, *, namespace: str | None = None) -> Json | None:
        done = self.kubectl("-n", namespace or self.namespace, "get", kind, name, "-o", "json", ok=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def items(self, kind: str, *, namespace: str | None = None, labels: str = "") -> list[Json]:
        selector = ["-l", labels] if labels else []
        done = self.kubectl("-n", namespace or self.namespace, "get", kind, *selector, "-o", "json")
        return json.loads(done.stdout)["items"]

    def apply(self, name: str = "ethusdt", **spec: Any) -> Json:
        manifest = {
            "apiVersion": "marketmaker.io/v1alpha1",
            "kind": "MarketMaker",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "symbol": "ETHUSDT",
                "exchange": {"account": f"{self.namespace}-a", "credentials": {"secretName": "mm-desk-a"}},
                "strategy": {"grid": {}},
            }
            | spec,
        }
        return json.loads(self.kubectl("apply", "-o", "json", "-f", "-", stdin=json.dumps(manifest)).stdout)

    def patch(self, name: str, body: Json, *, kind: str = "mm", subresource: str = "") -> None:
        extra = [f"--subresource={subresource}"] if subresource else []
        self.kubectl("-n", self.namespace, "patch", kind, name, "--type=merge", "-p", json.dumps(body), *extra)

    def abandon(self, name: str) -> None:
        """Remove a resource without proof.

        In this order: one that nobody deletes gets its finalizer again, and the operator would look after it to the end of the run.
        """
        self.kubectl("-n", self.namespace, "delete", "mm", name, "--wait=false", ok=False)
        released = json.dumps({"metadata": {"finalizers": None}})
        self.kubectl("-n", self.namespace, "patch", "mm", name, "--type=merge", "-p", released, ok=False)
        wait_for(lambda: self.find("mm", name) is None, what=f"{name} is gone")

    def resource(self, name: str = "ethusdt") -> Json:
        return self.json("get", "mm", name)

    def status(self, name: str = "ethusdt") -> Json:
        return self.resource(name).get("status", {})

    def condition(self, kind: str, name: str = "ethusdt") -> Json:
        return next((each for each in self.status(name).get("conditions", []) if each["type"] == kind), {})

    def pods(self) -> list[Json]:
        return self.items("pods")

    def await_pod(self, name: str = "ethusdt", *, attempt: int = 1) -> Json:
        def pod() -> Json | None:
            return next(
                (
                    each
                    for each in self.pods()
                    if each["metadata"]["labels"]["marketmaker.io/name"] == name
                    and each["metadata"]["labels"]["marketmaker.io/attempt"] == str(attempt)
                ),
                None,
            )

        return wait_for(pod, what=f"pod of attempt {attempt} of {name}")

    def engine(self, pod: Json) -> Engine:
        """Let the pod run, with a status stream behind its address."""
        self.address += 1
        owner = pod["metadata"]["ownerReferences"][0]
        resource = self.resource(owner["name"])
        engine = Engine(
            host=f"127.{1 + os.getpid() % 250}.{self.address // 250}.{self.address % 250 + 2}",  # of this run's own
            port=self.status_port,
            uid=owner["uid"],
            report=StatusReport(
                engine=EngineSection(
                    namespace=self.namespace,
                    name=owner["name"],
                    uid=owner["uid"],
                    symbol="ETHUSDT",
                    pod_name=pod["metadata"]["name"],
                    pod_uid=pod["metadata"]["uid"],
                    version="test",
                    epoch=7,
                    attempt=1,
                    started_at="2026-01-01T00:00:00Z",
                ),
                spec=SpecSection(
                    observed_generation=resource["metadata"]["generation"],
                    applied_generation=resource["metadata"]["generation"],
                ),
            ),
        )
        engine.start()
        self.engines.append(engine)
        self.schedule(pod)
        self.kubelet(pod, "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, ip=engine.host)
        return engine

    @property
    def node(self) -> str:
        """A node of this test's own; nobody tells its heartbeat, so it is well for less than a minute."""
        return f"node-of-{self.namespace}"

    def schedule(self, pod: Json) -> None:
        """Bind the pod to the node: from now on only its kubelet may remove it."""
        if self.find("node", self.node) is None:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node}}
            self.kubectl("create", "-f", "-", stdin=json.dumps(node))
            self.node_is(ready=True)
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": self.node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/binding"
        self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))

    def node_is(self, *, ready: bool) -> None:
        """As the node controller would write it."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {
            "type": "Ready",
            "status": "True" if ready else "Unknown",
            "reason": "Test",
            "lastHeartbeatTime": now,
        }
        body = {"status": {"conditions": [condition]}}
        self.patch(self.node, body, kind="node", subresource="status")

    def kubelet(self, pod: Json, phase: str, state: Json, *, ip: str = "") -> None:
        """Write the pod status that a kubelet would write."""
        name = pod["metadata"]["name"]
        status: Json = {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": "runner",
                    "image": "x",
                    "imageID": "x",
                    "ready": phase == "Running",
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        if ip:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        self.patch(name, {"status": status}, kind="pod", subresource="status")

    def finish(self, pod: Json, message: str = "", *, exit_code: int = 0) -> None:
        """The container ends; the pod object stays until it is deleted."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ended = {"exitCode": exit_code, "message": message, "startedAt": now, "finishedAt": now, "reason": "Completed"}
        self.kubelet(pod, "Succeeded" if exit_code == 0 else "Failed", {"terminated": ended})

    def removed(self, pod: Json) -> None:
        """The kubelet's last step: the stopped pod's object goes."""
        name = pod["metadata"]["name"]
        self.kubectl("-n", self.namespace, "delete", "pod", name, "--force", "--grace-period=0", ok=False)

    def stopping(self, pod: Json) -> Json:
        """Wait until the pod is being stopped."""
        name = pod["metadata"]["name"]
        return wait_for(
            lambda: (now := self.find("pod", name)) and now["metadata"].get("deletionTimestamp") and now,
            what="the pod is being stopped",
        )

    def events(self, reason: str) -> list[Json]:
        return [each for each in self.items("events.events.k8s.io") if each["reason"] == reason]
