"""Candles, 24-h figures and aggregated trades against what plain arithmetic over the same trades says."""

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_exchange.candles import INTERVALS, MINUTE_MS, Minutes, close_of, open_of
from mm_exchange.market import Trade
from mm_exchange.statistics import Statistics
from support.exchange_world import World

START_MS = 1_790_000_000_000 - 1_790_000_000_000 % MINUTE_MS
TRADES = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(90, 110), st.integers(1, 50), st.booleans()), min_size=1, max_size=60
)


def fed(steps):
    """Statistics that heard trades at growing times, and the trades as tuples (time, price, quantity, taker sells)."""
    world, now_ms, heard = World(), START_MS, []
    figures = Statistics(world.venue).of("ETHUSDT")
    for number, (gap_ms, price, quantity, sells) in enumerate(steps, start=1):
        now_ms += gap_ms
        trade = Trade("ETHUSDT", now_ms, now_ms, number, price, quantity, sells)
        world.listing.market.apply(trade)
        figures.on_trade(trade, now_ms)
        heard.append((now_ms, price, quantity, sells))
    return figures, heard, now_ms


@given(TRADES, st.sampled_from(["1m", "3m", "15m", "1h"]))
def test_every_candle_holds_its_trades_and_none_is_left_out(steps, interval):
    figures, heard, now_ms = fed(steps)
    spans = defaultdict(list)
    for trade in heard:
        spans[open_of(interval, trade[0])].append(trade)
    rows = figures.traded.folded(interval, now_ms)
    assert [row.open_ms for row in rows] == list(range(open_of(interval, heard[0][0]), now_ms + 1, INTERVALS[interval]))
    last = None
    for row in rows:
        trades = spans.get(row.open_ms, [])
        prices = [price for _, price, _, _ in trades] or [last]
        assert (row.open, row.high, row.low, row.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert row.volume == sum(quantity for _, _, quantity, _ in trades)
        assert row.taker_volume == sum(quantity for _, _, quantity, sells in trades if not sells)
        assert row.count == len(trades)
        last = row.close


@given(TRADES)
def test_the_day_is_what_its_trades_add_up_to(steps):
    figures, heard, now_ms = fed(steps)
    day = figures.day(now_ms).day
    prices = [price for _, price, _, _ in heard]
    assert (day.open, day.high, day.low, day.close) == (prices[0], max(prices), min(prices), prices[-1])
    assert (day.count, day.volume) == (len(heard), sum(quantity for _, _, quantity, _ in heard))
    assert (day.first_id, day.last_id) == (1, len(heard))
    # Asked again in the same minute, from what was folded before, it says the same.
    assert figures.day(now_ms).day == day


def test_a_day_forgets_what_is_older_than_24_hours():
    minute = MINUTE_MS
    figures, _, now_ms = fed([(0, 90, 1, True), (10 * minute, 110, 2, True), (1435 * minute, 100, 4, False)])
    day = figures.day(now_ms).day
    assert (day.open, day.high, day.low, day.volume) == (110, 110, 100, 6)
    later = figures.day(now_ms + 1440 * minute)
    assert (later.day.volume, later.day.count, later.day.close) == (0, 0, 100)


def test_the_weighted_price_is_volume_weighted():
    figures, _, now_ms = fed([(0, 100_00, 1_000, True), (0, 110_00, 3_000, True)])
    assert figures.day(now_ms).weighted_price == round(Decimal("107.5") * 100)


def test_minutes_are_bounded_however_long_the_exchange_runs():
    minutes = Minutes()
    for number in range(5_000):
        minutes.at(number * MINUTE_MS, 100)
    assert len(minutes.folded("1m", 4_999 * MINUTE_MS)) <= 1_502
    # A market that was quiet for a year shows no more candles than one that was not.
    assert len(minutes.folded("1m", 500_000 * MINUTE_MS)) <= 3_100


@pytest.mark.parametrize(
    ("interval", "at", "opened", "closed"),
    [
        ("1w", 1_790_000_000_000, 1_789_948_800_000, 1_790_553_599_999),
        ("1M", 1_790_000_000_000, 1_788_220_800_000, 1_790_812_799_999),
        ("1d", 1_790_000_000_000, 1_789_948_800_000, 1_790_035_199_999),
        ("8h", 1_790_000_000_000, 1_789_977_600_000, 1_790_006_399_999),
    ],
)
def test_weeks_begin_on_monday_and_months_on_their_first_day(*, interval, at, opened, closed):
    assert (open_of(interval, at), close_of(interval, opened)) == (opened, closed)


def test_fills_of_one_taker_at_one_price_are_one_aggregate():
    world = World()
    figures = Statistics(world.venue).of("ETHUSDT")
    ended = [
        figures.on_trade(Trade("ETHUSDT", at, at, number, price, 5, sells, market), at)
        for number, (at, price, sells, market) in enumerate(
            [(1, 100, True, True), (1, 100, True, True), (1, 100, True, False), (1, 101, True, True),
             (2, 101, True, True), (2, 101, False, True)], start=1
        )
    ]  # fmt: skip
    assert [one and (one.first_id, one.last_id, one.quantity) for one in ended] == [
        None,
        None,
        None,
        (1, 2, 10),
        (4, 4, 5),
        (5, 5, 5),
    ]
    assert figures.due(50) is None
    last = figures.due(102)
    assert (last.aggregate_id, last.first_id) == (1_000_004, 6)
    assert [row.aggregate_id for row in figures.aggregates] == [1_000_001, 1_000_002, 1_000_003, 1_000_004]
