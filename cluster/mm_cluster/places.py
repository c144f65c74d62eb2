"""Where things are kept: one cache folder per user, one small folder for sockets.

Everything in the cache folder can be deleted at any time (`cluster/down --cache`); the next run makes it again.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CLUSTER = PROJECT / "cluster"


def cache() -> Path:
    """The cache folder, made when absent: `${XDG_CACHE_HOME:-~/.cache}/market-maker-operator`."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "market-maker-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_subfolder(*parts: str) -> Path:
    """A folder below the cache, made when absent."""
    folder = cache().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_folder() -> Path:
    """Where sockets go, one folder per cache folder; short, because a socket's path holds at most 107 bytes."""
    key = hashlib.sha256(str(cache()).encode()).hexdigest()[:8]
    parent = Path("/run") if os.access("/run", os.W_OK) else Path(f"/tmp/mm-{os.getuid()}")  # noqa: S108
    return parent / "market-maker-operator" / key


@contextmanager
def work_folder(purpose: str) -> Iterator[Path]:
    """A scratch folder in the cache (same file system, so results are renamed into place), removed afterwards.

    What a killed run left behind is removed by the next one.
    """
    parent = cache_subfolder("work")
    for leftover in parent.iterdir():
        pid = leftover.name.rpartition("-")[2]
        if not pid.isdigit() or not Path("/proc", pid).exists():
            shutil.rmtree(leftover, ignore_errors=True)
    folder = parent / f"{purpose}-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Hand out a temporary path beside `target`; rename it into place when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
