"""Synthetic flow and tape reading, without a clock or a socket."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_exchange.flow.synthetic import FlowParameters, SyntheticFlow, rules_of
from mm_exchange.flow.tape import TapePlayer, scan
from mm_exchange.market import DepthUpdate, Market, Snapshot, Touch, Trade


def flow(symbol="ETHUSDT", seed=1, **parameters):
    chosen = FlowParameters(**parameters)
    return SyntheticFlow(rules_of(symbol, chosen), chosen, rng=random.Random(seed))


@settings(max_examples=25, deadline=None)
@given(
    symbol=st.sampled_from(["ETHUSDT", "BTCUSDT", "DOGEUSDT", "NEWUSDT"]),
    seed=st.integers(0, 10**6),
    volatility=st.floats(0, 50),
)
def test_a_synthetic_book_is_never_crossed_and_its_ids_are_chained(symbol, seed, volatility):
    made = flow(symbol, seed, volatility_bps=volatility)
    market, last = Market(made.rules), None
    for event in made.begin(0):
        market.apply(event)
    for step in range(40):
        for event in made.step(step * 100):
            if isinstance(event, DepthUpdate):
                assert event.previous_id == market.book.last_update_id
                assert event.first_id == event.previous_id + 1 <= event.last_id
            if isinstance(event, Trade):
                assert last is None or event.trade_id > last
                last = event.trade_id
                assert event.quantity > 0
            market.apply(event)
            if isinstance(event, Touch):
                assert (event.bid, event.bid_quantity) == market.book.best_bid()
                assert (event.ask, event.ask_quantity) == market.book.best_ask()
        assert market.book.best_bid()[0] < market.book.best_ask()[0]
        assert len(list(market.book.bids())) >= 20


def test_the_same_seed_makes_the_same_market():
    one, two, other = flow(seed=3), flow(seed=3), flow(seed=4)
    steps = [[made.step(n * 100) for n in range(20)] for made in (one, two, other)]
    assert steps[0] == steps[1]
    assert steps[0] != steps[2]


def test_the_default_market_is_calm_enough_for_a_shock_guard_and_trades_on_both_sides():
    made, mids, sides = flow(seed=5), [], set()
    for step in range(6_000):
        for event in made.step(step * 100):
            if isinstance(event, Touch):
                mids.append((event.bid + event.ask) / 2)
            elif isinstance(event, Trade):
                sides.add(event.buyer_is_maker)
    second = [abs(after / before - 1) for before, after in zip(mids, mids[10:], strict=False)]
    assert max(second) < 0.002
    assert sides == {True, False}
    minute = [abs(after / before - 1) for before, after in zip(mids, mids[600:], strict=False)]
    assert max(minute) > 0.0005


def test_a_push_moves_the_whole_market():
    made = flow()
    before = made.begin(0)[1].bid
    assert made.push(-100, 0)[1].bid == pytest.approx(before * 0.99, rel=1e-4)


def frame(u, pu, *, bids=(), asks=(), symbol="AAAUSDT", at=0):
    return {
        "stream": f"{symbol.lower()}@depth@0ms",
        "data": {
            "e": "depthUpdate",
            "E": 1_000_000 + at,
            "T": 1_000_000 + at,
            "s": symbol,
            "U": pu + 1,
            "u": u,
            "pu": pu,
            "b": [list(row) for row in bids],
            "a": [list(row) for row in asks],
        },
    }


def rest(last_id, bids=(("10.00", "1"),), asks=(("10.02", "1"),)):
    return {"lastUpdateId": last_id, "E": 1, "T": 1, "bids": bids, "asks": asks}


@pytest.fixture
def play(tmp_path):
    """Writes frames as a tape and plays passes of it."""

    def played(*frames, passes=1, raw=()):
        path = tmp_path / "tape"
        lines = [f"{10**15 + n * 10**6} {json.dumps(item)}" for n, item in enumerate(frames)]
        path.write_text("\n".join([*lines, *raw]) + "\n")
        player = TapePlayer([scan(path)])
        return [[event for _, event in player.play(player.scans[0], 5_000.0)] for _ in range(passes)]

    return played


def ids(events):
    return [(type(event).__name__, event.last_id) for event in events if isinstance(event, Snapshot | DepthUpdate)]


def test_a_pass_begins_with_the_snapshot_and_what_it_covers_is_left_out(play):
    (events,) = play(frame(5, 4), frame(8, 5), rest(7), frame(9, 8))
    assert ids(events) == [("Snapshot", 8), ("DepthUpdate", 9)]


def test_diffs_recorded_before_a_late_snapshot_are_merged_into_it(play):
    (events,) = play(frame(5, 4, bids=[("9.00", "7")]), frame(8, 5, bids=[("10.00", "0"), ("9.90", "3")]), rest(6))
    assert ids(events) == [("Snapshot", 8)]
    book = {price: size for price, size in events[0].bids if size}
    assert book == {990: 3}


def test_a_recorders_periodic_snapshot_changes_nothing(play):
    (events,) = play(rest(5), frame(6, 5), frame(7, 6), rest(6), frame(8, 7))
    assert ids(events) == [("Snapshot", 5), ("DepthUpdate", 6), ("DepthUpdate", 7), ("DepthUpdate", 8)]


def test_a_gap_is_served_as_a_gap_and_the_next_snapshot_heals_it(play):
    (events,) = play(rest(5), frame(6, 5), frame(20, 18), rest(19), frame(21, 20))
    assert ids(events) == [
        ("Snapshot", 5),
        ("DepthUpdate", 6),
        ("DepthUpdate", 20),
        ("Snapshot", 20),
        ("DepthUpdate", 21),
    ]
    assert events[2].previous_id == 18


def test_passes_shift_ids_beyond_everything_given_out(play):
    first, second, third = play(rest(5), frame(6, 5), frame(9, 6), passes=3)
    highest = 0
    for events in (first, second, third):
        assert events[0].last_id > highest
        highest = events[-1].last_id
    assert second[1].previous_id == second[0].last_id
    assert first[1].last_id == 6


def test_a_tape_without_snapshot_starts_every_pass_with_an_empty_book(play):
    first, second = play(frame(5, 4, bids=[("10.00", "1")]), frame(6, 5), passes=2)
    assert [type(event).__name__ for event in first] == ["Snapshot", "DepthUpdate", "DepthUpdate"]
    assert second[0].bids == []
    assert second[1].first_id > first[-1].last_id


def test_two_symbols_on_one_tape_each_get_their_own_snapshot(play):
    (events,) = play(
        frame(5, 4),
        frame(905, 904, symbol="BBBUSDT"),
        rest(905),
        rest(5),
        frame(6, 5),
        frame(906, 905, symbol="BBBUSDT"),
    )
    starts = {event.symbol: event.last_id for event in events if isinstance(event, Snapshot)}
    assert starts == {"AAAUSDT": 5, "BBBUSDT": 905}


def test_garbage_and_foreign_frames_are_passed_over(play):
    partial = frame(7, 6) | {"stream": "aaausdt@depth20@100ms"}
    (events,) = play(
        rest(5),
        {"e": "kline", "s": "AAAUSDT"},
        partial,
        frame(6, 5),
        [],
        {"stream": 5},
        raw=["no number {}", "17 {", "", "18 <html>"],
    )
    assert ids(events) == [("Snapshot", 5), ("DepthUpdate", 6)]


def test_a_file_without_market_frames_is_refused(tmp_path):
    path = tmp_path / "not-a-tape"
    path.write_text("hello\n")
    with pytest.raises(ValueError, match="market frames"):
        scan(path)


def test_event_times_are_placed_on_the_serving_clock_never_ahead_of_their_arrival(play):
    (events,) = play(rest(5), frame(6, 5, at=1), frame(7, 6, at=2), frame(8, 7, at=-9))
    assert [event.event_ms for event in events] == [5_000, 5_001, 5_002, 4_991]
