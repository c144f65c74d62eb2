"""The difference between wanted and resting quotes."""

from __future__ import annotations

from core_world import INSTRUMENT, MS, make_spec
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.messages import OrderType, Side, TimeInForce
from mm_runner.core.orders import Order
from mm_runner.core.quoter import PostOnlyBackOff, difference, reducing_first
from mm_runner.core.settings import settings_of
from mm_runner.core.strategy.quotes import Wanted

QUOTE = settings_of(make_spec(), generation=1, instrument=INSTRUMENT).quote
NOW = 10_000 * MS


def resting(
    price: int,
    lots: int = 20,
    *,
    age_ms: int = 5_000,
    executed: int = 0,
    reduce_only: bool = False,
    static: bool = False,
) -> Order:
    return Order(
        client_order_id=f"{price}/{lots}/{age_ms}", epoch=1, side=Side.BUY, type=OrderType.LIMIT, time_in_force=TimeInForce.GTX, price=price,
        lots=lots, reduce_only=reduce_only, sent_ns=NOW - age_ms * MS, send_deadline_ns=NOW, recv_window_ns=0, acknowledged=True,
        executed=executed, static=static,
    )  # fmt: skip


def want(price: int, lots: int = 20, *, static: bool = False) -> Wanted:
    return Wanted(Side.BUY, price, lots, static)


def differ(wanted: list[Wanted], orders: list[Order], *, reduce_only: bool = False):
    return difference(wanted, orders, QUOTE, reduce_only=reduce_only, now_ns=NOW)


def test_what_is_near_enough_stays():
    order = resting(998)
    found = differ([want(1000)], [order])
    assert (found.keep, found.place, found.replace, found.withdraw) == ((order,), (), (), ())


def test_what_is_too_far_is_replaced():
    order = resting(997)
    found = differ([want(1000)], [order])
    assert (found.replace, found.place) == ((order,), (want(1000),))


def test_a_young_quote_rests_a_little_longer():
    young, old = resting(990, age_ms=299), resting(990, age_ms=300)
    assert differ([want(1000)], [young]).keep == (young,)
    assert differ([want(1000)], [old]).replace == (old,)


def test_the_static_leg_has_its_own_rest_time():
    static = resting(990, age_ms=2_400, static=True)
    assert differ([want(1000, static=True)], [static]).keep == (static,)


def test_a_side_that_is_not_wanted_goes_at_once_however_young():
    young = resting(1000, age_ms=0)
    assert differ([], [young]).withdraw == (young,)


def test_a_partly_filled_quote_stays_while_half_of_it_is_left():
    assert differ([want(1000)], [resting(1000, executed=10)]).keep
    assert differ([want(1000)], [resting(1000, executed=11)]).replace
    assert differ([want(1000, lots=10)], [resting(1000)]).replace


def test_an_order_that_is_being_cancelled_or_in_doubt_answers_nothing():
    leaving, unknown = resting(1000), resting(1000)
    leaving.cancel_in_flight = unknown.unknown = True
    found = differ([want(1000)], [leaving, unknown])
    assert found.place == (want(1000),)
    assert (found.keep, found.replace, found.withdraw) == ((), (), ())


def test_where_orders_must_reduce_a_quote_without_the_flag_is_withdrawn():
    plain, flagged = resting(1000), resting(999, reduce_only=True)
    found = differ([want(1000), want(999)], [plain, flagged], reduce_only=True)
    assert (found.withdraw, found.keep) == ((plain,), (flagged,))


prices = st.integers(950, 1050)


@given(st.lists(prices, max_size=6, unique=True), st.lists(st.tuples(prices, st.integers(0, 600)), max_size=8))
def test_every_order_and_every_want_is_dealt_with_exactly_once(wants, orders):
    wanted = [want(price) for price in sorted(wants, reverse=True)]
    live = [resting(price, age_ms=age) for price, age in orders]
    found = differ(wanted, live)
    dealt = [*found.keep, *found.withdraw, *found.replace]
    assert sorted(map(id, dealt)) == sorted(map(id, live))
    assert len(found.keep) + len(found.place) == len(wanted)
    assert len(found.replace) <= len(found.place)
    # After cancels and placements no more rests than is wanted.
    assert len(live) - len(found.withdraw) - len(found.replace) + len(found.place) == len(wanted)


def test_the_reducing_side_is_served_first():
    assert reducing_first(10)[0] is Side.SELL
    assert reducing_first(-10)[0] is Side.BUY


def test_post_only_refusals_step_back_five_ticks_at_most_and_pause_a_second_and_a_half_at_most():
    back_off, now, pauses = PostOnlyBackOff(), 0, []
    for _ in range(8):
        back_off.refused(now)
        start = now
        while back_off.paused(now):
            now += MS
        pauses.append((now - start) // MS)
    assert back_off.shift == 5
    assert pauses == [100, 200, 400, 800, 1500, 1500, 1500, 1500]
    for _ in range(5):
        back_off.accepted()
    assert back_off.shift == 0
    back_off.refused(now)
    assert back_off.paused(now + 99 * MS)
    assert not back_off.paused(now + 100 * MS)
