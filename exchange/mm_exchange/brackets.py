"""Leverage brackets: how much notional a leverage may carry, and the maintenance margin that it needs.

Sums are exact: ratios count in 1/10,000 and `cum` in money atoms, so that the margin is continuous at each floor.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from mm_exchange.scales import MONEY, divide_half_even

_RATIO_UNITS = 10**4


@dataclasses.dataclass(frozen=True, slots=True)
class Bracket:
    """One bracket: above `floor` up to `cap` quote units of notional at most `leverage`, maintenance `ratio` less `cum`."""

    leverage: int
    cap: int
    floor: int
    ratio: Decimal
    cum: Decimal
    cap_atoms: int
    ratio_units: int
    cum_atoms: int


def _brackets(rows: tuple[tuple[int, int, str], ...]) -> tuple[Bracket, ...]:
    brackets: list[Bracket] = []
    floor, ratio, cum = 0, Decimal(0), Decimal(0)
    for leverage, cap, text in rows:
        # What a lower bracket asks less is taken off again, so that nothing jumps at the floor.
        cum += floor * (Decimal(text) - ratio)
        ratio = Decimal(text)
        brackets.append(
            Bracket(leverage, cap, floor, ratio, cum, cap * MONEY.one, int(ratio * _RATIO_UNITS), MONEY.exact(cum))
        )
        floor = cap
    return tuple(brackets)


# The liquid majors.
BRACKETS = _brackets((
    (125, 50_000, "0.004"), (100, 600_000, "0.005"), (75, 1_200_000, "0.0065"), (50, 3_200_000, "0.01"),
    (25, 8_000_000, "0.02"), (20, 20_000_000, "0.025"), (10, 40_000_000, "0.05"), (5, 80_000_000, "0.1"),
    (1, 400_000_000, "0.5"),
))  # fmt: skip
# Everything else.
SMALL_BRACKETS = _brackets((
    (75, 5_000, "0.01"), (50, 50_000, "0.015"), (25, 250_000, "0.02"), (20, 1_000_000, "0.025"),
    (10, 2_000_000, "0.05"), (5, 4_000_000, "0.1"), (2, 8_000_000, "0.25"), (1, 20_000_000, "0.5"),
))  # fmt: skip


def bracket_of(brackets: tuple[Bracket, ...], notional: int) -> Bracket:
    """The bracket of an absolute notional in money atoms; the last one has no end."""
    for row in brackets:
        if notional <= row.cap_atoms:
            return row
    return brackets[-1]


def maintenance(brackets: tuple[Bracket, ...], notional: int) -> int:
    """Maintenance margin of an absolute notional, both in money atoms."""
    row = bracket_of(brackets, notional)
    return divide_half_even(notional * row.ratio_units, _RATIO_UNITS) - row.cum_atoms


def max_notional(brackets: tuple[Bracket, ...], leverage: int) -> int:
    """Largest notional in quote units that a leverage may carry."""
    return max((row.cap for row in brackets if row.leverage >= leverage), default=0)
