"""The end-to-end tests' eyes and hands: kubectl, the exchange's ledger, and one desk that both see.

Nothing here asks the engine or the operator how it is doing: desired and observed state come from the API server, orders from the ledger.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "market-maker-system"
NAMESPACE = "trading"

Json = dict[str, Any]


class Kubectl:
    """The real kubectl; `ok=False` where a refusal is what the test is about."""

    def __call__(self, *arguments: str, stdin: str | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        if ok and done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def json(self, *arguments: str) -> Json:
        return json.loads(self(*arguments, "-o", "json").stdout)

    def apply(self, *documents: Json, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self("apply", "-f", "-", stdin=yaml.safe_dump_all(documents), ok=ok)


class Exchange:
    """The simulated exchange's admin API behind a port-forward."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> Json:
        with urllib.request.urlopen(f"{self._url}/admin/{path}", timeout=10) as answer:  # noqa: S310 - our own loopback forward
            return json.load(answer)

    def post(self, path: str, body: Json) -> Json:
        request = urllib.request.Request(  # noqa: S310 - our own loopback forward
            f"{self._url}/admin/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)


@dataclass
class Desk:
    """One account and one MarketMaker on it, as the exchange's ledger and the API server see them."""

    kubectl: Kubectl
    exchange: Exchange
    name: str
    symbol: str
    api_key: str

    def resource(self) -> Json:
        return self.kubectl.json("-n", NAMESPACE, "get", "mm", self.name)

    def status(self) -> Json:
        return self.resource().get("status") or {}

    def condition(self, kind: str) -> Json:
        return next((c for c in self.status().get("conditions", []) if c["type"] == kind), {})

    def patch(self, spec: Json) -> float:
        """Merge-patch the spec; returns the time (unix s) at which the API server had certainly accepted it."""
        self.kubectl("-n", NAMESPACE, "patch", "mm", self.name, "--type", "merge", "-p", json.dumps({"spec": spec}))
        return time.time()

    def pod(self) -> Json | None:
        pods = self.kubectl.json("-n", NAMESPACE, "get", "pods", "-l", f"marketmaker.io/name={self.name}")["items"]
        live = [p for p in pods if p["status"].get("phase") == "Running" and not p["metadata"].get("deletionTimestamp")]
        return live[0] if live else None

    def ledger(self, since: int = 0) -> list[Json]:
        return self.exchange.get(f"ledger?apiKey={self.api_key}&since={since}&limit=100000")["entries"]

    def mark(self) -> int:
        """The ledger's place now; `orders_since(mark)` are the later ones."""
        entries = self.ledger()
        return entries[-1]["seq"] if entries else 0

    def orders_since(self, mark: int) -> list[Json]:
        return [e for e in self.ledger(mark) if e["kind"] == "order"]

    def resting(self) -> list[Json]:
        return self.exchange.get(f"open-orders?apiKey={self.api_key}")["orders"]

    def position(self) -> float:
        """Signed base units, as the exchange knows it."""
        held = self.exchange.get(f"positions?apiKey={self.api_key}&symbol={self.symbol}")["positions"]
        return float(held[0]["position"]) if held else 0.0

    def quotes_both_sides(self) -> bool:
        return {order["side"] for order in self.resting()} == {"BUY", "SELL"}

    def await_quoting(self, seconds: float = 60) -> None:
        wait_for(self.quotes_both_sides, seconds=seconds, what=f"{self.name} rests orders on both sides (ledger)")
        wait_for(
            lambda: self.status().get("phase") == "Quoting", seconds=seconds, what=f"{self.name} shows phase Quoting"
        )

    def assert_pulled(self, accepted_at: float) -> None:
        """P2: no order accepted by the exchange later than 1 s, nothing resting later than 2 s after the API server's acceptance."""
        wait_for(
            lambda: not self.resting(),
            seconds=max(0.1, accepted_at + 2 - time.time()),
            what="nothing rests 2 s after the halt",
            every=0.05,
        )
        mark = self.mark()
        time.sleep(2)  # the window in which a late order would show
        late = [e for e in self.ledger() if e["kind"] == "order" and e["time"] / 1000 > accepted_at + 1]
        assert late == []
        assert self.orders_since(mark) == []
        assert self.resting() == []


def manifest(name: str, secret: str, symbol: str, **spec: Any) -> Json:
    """examples/mm.yaml under another name, on an account of its own."""
    documents = yaml.safe_load_all((ROOT / "examples" / "mm.yaml").read_text())
    body = next(d for d in documents if d and d["kind"] == "MarketMaker")
    body["metadata"] = {"name": name, "namespace": NAMESPACE}
    body["spec"] |= {"symbol": symbol} | spec
    body["spec"]["exchange"] |= {"account": name, "credentials": {"secretName": secret}}
    return body


def kill_container(pod: Json) -> None:
    """SIGKILL to the runner's process on its node, as the kernel's OOM killer would."""
    state = next(c for c in pod["status"]["containerStatuses"] if c["name"] == "runner")
    container = state["containerID"].removeprefix("containerd://")
    node = pod["spec"]["nodeName"]
    command = ["docker", "exec", node, "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container]
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=os.environ)
