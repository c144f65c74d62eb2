"""Parsed tapes kept in a folder, so that the next run of the same tape need not parse it again.

What is kept belongs to one version of the file it came from (its path, size and time) and of this format; anything
else is parsed anew. Reading one takes a twentieth of parsing. Backtests and sweeps that run a tape again and again
use it; the folder may be removed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.flow.loaded import LoadedTape

if TYPE_CHECKING:
    from pathlib import Path

    from mm_exchange.flow.loaded import Touches
    from mm_exchange.flow.scan import Scan

_VERSION = 1


class _Saved(msgspec.Struct, array_like=True):
    """One file: what it was made of, then its columns as raw 64-bit integers."""

    origin: str
    kinds: bytes
    arrays: list[bytes]


def load_saved(scanned: Scan, folder: Path, *, touches: Touches = "recorded") -> LoadedTape:
    """A tape from the folder, or parsed and put there. A folder that cannot be written is no reason to fail."""
    origin = _origin(scanned, touches)
    path = folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.tape"
    tape = _read(path, scanned, origin=origin)
    if tape is None:
        tape = LoadedTape.load(scanned, touches=touches)
        _write(path, tape, origin=origin)
    return tape


def _origin(scanned: Scan, touches: str) -> str:
    status = scanned.path.stat()
    rules = [(name, rules.price_decimals, rules.quantity_decimals) for name, rules in scanned.rules.items()]
    parts = (_VERSION, sys.byteorder, str(scanned.path.resolve()), status.st_size, status.st_mtime_ns, rules, touches)
    return repr(parts)


def _read(path: Path, scanned: Scan, *, origin: str) -> LoadedTape | None:
    try:
        saved = msgspec.msgpack.decode(path.read_bytes(), type=_Saved)
    except (OSError, msgspec.DecodeError):
        return None
    tape = LoadedTape(scanned.rules)
    if saved.origin != origin or len(saved.arrays) != len(tape.arrays):
        return None
    tape.kinds.extend(saved.kinds)
    for column, raw in zip(tape.arrays, saved.arrays, strict=True):
        column.frombytes(raw)
    return tape


def _write(path: Path, tape: LoadedTape, *, origin: str) -> None:
    saved = _Saved(origin, bytes(tape.kinds), [column.tobytes() for column in tape.arrays])
    # Another run may be writing the same tape: whoever is last renames a whole file over a whole file.
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(msgspec.msgpack.encode(saved))
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
