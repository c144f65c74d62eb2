"""The API server for tests behaves as a cluster's own, and ends with whoever asked for it."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from mm_cluster.places import CLUSTER
from mm_cluster.process_record import recorded

BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "market-maker-operator" / "bin"

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.slow,
    pytest.mark.skipif(not (BUILT / "hyper").exists(), reason="hyper is not built: cluster/tools builds it"),
]


@pytest.fixture
def up(cache_of_its_own, tmp_path):
    """Start API servers that borrow the built programs; end them afterwards."""
    cache_of_its_own.mkdir()
    (cache_of_its_own / "bin").symlink_to(BUILT)
    folders = []

    def start(name: str, *options: str) -> Path:
        folders.append(tmp_path / name)
        subprocess.run([CLUSTER / "apiserver", "up", folders[-1], *options], check=True, timeout=100)
        return folders[-1]

    yield start
    for folder in folders:
        subprocess.run([CLUSTER / "apiserver", "down", folder], check=True, timeout=30)
        assert not any(process.is_alive() for process in recorded(folder / "pids"))


def kubectl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [BUILT / "kubectl", "--kubeconfig", folder / "kubeconfig", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)


def test_two_run_side_by_side_and_know_nothing_of_each_other(up):
    first, second = up("first"), up("second")
    assert kubectl(first, "create", "namespace", "trading").returncode == 0
    assert kubectl(first, "get", "namespace", "trading").returncode == 0
    assert "not found" in kubectl(second, "get", "namespace", "trading").stderr


def test_a_bound_token_is_minted_and_rbac_holds_its_bearer(up):
    folder = up("api")
    token = kubectl(folder, "create", "token", "default").stdout.strip()
    assert token.count(".") == 2
    as_bearer = ("--token", token, "--user", "")
    assert kubectl(folder, "auth", "whoami", *as_bearer).stdout.find("system:serviceaccount:default:default") > 0
    assert "forbidden" in kubectl(folder, "get", "secrets", *as_bearer).stderr


def test_it_ends_when_the_process_it_watches_is_gone(up):
    with subprocess.Popen(["sleep", "600"]) as watched:
        folder = up("api", "--watch-pid", str(watched.pid))
        processes = recorded(folder / "pids")
        assert {process.name for process in processes} == {
            "supervisor",
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
        }
        assert all(process.is_alive() for process in processes)
        watched.kill()
    deadline = time.monotonic() + 20
    while any(process.is_alive() for process in processes):
        assert time.monotonic() < deadline, "still running"
        time.sleep(0.1)


def test_a_folder_in_use_is_refused(up):
    folder = up("api")
    done = subprocess.run(
        [CLUSTER / "apiserver", "up", folder], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert "already runs" in done.stderr
