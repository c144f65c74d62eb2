"""The quoter: the smallest set of cancels and orders that leads from what rests to what is wanted.

A quote that is near enough stays (tolerance), and so does one that is younger than its rest time. Cancels come before their replacements, so that
the cap holds whatever fills on the way (the gate still counts an order until its cancel is confirmed); the reducing side comes first.
Budgets hold back replacements, never the withdrawal of a side that is not wanted any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mm_runner.core.messages import Side
from mm_runner.core.orders import Order
from mm_runner.core.settings import MS, QuoteSettings
from mm_runner.core.strategy.quotes import Wanted

_MAX_SHIFT: Final = 5
_FIRST_PAUSE_NS: Final = 100 * MS
_MAX_PAUSE_NS: Final = 1_500 * MS
_ON_ITS_WAY_NS: Final = 1_000_000_000


class PostOnlyBackOff:
    """One side's answer to -5022 (would take): step back a tick for each refusal, at most five, and pause, at most 1.5 s."""

    __slots__ = ("_pause_ns", "_until_ns", "shift")

    def __init__(self) -> None:
        self.shift = 0
        self._pause_ns = _FIRST_PAUSE_NS
        self._until_ns = 0

    def refused(self, now_ns: int) -> None:
        """-5022 or an immediate EXPIRED of a post-only order."""
        self.shift = min(self.shift + 1, _MAX_SHIFT)
        self._until_ns = now_ns + self._pause_ns
        self._pause_ns = min(self._pause_ns * 2, _MAX_PAUSE_NS)

    def accepted(self) -> None:
        """A quote rests: the shift decays tick by tick."""
        self.shift = max(0, self.shift - 1)
        if not self.shift:
            self._pause_ns = _FIRST_PAUSE_NS

    def paused(self, now_ns: int) -> bool:
        """Whether to send nothing on this side for now."""
        return now_ns < self._until_ns


class Difference(msgspec.Struct, frozen=True, gc=False):
    """What one side needs."""

    keep: tuple[Order, ...]
    withdraw: tuple[Order, ...]
    """Not wanted at all: cancelled whatever the budget says."""
    replace: tuple[Order, ...]
    """Wanted elsewhere: cancelled within the budget, before `place`."""
    place: tuple[Wanted, ...]


def difference(
    wanted: Sequence[Wanted], resting: Iterable[Order], quote: QuoteSettings, *, reduce_only: bool, now_ns: int
) -> Difference:
    """Compare one side.

    Args:
        wanted: best first.
        resting: live orders of the side; those being cancelled or in doubt are no answer to anything.
        quote: tolerance and rest times.
        reduce_only: the flag that orders must carry now; a resting order with the other one is withdrawn when it must be set.
        now_ns: for rest times.
    """
    usable: list[Order] = []
    withdraw: list[Order] = []
    for order in resting:
        if order.cancel_in_flight or order.unknown:
            continue
        (withdraw if reduce_only and not order.reduce_only else usable).append(order)
    keep: list[Order] = []
    open_wants: list[Wanted] = []
    for want in wanted:
        match = _nearest(want, usable, quote)
        if match is None:
            open_wants.append(want)
        else:
            usable.remove(match)
            keep.append(match)
    # A young order holds the place of a want that it does not meet: it rests a little longer.
    place: list[Wanted] = []
    replace: list[Order] = []
    for want in open_wants:
        young = next((o for o in usable if o.static is want.static and _is_young(o, quote, now_ns)), None)
        if young is not None and reduce_only == young.reduce_only:
            usable.remove(young)
            keep.append(young)
        else:
            place.append(want)
    places = len(place)
    for order in usable:
        # As many as are placed anew count as replaced; what is beyond that has no want left and goes at once.
        (replace if len(replace) < places else withdraw).append(order)
    return Difference(tuple(keep), tuple(withdraw), tuple(replace), tuple(place))


def _nearest(want: Wanted, orders: list[Order], quote: QuoteSettings) -> Order | None:
    best: Order | None = None
    for order in orders:
        if order.static is not want.static or not _fits(order, want):
            continue
        away = abs(order.price - want.price)
        if away <= quote.tolerance_ticks and (best is None or away < abs(best.price - want.price)):
            best = order
    return best


def _fits(order: Order, want: Wanted) -> bool:
    """A partly filled quote stays while at least half of what is wanted remains; one that is too large goes."""
    return want.lots <= 2 * order.remaining and order.remaining <= want.lots


def _is_young(order: Order, quote: QuoteSettings, now_ns: int) -> bool:
    """Resting for less than its rest time, or still on its way: with a slow venue, chasing unanswered orders would starve the second side."""
    age = now_ns - order.sent_ns
    on_its_way = not order.acknowledged and age < _ON_ITS_WAY_NS
    return on_its_way or age < (quote.static_rest_ns if order.static else quote.rest_ns)


def reducing_first(position: int) -> tuple[Side, Side]:
    """The order in which the sides are served."""
    return (Side.BUY, Side.SELL) if position < 0 else (Side.SELL, Side.BUY)
