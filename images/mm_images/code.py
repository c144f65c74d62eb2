"""The code layer: an image's packages with byte code, its commands, and the distribution's name and version."""

import shutil
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.fingerprint import fingerprint
from mm_cluster.image_archive import Layer, owned_by_root, write_layer
from mm_cluster.places import work_folder
from mm_images.dependencies import compile_byte_code
from mm_images.facts import ImageFacts, facts
from mm_images.layer_store import stored_layer

_DISTRIBUTION = "market-maker-operator"

_COMMAND = """\
#!/usr/bin/env python3
import sys

from {module} import {function}

sys.exit({function}())
"""


def code_layer(image: ImageFacts) -> Layer:
    """The layer for the present sources of an image."""
    missing = [str(folder) for folder in image.packages if not folder.is_dir()]
    if missing:
        raise Failure(f"the {image.name} image has no sources: {', '.join(missing)}")
    words = [f"{name}={target}" for name, target in image.commands.items()]
    key = fingerprint([*image.packages, Path(__file__)], also=[*words, facts().version, facts().home])
    return stored_layer(f"code-{image.name}", key, lambda path: _write(image, path))


def _write(image: ImageFacts, target: Path) -> Layer:
    with work_folder(f"code-{image.name}") as scratch:
        stage_code(image, scratch)
        trees = [(scratch / name, f"{facts().home}/{name}") for name in ("code", "bin")]
        return write_layer(target, trees, entry_filter=owned_by_root)


def stage_code(image: ImageFacts, home: Path) -> None:
    """Put an image's packages into `home`/code and its commands into `home`/bin, as they lie in the image."""
    code, commands = home / "code", home / "bin"
    for package in image.packages:
        shutil.copytree(package, code / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    compile_byte_code(code, f"{facts().home}/code", purpose=f"code of the {image.name} image")
    _write_metadata(code)
    commands.mkdir()
    for name, target in image.commands.items():
        module, _, function = target.partition(":")
        (commands / name).write_text(_COMMAND.format(module=module, function=function))
        (commands / name).chmod(0o755)


def _write_metadata(code: Path) -> None:
    """What `importlib.metadata.version` reads, so that `--version` works without an installation."""
    folder = code / f"{_DISTRIBUTION.replace('-', '_')}-{facts().version}.dist-info"
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: {facts().version}\n"
    (folder / "METADATA").write_text(metadata)


def tape_layer(tape: Path) -> Layer:
    """A layer that holds a market tape at `/tapes`."""
    key = fingerprint([tape, Path(__file__)])
    return stored_layer(
        "tape", key, lambda path: write_layer(path, [(tape, f"tapes/{tape.name}")], entry_filter=owned_by_root)
    )
