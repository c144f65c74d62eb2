"""What tests of several packages share: a real API server, once per run, with both CRDs installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]


# Two shared cores stall an example for longer than any deadline that means something; pytest-timeout bounds the whole test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@dataclass(frozen=True)
class ApiServer:
    """etcd, kube-apiserver and kube-controller-manager on loopback; no nodes."""

    kubeconfig: Path
    program: str

    def kubectl(self, *arguments: str, stdin: str | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl; `ok=False` where a refusal is what the test is about."""
        done = subprocess.run(
            [self.program, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ok and done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done


def _kubectl_program() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "market-maker-operator"
    return shutil.which("kubectl") or str(cache / "bin" / "kubectl")


def _await_established(server: ApiServer) -> None:
    """`kubectl wait` gives up with an accessor error on a CRD so fresh that it has no status yet: ask again, within the same bound."""
    end = time.monotonic() + 30
    while True:
        last = time.monotonic() > end
        waited = server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all", ok=last)
        if waited.returncode == 0 or "accessor error" not in waited.stderr:
            break
        time.sleep(0.1)
    if waited.returncode != 0:
        pytest.fail(f"CRDs are not established: {waited.stderr.strip()}")


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server with `crds/` established, ended with the test run even where that is killed."""
    folder = tmp_path_factory.mktemp("apiserver")
    command = str(ROOT / "cluster/apiserver")
    up = subprocess.run(
        [command, "up", str(folder), "--watch-pid", str(os.getpid())],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if up.returncode != 0:
        pytest.fail(f"no API server: {up.stderr.strip()}")
    server = ApiServer(kubeconfig=folder / "kubeconfig", program=_kubectl_program())
    try:
        server.kubectl("create", "-f", str(ROOT / "crds"))
        _await_established(server)
        yield server
    finally:
        subprocess.run([command, "down", str(folder)], capture_output=True, timeout=60, check=False)
