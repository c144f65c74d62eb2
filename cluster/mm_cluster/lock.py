"""One run at a time: a second one waits for the first, and says so."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mm_cluster.places import cache
from mm_cluster.progress import say

_REMINDER_SECONDS = 15.0


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock `<cache>/<name>.lock`; the kernel releases it however this process ends."""
    with (cache() / f"{name}.lock").open("a+") as file:
        reminder = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= reminder:
                    file.seek(0)
                    say(f"waiting for another run (process {file.read().strip() or 'unknown'}) to finish …")
                    reminder = time.monotonic() + _REMINDER_SECONDS
                time.sleep(0.2)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
