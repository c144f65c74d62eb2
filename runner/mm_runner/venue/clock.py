"""The venue's clock as seen from here, without trusting the machine's wall clock.

Requests carry the venue's time, computed from CLOCK_BOOTTIME (it counts suspended time and no NTP step moves it) and an offset measured by
`GET /fapi/v1/time`. Pure: readings come in, estimates go out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

NS_PER_MS: Final = 1_000_000
_WINDOW: Final = 8
_MAX_AGE_NS: Final = 30 * 60 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One answer of the venue's clock: what it said, and our boot clock when we asked and when we heard."""

    sent_boot_ns: int
    received_boot_ns: int
    venue_ms: int

    @property
    def round_trip_ns(self) -> int:
        """The uncertainty of the reading is half of this."""
        return self.received_boot_ns - self.sent_boot_ns

    @property
    def base_ns(self) -> int:
        """Venue time (ns since 1970) at boot clock 0, taking the answer as made half-way."""
        return self.venue_ms * NS_PER_MS - (self.sent_boot_ns + self.received_boot_ns) // 2


class VenueClock:
    """Offset estimate: of the recent readings the one with the shortest round trip, because its error is bounded by it."""

    def __init__(self, *, wall_ms: int, boot_ns: int) -> None:
        """Until the first reading the machine's own wall clock serves."""
        self._readings: deque[ClockReading] = deque(maxlen=_WINDOW)
        self._base_ns = wall_ms * NS_PER_MS - boot_ns
        self._synced = False

    @property
    def synced(self) -> bool:
        """Whether a reading of the venue stands behind `now_ms`; False again after `distrust`."""
        return self._synced

    def add(self, reading: ClockReading) -> None:
        """Take a reading in; ones that a step of the venue's clock or age has outdated are dropped."""
        if reading.round_trip_ns < 0:
            return
        newest = reading.received_boot_ns
        kept = [old for old in self._readings if newest - old.received_boot_ns <= _MAX_AGE_NS and _agree(old, reading)]
        self._readings.clear()
        self._readings.extend((*kept, reading))
        self._base_ns = min(self._readings, key=lambda one: one.round_trip_ns).base_ns
        self._synced = True

    def distrust(self) -> None:
        """The venue answered -1021: forget what we believed until a fresh reading (design, invariant 4)."""
        self._readings.clear()
        self._synced = False

    def now_ms(self, boot_ns: int) -> int:
        """The venue's time at this boot-clock instant, in ms since 1970."""
        return (self._base_ns + boot_ns) // NS_PER_MS

    def offset_ms(self, *, wall_ms: int, boot_ns: int) -> int:
        """Venue clock minus the machine's wall clock."""
        return self.now_ms(boot_ns) - wall_ms


def _agree(old: ClockReading, new: ClockReading) -> bool:
    """Two readings agree where their error bounds overlap, give or take a millisecond of rounding and slow drift."""
    bound = (old.round_trip_ns + new.round_trip_ns) // 2 + 5 * NS_PER_MS
    return abs(old.base_ns - new.base_ns) <= bound
