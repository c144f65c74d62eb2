"""One operator process for all tests (some of them stop and start it), and for each test a namespace of its own."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from support.operator_world import SYSTEM, Operator, World
from support.operator_world_engine import KEY

_numbers = itertools.count(1)
STATUS_PORT = 18080


@pytest.fixture(scope="session")
def operator(apiserver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """`mm-operator run` for the whole cluster."""
    folder = tmp_path_factory.mktemp("operator")
    key = folder / "key"
    key.write_bytes(KEY)
    apiserver.kubectl("create", "namespace", SYSTEM)
    arguments = [
        "--runner-image=mm-runner:test",
        f"--claims-namespace={SYSTEM}",
        f"--status-token-key-file={key}",
        "--host=127.0.0.1",
        "--metrics-port=0",
        "--health-port=0",
        f"--status-port={STATUS_PORT}",
        "--resync-seconds=2",
        "--simulated-rest=http://exchange",
        "--simulated-ws=ws://exchange",
        "--allowed-image=registry.test/*",
    ]
    environment = os.environ | {"KUBECONFIG": str(apiserver.kubeconfig)}
    process = Operator(arguments, environment, folder / "operator.log")
    yield process
    if process.process is not None:
        process.stop(signal.SIGKILL)
    defects = [line for line in process.lines() if line["event"] == "reconcile_defect"]
    assert not defects, "whatever the tests did, no reconcile may fail by a defect of its own"


@pytest.fixture
def world(apiserver: Any, operator: Operator) -> Iterator[World]:
    """A namespace, and an operator that is running."""
    number = next(_numbers)
    namespace = f"op-{number}"
    apiserver.kubectl("create", "namespace", namespace)
    if operator.process is None:
        operator.start()
    here = World(apiserver.kubectl, namespace, operator, STATUS_PORT, address=number * 20)
    yield here
    for engine in here.engines:
        engine.stop()
    for each in here.items("mm"):
        here.abandon(each["metadata"]["name"])
    apiserver.kubectl("delete", "namespace", namespace, "--wait=false")
