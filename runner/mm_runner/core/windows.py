"""Budgets over a sliding minute."""

from __future__ import annotations

from collections import deque

from mm_runner.core.settings import MINUTE


class MinuteBudget:
    """Counts events of the last minute against a limit that may change at any time.

    What can wait is paced besides: a token bucket of a tenth of the minute's limit, refilled evenly with eight tenths (one stays in reserve), so that a
    lively market does not use up the minute in its first seconds and freeze the quotes for the rest.
    """

    __slots__ = ("_filled_ns", "_times", "_tokens")

    def __init__(self) -> None:
        self._times: deque[int] = deque()
        self._tokens = float("inf")
        self._filled_ns = 0

    def left(self, limit: int, *, now_ns: int) -> int:
        """How many more fit now; never negative."""
        times = self._times
        while times and times[0] <= now_ns - MINUTE:
            times.popleft()
        return limit - len(times) if len(times) < limit else 0

    def spend(self, now_ns: int) -> None:
        """Count one, whether or not it fits: what must go out goes out, and is counted."""
        self._times.append(now_ns)
        self._tokens = max(0.0, self._tokens - 1)

    def paced(self, limit: int, *, now_ns: int) -> int:
        """How many that can wait may go now; a tenth of the limit is never given to them."""
        capacity = max(4.0, limit / 10)
        self._tokens = min(capacity, self._tokens + (now_ns - self._filled_ns) * 0.8 * limit / MINUTE)
        self._filled_ns = now_ns
        return max(0, min(int(self._tokens), self.left(limit, now_ns=now_ns) - limit // 10))
