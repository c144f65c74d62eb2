"""Signals from the book: short volatility of the mid."""

from __future__ import annotations

import math
from typing import Final

_WEIGHT: Final = 0.1


class Volatility:
    """Root mean square of the mid's relative moves, one per interval, exponentially weighted (weight 0.1 for the newest)."""

    __slots__ = ("_mid", "_next_ns", "_variance")

    def __init__(self) -> None:
        self._mid = 0.0
        self._variance = 0.0
        self._next_ns = 0

    @property
    def value(self) -> float:
        """Part of the mid per interval; 0.0 before the second sample."""
        return math.sqrt(self._variance)

    def sample(self, mid: float, *, now_ns: int, interval_ns: int) -> None:
        """Take a mid; does nothing before the interval is over."""
        if now_ns < self._next_ns or mid <= 0:
            return
        self._next_ns = now_ns + interval_ns
        if self._mid > 0:
            move = (mid - self._mid) / self._mid
            self._variance += _WEIGHT * (move * move - self._variance)
        self._mid = mid

    def forget(self) -> None:
        """The book was lost: the move across the gap is not one interval's."""
        self._mid = 0.0
