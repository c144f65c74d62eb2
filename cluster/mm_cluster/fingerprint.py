"""Cache keys: a hash over everything that decides a result, so that a changed input rebuilds."""

import hashlib
import platform
from collections.abc import Iterable
from pathlib import Path

_IGNORED = {"__pycache__", ".DS_Store"}


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder in a stable order, byte code left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _IGNORED.intersection(path.parts))


def fingerprint(paths: Iterable[Path], *, also: Iterable[str] = ()) -> str:
    """Twelve hex digits over the names and contents of files (folders: all below) and further words.

    Names count relative to the given path, so two checkouts in different folders share a cache.
    """
    digest = hashlib.sha256(platform.machine().encode())
    for word in also:
        digest.update(b"word\0" + word.encode() + b"\0")
    for path in paths:
        for file in files_below(path) if path.is_dir() else [path]:
            name = file.relative_to(path.parent)
            content = hashlib.sha256(file.read_bytes()).digest()
            digest.update(b"file\0" + str(name).encode() + b"\0" + content)
    return digest.hexdigest()[:12]
