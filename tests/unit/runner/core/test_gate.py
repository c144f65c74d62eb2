"""The gate: caps, budgets, deadlines and the reducing quantity, one order at a time."""

from __future__ import annotations

from decimal import Decimal

import pytest
from core_world import INSTRUMENT, MS, SECOND, make_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_runner.core.gate import Admitted, Deadlines, Gate, Mandate, Proposal, Refused
from mm_runner.core.ledger import Ledger
from mm_runner.core.messages import OrderType, Side, TimeInForce
from mm_runner.core.orders import Order, Tracker
from mm_runner.core.permissions import BLIND_CLOSE, CANCEL_ONLY, CLOSING, NOTHING, REDUCING, RUNNING, Permissions
from mm_runner.core.settings import settings_of
from support.soak import examples

BUY, SELL = Side.BUY, Side.SELL
NOW = 100 * SECOND
MAX = 500


def make_gate(position: int = 0, venue: int | None = None, orders: tuple[tuple[Side, int], ...] = ()) -> Gate:
    ledger = Ledger(INSTRUMENT, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"))
    ledger.settle(position, Decimal(2680), now_ns=0)
    if venue is not None:
        ledger.venue = venue
    gate = Gate(instrument=INSTRUMENT, tracker=Tracker(), ledger=ledger)
    for number, (side, lots) in enumerate(orders):
        gate.tracker.add(
            Order(
                client_order_id=str(number), epoch=1, side=side, type=OrderType.LIMIT, time_in_force=TimeInForce.GTX, price=268_000, lots=lots,
                reduce_only=False, sent_ns=0, send_deadline_ns=0, recv_window_ns=0, acknowledged=number % 2 == 0, unknown=number % 3 == 1,
            )
        )  # fmt: skip
    return gate


def mandate(
    permissions: Permissions = RUNNING,
    *,
    lease_ns: int = NOW + 10 * SECOND,
    dead_man_ns: int | None = None,
    **risk: object,
) -> Mandate:
    spec = make_spec(risk={"maxOrderNotional": "5000"} | risk)
    compiled = settings_of(spec, generation=1, instrument=INSTRUMENT)
    return Mandate(permissions, compiled, Deadlines(lease_ns=lease_ns, dead_man_ns=dead_man_ns), NOW)


def quote(side: Side, lots: int, price: int = 268_000) -> Proposal:
    return Proposal(side, OrderType.LIMIT, TimeInForce.GTX, price, lots)


def taker(side: Side, lots: int) -> Proposal:
    return Proposal(side, OrderType.LIMIT, TimeInForce.IOC, 268_000, lots)


orders_of_both_sides = st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 200)), max_size=8).map(tuple)


@settings(max_examples=examples(400))
@given(
    st.integers(-700, 700), st.integers(-20, 20), orders_of_both_sides, st.sampled_from(list(Side)), st.integers(1, 800)
)
def test_what_is_admitted_never_lifts_the_worst_case_above_the_cap_and_reducing_is_never_blocked(
    position, apart, orders, side, lots
):
    gate = make_gate(position, position + apart, orders)
    surely_reducing = gate.reducing_left(side)
    verdict = gate.admit(quote(side, lots), mandate())
    worst = max(position, position + apart) if side is BUY else -min(position, position + apart)
    open_lots = sum(open_ for of, open_ in orders if of is side)
    if isinstance(verdict, Admitted):
        assert verdict.lots <= lots
        assert worst + open_lots + verdict.lots <= MAX or verdict.lots <= surely_reducing
        assert not verdict.reduce_only
    else:
        fitting = max(surely_reducing, MAX - worst - open_lots)
        assert min(lots, fitting) < INSTRUMENT.least_lots(268_000)


@given(
    st.integers(-700, 700), st.integers(-20, 20), orders_of_both_sides, st.sampled_from(list(Side)), st.integers(1, 800)
)
def test_whoever_may_only_reduce_never_sends_more_than_what_is_left_to_reduce(position, apart, orders, side, lots):
    gate = make_gate(position, position + apart, orders)
    for permissions, proposal in (
        (REDUCING, quote(side, lots)),
        (CLOSING, taker(side, lots)),
        (CLOSING, quote(side, lots)),
    ):
        verdict = gate.admit(proposal, mandate(permissions))
        certain = max(0, -max(position, position + apart)) if side is BUY else max(0, min(position, position + apart))
        left = max(0, certain - sum(open_ for of, open_ in orders if of is side))
        if isinstance(verdict, Admitted):
            assert verdict.reduce_only
            assert verdict.lots <= min(lots, left)
        else:
            assert min(lots, left) < INSTRUMENT.min_lots


def test_in_flight_and_unknown_orders_count_like_resting_ones():
    gate = make_gate(0, orders=((BUY, 200), (BUY, 200), (BUY, 80)))
    assert gate.worst_long() == 480
    assert gate.admit(quote(BUY, 40), mandate()) == Admitted(20, reduce_only=False, send_deadline_ns=NOW + 10 * SECOND)


def test_a_full_long_still_places_its_reducing_sell():
    """The origin's BUY error stopped the SELL leg; here the legs do not know of each other."""
    gate = make_gate(500)
    assert gate.admit(quote(BUY, 20), mandate()) == Refused("max_position")
    assert isinstance(gate.admit(quote(SELL, 20), mandate()), Admitted)


def test_a_position_beyond_the_cap_may_be_reduced_but_not_turned_over_it():
    gate = make_gate(700)
    verdict = gate.admit(quote(SELL, 2000), mandate())
    assert isinstance(verdict, Admitted)
    assert verdict.lots == 1200  # 700 to zero, 500 beyond: the opposite cap


def test_the_excess_of_a_reducing_order_counts_as_opening():
    gate = make_gate(30)
    verdict = gate.admit(quote(SELL, 50), mandate(REDUCING))
    assert verdict == Admitted(30, reduce_only=True, send_deadline_ns=NOW + 10 * SECOND)


@pytest.mark.parametrize("permissions", [CANCEL_ONLY, NOTHING, BLIND_CLOSE])
def test_no_quote_leaves_where_the_table_forbids_it(permissions):
    assert make_gate(100).admit(quote(SELL, 20), mandate(permissions)) == Refused("not_permitted")


def test_a_market_order_leaves_only_in_its_own_row_and_a_bounded_taker_only_in_its_own():
    market = Proposal(SELL, OrderType.MARKET, None, 268_000, 100)
    gate = make_gate(100)
    assert isinstance(gate.admit(market, mandate(BLIND_CLOSE)), Admitted)
    assert gate.admit(market, mandate(CLOSING)) == Refused("not_permitted")
    assert gate.admit(market, mandate(RUNNING)) == Refused("not_permitted")
    assert gate.admit(taker(SELL, 100), mandate(RUNNING)) == Refused("not_permitted")
    assert gate.admit(taker(SELL, 100), mandate(BLIND_CLOSE)) == Refused("not_permitted")


def test_the_notional_cap_cuts_quotes_and_slices_reducing_orders_but_never_blocks_them():
    assert make_gate().admit(quote(BUY, 300), mandate(maxOrderNotional="268")).lots == 100
    assert make_gate(400).admit(taker(SELL, 400), mandate(CLOSING, maxOrderNotional="268")).lots == 100
    assert make_gate(400).admit(taker(SELL, 400), mandate(CLOSING, maxOrderNotional="1")).lots == INSTRUMENT.least_lots(
        268_000
    )


def test_what_is_below_the_venues_minimum_is_refused_unless_it_reduces():
    assert make_gate().admit(quote(BUY, 5), mandate()) == Refused("min_notional")
    assert make_gate(5).admit(taker(SELL, 5), mandate(CLOSING)).lots == 5


def test_the_order_budget_holds_back_opening_and_never_reducing():
    gate = make_gate(100)
    for _ in range(240):
        gate.orders.spend(NOW)
    assert gate.admit(quote(BUY, 20), mandate()) == Refused("order_budget")
    assert isinstance(gate.admit(quote(SELL, 20), mandate()), Admitted)
    assert isinstance(gate.admit(taker(SELL, 20), mandate(CLOSING)), Admitted)
    later = mandate(lease_ns=NOW + 100 * SECOND)
    later = Mandate(later.permissions, later.settings, later.deadlines, NOW + 60 * SECOND)
    assert isinstance(gate.admit(quote(BUY, 20), later), Admitted)


def test_open_orders_are_bounded_by_the_venues_maximum():
    gate = make_gate(orders=tuple((BUY, 1) for _ in range(200)))
    assert gate.admit(quote(BUY, 20), mandate()) == Refused("max_orders")


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_nothing_leaves_at_or_after_the_lease_deadline():
    assert isinstance(make_gate().admit(quote(BUY, 20), mandate(lease_ns=NOW + 1)), Admitted)
    assert make_gate().admit(quote(BUY, 20), mandate(lease_ns=NOW)) == Refused("deadline")
    assert make_gate(100).admit(taker(SELL, 20), mandate(CLOSING, lease_ns=NOW)) == Refused("deadline")


def test_nothing_leaves_that_could_land_after_the_dead_man_switch_fired():
    landing = 2 * SECOND + 250 * MS
    assert make_gate().admit(quote(BUY, 20), mandate(dead_man_ns=NOW + landing)) == Refused("deadline")
    verdict = make_gate().admit(quote(BUY, 20), mandate(dead_man_ns=NOW + landing + 1))
    assert isinstance(verdict, Admitted)
    assert verdict.send_deadline_ns == NOW + 1


# -- excess ------------------------------------------------------------------------------------------------------------


def test_excess_is_what_must_be_cancelled_when_the_cap_falls_or_the_position_moves():
    gate = make_gate(100, orders=((BUY, 200), (BUY, 200), (SELL, 200)))
    assert gate.excess(BUY, 500) == 0
    assert gate.excess(BUY, 450) == 50
    assert gate.excess(BUY, 50) == 400
    assert gate.excess(SELL, 50) == 50
    assert make_gate(900, orders=((SELL, 300),)).excess(SELL, 100) == 0
