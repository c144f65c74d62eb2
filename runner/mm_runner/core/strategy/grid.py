"""The grid: two-sided levels around a centre that leans against the inventory.

    inventory i   = clamp((position - target) / maxPosition, -1, 1)
    spread    s   = min(max(minSpread, fees) x (1 + v) x (1 + |i|), maxSpread)      v = min(volatilityFactor x move / shock move, 3)
    centre    c   = mid x (1 - i x s x skewFactor - fundingBias x funding rate)
    level k       = c x (1 -+ (s / 2 + d_k)),  d_0 = 0, d_k = d_(k-1) + levelSpacing x levelSpacingRatio^(k-1)
    size of k     = baseSize x levelSizeRatio^k

The origin's formulas (origin-engine section 3.2) with a volatility that works: there the previous mid was overwritten before it was used.
Pinning (|i| above it): the reducing side joins the touch where that is nearer. Grinding: it steps one tick inside, and the adding side shrinks by |i|.
Take profit: beyond it the reducing side's first level offers the whole position. All of it is pure; the gate keeps the caps.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mm_runner.core.messages import Side
from mm_runner.core.settings import QuoteSettings, RiskSettings
from mm_runner.core.strategy.quotes import Quotes, View, Wanted

MAX_VOLATILITY_FACTOR: Final = 3.0


def inventory_factor(position: int, risk: RiskSettings) -> float:
    """Where the position stands between the caps, seen from its target; -1..1."""
    if risk.max_lots <= 0:
        return 0.0
    return max(-1.0, min(1.0, (position - risk.target_lots) / risk.max_lots))


def volatility_factor(view: View, quote: QuoteSettings) -> float:
    """The factor v of the formulas."""
    if view.volatility_unit <= 0:
        return 0.0
    return min(quote.volatility_factor * view.volatility / view.volatility_unit, MAX_VOLATILITY_FACTOR)


def full_spread(view: View, quote: QuoteSettings, *, volatility: float, inventory: float) -> float:
    """The spread s of the formulas. Fees of a round trip are a floor that even maxSpread does not undercut, unless allowed."""
    floor = 0.0 if quote.allow_below_fees else 2 * view.maker_fee
    spread = max(quote.min_spread, floor) * (1 + volatility) * (1 + abs(inventory))
    return max(min(spread, quote.max_spread), floor)


def distances(quote: QuoteSettings) -> list[float]:
    """The distances d_k of the formulas for every level, as parts of the centre."""
    found, distance, step = [0.0], 0.0, quote.spacing
    for _ in range(1, quote.levels):
        distance += step
        step *= quote.spacing_ratio
        found.append(distance)
    return found


def quotes(view: View, quote: QuoteSettings, risk: RiskSettings) -> Quotes:
    """Wanted quotes of both sides."""
    inventory = inventory_factor(view.position, risk)
    volatility = volatility_factor(view, quote)
    spread = full_spread(view, quote, volatility=volatility, inventory=inventory)
    mid = view.mid
    centre = mid * (1 - inventory * spread * quote.skew_factor - quote.funding_bias * view.funding_rate)
    lean = Lean(centre, spread / 2, inventory, distances(quote))
    return Quotes(
        bids=_side(Side.BUY, view, quote, lean=lean),
        asks=_side(Side.SELL, view, quote, lean=lean),
        spread=spread,
        volatility_factor=volatility,
        inventory_factor=inventory,
        reservation=centre,
    )


class Lean(msgspec.Struct, frozen=True, gc=False):
    """Where both sides hang: centre in ticks, half spread as its part, inventory factor, distances of the levels."""

    centre: float
    half: float
    inventory: float
    distances: list[float]


def _side(side: Side, view: View, quote: QuoteSettings, *, lean: Lean) -> tuple[Wanted, ...]:
    sign, inventory = side.sign, lean.inventory
    centre, half = lean.centre, lean.half
    reducing = inventory * sign < 0
    grinding = abs(inventory) >= quote.grinding
    base = quote.base_lots * (1 - abs(inventory)) if grinding and not reducing else float(quote.base_lots)
    # What keeps a post-only quote from crossing: at best one tick short of the opposite touch.
    passive = view.best_ask - 1 if sign > 0 else view.best_bid + 1
    wanted: list[Wanted] = []
    factor = 1.0  # multiplied up, not `ratio ** level`: the power function is the one float operation that differs between machines
    for level, distance in enumerate(lean.distances):
        price = _rounded(centre * (1 - sign * (half + distance)), sign)
        if level == 0 and reducing and abs(inventory) >= quote.pinning:
            price = _pinned(price, view, sign=sign, inside=grinding)
        if quote.post_only and (price - passive) * sign > 0:
            price = passive
        lots = int(base * factor + 0.5)
        factor *= quote.size_ratio
        if level == 0 and quote.take_profit > 0 and _takes_profit(side, view, quote):
            lots = max(lots, abs(view.position))
        if lots <= 0 or price <= 0:
            continue
        if quote.static_fraction:
            _add_legs(wanted, side, price, lots=lots, quote=quote)
        else:
            wanted.append(Wanted(side, price, lots))
    return tuple(wanted)


def _add_legs(wanted: list[Wanted], side: Side, price: int, *, lots: int, quote: QuoteSettings) -> None:
    """Split into the dynamic and the static leg, keep prices positive."""
    static = int(lots * quote.static_fraction + 0.5)
    if lots - static > 0:
        wanted.append(Wanted(side, price, lots - static))
    behind = price - side.sign * quote.static_ticks
    if static > 0 and behind > 0:
        wanted.append(Wanted(side, behind, static, static=True))


def _rounded(price: float, sign: int) -> int:
    """Bids down, asks up; a float that means a whole tick stays on it (as Instrument.round_price, in ticks already)."""
    nearest = round(price)
    if abs(price - nearest) < 1e-6:
        return nearest
    whole = int(price)
    return whole if sign > 0 else whole + 1


def _pinned(price: int, view: View, *, sign: int, inside: bool) -> int:
    """Join the touch of the own side, or step inside it by a tick where the market leaves room; never further out than the grid."""
    touch = view.best_bid if sign > 0 else view.best_ask
    if inside and view.best_ask - view.best_bid > 1:
        touch += sign
    return max(price, touch) if sign > 0 else min(price, touch)


def _takes_profit(side: Side, view: View, quote: QuoteSettings) -> bool:
    if view.entry <= 0 or view.position * side.sign >= 0:
        return False
    gain = (view.mid - view.entry) / view.entry * (1 if view.position > 0 else -1)
    return gain >= quote.take_profit
