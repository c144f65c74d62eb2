"""Running other programs: captured for short ones, logged with a sign of life for long ones.

Every program runs in a process group of its own, and all of them end when this command does, so that an
interrupted run leaves nothing behind that works on.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from mm_cluster.failure import Failure
from mm_cluster.places import cache_subfolder
from mm_cluster.progress import last_line, step

_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.RLock()  # re-entered when a signal handler calls `end_all`
_TAIL_LINES = 25


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def spawn(
    argv: Sequence[str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that `end_all` will end; a missing program is a `Failure`."""
    try:
        child = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_environment(env),
            start_new_session=True,
        )
    except FileNotFoundError as missing:
        raise Failure(f"{argv[0]} is not installed: {missing}") from missing
    with _running_lock:
        _running.add(child)
    return child


def finished(child: subprocess.Popen[bytes]) -> int:
    """Wait for a program started by `spawn`; its exit code."""
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            _end_group(child)
        with _running_lock:
            _running.discard(child)


def run_step(
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a long program as a named step; its output goes to a log file, whose end is shown on failure."""
    log = cache_subfolder("logs") / f"{name.replace(' ', '-').replace('/', '-')}.log"
    with log.open("wb") as output, step(name, detail=lambda: last_line(log)):
        child = spawn(argv, stdout=output, stderr=output, env=env)
        code = finished(child)
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise Failure(f"{name} failed (exit code {code}). End of {log}:\n{tail}")


def attempt(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
    stdin: bytes = b"",
) -> tuple[int, str]:
    """Run a short program; its exit code and output (standard output, or what it said on failure).

    A missing program or one that does not end in time is exit code 127 or 124, as a shell has it.
    """
    try:
        child = spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    except Failure as missing:
        return 127, str(missing)
    try:
        out, err = child.communicate(stdin, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _end_group(child)
        child.communicate()
        return 124, f"{argv[0]} did not answer within {timeout_seconds:.0f} s"
    finally:
        finished(child)
    text = out if child.returncode == 0 else err + out
    return child.returncode, text.decode(errors="replace").strip()


def capture(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
    stdin: bytes = b"",
) -> str:
    """Run a short program that must succeed; its standard output."""
    code, output = attempt(argv, env=env, timeout_seconds=timeout_seconds, stdin=stdin)
    if code != 0:
        raise Failure(f"`{' '.join(argv)}` failed (exit code {code}): {output}")
    return output


def succeeds(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_seconds: float = 30.0) -> bool:
    """Whether a short program ends with exit code 0 in time."""
    return attempt(argv, env=env, timeout_seconds=timeout_seconds)[0] == 0


def _end_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=3)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def end_all() -> None:
    """End every program that still runs: the command was interrupted or has failed in another thread."""
    with _running_lock:
        remaining = list(_running)
    for child in remaining:
        if child.poll() is None:
            _end_group(child)
