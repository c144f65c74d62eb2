"""A file of the processes that were started, so that exactly those are ended later, by whomever.

A process id alone may be reused; with its start time it names one process for good.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recorded:
    """A process: its id, its start time in clock ticks since boot, and what it is."""

    pid: int
    start_ticks: int
    name: str

    def is_alive(self) -> bool:
        """Whether that very process still runs (a zombie does not)."""
        return start_ticks(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> None:
        """Send a signal to that very process, if it still runs."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def start_ticks(pid: int) -> int | None:
    """Field 22 of `/proc/PID/stat`; None for a process that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def record(file: Path, pid: int, *, name: str) -> None:
    """Append a process of ours to the file."""
    with file.open("a") as lines:
        lines.write(f"{pid} {start_ticks(pid) or 0} {name}\n")


def recorded(file: Path) -> list[Recorded]:
    """The processes in the file; none where there is no file."""
    if not file.exists():
        return []
    rows = (line.split(maxsplit=2) for line in file.read_text().splitlines())
    return [Recorded(int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3]


def end(processes: list[Recorded], *, patience_seconds: float) -> None:
    """Ask them to end, in the given order; insist when they have not within the time."""
    for process in processes:
        process.send(signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.send(signal.SIGKILL)
