"""Pauses between attempts: doubling, capped, jittered; chance is a parameter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """0 <= pause <= cap. The first pause is short, because most drops are healed by the next connect.

    Args:
        chance: the source of jitter, so that a fleet does not come back in step.
    """

    chance: random.Random
    base_seconds: float = 0.2
    cap_seconds: float = 10.0
    failures: int = 0

    def next_seconds(self) -> float:
        """The pause before the next attempt: half of it fixed, half by chance."""
        whole = min(self.cap_seconds, self.base_seconds * (1 << min(self.failures, 16)))
        self.failures += 1
        return whole * (0.5 + self.chance.random() / 2)

    def reset(self) -> None:
        """The connection proved good."""
        self.failures = 0
