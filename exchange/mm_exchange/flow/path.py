"""The hidden price of a synthetic market: a mean-reverting walk with jumps and times of stress, made ahead of time.

It is made ahead because informed traders know where it will be. Sans-I/O and seeded; one step an interval.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from mm_exchange.flow.parameters import FlowParameters

_HOUR_S = 3600.0
_JUMP_SPREAD = 0.3


class PricePath:
    """The price now and for some seconds to come, in price units (not rounded)."""

    def __init__(self, start: float, parameters: FlowParameters, *, rng: Random) -> None:
        self._rng = rng
        self._parameters = parameters
        self._seconds = parameters.interval_ms / 1000
        self._anchor = self._last = start
        self._stress_left = 0.0
        pull = self._seconds / parameters.reversion_seconds if parameters.reversion_seconds > 0 else 0.0
        self._pull = min(1.0, pull)
        self._deviation = parameters.volatility_bps * 1e-4 * math.sqrt(self._seconds)
        informed = parameters.informed_per_second > 0
        ahead = max(1, round(parameters.informed_horizon_seconds / self._seconds)) if informed else 0
        self._ahead: deque[tuple[float, bool]] = deque([(start, False)])
        for _ in range(ahead):
            self._extend()

    @property
    def mid(self) -> float:
        """The price now."""
        return self._ahead[0][0]

    @property
    def stressed(self) -> bool:
        """Is the market under stress now?"""
        return self._ahead[0][1]

    @property
    def known(self) -> float:
        """The price that informed traders know: at their horizon."""
        return self._ahead[-1][0]

    def step(self) -> None:
        """One interval passes."""
        self._extend()
        self._ahead.popleft()

    def push(self, factor: float) -> None:
        """Move now and everything to come."""
        self._anchor *= factor
        self._last *= factor
        self._ahead = deque((mid * factor, stressed) for mid, stressed in self._ahead)

    def _extend(self) -> None:
        rng, parameters = self._rng, self._parameters
        self._stress_left = max(0.0, self._stress_left - self._seconds)
        if self._happens(parameters.stress_per_hour):
            self._stress_left = parameters.stress_seconds
        stressed = self._stress_left > 0
        deviation = self._deviation * (parameters.stress_volatility if stressed else 1.0)
        last = self._last
        last += last * rng.gauss(0.0, deviation) + (self._anchor - last) * self._pull
        if self._happens(parameters.jumps_per_hour):
            size = parameters.jump_bps * 1e-4 * math.exp(rng.gauss(0.0, _JUMP_SPREAD))
            # Symmetric in the logarithm, so that many jumps lead nowhere on average.
            last *= math.exp(size if rng.random() < 0.5 else -size)
            # A jump is news: the anchor of the walk moves with it.
            self._anchor *= last / self._last
            self._stress_left, stressed = parameters.stress_seconds, parameters.stress_seconds > 0
        self._last = last
        self._ahead.append((last, stressed))

    def _happens(self, per_hour: float) -> bool:
        return per_hour > 0 and self._rng.random() < -math.expm1(-per_hour * self._seconds / _HOUR_S)
