"""Owns the three processes of a test API server: `python -m mm_cluster.apiserver_supervisor`, see `apiserver`.

Ends them, and itself, on SIGTERM, when one of them ends, or when the watched process is gone.
"""

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mm_cluster.pins import pins
from mm_cluster.process_record import record

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 4.0


@dataclass(frozen=True)
class Ports:
    """Loopback ports of etcd (clients, peers) and of the API server."""

    etcd_clients: int
    etcd_peers: int
    api_server: int


def etcd_arguments(ports: Ports) -> list[str]:
    """A single etcd that may lose everything at a crash: no fsync."""
    clients, peers = f"http://127.0.0.1:{ports.etcd_clients}", f"http://127.0.0.1:{ports.etcd_peers}"
    return [
        "etcd", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=error",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
    ]  # fmt: skip


def api_server_arguments(ports: Ports) -> list[str]:
    """RBAC, bound ServiceAccount tokens, every default admission plug-in; it makes its own serving certificate."""
    return [
        "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{ports.etcd_clients}",
        f"--secure-port={ports.api_server}", "--bind-address=127.0.0.1", "--cert-dir=certs",
        # a loopback address is refused here; nothing ever connects to this one
        "--advertise-address=10.1.1.1", "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.97.0.0/16", "--token-auth-file=tokens.csv", "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key",
    ]  # fmt: skip


def controller_manager_arguments() -> list[str]:
    """Every controller but those of nodes and clouds: garbage collection, ServiceAccounts, namespaces, workloads."""
    return [
        "kube-controller-manager", "--kubeconfig=kubeconfig", "--leader-elect=false", "--secure-port=0",
        "--service-account-private-key-file=sa.key", "--root-ca-file=certs/apiserver.crt",
        "--use-service-account-credentials=false", "--flex-volume-plugin-dir=flexvolume",
        "--controllers=*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller",
    ]  # fmt: skip


def _make_signing_key(hyper: str) -> None:
    """The key that signs ServiceAccount tokens, by kubeadm; a stated version keeps it from asking the Internet."""
    configuration = Path("kubeadm.yaml")
    configuration.write_text(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
        f"kubernetesVersion: {pins().kubernetes}\ncertificatesDir: {Path.cwd()}\n"
    )
    subprocess.run([hyper, "kubeadm", "init", "phase", "certs", "sa", f"--config={configuration}"], check=True)


class Supervisor:
    """The processes of one folder (the current one)."""

    def __init__(self, hyper: str, ports: Ports, *, watch_pid: int | None) -> None:
        self._hyper = hyper
        self._ports = ports
        self._children: list[subprocess.Popen[bytes]] = []
        self._asked_to_end = False
        # A descriptor names this very process, however ids are reused; unreadable at once when it is gone already.
        self._watched = None if watch_pid is None else os.pidfd_open(watch_pid)

    def ask_to_end(self, _signal: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        self._asked_to_end = True

    def run(self) -> None:
        """Start the three, then wait for a reason to end."""
        try:
            self._start(etcd_arguments(self._ports))
            if not Path("sa.key").exists():
                _make_signing_key(self._hyper)
            self._start(api_server_arguments(self._ports))
            while not self._must_end() and not Path("kubeconfig").exists():
                time.sleep(_POLL_SECONDS)
            self._start(controller_manager_arguments())
            while not self._must_end():
                time.sleep(_POLL_SECONDS)
        finally:
            self._end_children()

    def _start(self, arguments: list[str]) -> None:
        if self._must_end():
            return
        with Path(f"{arguments[0]}.log").open("wb") as log:
            child = subprocess.Popen([self._hyper, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._children.append(child)
        record(Path("pids"), child.pid, name=arguments[0])

    def _must_end(self) -> bool:
        if self._asked_to_end or any(child.poll() is not None for child in self._children):
            return True
        return self._watched is not None and bool(select.select([self._watched], [], [], 0)[0])

    def _end_children(self) -> None:
        """The API server before its etcd."""
        for child in reversed(self._children):
            child.terminate()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in reversed(self._children):
            try:
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def main() -> None:
    """Arguments: FOLDER HYPER ETCD_PORT PEER_PORT API_PORT [WATCH_PID]."""
    folder, hyper, *numbers = sys.argv[1:]
    os.chdir(folder)
    etcd_clients, etcd_peers, api_server, *watch = map(int, numbers)
    ports = Ports(etcd_clients, etcd_peers, api_server)
    supervisor = Supervisor(hyper, ports, watch_pid=watch[0] if watch else None)
    signal.signal(signal.SIGTERM, supervisor.ask_to_end)
    supervisor.run()


if __name__ == "__main__":
    main()
