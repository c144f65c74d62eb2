"""Where an order stands in the queue at its price, when only the total there is shown.

A trade at the price always comes from the front. The models differ in where a *cancellation* is taken to happen, that
is in how much of a fall of the displayed size that no trade explains was before us. With `front` what stands before
the order, `back` what stands behind it, both as displayed before the fall, `change` the fall less what trades took
since the last look, and `p` the part of the fall that was behind:

    front' = min(front - (1 - p) * change + min(back - p * change, 0), displayed)

    conservative     p = 1, and nothing beyond `min(front, displayed)`: cancellations are behind us while any can be
    optimistic       p = 0: cancellations are before us
    proportional     p = back / (front + back)
    power:N          p = f(back) / (f(back) + f(front)),  f(x) = x^N
    power2:N         p = f(back) / f(back + front)
    power3:N         p = 1 - f(front / (front + back))
    log, log2        as power and power2 with f(x) = ln(1 + x), x in base units

Sources: E. Rigtorp, "Estimating order queue position" (2013); the forms are those that hftbacktest documents as
RiskAdverse, PowerProb, PowerProb2, PowerProb3, LogProb and LogProb2, so that fills can be compared. A size that grew
grew behind us. Used by `matching`; sans-I/O, one model for all orders of an exchange.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Behind = Callable[[float, float], float]

NAMES: Final = ("conservative", "optimistic", "proportional", "power:N", "power2:N", "power3:N", "log", "log2")
_ALIASES: Final = {"risk-adverse": "conservative"}


class QueueModel:
    """Moves a queue position. `behind(front, back)` is the part of cancellations that was behind the order, 0 to 1.

    None stands for the conservative rule, which needs no parts and stays in integers.
    """

    def __init__(self, name: str, behind: Behind | None) -> None:
        self.name = name
        self._behind = behind

    def __repr__(self) -> str:
        return f"QueueModel({self.name!r})"

    def displayed(self, front: float, traded: float, *, before: int, now: int, one: int) -> float:
        """The position after the displayed size went from `before` to `now`, in quantity units.

        `traded` is what public trades at the price took since the last look: a fall that they explain has moved the
        position already. `one` is a whole base unit.
        """
        change = before - now - traded
        behind = self._behind
        if behind is None or change <= 0:
            return min(front, now)
        back = max(0.0, before - front)
        part = behind(front / one, back / one)
        moved = front - (1.0 - part) * change + min(back - part * change, 0.0)
        # Invariant: a queue position never grows, and never leaves [0, displayed].
        return max(0.0, min(front, moved, now))


def queue_model(text: str) -> QueueModel:
    """A model by its name, such as `conservative` or `power:3`.

    Raises:
        ValueError: no such model; the sentence names those that exist.
    """
    name, _, number = text.partition(":")
    name = _ALIASES.get(name, name)
    try:
        exponent = float(number) if number else math.nan
    except ValueError:
        exponent = -1.0
    plain: dict[str, Behind | None] = {
        "conservative": None, "optimistic": _nothing, "proportional": _over_sum(_power(1.0)), "log": _over_sum(_log),
        "log2": _over_total(_log),
    }  # fmt: skip
    if name in plain and not number:
        return QueueModel(name, plain[name])
    if exponent > 0 and math.isfinite(exponent):
        function = _power(exponent)
        powers = {"power": _over_sum(function), "power2": _over_total(function), "power3": _rest_of(function)}
        if name in powers:
            return QueueModel(f"{name}:{exponent:g}", powers[name])
    raise ValueError(f"{text!r} is no queue model; there are {', '.join(NAMES)} (N a positive number, such as power:3)")


def _nothing(_front: float, _back: float) -> float:
    return 0.0


def _power(exponent: float) -> Callable[[float], float]:
    return lambda size: float(size**exponent)


def _log(size: float) -> float:
    return math.log1p(size)


def _over_sum(function: Callable[[float], float]) -> Behind:
    def behind(front: float, back: float) -> float:
        total = function(back) + function(front)
        return function(back) / total if total > 0 else 1.0

    return behind


def _over_total(function: Callable[[float], float]) -> Behind:
    def behind(front: float, back: float) -> float:
        total = function(back + front)
        return function(back) / total if total > 0 else 1.0

    return behind


def _rest_of(function: Callable[[float], float]) -> Behind:
    def behind(front: float, back: float) -> float:
        total = front + back
        return 1.0 - function(front / total) if total > 0 else 1.0

    return behind
