"""Where the exchange's time comes from: the wall clock when serving, a virtual one in tests and backtests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of UTC nanoseconds."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""


class WallClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


class VirtualClock:
    """A clock that stands until it is moved."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now_ns += int(seconds * 1e9)
