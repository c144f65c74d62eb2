"""The dependencies layer: the wheels that a lock file names, installed for the images' Python, compiled."""

import platform
import shutil
from pathlib import Path

from mm_cluster.fingerprint import fingerprint
from mm_cluster.image_archive import Layer, owned_by_root, write_layer
from mm_cluster.places import work_folder
from mm_cluster.process import run_step
from mm_images.facts import ImageFacts, facts
from mm_images.layer_store import stored_layer
from mm_images.python_311 import python_311

# The images' C library is Debian bookworm's: a wheel that asks for a newer one must not be chosen on a newer machine.
_NEWEST_GLIBC = 36

# Left out of every wheel: sources of compiled modules, type stubs, and the tests that some carry.
_UNREAD_SUFFIXES = {".c", ".cpp", ".h", ".pyx", ".pxd", ".pyi"}
_UNREAD_FOLDERS = {"tests", "bin", "__pycache__"}


def dependencies_layer(image: ImageFacts) -> Layer:
    """The layer for an image's lock file; from the cache where the same lock file was installed before."""
    key = fingerprint([image.lock, Path(__file__)], also=[facts().home, *facts().byte_code_only])
    return stored_layer(f"dependencies-{image.name}", key, lambda path: _install(image, path))


def _platforms() -> list[str]:
    machine = platform.machine()
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 16, -1)]
    return [*names, f"manylinux2014_{machine}", f"linux_{machine}"]


def _install(image: ImageFacts, target: Path) -> Layer:
    with work_folder(f"wheels-{image.name}") as scratch:
        stage_dependencies(image, scratch / "site")
        trees = [(scratch / "site", f"{facts().home}/dependencies")]
        return write_layer(target, trees, entry_filter=owned_by_root)


def stage_dependencies(image: ImageFacts, site: Path) -> None:
    """Install an image's wheels into a folder, as they lie in the image."""
    argv = [python_311(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    argv += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--python-version", "3.11"]
    argv += ["--implementation", "cp", "--target", str(site)]
    argv += [word for name in _platforms() for word in ("--platform", name)]
    run_step(f"wheels of the {image.name} image", [*argv, "--requirement", str(image.lock)])
    _leave_out_unread(site)
    _replace_source_by_byte_code(site, purpose=f"generated code of the {image.name} image")
    compile_byte_code(site, f"{facts().home}/dependencies", purpose=f"byte code of the {image.name} image")


def _leave_out_unread(site: Path) -> None:
    for path in sorted(site.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _UNREAD_FOLDERS:
            shutil.rmtree(path)
        elif path.suffix in _UNREAD_SUFFIXES and path.is_file():
            path.unlink()


def _replace_source_by_byte_code(site: Path, *, purpose: str) -> None:
    """Python loads `x.pyc` beside where `x.py` would be; docstrings go (optimisation level 2)."""
    folders = [str(site / name) for name in facts().byte_code_only if (site / name).is_dir()]
    if not folders:
        return
    _compile(purpose, ["-b", "-o", "2", "-s", str(site), *folders])
    for source in (path for folder in folders for path in Path(folder).rglob("*.py")):
        source.unlink()


def compile_byte_code(tree: Path, path_in_image: str, *, purpose: str) -> None:
    """Compile a tree to byte code that Python loads without a look at the source."""
    _compile(purpose, ["-s", str(tree), "-p", path_in_image, str(tree)])


def _compile(purpose: str, arguments: list[str]) -> None:
    """One process and a fixed hash seed: the same sources give the same bytes."""
    argv = [python_311(), "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash", *arguments]
    run_step(purpose, argv, env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""})
