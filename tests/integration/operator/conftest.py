"""One namespace and one operator process for each test, on the API server that all tests share."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.operator_world import KEY, SYSTEM, Operator, World

_numbers = itertools.count(1)


@pytest.fixture
def world(apiserver: Any, tmp_path: Path) -> Iterator[World]:
    """A namespace, and an operator that is running."""
    number = next(_numbers)
    namespace = f"op-{os.getpid()}-{number}"
    kubectl = apiserver.kubectl
    kubectl("create", "namespace", namespace)
    kubectl("create", "namespace", SYSTEM, ok=False)
    key = tmp_path / "key"
    key.write_bytes(KEY)
    status_port = 18080
    arguments = [
        "--runner-image=mm-runner:test",
        f"--claims-namespace={SYSTEM}",
        f"--watch-namespace={namespace}",
        f"--status-token-key-file={key}",
        "--host=127.0.0.1",
        "--metrics-port=0",
        "--health-port=0",
        f"--status-port={status_port}",
        "--resync-seconds=2",
        "--simulated-rest=http://exchange",
        "--simulated-ws=ws://exchange",
        "--allowed-image=registry.test/*",
    ]
    environment = os.environ | {"KUBECONFIG": str(apiserver.kubeconfig)}
    operator = Operator(arguments, environment, tmp_path / "operator.log")
    here = World(kubectl, namespace, operator, status_port, address=number * 20)
    operator.start()
    try:
        yield here
    finally:
        if operator.process is not None:
            operator.stop(signal.SIGKILL)
        for engine in here.engines:
            engine.stop()
        for each in here.items("mm"):
            name = each["metadata"]["name"]
            here.patch(name, {"metadata": {"finalizers": None}})
        kubectl("delete", "namespace", namespace, "--wait=false")
