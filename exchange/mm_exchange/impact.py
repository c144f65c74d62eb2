"""What our own takers do to the market that they meet: nothing, or they consume it and it recovers.

A tape plays on as it was recorded, whatever our orders take from it, so a taker could eat the same level again and
again. With *consume and recover*, what was taken at a price is hidden from matching (and from nothing else: book and
streams stay the tape's own) and comes back with a half-life, as other traders would refill the level:

    hidden(t) = taken * 2^(-(t - t0) / half-life)

Read and written by `market` and `matching`; sans-I/O, times are the market's event milliseconds.
"""

from __future__ import annotations

_REMEMBERED = 1_000


class Consumed:
    """What takers took from one symbol's two sides and has not come back yet. Prices and quantities in units."""

    def __init__(self, half_life_ms: float) -> None:
        if half_life_ms <= 0:
            raise ValueError("the half-life of consumed liquidity must be positive")
        self._half_life_ms = half_life_ms
        self._taken: tuple[dict[int, tuple[float, int]], dict[int, tuple[float, int]]] = ({}, {})

    def take(self, price: int, quantity: int, *, bids: bool, now_ms: int) -> None:
        """A quantity of the bid (`bids`) or ask level at a price was taken."""
        side = self._taken[bids]
        side[price] = quantity + self._hidden(side.get(price), now_ms), now_ms
        if len(side) > _REMEMBERED:
            back = [at for at, taken in side.items() if self._hidden(taken, now_ms) < 1]
            for at in back:
                del side[at]

    def hidden(self, price: int, *, bids: bool, now_ms: int) -> int:
        """How much of the level is hidden still."""
        taken = self._taken[bids].get(price)
        return round(self._hidden(taken, now_ms)) if taken is not None else 0

    def _hidden(self, taken: tuple[float, int] | None, now_ms: int) -> float:
        if taken is None:
            return 0.0
        quantity, since_ms = taken
        return float(quantity * 2.0 ** (-max(0, now_ms - since_ms) / self._half_life_ms))
