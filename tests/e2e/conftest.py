"""What the end-to-end tests stand on: the chart installed in a real kind cluster, and the simulated exchange's ledger as oracle.

Nothing here asks the engine or the operator how it is doing: desired and observed state come from the API server, orders from the ledger.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.cluster import NAMESPACE, ROOT, SYSTEM, Desk, Exchange, Kubectl, manifest, wait_for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if (ROOT / "tests" / "e2e") in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    return Kubectl()


@pytest.fixture(scope="session")
def release(kubectl: Kubectl) -> None:
    """The chart of this checkout, with the simulated exchange."""
    done = subprocess.run(
        [
            ROOT / "cluster" / "install",
            "--set",
            "simulatedExchange.enabled=true",
            "--set",
            "simulatedExchange.createNamespaces=true",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        pytest.fail(f"cluster/install failed:\n{done.stderr[-4000:]}")


@pytest.fixture(scope="session")
def exchange(release: None) -> Iterator[Exchange]:
    forward = subprocess.Popen(
        ["kubectl", "-n", SYSTEM, "port-forward", "service/market-maker-exchange", ":admin"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        match = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert match, f"port-forward said {line!r}"
        yield Exchange(f"http://127.0.0.1:{match[1]}")
    finally:
        forward.terminate()
        forward.wait(10)
        if forward.stdout:
            forward.stdout.close()


@pytest.fixture(scope="session")
def symbol(exchange: Exchange) -> str:
    return str(exchange.get("health")["symbols"][0])


@pytest.fixture(scope="session")
def new_desk(kubectl: Kubectl, exchange: Exchange, symbol: str) -> Callable[..., Desk]:
    """Opens an account on the exchange, puts its keys into a Secret and, unless told not to, applies a MarketMaker."""

    def make(prefix: str, *, apply: bool = True, **spec: Any) -> Desk:
        name = f"{prefix}-{uuid.uuid4().hex[:5]}"
        account = exchange.post("accounts", {"balances": {"USDT": "10000"}})
        secret = f"mm-{name}"
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": secret, "namespace": NAMESPACE},
                "stringData": {"apiKey": account["apiKey"], "apiSecret": account["apiSecret"]},
            }
        )
        desk = Desk(kubectl, exchange, name, symbol, account["apiKey"])
        if apply:
            kubectl.apply(manifest(name, secret, symbol, **spec))
        return desk

    return make


@pytest.fixture(scope="module")
def desk(new_desk: Callable[..., Desk], kubectl: Kubectl) -> Iterator[Desk]:
    """One quoting engine, shared by the tests of a module; each leaves it quoting."""
    made = new_desk("shared")
    made.await_quoting(seconds=120)
    yield made
    kubectl("-n", NAMESPACE, "delete", "mm", made.name, "--wait=true", "--timeout=90s")


@pytest.fixture
def operator_down(kubectl: Kubectl, release: None) -> Iterator[None]:
    """The operator scaled to zero for the time of a test."""
    target = ["-n", SYSTEM, "deployment/market-maker-operator"]
    kubectl("scale", *target, "--replicas=0")
    wait_for(
        lambda: not kubectl.json("-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/component=operator")["items"],
        seconds=60,
        what="the operator's pod is gone",
    )
    try:
        yield
    finally:
        kubectl("scale", *target, "--replicas=1")
        kubectl("rollout", "status", *target, "--timeout=90s")
