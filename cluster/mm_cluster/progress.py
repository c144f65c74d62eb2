"""Progress on standard error: each step with its name and seconds, and a sign of life in long ones.

Standard output is left to results (`export KUBECONFIG=…`, JSON), so that callers can read them.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_STARTED = time.monotonic()
_SIGN_OF_LIFE_SECONDS = 15.0
_LONGEST_LINE = 100


def say(text: str) -> None:
    """Print one line with the seconds since the command started."""
    sys.stderr.write(f"[{time.monotonic() - _STARTED:6.1f} s] {text}\n")
    sys.stderr.flush()


def last_line(log: Path) -> str:
    """The last non-empty line of a log that is still being written, shortened; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line[:_LONGEST_LINE] for line in reversed(lines) if line), "")


@contextmanager
def step(name: str, *, detail: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Announce a step, say how long it took, and every 15 s that it is alive (with `detail()`)."""
    started = time.monotonic()
    ended = threading.Event()

    def sign_of_life() -> None:
        while not ended.wait(_SIGN_OF_LIFE_SECONDS):
            say(f"  {name}: {time.monotonic() - started:.0f} s … {detail()}".rstrip())

    say(f"{name} …")
    watcher = threading.Thread(target=sign_of_life, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    say(f"{name}: done in {time.monotonic() - started:.1f} s")
