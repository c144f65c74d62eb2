"""Queue models against their closed forms, and what no model may do."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_exchange.market import DepthUpdate, Touch, Trade
from mm_exchange.matching import MatchingModel
from mm_exchange.orders import Status
from mm_exchange.queue_models import queue_model
from support.exchange_world import World

MODELS = [
    "conservative", "optimistic", "proportional", "power:2", "power:0.5", "power2:3", "power3:3", "log", "log2"
]  # fmt: skip


def moved(name, front, *, before, now, traded=0, one=1):
    return queue_model(name).displayed(front, traded, before=before, now=now, one=one)


@pytest.mark.parametrize(
    ("name", "front"),
    [
        ("conservative", 40),  # 60 behind: 50 can all be behind
        ("optimistic", 0),  # 40 - 50, not below 0
        ("proportional", 40 - 50 * 40 / 100),
        ("power:1", 40 - 50 * 40 / 100),
        ("power:2", 40 - (1 - 60**2 / (60**2 + 40**2)) * 50),
        ("power2:2", 40 - (1 - 60**2 / 100**2) * 50),
        ("power3:2", 40 - (40 / 100) ** 2 * 50),
        ("log", 40 - (1 - math.log(61) / (math.log(61) + math.log(41))) * 50),
        ("log2", 40 - (1 - math.log(61) / math.log(101)) * 50),
    ],
)
def test_a_cancelled_half_moves_the_position_as_the_formula_says(name, front):
    assert moved(name, 40, before=100, now=50) == pytest.approx(front)


def test_what_does_not_fit_behind_was_before():
    # 10 behind, 60 gone: at p = 1000/1001 of it behind, 59.94 - 10 more must have been before.
    part = 10**3 / (10**3 + 90**3)
    assert moved("power:3", 90, before=100, now=40) == pytest.approx(min(40, 90 - (1 - part) * 60))
    assert moved("conservative", 90, before=100, now=40) == 40
    assert moved("power3:0.001", 5, before=100, now=3) <= 3


@pytest.mark.parametrize("name", MODELS)
def test_a_fall_that_trades_explain_moves_nothing_again(name):
    assert moved(name, 30, before=100, now=80, traded=20) == 30
    assert moved(name, 30, before=100, now=90, traded=20) == 30


def test_the_logarithm_counts_base_units():
    assert moved("log", 40, before=100, now=50, one=1) != pytest.approx(moved("log", 40, before=100, now=50, one=10))
    assert moved("power:2", 40, before=100, now=50, one=1) == pytest.approx(
        moved("power:2", 40, before=100, now=50, one=1000)
    )


@given(
    name=st.sampled_from(MODELS),
    front=st.integers(0, 10**6),
    behind=st.integers(0, 10**6),
    now=st.integers(0, 2 * 10**6),
    traded=st.integers(0, 10**6),
)
def test_a_position_never_grows_and_stays_within_what_is_shown(name, front, behind, now, traded):
    after = moved(name, front, before=front + behind, now=now, traded=traded, one=1000)
    assert 0 <= after <= min(front, now)
    # Between the two ends: nothing cancelled before us while possible, and everything.
    least = moved("optimistic", front, before=front + behind, now=now, traded=traded, one=1000)
    assert (
        least - 1e-6 <= after <= moved("conservative", front, before=front + behind, now=now, traded=traded, one=1000)
    )


@pytest.mark.parametrize(
    "text", ["", "powers", "power", "power:", "power:0", "power:-1", "power:x", "log:2", "power:inf"]
)
def test_an_unknown_model_is_refused_with_the_names_of_the_known(text):
    with pytest.raises(ValueError, match=r"power3:N"):
        queue_model(text)


def test_models_are_named_as_they_were_asked_for():
    assert [queue_model(text).name for text in ("power:3", "power2:0.5", "risk-adverse")] == [
        "power:3", "power2:0.5", "conservative"
    ]  # fmt: skip


def test_an_order_moves_up_by_the_model_and_a_trade_is_not_counted_twice():
    world = World(MatchingModel(queue=queue_model("proportional")))
    order = world.limit("BUY", 99_99)
    world.change(bids=[(99_99, 9_000)])  # 4,000 more behind
    assert order.queue_ahead == 5_000
    world.trade(99_99, 1_000, sells=True)
    assert order.queue_ahead == 4_000
    world.change(bids=[(99_99, 8_000)])  # the trade's own trace
    assert order.queue_ahead == 4_000
    world.change(bids=[(99_99, 6_000)])  # 2,000 of 8,000 cancelled, half of them before us
    assert order.queue_ahead == 3_000


def test_depth_that_is_older_than_book_ticker_does_not_move_the_queue():
    world = World()
    order = world.limit("BUY", 99_99)
    newer = world.update_id + 10
    world.venue.on_market(Touch("ETHUSDT", 0, 0, newer, 99_99, 4_000, 100_01, 5_000), world.now_ns)
    world.change(bids=[(99_99, 2_000)])
    assert order.queue_ahead == 4_000
    # Nor when the touch has left the price and the book there is still the older one.
    world.venue.on_market(Touch("ETHUSDT", 0, 0, newer + 1, 100_00, 1_000, 100_01, 5_000), world.now_ns)
    assert order.queue_ahead == 4_000
    world.update_id = newer + 1
    world.change(bids=[(99_99, 3_000)])
    assert order.queue_ahead == 3_000


def test_a_trade_that_is_told_after_its_fall_of_the_size_is_not_counted_twice():
    world = World()
    order = world.limit("BUY", 99_99)
    world.touch(99_99, 4_000, 100_01, 5_000)
    assert order.queue_ahead == 4_000
    world.trade(99_99, 600, sells=True, late=True)
    world.trade(99_99, 400, sells=True, late=True)
    assert order.queue_ahead == 4_000
    world.trade(99_99, 1_000, sells=True)
    assert order.queue_ahead == 3_000
    world.change(bids=[(99_99, 3_000)])
    assert order.queue_ahead == 3_000


def test_the_trade_that_emptied_a_level_does_not_fill_who_stood_behind_it():
    for late_trades, filled in ((True, 0), (False, 1_000)):
        world = World(MatchingModel(late_trades=late_trades))
        order = world.limit("BUY", 99_99)
        world.touch(99_98, 5_000, 100_01, 5_000)
        assert order.queue_ahead == 0
        after = world.limit("BUY", 99_99)
        world.trade(99_99, 5_000, sells=True, late=True)
        assert (order.filled, after.filled > 0) == (filled, not late_trades)
    # From now on it is the first in line.
    world = World()
    order = world.limit("BUY", 99_99)
    world.touch(99_98, 5_000, 100_01, 5_000)
    world.trade(99_99, 5_000, sells=True, late=True)
    world.trade(99_99, 300, sells=True)
    assert order.filled == 300


def test_a_late_trade_that_is_larger_than_the_fall_is_seen_in_the_next_one():
    world = World(MatchingModel(queue=queue_model("optimistic")))
    order = world.limit("BUY", 99_99)
    world.change(bids=[(99_99, 4_500)])
    assert order.queue_ahead == 4_500
    world.trade(99_99, 2_000, sells=True, late=True)
    assert order.queue_ahead == 3_000
    world.change(bids=[(99_99, 3_000)])
    assert order.queue_ahead == 3_000


def test_a_whole_fill_needs_only_its_turn():
    for whole, filled in ((True, 1_000), (False, 300)):
        world = World(MatchingModel(whole_fills=whole))
        order = world.limit("BUY", 99_99)
        world.trade(99_99, 5_000, sells=True)
        assert order.filled == 0
        world.trade(99_99, 300, sells=True)
        assert order.filled == filled


def events(most):
    return st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["trade", "late"]), st.integers(99_97, 99_99), st.integers(1, 4_000)),
            st.tuples(st.just("depth"), st.integers(99_97, 99_99), st.integers(0, 9_000)),
            st.tuples(st.just("touch"), st.integers(99_97, 99_99), st.integers(1, 9_000)),
            st.tuples(st.just("place"), st.integers(99_97, 99_99), st.integers(300, 3_000)),
        ),
        max_size=most,
    )


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(MODELS), told=events(40))
def test_positions_only_fall_orders_fill_in_time_order_and_no_trade_fills_more_than_it_traded(name, told):
    world = World(MatchingModel(queue=queue_model(name)))
    orders = []
    for kind, price, size in told:
        before = {order.order_id: order.queue_ahead for order in orders}
        filled = {order.order_id: order.filled for order in orders}
        if kind == "place":
            orders.append(world.limit("BUY", price, size, tif="GTX"))
        elif kind in ("trade", "late"):
            world.trade(price, size, sells=True, late=kind == "late")
            there = [order for order in orders if order.price == price]
            assert sum(order.filled - filled[order.order_id] for order in there) <= size
        elif kind == "depth":
            world.change(bids=[(price, size)])
        else:
            world.touch(price, size, 100_01, 5_000)
        for order in orders:
            assert order.queue_ahead <= before.get(order.order_id, math.inf)
        live = [order for order in orders if order.status is not Status.FILLED]
        for earlier in live:
            for later in orders:
                if (later.price, later.order_id > earlier.order_id) == (earlier.price, True):
                    assert not later.filled
                    assert later.queue_ahead >= earlier.queue_ahead


# -- what takers leave behind --------------------------------------------------------------------------------------


def test_without_impact_a_level_can_be_taken_again_and_again():
    world = World()
    assert [world.market("BUY", 5_000).cum_quote for _ in range(2)] == [world.rules.notional(100_01, 5_000)] * 2


def test_what_was_taken_is_hidden_from_matching_and_comes_back_with_its_half_life():
    world = World(MatchingModel(impact_half_life_ms=1_000))

    def pass_time(ms):
        market = world.listing.market
        world.venue.on_market(Trade("ETHUSDT", market.event_ms + ms, 0, 1, 100_10, 1, True), world.now_ns)

    assert world.market("BUY", 4_000).cum_quote == world.rules.notional(100_01, 4_000)
    left = world.rules.notional(100_01, 1_000) + world.rules.notional(100_02, 500)
    assert world.market("BUY", 1_500).cum_quote == left
    # Post-only beside the consumed level: nothing is there to cross.
    assert world.limit("BUY", 100_01, tif="GTX").live
    pass_time(1_000)
    assert world.limit("BUY", 100_01, 5_000, tif="IOC").filled == 2_500
    # The book that everybody sees is the tape's own.
    assert world.listing.market.best_ask() == (100_01, 5_000)
    assert world.listing.market.displayed(100_01, buy=False) == 5_000


def test_a_crossing_rest_fills_only_by_what_comes_back():
    world = World(MatchingModel(impact_half_life_ms=1_000))
    order = world.limit("BUY", 100_01, 8_000)
    assert (order.filled, order.live) == (5_000, True)
    world.change(bids=[(99_90, 1_000)])
    assert order.filled == 5_000
    update = DepthUpdate("ETHUSDT", world.now_ns // 10**6 + 1_000, 0, 0, world.update_id + 1, 0, [], [(100_09, 1)])
    world.venue.on_market(update, world.now_ns)
    assert order.filled == 7_500


def test_orders_queue_behind_what_takers_left():
    world = World(MatchingModel(impact_half_life_ms=1_000_000))
    world.market("BUY", 4_000)
    assert world.limit("SELL", 100_01).queue_ahead == 1_000


# -- against the same rules written down again ----------------------------------------------------------------------


class Ahead:
    """The published rules for one order at one price, in floats of base units, as plainly as they can be written."""

    def __init__(self, shown, part):
        self.front, self.traded, self.shown, self.part, self.filled = shown, 0.0, shown, part, False

    def trade(self, quantity):
        self.front -= quantity
        self.traded += quantity
        self.filled = self.filled or round(-self.front, 9) >= 0.001

    def depth(self, size):
        fall, self.traded = self.shown - size - self.traded, 0.0
        front, back = self.front, self.shown - self.front
        self.shown = size
        if fall < 0 or self.part is None:
            self.front = min(front, size)
            return
        behind = self.part(front, back) if front + back > 0 else 1.0
        # Nothing can stand before an order less than nothing; the published forms let it, and then take the next trade.
        self.front = max(0.0, min(front - (1 - behind) * fall + min(back - behind * fall, 0), size))


PARTS = {
    "risk-adverse": None,
    "power:2": lambda front, back: back**2 / (back**2 + front**2),
    "power:3": lambda front, back: back**3 / (back**3 + front**3),
    "power2:2": lambda front, back: back**2 / (back + front) ** 2,
    "power3:3": lambda front, back: 1 - (front / (front + back)) ** 3,
    "log": lambda front, back: math.log1p(back) / (math.log1p(back) + math.log1p(front)),
    "log2": lambda front, back: math.log1p(back) / math.log1p(back + front),
}


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(PARTS)),
    told=st.lists(
        st.one_of(
            st.tuples(st.just("trade"), st.integers(1, 2_500)), st.tuples(st.just("depth"), st.integers(0, 9_000))
        ),
        max_size=40,
    ),
)
def test_an_order_alone_fills_when_the_published_rules_say_so(name, told):
    world = World(MatchingModel(queue=queue_model(name), whole_fills=True))
    order, rules = world.limit("BUY", 99_99, 1_000, tif="GTX"), Ahead(5.0, PARTS[name])
    for kind, size in told:
        if kind == "trade":
            world.trade(99_99, size, sells=True)
            rules.trade(size / 1_000)
        else:
            world.change(bids=[(99_99, size)])
            rules.depth(size / 1_000)
        assert (order.status is Status.FILLED) == rules.filled
        if rules.filled:
            return
        assert order.queue_ahead == pytest.approx(max(0.0, rules.front) * 1_000, abs=0.51)
