"""Put the layers together: an image and its configuration, and archives of images."""

from pathlib import Path

from mm_cluster.image_archive import Image, write_oci_archive
from mm_cluster.places import cache_subfolder
from mm_images.base import base_layer
from mm_images.code import code_layer, tape_layer
from mm_images.dependencies import dependencies_layer
from mm_images.facts import ImageFacts, facts, tape

# containerd and the kubelet read an unqualified name as one of this registry; nothing is asked of it.
_DEFAULT_REGISTRY = "docker.io"


def build_image(image: ImageFacts) -> Image:
    """The image with its names: `:dev`, and a tag that names exactly this content."""
    layers = [base_layer(), dependencies_layer(image), code_layer(image)]
    environment = dict(facts().environment)
    if image.carries_tape and (path := tape()) is not None:
        layers.insert(2, tape_layer(path))
        environment["MM_TAPE"] = f"/tapes/{path.name}"
    configuration = {
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": [f"{facts().home}/bin/{image.entrypoint}"],
        "User": str(facts().user),
        "WorkingDir": "/",
        "Labels": {"org.opencontainers.image.version": facts().version},
    }
    unnamed = Image((), tuple(layers), configuration)
    names = [f"{_DEFAULT_REGISTRY}/{image.repository}:{tag}" for tag in ("dev", unnamed.short_id())]
    return Image(tuple(names), unnamed.layers, configuration)


def content_reference(image: ImageFacts, built: Image) -> str:
    """What a pod spec says to get exactly this content: `market-maker/runner:<12 hex>`."""
    return f"{image.repository}:{built.short_id()}"


def write_archive(image: ImageFacts, built: Image) -> Path:
    """An OCI archive in the cache folder, made unless it is there; older ones of the image are removed."""
    folder = cache_subfolder("images", "archives")
    target = folder / f"{image.name}-{built.short_id()}.oci.tar"
    for other in folder.glob(f"{image.name}-*.oci.tar"):
        if other != target:
            other.unlink()
    if not target.exists():
        write_oci_archive(target, [built])
    return target
