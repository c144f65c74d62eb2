"""The report's numbers against hand-made cases and closed forms."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_backtest.recording import Band, FillRecord, OrderRecord
from mm_backtest.report import measures, thinning
from support import recordings


def _fill(side, price, mid, later, quantity=2.0):
    return FillRecord(0, 1, "mm-1", side, price, quantity, True, 0.0, 0.0, mid, later)


def _order(ahead, filled, quantity=1.0):
    return OrderRecord(
        "mm-1", "BUY", 100.0, quantity, 0.0, 5.0, 1005.0, "FILLED" if filled else "CANCELED", ahead, 0.0, filled
    )


def test_a_buy_below_the_mid_captures_the_half_spread_and_loses_it_as_the_mid_falls():
    scored = measures.score(_fill("BUY", 99.0, 100.0, [99.5, 99.0, 98.0]))
    assert scored.captured_bps == pytest.approx(100.0)
    assert scored.captured_quote == pytest.approx(2.0)
    assert scored.markouts_bps == pytest.approx((50.0, 0.0, -100.0))
    assert scored.markouts_quote == pytest.approx((1.0, 0.0, -2.0))


def test_a_sell_is_the_mirror_image_of_a_buy():
    buy = measures.score(_fill("BUY", 99.0, 100.0, [99.5, 99.0, 98.0]))
    sell = measures.score(_fill("SELL", 101.0, 100.0, [100.5, 101.0, 102.0]))
    assert sell.captured_bps == pytest.approx(buy.captured_bps)
    assert sell.markouts_bps == pytest.approx(buy.markouts_bps)


def test_adverse_selection_is_captured_less_markout_over_the_fills_that_have_one():
    scores = [
        measures.score(_fill("BUY", 99.0, 100.0, [99.5, 99.0, None])),
        measures.score(_fill("BUY", 98.0, 100.0, [99.0, None, None])),
    ]
    row = measures.markout_rows(scores)[0]
    assert row.captured.mean == pytest.approx(150.0)
    assert row.adverse[0].mean == pytest.approx((100 - 50 + 200 - 100) / 2)
    # The second fill has no markout at 5 s: its wide capture must not count as adverse selection there.
    assert (row.adverse[1].mean, row.adverse[1].count) == (pytest.approx(100.0), 1)
    assert row.adverse[2] is None
    assert row.adverse_quote == pytest.approx((1.0 + 2.0, 2.0, 0.0))


def test_no_fills_make_no_rows():
    assert measures.markout_rows([]) == []


def test_the_confidence_interval_is_student_s():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    got = measures.estimate(values)
    assert got.mean == 4.5
    assert got.half_width == pytest.approx(2.3646 * statistics.stdev(values) / math.sqrt(8), rel=0.005)
    assert measures.estimate([1.0]).half_width is None
    assert measures.estimate([]) is None


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (5, 2.571), (7, 2.365), (10, 2.228), (30, 2.042), (1000, 1.962)]
)
def test_student_quantiles_are_those_of_the_tables(freedom, quantile):
    assert measures.student_95(freedom) == pytest.approx(quantile, rel=0.005)


def test_wilson_s_interval_is_that_of_the_textbook():
    # Newcombe 1998, table I: 81 of 263, method 3.
    assert measures.wilson_95(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert measures.wilson_95(0, 0) == (0.0, 1.0)


def test_queue_buckets_hold_every_resting_order_once_and_their_own_fill_rate():
    orders = [_order(0.0, 1.0), _order(0.0, 0.0), *(_order(float(n), 1.0 if n <= 3 else 0.0) for n in range(1, 11))]
    buckets = measures.queue_buckets([*orders, _order(None, 0.0)])
    assert [bucket.orders for bucket in buckets] == [2, 2, 2, 2, 2, 2]
    assert [bucket.rate for bucket in buckets] == [0.5, 1.0, 0.5, 0.0, 0.0, 0.0]
    assert (buckets[0].high, buckets[1].low, buckets[1].high, buckets[-1].high) == (0.0, 0.0, 2.0, 10.0)


def test_equal_queues_are_never_torn_apart():
    buckets = measures.queue_buckets([_order(5.0, 0.0) for _ in range(20)] + [_order(7.0, 0.5)])
    assert [(bucket.orders, bucket.filled_share) for bucket in buckets] == [(20, 0.0), (1, 0.5)]


def test_life_times_start_at_the_acknowledgement():
    assert measures.lifetimes_s([_order(1.0, 1.0), _order(1.0, 0.0)]) == {"FILLED": [1.0], "CANCELED": [1.0]}
    assert measures.lifetimes_s([OrderRecord("mm-1", "BUY", 1.0, 1.0, 0.0)]) == {}
    assert measures.lifetime_counts([0.0, 0.1, 0.2, 5.0, 1e9]) == [1, 2, 0, 0, 1, 0, 0, 1]


def test_quantiles_are_nearest_rank():
    got = measures.spread(float(n) for n in range(1, 101))
    assert (got.p50, got.p90, got.p99, got.most, got.count) == (50.0, 90.0, 99.0, 100.0, 100)
    assert measures.spread([]) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_a_histogram_counts_every_value_once(values):
    got = measures.histogram(sorted(values))
    assert sum(got.counts) + got.beyond == len(values)
    assert list(got.edges) == sorted(got.edges)


def test_thinning_keeps_the_ends_and_the_extremes():
    samples = recordings.recording(samples=50_000).samples
    thin = thinning.thin_samples(samples, 2_000)
    assert len(thin) <= 2_100
    assert (thin[0], thin[-1]) == (samples[0], samples[-1])
    for reading in (lambda s: s.position, lambda s: s.bid + s.ask, lambda s: s.equity):
        assert max(map(reading, thin)) == max(map(reading, samples))
        assert min(map(reading, thin)) == min(map(reading, samples))
    assert [s.time_ms for s in thin] == sorted({s.time_ms for s in thin})


def test_few_samples_and_fills_are_all_kept():
    made = recordings.recording(samples=300)
    assert thinning.thin_samples(made.samples) == made.samples
    assert thinning.thin_fills(made.fills) == made.fills
    assert len(thinning.thin_fills(made.fills, 10)) <= 10


def test_neighbouring_bands_of_one_state_become_one():
    bands = [Band(0, 5, "normal", ""), Band(5, 9, "normal", ""), Band(9, 12, "halted", "stop loss")]
    assert [(b.start_ms, b.end_ms, b.state) for b in thinning.merge_bands(bands)] == [
        (0, 9, "normal"),
        (9, 12, "halted"),
    ]


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.sampled_from(["normal", "reduce_only", "halted"])), min_size=1, max_size=300
    )
)
def test_merged_bands_cover_the_same_time_and_never_hide_the_last_alarm(lengths):
    bands, at = [], 0
    for length, state in lengths:
        bands.append(Band(at, at + length, state, ""))
        at += length
    merged = thinning.merge_bands(bands, 5)
    assert len(merged) <= 5
    assert (merged[0].start_ms, merged[-1].end_ms) == (0, at)
    assert all(early.end_ms == late.start_ms for early, late in pairwise(merged))
    if any(state != "normal" for _, state in lengths):
        assert any(band.state != "normal" for band in merged)
