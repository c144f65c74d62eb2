"""The local latch: a file that `mm-runner halt` writes and the engine watches, for the hour when the API server itself is away.

`flatten` writes it too; with `close` in it a running engine closes the position.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mm_runner.core.messages import LocalHalt

LATCH_FILE: Final = "halt.json"
_POLL_SECONDS: Final = 0.1


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    close: bool = False
    since: str = ""
    by: str = ""


def latch_path(state_directory: Path) -> Path:
    """Where the latch of the engine with this state directory lies."""
    return state_directory / LATCH_FILE


def set_latch(state_directory: Path, latch: Latch) -> Path:
    """Write the latch so that a reader never sees half of it."""
    path = latch_path(state_directory)
    state_directory.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(msgspec.json.encode(latch))
    draft.rename(path)
    return path


def clear_latch(state_directory: Path) -> bool:
    """Remove the latch; False where there was none."""
    path = latch_path(state_directory)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def read_latch(state_directory: Path) -> LocalHalt:
    """What the engine is to do. A latch that cannot be read halts and closes nothing: the safe reading."""
    try:
        content = latch_path(state_directory).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return LocalHalt(active=False)
    except OSError:
        return LocalHalt(active=True)
    try:
        return LocalHalt(active=True, close=msgspec.json.decode(content, type=Latch).close)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return LocalHalt(active=True)


async def watch_latch(state_directory: Path, changed: Callable[[LocalHalt], None]) -> None:
    """Tell each change within 200 ms, for ever; the caller has read the latch once before it quotes."""
    known = read_latch(state_directory)
    changed(known)
    place = str(latch_path(state_directory))
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        if not known.active and _surely_absent(place):
            continue
        now = read_latch(state_directory)
        if now != known:
            known = now
            changed(now)


def _surely_absent(place: str) -> bool:
    """One system call for the usual case, ten times a second. Whatever else went wrong is for `read_latch` to judge."""
    try:
        os.stat(place)  # noqa: PTH116 - a Path costs several times the call
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
