"""Load images into every node of the kind cluster, side by side; a node is sent only the layers it lacks."""

import os
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mm_cluster import engine
from mm_cluster.failure import Failure
from mm_cluster.image_archive import Image, stream_oci_archive
from mm_cluster.kind_cluster import Cluster, chosen_name, current_context
from mm_cluster.process import finished, spawn
from mm_cluster.progress import say, step

_CTR = ("ctr", "--namespace", "k8s.io")


def target_cluster() -> Cluster:
    """The cluster to load into: ours, or the kind cluster of the user's own context.

    Raises:
        Failure: none runs, or it is not a kind cluster on this machine's Docker.
    """
    found = engine.find_running()
    name = chosen_name()
    if os.environ.get("MM_E2E_USE_CURRENT_CONTEXT") == "1":
        context, _ = current_context()
        if not context.startswith("kind-"):
            raise Failure(
                f"Context {context} is no kind cluster: push the archives of `images/build` to a registry that it "
                "pulls from, and name them in the chart's values."
            )
        name = context.removeprefix("kind-")
    if found is None or not Cluster(name, found).nodes(running_only=True):
        raise Failure(f"The cluster {name} does not run: `cluster/up` starts it.")
    return Cluster(name, found)


def load(images: Sequence[Image], cluster: Cluster) -> None:
    """Load into all nodes; the first failure is raised."""
    nodes = cluster.nodes(running_only=True)
    with step(f"loading {len(images)} images into {len(nodes)} nodes"), ThreadPoolExecutor(len(nodes)) as side_by_side:
        sent = list(side_by_side.map(lambda node: _load_into(node, images, cluster.engine), nodes))
    say(f"sent {', '.join(f'{count >> 10} KiB' for count in sent)}")


def _load_into(node: str, images: Sequence[Image], docker: engine.Engine) -> int:
    """Load into one node; the bytes of layers that were sent."""
    wanted = [image for image in images if not _holds(node, image, docker)]
    if not wanted:
        return 0
    blobs = docker.docker("exec", node, *_CTR, "content", "ls", "--quiet")
    known = frozenset(re.findall(r"sha256:([0-9a-f]{64})", blobs))
    importing = spawn(
        ["docker", "exec", "--interactive", node, *_CTR, "images", "import", "--all-platforms", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=docker.environment,
    )
    assert importing.stdin is not None and importing.stderr is not None  # noqa: S101, PT018 - PIPE above
    try:
        with importing.stdin as archive:
            stream_oci_archive(archive, wanted, known=known)
    except BrokenPipeError:
        pass  # the importer ended early; its exit code and words follow
    words = importing.stderr.read().decode(errors="replace")
    if finished(importing) != 0:
        raise Failure(f"{node} refused the images: {words.strip()[-500:]}")
    layers = {layer.sha256: layer.size for image in wanted for layer in image.layers}
    return sum(size for digest, size in layers.items() if digest not in known)


def _holds(node: str, image: Image, docker: engine.Engine) -> bool:
    """Whether a node has all names of an image on exactly this content."""
    listing = docker.docker("exec", node, *_CTR, "images", "ls")
    digest = f"sha256:{image.manifest_sha256()}"
    held = {row[0] for row in map(str.split, listing.splitlines()) if digest in row}
    return held.issuperset(image.names)
