"""Budgets over a sliding minute."""

from __future__ import annotations

from collections import deque

from mm_runner.core.settings import MINUTE


class MinuteBudget:
    """Counts events of the last minute against a limit that may change at any time."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[int] = deque()

    def left(self, limit: int, *, now_ns: int) -> int:
        """How many more fit now; never negative."""
        times = self._times
        while times and times[0] <= now_ns - MINUTE:
            times.popleft()
        return max(0, limit - len(times))

    def spend(self, now_ns: int) -> None:
        """Count one, whether or not it fits: what must go out goes out, and is counted."""
        self._times.append(now_ns)

    def free_at(self, limit: int) -> int | None:
        """When the next one fits; None where one fits already."""
        if len(self._times) < limit:
            return None
        return self._times[len(self._times) - limit] + MINUTE
