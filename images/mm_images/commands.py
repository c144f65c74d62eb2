"""The command lines of `images/`."""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mm_cluster.commands import guarded
from mm_cluster.image_archive import Image
from mm_cluster.lock import exclusive
from mm_images.base import base_layer
from mm_images.build import build_image, content_reference, write_archive
from mm_images.code import stage_code
from mm_images.dependencies import stage_dependencies
from mm_images.facts import ImageFacts, facts, selected
from mm_images.load import load as load_images
from mm_images.load import target_cluster


def _parse(program: str, description: str) -> list[ImageFacts]:
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"any of {', '.join(facts().images)}; default: all")
    return selected(parser.parse_args().images)


def _build_all(chosen: list[ImageFacts]) -> dict[str, Image]:
    """The images, made side by side: each waits mostly for its wheels."""
    base_layer()
    with ThreadPoolExecutor(len(chosen)) as side_by_side:
        return dict(zip((image.name for image in chosen), side_by_side.map(build_image, chosen), strict=True))


def build() -> int:
    """`images/build`: OCI archives; prints their paths as JSON."""
    text = "Build OCI archives of the images, without a daemon; print {image: archive} as JSON."
    return guarded(lambda: _build(_parse("images/build", text)))


def _build(chosen: list[ImageFacts]) -> None:
    with exclusive("images"):
        built = _build_all(chosen)
        paths = {image.name: str(write_archive(image, built[image.name])) for image in chosen}
    print(json.dumps(paths))


def load() -> int:
    """`images/load`: build and load into the cluster's nodes; prints the images' references as JSON."""
    text = "Build the images, load them into every node of the cluster; print {image: reference} as JSON."
    return guarded(lambda: _load(_parse("images/load", text)))


def _load(chosen: list[ImageFacts]) -> None:
    with exclusive("images"):
        cluster = target_cluster()
        built = _build_all(chosen)
        load_images(list(built.values()), cluster)
    print(json.dumps({image.name: content_reference(image, built[image.name]) for image in chosen}))


def stage() -> int:
    """`images/stage`: what the Dockerfiles run."""
    text = "Write one part of an image's /opt/market-maker into a folder; the Dockerfiles call this."
    parser = argparse.ArgumentParser(prog="images/stage", description=text)
    parser.add_argument("part", choices=["dependencies", "code"])
    parser.add_argument("image", choices=sorted(facts().images))
    parser.add_argument("home", type=Path, metavar="DIR", help="stands for /opt/market-maker")
    arguments = parser.parse_args()
    image, home = facts().images[arguments.image], arguments.home
    if arguments.part == "code":
        return guarded(lambda: stage_code(image, home))
    return guarded(lambda: stage_dependencies(image, home / "dependencies"))
