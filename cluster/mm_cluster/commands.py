"""The command lines of `cluster/`: arguments, exit codes, and what is printed where."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from mm_cluster import apiserver as apiserver_processes
from mm_cluster import engine as engines
from mm_cluster.failure import Failure
from mm_cluster.gotools import bin_folder, ensure_tools
from mm_cluster.kind_cluster import Cluster, chosen_name, current_context, forget, kubeconfig_path
from mm_cluster.lock import exclusive
from mm_cluster.node_image import built_image_name, ensure_node_image, remove_built_images
from mm_cluster.pins import pins
from mm_cluster.places import cache
from mm_cluster.process import end_all
from mm_cluster.progress import say

_INTERRUPTED = 130


def guarded(action: Callable[[], None]) -> int:
    """Run a command; a `Failure` is one message and exit code 1, an interruption ends all that was started."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        end_all()  # first, so that no thread goes on waiting for a program
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        action()
    except Failure as failure:
        end_all()
        sys.stderr.write(f"error: {failure}\n")
        return 1
    except KeyboardInterrupt:
        end_all()
        sys.stderr.write("interrupted: run it again to go on from here\n")
        return _INTERRUPTED
    return 0


def _parser(program: str, description: str) -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=program, description=description, formatter_class=formatter)


def _uses_existing_cluster() -> bool:
    return os.environ.get("MM_E2E_USE_CURRENT_CONTEXT") == "1"


_UP_TEXT = """\
Bring up a kind cluster (one control plane, two workers), all of it Ready, and print the line that selects it.
A healthy cluster is left as it is. Safe to interrupt and to run again.

environment:
  MM_CLUSTER                    name of the cluster (market-maker)
  MM_NODE_IMAGE                 auto | published | built: kind's own node image, or one built here (auto)
  XDG_CACHE_HOME                parent of the cache folder (~/.cache)
  MM_E2E_USE_CURRENT_CONTEXT=1  use the cluster that KUBECONFIG reaches; only checks that it answers
"""


def up() -> int:
    """`cluster/up`."""
    _parser("cluster/up", _UP_TEXT).parse_args()
    return guarded(_up)


def _up() -> None:
    if _uses_existing_cluster():
        context, version = current_context()
        say(f"using the existing cluster of context {context} (Kubernetes {version})")
        return
    if not _is_already_up():
        with exclusive("cluster"):
            if not _is_already_up():
                _create()
    print(f"export KUBECONFIG={kubeconfig_path(chosen_name())}")


def _is_already_up() -> bool:
    if not (bin_folder() / "kubectl").exists() or (engine := engines.find_running()) is None:
        return False
    cluster = Cluster(chosen_name(), engine)
    if not cluster.is_healthy():
        return False
    say(f"the cluster {cluster.name} is up and healthy")
    if cluster.created_from() not in {built_image_name(), pins().kind_node_image}:
        say("its node image is of other inputs than the present ones: cluster/down && cluster/up renews it")
    return True


def _create() -> None:
    engine = engines.resolve()
    ensure_tools()
    cluster = Cluster(chosen_name(), engine)
    if cluster.repair():
        return
    image = ensure_node_image(engine)
    cluster.delete()
    cluster.create(image)


def down() -> int:
    """`cluster/down`."""
    text = "Remove the cluster, its network, and the container engine where this project started it. Idempotent."
    parser = _parser("cluster/down", text)
    parser.add_argument("--cache", action="store_true", help="remove the cache folder too (built programs, images)")
    arguments = parser.parse_args()
    return guarded(lambda: _down(remove_cache=arguments.cache))


def _down(*, remove_cache: bool) -> None:
    if _uses_existing_cluster():
        say("MM_E2E_USE_CURRENT_CONTEXT=1: an existing cluster is never touched")
        return
    with exclusive("cluster"):
        engine = engines.find_running()
        if engine is not None:
            Cluster(chosen_name(), engine).delete()
            if remove_cache:
                remove_built_images(engine)
        forget(chosen_name())
        if engine is not None and engine.host is not None and (others := engine.docker("ps", "--format", "{{.Names}}")):
            say(f"the container engine stays up for {', '.join(others.split())}")
            return
        engines.stop_own()
        if remove_cache:
            folder = cache()
            shutil.rmtree(folder)
            say(f"removed {folder}")


def tools() -> int:
    """`cluster/tools`."""
    text = "Build what is missing of hyper (kubectl, etcd, API server), kind, helm, kubeconform; print their folder."
    _parser("cluster/tools", text).parse_args()
    return guarded(lambda: print(ensure_tools()))


def engine() -> int:
    """`cluster/engine`."""
    text = "The container engine: an existing Docker that runs privileged containers, else a dockerd of our own."
    parser = _parser("cluster/engine", text)
    actions: dict[str, Callable[[], None]] = {
        "up": _engine_up,
        "down": _engine_down,
        "env": _engine_env,
        "status": lambda: print(engines.describe()),
    }
    parser.add_argument("action", choices=sorted(actions), help="env prints the export line for our own dockerd")
    return guarded(actions[parser.parse_args().action])


def _engine_up() -> None:
    with exclusive("engine"):
        engines.resolve()
    say(engines.describe())


def _engine_down() -> None:
    with exclusive("engine"):
        if not engines.stop_own():
            say("no container engine of ours runs")


def _engine_env() -> None:
    found = engines.find_running()
    if found is None:
        raise Failure("no container engine runs: `cluster/engine up` starts one")
    for name, value in found.environment.items():
        print(f"export {name}={value}")


_APISERVER_TEXT = """\
etcd, kube-apiserver and kube-controller-manager as processes on free loopback ports; no nodes, so pods stay Pending.
Writes DIR/kubeconfig; `down` ends exactly the processes that DIR/pids records. Several may run at once.
"""


def apiserver() -> int:
    """`cluster/apiserver`."""
    parser = _parser("cluster/apiserver", _APISERVER_TEXT)
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("dir", type=Path, metavar="DIR")
    parser.add_argument("--watch-pid", type=int, metavar="PID", help="end everything when that process is gone")
    arguments = parser.parse_args()
    folder = arguments.dir.resolve()
    if arguments.action == "down":
        return guarded(lambda: apiserver_processes.stop(folder))
    return guarded(lambda: apiserver_processes.start(folder, watch_pid=arguments.watch_pid))
