"""The shell's clocks: the only place of the control side that reads them."""

from __future__ import annotations

import datetime as dt
import time

from mm_runner.core.messages import Instant

SECOND_NS = 1_000_000_000


def boot_ns() -> int:
    """CLOCK_BOOTTIME: counts suspended time, and no NTP step moves it (invariant 4)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def instant() -> Instant:
    """Now, as the core wants it."""
    return Instant(boot_ns=boot_ns(), wall_ms=time.time_ns() // 1_000_000)


def rfc3339() -> str:
    """The wall clock in UTC with microseconds, which Kubernetes' MicroTime insists on."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
