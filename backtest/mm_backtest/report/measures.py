"""What a recording says in numbers: markouts, queues, latencies. Pure; drawn by `charts` and `pictures`, listed by `page`.

Definitions, for a fill of side s (+1 bought, -1 sold) at price p with the mid m before it and m(h) after h seconds:

* captured half spread: s·(m - p)
* markout after h: s·(m(h) - p)
* adverse selection after h: captured - markout = s·(m - m(h))

in basis points of m, or times the quantity in quote units.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from mm_backtest.recording import MARKOUT_SECONDS, FillRecord, OrderRecord

SIDES: Final = ("BUY", "SELL")
_QUEUE_BUCKETS = 5
# Two-sided 95 % quantiles of Student's t where the expansion below is too coarse.
_STUDENT_95: Final = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447}


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `count` values with its 95 % confidence interval `mean ± half_width` (None below two values)."""

    mean: float
    half_width: float | None
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class FillScore:
    """One fill judged: in bps of the mid, and in quote units for the whole quantity. `markouts` by horizon."""

    fill: FillRecord
    captured_bps: float
    captured_quote: float
    markouts_bps: tuple[float | None, ...]
    markouts_quote: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class MarkoutRow:
    """The fills of one side (or of both, `ALL`): averages in bps, sums in quote units, by horizon.

    `adverse_*` compare captured and markout over the same fills: those that have a markout at the horizon.
    """

    side: str
    fills: int
    captured: Estimate | None
    captured_quote: float
    markouts: tuple[Estimate | None, ...]
    markouts_quote: tuple[float, ...]
    adverse: tuple[Estimate | None, ...]
    adverse_quote: tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class QueueBucket:
    """Orders that joined behind `low` (exclusive but for the first bucket) to `high` base units: how often they filled.

    `rate` is the share with any fill, `interval` its 95 % Wilson interval; `filled_share` is by quantity.
    """

    low: float
    high: float
    orders: int
    rate: float
    interval: tuple[float, float]
    filled_share: float


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a set of values."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float


def student_95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t (Cornish-Fisher expansion; error below 0.5 % from 7 degrees on)."""
    if freedom in _STUDENT_95:
        return _STUDENT_95[freedom]
    z = statistics.NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / (4 * freedom)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and confidence interval; None of nothing. Fills that cluster in time make the true interval wider."""
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, 1)
    error = statistics.stdev(values, mean) / math.sqrt(len(values))
    return Estimate(mean, student_95(len(values) - 1) * error, len(values))


def score(fill: FillRecord) -> FillScore:
    """Judge one fill by the mid at it and after it."""
    sign = 1.0 if fill.side == "BUY" else -1.0

    def against(mid: float | None) -> float | None:
        return None if mid is None else sign * (mid - fill.price)

    # A recording that was cut short may hold fewer horizons.
    mids = [*fill.markouts, *[None] * len(MARKOUT_SECONDS)][: len(MARKOUT_SECONDS)]
    edges = [against(mid) for mid in mids]
    captured = sign * (fill.mid - fill.price)
    bps = 1e4 / fill.mid if fill.mid else 0.0
    return FillScore(
        fill,
        captured * bps,
        captured * fill.quantity,
        tuple(None if edge is None else edge * bps for edge in edges),
        tuple(None if edge is None else edge * fill.quantity for edge in edges),
    )


def markout_rows(scores: Sequence[FillScore]) -> list[MarkoutRow]:
    """One row for each side that has fills and one for both together; empty without fills."""
    by_side = [(side, [one for one in scores if one.fill.side == side]) for side in SIDES]
    rows = [_markout_row(side, own) for side, own in by_side if own]
    return [*rows, _markout_row("ALL", scores)] if rows else []


def _markout_row(side: str, scores: Sequence[FillScore]) -> MarkoutRow:
    horizons = range(len(MARKOUT_SECONDS))
    pairs_bps = [
        [(one.captured_bps, late) for one in scores if (late := one.markouts_bps[h]) is not None] for h in horizons
    ]
    pairs_quote = [
        [(one.captured_quote, late) for one in scores if (late := one.markouts_quote[h]) is not None] for h in horizons
    ]
    return MarkoutRow(
        side,
        len(scores),
        estimate([one.captured_bps for one in scores]),
        math.fsum(one.captured_quote for one in scores),
        tuple(estimate([late for _, late in pairs]) for pairs in pairs_bps),
        tuple(math.fsum(late for _, late in pairs) for pairs in pairs_quote),
        tuple(estimate([early - late for early, late in pairs]) for pairs in pairs_bps),
        tuple(math.fsum(early - late for early, late in pairs) for pairs in pairs_quote),
    )


def rested(orders: Iterable[OrderRecord]) -> list[OrderRecord]:
    """The orders that came to rest in the book."""
    return [order for order in orders if order.queue_ahead is not None]


def queue_buckets(orders: Iterable[OrderRecord]) -> list[QueueBucket]:
    """Fill rate by size ahead when joined: a bucket for an empty queue, then buckets of about equal count."""
    resting = sorted(rested(orders), key=_joined_behind)
    empty = [order for order in resting if not order.queue_ahead]
    rest = resting[len(empty) :]
    buckets = [_bucket(0.0, 0.0, orders=empty)] if empty else []
    low = 0.0
    for chunk in _chunks(rest):
        high = _joined_behind(chunk[-1])
        buckets.append(_bucket(low, high, orders=chunk))
        low = high
    return buckets


def _joined_behind(order: OrderRecord) -> float:
    return order.queue_ahead or 0.0


def _chunks(orders: list[OrderRecord]) -> list[list[OrderRecord]]:
    """About equal parts; equal sizes stay together, so that the edges tell the buckets apart."""
    wanted = math.ceil(len(orders) / _QUEUE_BUCKETS)
    chunks: list[list[OrderRecord]] = []
    for order in orders:
        last = chunks[-1] if chunks else None
        if last is None or (len(last) >= wanted and _joined_behind(order) > _joined_behind(last[-1])):
            chunks.append([order])
        else:
            last.append(order)
    return chunks


def _bucket(low: float, high: float, *, orders: Sequence[OrderRecord]) -> QueueBucket:
    filled = sum(order.filled > 0 for order in orders)
    quantity = math.fsum(order.quantity for order in orders)
    share = math.fsum(order.filled for order in orders) / quantity if quantity else 0.0
    return QueueBucket(low, high, len(orders), filled / len(orders), wilson_95(filled, len(orders)), share)


def wilson_95(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which stays inside 0..1 for small counts."""
    if not trials:
        return 0.0, 1.0
    z = statistics.NormalDist().inv_cdf(0.975)
    share, spread = hits / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    # The interval holds the share itself; rounding must not put it outside by a hair.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def lifetimes_s(orders: Iterable[OrderRecord]) -> dict[str, list[float]]:
    """Seconds from acknowledgement (else from sending) to the end, by how the venue ended the order."""
    by_end: dict[str, list[float]] = {}
    for order in orders:
        if order.ended_ms is None or not order.end:
            continue
        born = order.sent_ms if order.acknowledged_ms is None else order.acknowledged_ms
        by_end.setdefault(order.end, []).append(max(0.0, order.ended_ms - born) / 1e3)
    return by_end


def quantile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank quantile of sorted values; `ordered` is not empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Iterable[float]) -> Spread | None:
    """p50, p90, p99 and maximum; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p90, p99 = (quantile(ordered, share) for share in (0.5, 0.9, 0.99))
    return Spread(len(ordered), p50, p90, p99, ordered[-1])


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between `edges` (one more than counts); `beyond` values lie above the last edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    beyond: int


def histogram(ordered: Sequence[float], bins: int = 40) -> Histogram | None:
    """Bins of equal width from the least value to three times p99 at most, so that one outlier hides nothing; None of nothing."""
    if not ordered:
        return None
    low, high = ordered[0], min(ordered[-1], 3 * quantile(ordered, 0.99))
    if high <= low:
        # One value only (a constant latency): one bar around it.
        half = abs(low) * 0.05 or 0.5
        return Histogram((low - half, low + half), (len(ordered),), 0)
    width = (high - low) / bins
    counts = [0] * bins
    beyond = 0
    for value in ordered:
        if value > high:
            beyond += 1
        else:
            counts[min(bins - 1, int((value - low) / width))] += 1
    return Histogram(tuple(low + width * index for index in range(bins + 1)), tuple(counts), beyond)


LIFETIME_EDGES_S: Final = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, math.inf)


def lifetime_counts(seconds: Iterable[float]) -> list[int]:
    """How many lives fall between the `LIFETIME_EDGES_S`, lower edge included."""
    counts = [0] * (len(LIFETIME_EDGES_S) - 1)
    for value in seconds:
        counts[bisect.bisect_right(LIFETIME_EDGES_S, value) - 1] += 1
    return counts


QUEUE_QUANTILES: Final = (0.25, 0.5, 0.75, 0.9)


def queue_sizes(orders: Iterable[OrderRecord]) -> dict[str, list[float]]:
    """Sorted sizes ahead in base units: of all when they joined, of those that then filled, and left when the others ended."""
    resting = rested(orders)
    sizes = {
        "when joined, all": [_joined_behind(order) for order in resting],
        "when joined, later filled": [_joined_behind(order) for order in resting if order.filled > 0],
        "at the end, unfilled": [
            order.queue_ahead_at_end
            for order in resting
            if order.end and not order.filled and order.queue_ahead_at_end is not None
        ],
    }
    return {what: sorted(values) for what, values in sizes.items() if values}
