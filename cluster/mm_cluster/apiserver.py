"""A real API server for tests: etcd, kube-apiserver, kube-controller-manager as loopback processes of one folder.

RBAC, ServiceAccount admission and token requests work as in a cluster; there are no nodes. A small supervisor
process owns the three, so that they end with `down`, with the supervisor, or with the process it watches.
"""

import base64
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.gotools import program
from mm_cluster.places import CLUSTER
from mm_cluster.ports import free_ports
from mm_cluster.process import attempt
from mm_cluster.process_record import end, record, recorded
from mm_cluster.progress import say

_ATTEMPTS = 3
_READY_SECONDS = 40.0
_PATIENCE_SECONDS = 5.0
_PORT_TAKEN = "address already in use"


def _pids(folder: Path) -> Path:
    return folder / "pids"


def start(folder: Path, *, watch_pid: int | None) -> None:
    """Start the three in `folder` and wait until they serve; writes `kubeconfig` and `pids` there.

    Raises:
        Failure: something already runs there, or it does not come up.
    """
    hyper = program("hyper")
    if any(process.is_alive() for process in recorded(_pids(folder))):
        raise Failure(f"an API server of {folder} already runs: `cluster/apiserver down {folder}` ends it.")
    began = time.monotonic()
    for remaining in reversed(range(_ATTEMPTS)):
        try:
            _start_once(folder, hyper, watch_pid=watch_pid)
        except Failure as failure:
            stop(folder)
            if remaining == 0 or _PORT_TAKEN not in str(failure):
                raise
            continue
        say(f"API server ready in {time.monotonic() - began:.1f} s: export KUBECONFIG={folder}/kubeconfig")
        return


def stop(folder: Path) -> None:
    """End the processes that the folder records, the supervisor first. Idempotent."""
    end(recorded(_pids(folder)), patience_seconds=_PATIENCE_SECONDS)
    _pids(folder).unlink(missing_ok=True)


def _start_once(folder: Path, hyper: str, *, watch_pid: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("etcd", "certs"):
        shutil.rmtree(folder / stale, ignore_errors=True)
    (folder / "kubeconfig").unlink(missing_ok=True)
    ports = free_ports(3, chance=random.Random())  # noqa: S311 - which port is no secret
    token = secrets.token_hex(16)
    _write_private(folder / "tokens.csv", f"{token},admin,admin,system:masters\n")
    _start_supervisor(folder, hyper, ports=ports, watch_pid=watch_pid)
    _wait(folder, (folder / "certs/apiserver.crt").exists)
    _write_kubeconfig(folder, port=ports[2], token=token)
    _wait(folder, lambda: _answers(folder, hyper, "get", "--raw=/readyz"))
    # both are made by the controllers, and every pod needs them
    _wait(folder, lambda: _answers(folder, hyper, "get", "serviceaccount/default", "configmap/kube-root-ca.crt"))


def _start_supervisor(folder: Path, hyper: str, *, ports: list[int], watch_pid: int | None) -> None:
    argv = [sys.executable, "-m", "mm_cluster.apiserver_supervisor", str(folder), hyper, *map(str, ports)]
    argv += [str(watch_pid)] if watch_pid is not None else []
    with (folder / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(CLUSTER)},
            start_new_session=True,
        )
    record(_pids(folder), supervisor.pid, name="supervisor")


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - takes a descriptor
        file.write(text)


def _answers(folder: Path, hyper: str, *arguments: str) -> bool:
    argv = [hyper, "kubectl", "--kubeconfig", str(folder / "kubeconfig"), "--request-timeout=2s", *arguments]
    return attempt(argv, timeout_seconds=5)[0] == 0


def _wait(folder: Path, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        processes = recorded(_pids(folder))
        dead = [process.name for process in processes if not process.is_alive()]
        if dead or time.monotonic() > deadline:
            raise Failure(f"the API server did not come up ({', '.join(dead) or 'too slow'}): {_ends_of_logs(folder)}")
        time.sleep(0.05)


def _ends_of_logs(folder: Path) -> str:
    logs = sorted(folder.glob("*.log"))
    return "".join(f"\n--- {log}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def _write_kubeconfig(folder: Path, *, port: int, token: str) -> None:
    authority = base64.b64encode((folder / "certs/apiserver.crt").read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority},
            }
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    _write_private(folder / "kubeconfig", json.dumps(document, indent=1) + "\n")
