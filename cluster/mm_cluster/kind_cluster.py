"""The kind cluster itself: create, check, repair, delete. Never touches `~/.kube/config`."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mm_cluster.engine import Engine
from mm_cluster.failure import Failure
from mm_cluster.gotools import program
from mm_cluster.places import CLUSTER, cache, cache_subfolder, replacing, work_folder
from mm_cluster.process import attempt, capture, finished, run_step, spawn
from mm_cluster.progress import say, step

DEFAULT_NAME = "market-maker"
_LABEL = "io.x-k8s.kind.cluster"
_NODES = 3
_REPAIR_SECONDS = 45.0
_INOTIFY_INSTANCES = 512
_FREEZER = Path("/sys/fs/cgroup/freezer")


@dataclass(frozen=True)
class Cluster:
    """A kind cluster by name, on an engine."""

    name: str
    engine: Engine

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig, in the cache folder."""
        return kubeconfig_path(self.name)

    @property
    def _environment(self) -> dict[str, str]:
        # A network of its own: kind's default one may belong to other clusters of this user.
        return {**self.engine.environment, "KIND_EXPERIMENTAL_DOCKER_NETWORK": self.name}

    def nodes(self, *, running_only: bool = False) -> list[str]:
        """Names of the node containers."""
        scope = [] if running_only else ["--all"]
        listing = self.engine.docker("ps", *scope, "--filter", f"label={_LABEL}={self.name}", "--format", "{{.Names}}")
        return sorted(listing.split())

    def kubectl(self, *arguments: str, timeout_seconds: float = 10.0) -> tuple[int, str]:
        """Run kubectl against this cluster; exit code and output."""
        argv = [program("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return attempt(argv, timeout_seconds=timeout_seconds)

    def is_healthy(self) -> bool:
        """All nodes and all kube-system pods Ready."""
        if not self.kubeconfig.exists() or len(self.nodes(running_only=True)) < _NODES:
            return False
        ready = "{range .items[*]}{.status.conditions[?(@.type=='Ready')].status} {end}"
        for what in (["nodes"], ["pods", "--namespace", "kube-system"]):
            code, answer = self.kubectl("get", *what, "--output", f"jsonpath={ready}", "--request-timeout=5s")
            states = answer.split()
            if code != 0 or len(states) < _NODES or set(states) != {"True"}:
                return False
        return True

    def repair(self) -> bool:
        """Start nodes that were stopped and wait a while; whether the cluster is healthy then.

        Not tried where no node runs: the engine or the machine was restarted, the nodes come back with each other's
        addresses, and a new cluster is there sooner.
        """
        running = self.nodes(running_only=True)
        if not _created_mark(self.name).exists() or not running:
            return False
        stopped = sorted(set(self.nodes()) - set(running))
        with step("the cluster is there but not healthy: waiting for it"):
            if stopped:
                self.engine.docker("start", *stopped, timeout_seconds=60)
            return self._wait_healthy(_REPAIR_SECONDS)

    def _wait_healthy(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.is_healthy():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def create(self, image: str) -> None:
        """Create the cluster and wait until all of it is Ready."""
        _allow_enough_inotify_instances()
        with work_folder("kind") as scratch:
            draft = scratch / "kubeconfig"
            argv = [program("kind"), "create", "cluster", "--name", self.name, "--image", image]
            argv += ["--config", str(self._configuration(scratch)), "--kubeconfig", str(draft), "--wait", "180s"]
            run_step("kind create cluster", argv, env=self._environment)
            with replacing(self.kubeconfig) as target:
                shutil.copyfile(draft, target)
                target.chmod(0o600)
        with step("nodes and kube-system pods"):
            if not self._wait_healthy(120):
                raise Failure(f"The cluster did not become healthy:\n{self.kubectl('get', 'nodes,pods', '-A')[1]}")
        _created_mark(self.name).write_text(image)

    def _configuration(self, scratch: Path) -> Path:
        text = (CLUSTER / "node" / "kind.yaml").read_text()
        if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
            # cgroup v1: the kubelet of 1.35 and newer refuses it unless told otherwise
            text += "kubeadmConfigPatches:\n- |\n  kind: KubeletConfiguration\n  failCgroupV1: false\n"
        target = scratch / "kind.yaml"
        target.write_text(text)
        return target

    def created_from(self) -> str:
        """Name of the node image that the cluster was created from; empty when unknown."""
        return _created_mark(self.name).read_text() if _created_mark(self.name).exists() else ""

    def delete(self) -> None:
        """Delete the cluster, sure to end, and its network. Idempotent."""
        forget(self.name)
        if self.nodes():
            with step(f"deleting the cluster {self.name}"):
                self._delete_nodes()
        if self.engine.try_docker("network", "inspect", self.name)[0] == 0:
            self.engine.try_docker("network", "rm", self.name)

    def _delete_nodes(self) -> None:
        """On cgroup v1 a node killed while a runc in it holds a pod's cgroup FROZEN never ends: thaw, try again."""
        for _ in range(4):
            delete = spawn(
                ["docker", "rm", "--force", "--volumes", *self.nodes()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.engine.environment,
            )
            started = time.monotonic()
            while delete.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - started > 3:
                    self._thaw()
            finished(delete)
            if not self.nodes():
                return
        raise Failure(f"docker cannot remove the nodes {', '.join(self.nodes())}: run cluster/down again.")

    def _thaw(self) -> None:
        identifiers = self.engine.docker("ps", "--quiet", "--no-trunc", "--filter", f"label={_LABEL}={self.name}")
        for identifier in identifiers.split():
            for frozen in sorted(_FREEZER.glob(f"**/{identifier}/**/freezer.state"), reverse=True):
                _thaw_one(frozen)


def _thaw_one(state: Path) -> None:
    try:
        if state.read_text().startswith("FR"):
            say(f"thawing {state.parent.name[-40:]}")
            state.write_text("THAWED")
    except OSError:  # gone meanwhile, which is what is wanted
        return


def _created_mark(name: str) -> Path:
    """A file that names the node image of a cluster which was created to the end."""
    return cache_subfolder("clusters") / name


def forget(name: str) -> None:
    """Remove the cluster's files from the cache."""
    _created_mark(name).unlink(missing_ok=True)
    kubeconfig_path(name).unlink(missing_ok=True)


def kubeconfig_path(name: str) -> Path:
    """`<cache>/kubeconfig`; clusters of another name have one of their own beside it."""
    return cache() / ("kubeconfig" if name == DEFAULT_NAME else f"kubeconfig-{name}")


def chosen_name() -> str:
    """The cluster's name: `MM_CLUSTER`, else `market-maker`."""
    return os.environ.get("MM_CLUSTER") or DEFAULT_NAME


def _allow_enough_inotify_instances() -> None:
    """Three nodes of systemd, containerd and kubelet come near the kernel's default of 128 instances."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    try:
        if int(limit.read_text()) < _INOTIFY_INSTANCES:
            limit.write_text(str(_INOTIFY_INSTANCES))
            say(f"raised fs.inotify.max_user_instances to {_INOTIFY_INSTANCES} (until the next boot)")
    except OSError:  # not root: kind's own known-issues page describes the symptom
        say("fs.inotify.max_user_instances is low; pods that report `too many open files` need 512")


def current_context() -> tuple[str, str]:
    """Context and server version of the cluster that the user's own KUBECONFIG reaches.

    Raises:
        Failure: it is not reached, or older than 1.33.
    """
    kubectl = shutil.which("kubectl") or program("kubectl")
    code, context = attempt([kubectl, "config", "current-context"])
    if code != 0:
        raise Failure("MM_E2E_USE_CURRENT_CONTEXT=1, but KUBECONFIG names no current context: set one of them anew.")
    answer = json.loads(capture([kubectl, "version", "--output", "json", "--request-timeout=10s"]))
    version = str(answer["serverVersion"]["gitVersion"])
    numbers = version.lstrip("v").split(".")[:2]
    if tuple(int("".join(filter(str.isdigit, number)) or 0) for number in numbers) < (1, 33):
        raise Failure(f"Context {context} runs Kubernetes {version}; 1.33 or newer is needed.")
    return context, version
