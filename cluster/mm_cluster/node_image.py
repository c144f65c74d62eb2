"""The kind node image: kind's published one where a registry is reached, else one built here and cached."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mm_cluster import control_plane_images, node_tree
from mm_cluster.engine import Engine
from mm_cluster.failure import Failure
from mm_cluster.fingerprint import fingerprint
from mm_cluster.gotools import ensure_tools, hyper_key
from mm_cluster.image_archive import Image, stream_docker_archive, stream_oci_archive, write_layer
from mm_cluster.pins import pins
from mm_cluster.places import CLUSTER, cache_subfolder, replacing, work_folder
from mm_cluster.prerequisites import require_programs
from mm_cluster.process import capture, finished, run_step, spawn, succeeds
from mm_cluster.progress import say, step

Source = Literal["auto", "published", "built"]

_REGISTRY_SECONDS = 10.0
_PULL_MINUTES = 15.0


def image_key() -> str:
    """Changes when anything does that a built node image is made of."""
    recipes = [Path(module.__file__ or "") for module in (node_tree, control_plane_images)]
    return fingerprint([CLUSTER / "pins.toml", CLUSTER / "node", *recipes], also=[hyper_key()])


def built_image_name() -> str:
    """The name of the node image built from the present inputs."""
    return f"market-maker/node:{pins().kubernetes}-{image_key()}"


def wanted_source() -> Source:
    """`MM_NODE_IMAGE`: `published`, `built`, or `auto` (the default: published where a registry is reached)."""
    value = os.environ.get("MM_NODE_IMAGE", "auto")
    match value:
        case "auto" | "published" | "built":
            return value
        case _:
            raise Failure(f"MM_NODE_IMAGE={value}: it is one of auto, published, built.")


def ensure_node_image(engine: Engine) -> str:
    """Make sure that the engine holds a node image; its name. Cheapest way first."""
    source = wanted_source()
    for name, suits in ((built_image_name(), source != "published"), (pins().kind_node_image, source != "built")):
        if suits and _is_loaded(engine, name):
            return name
    if source != "published" and _archive().exists():
        _load(engine)
        return built_image_name()
    if source != "built" and _pull(engine, pins().kind_node_image):
        return pins().kind_node_image
    if source == "published":
        raise Failure(f"{pins().kind_node_image} cannot be pulled; MM_NODE_IMAGE=built builds one instead.")
    _build()
    _load(engine)
    _forget_older(engine)
    return built_image_name()


def _forget_older(engine: Engine) -> None:
    for archive in _archive().parent.glob("*.tar.zst"):
        if archive != _archive():
            archive.unlink()
    remove_built_images(engine, keep=built_image_name())


def remove_built_images(engine: Engine, *, keep: str = "") -> None:
    """Remove node images that were built here from an engine; those that a cluster uses stay."""
    listing = engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "market-maker/node")
    for name in set(listing.split()) - {keep}:
        engine.try_docker("image", "rm", name)


def _is_loaded(engine: Engine, name: str) -> bool:
    return engine.try_docker("image", "inspect", "--format", "{{.Id}}", name)[0] == 0


def _pull(engine: Engine, name: str) -> bool:
    """Pull an image; give up soon where no registry answers, later where layers arrive but do not end."""
    with step("asking for kind's published node image"):
        child = spawn(
            ["docker", "pull", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=engine.environment
        )
        reached = threading.Event()
        limit = threading.Timer(_REGISTRY_SECONDS, lambda: None if reached.is_set() else child.terminate())
        longest = threading.Timer(_PULL_MINUTES * 60, child.terminate)
        limit.start()
        longest.start()
        assert child.stdout is not None  # noqa: S101 - PIPE above
        for line in child.stdout:
            if b"Pulling fs layer" in line or b"Already exists" in line:
                reached.set()
        limit.cancel()
        longest.cancel()
        pulled = finished(child) == 0
    say("kind's published node image is used" if pulled else "no image registry is reached: building the node image")
    return pulled


def _archive() -> Path:
    return cache_subfolder("node-image") / f"{pins().kubernetes}-{image_key()}.tar.zst"


def _load(engine: Engine) -> None:
    with step("loading the node image"):
        unpack_argv = ["zstd", "-dcq", "--long=30", str(_archive())]
        unpack = spawn(unpack_argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert unpack.stdout is not None  # noqa: S101 - PIPE above
        load = spawn(
            ["docker", "load", "-q"],
            stdin=unpack.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=engine.environment,
        )
        if finished(load) != 0 or finished(unpack) != 0:
            _archive().unlink(missing_ok=True)
            raise Failure("The cached node image cannot be loaded; it has been removed: run this again to rebuild it.")


def _build() -> None:
    """Build the node image's archive: Debian and Go side by side, then the tree, then its images, then one tar."""
    require_programs(["mmdebstrap", "zstd", "tar", "chroot"], why="Building the node image")
    if os.geteuid() != 0:
        raise Failure(
            "No image registry is reached, and building the node image needs root: run this with sudo, or get "
            f"{pins().kind_node_image} into Docker."
        )
    with ThreadPoolExecutor(1) as beside:
        debian = beside.submit(node_tree.debian_tree)
        ensure_tools()
        tree = debian.result()
    with work_folder("node-image") as scratch:
        root = scratch / "root"
        root.mkdir()
        run_step("unpacking the node's userland", ["tar", "-C", str(root), "-xf", str(tree)])
        with step("assembling the node"):
            node_tree.assemble(root)
        with step("control-plane images"):
            images = control_plane_images.control_plane_images(root, scratch)
            _preload(root, images)
        _write_archive(root, scratch)


@contextmanager
def _containerd_in(root: Path) -> Iterator[list[str]]:
    """Run the node's own containerd in its tree; hands out the `ctr` command line that reaches it."""
    state = root / "run/preload"
    state.mkdir(parents=True)
    configuration = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri","io.containerd.internal.v1.opt"]\n'
    (state / "config.toml").write_text(configuration)
    arguments = ["--config", "/run/preload/config.toml", "--state", "/run/preload/state"]
    socket = ["--address", "/run/preload/containerd.sock"]
    log = (cache_subfolder("logs") / "preload-containerd.log").open("wb")
    with log:
        daemon = spawn(["chroot", str(root), "containerd", *arguments, *socket], stdout=log, stderr=log)
    try:
        ctr = ["chroot", str(root), "ctr", *socket]
        for _ in range(100):
            if succeeds([*ctr, "version"]):
                break
        else:
            raise Failure(f"containerd did not start in the node's tree; see {log.name}")
        yield ctr
    finally:
        daemon.terminate()
        finished(daemon)
        shutil.rmtree(state)


def _preload(root: Path, images: list[Image]) -> None:
    """Import images into the tree's `/var/lib/containerd`, pinned so that the kubelet never collects them."""
    with _containerd_in(root) as ctr:
        label = "--label=io.cri-containerd.pinned=pinned"
        importing = spawn(
            [*ctr, "-n", "k8s.io", "images", "import", label, "--all-platforms", "--no-unpack", "--digests", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert importing.stdin is not None  # noqa: S101 - PIPE above
        with importing.stdin as archive:
            stream_oci_archive(archive, images)
        if finished(importing) != 0:
            raise Failure("containerd refused the control-plane images")
        listed = capture([*ctr, "-n", "k8s.io", "images", "ls", "-q"]).splitlines()
    missing = [name for image in images for name in image.names if name not in listed]
    if missing:
        raise Failure(f"images that did not arrive in the node's containerd: {', '.join(missing)}")


def _write_archive(root: Path, scratch: Path) -> None:
    with step("writing the node image"):
        layer = write_layer(scratch / "node.tar", [(root, "")])
        image = Image((built_image_name(),), (layer,), node_tree.IMAGE_CONFIGURATION)
        with replacing(_archive()) as draft, draft.open("wb") as output:
            # hyper is in the tree twice (as a program and in an image): a long window stores it once
            pack = spawn(
                ["zstd", "-cq", "-T0", "-5", "--long=30"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.DEVNULL,
            )
            assert pack.stdin is not None  # noqa: S101 - PIPE above
            with pack.stdin as archive:
                stream_docker_archive(archive, image)
            if finished(pack) != 0:
                raise Failure("zstd failed while writing the node image (disk full?)")
