"""The order tracker: what each source may say, in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.messages import OrderType, Side, TimeInForce, VenueStatus
from mm_runner.core.orders import PROOF_MARGIN_NS, Order, OrderStatus, Tracker

SECOND = 1_000_000_000
SENT, DEADLINE, WINDOW = 100 * SECOND, 105 * SECOND, 2 * SECOND


def make_order(cid: str = "a", side: Side = Side.BUY, lots: int = 20) -> Order:
    return Order(
        client_order_id=cid, epoch=1, side=side, type=OrderType.LIMIT, time_in_force=TimeInForce.GTX, price=100, lots=lots,
        reduce_only=False, sent_ns=SENT, send_deadline_ns=DEADLINE, recv_window_ns=WINDOW,
    )  # fmt: skip


def tracked(**changes: object) -> tuple[Tracker, Order]:
    tracker, order = Tracker(), make_order(**changes)
    tracker.add(order)
    return tracker, order


def observe(tracker: Tracker, order: Order, status: VenueStatus, executed: int = 0) -> int:
    return tracker.observe(order, status, executed=executed, order_id=7, now_ns=SENT + SECOND)


def test_an_order_in_flight_already_counts():
    tracker, order = tracked()
    assert (order.status, tracker.open_lots(Side.BUY), tracker.open_lots(Side.SELL)) == (OrderStatus.PENDING_NEW, 20, 0)


def test_the_usual_life():
    tracker, order = tracked()
    assert observe(tracker, order, VenueStatus.NEW) == 0
    assert order.status is OrderStatus.NEW
    assert observe(tracker, order, VenueStatus.PARTIALLY_FILLED, 5) == 5
    assert (order.status, tracker.open_lots(Side.BUY)) == (OrderStatus.PARTIALLY_FILLED, 15)
    tracker.cancel_sent(order, SENT)
    assert order.status is OrderStatus.PENDING_CANCEL
    assert tracker.open_lots(Side.BUY) == 15
    assert observe(tracker, order, VenueStatus.CANCELED, 8) == 3
    assert (order.status, tracker.live, order.executed) == (OrderStatus.CANCELED, {}, 8)


@pytest.mark.parametrize(
    ("status", "final"),
    [
        ("FILLED", "FILLED"),
        ("CANCELED", "CANCELED"),
        ("EXPIRED", "EXPIRED"),
        ("EXPIRED_IN_MATCH", "EXPIRED"),
        ("REJECTED", "REJECTED"),
    ],
)
def test_a_final_state_stays_final(status, final):
    tracker, order = tracked()
    observe(tracker, order, VenueStatus(status))
    for late in (VenueStatus.NEW, VenueStatus.PARTIALLY_FILLED, VenueStatus.CANCELED):
        observe(tracker, order, late, 3)
    assert order.status is OrderStatus[final]
    assert tracker.unresolved == 0


@given(st.lists(st.tuples(st.sampled_from(list(VenueStatus)), st.integers(0, 25)), max_size=12))
def test_reports_in_any_order_count_each_lot_once_and_never_more_than_the_order(reports):
    tracker, order = tracked()
    total = sum(observe(tracker, order, status, executed) for status, executed in reports)
    assert total == order.executed <= 20
    highest = max((20 if s is VenueStatus.FILLED else min(e, 20) for s, e in reports), default=0)
    assert order.executed == highest
    if any(s.final for s, _ in reports) or highest == 20:
        assert tracker.unresolved == 0
    again = [observe(tracker, order, status, executed) for status, executed in reports]
    assert sum(again) == 0


def test_a_refusal_after_an_acknowledgement_is_believed_to_be_a_ghost():
    tracker, order = tracked()
    observe(tracker, order, VenueStatus.NEW)
    tracker.refused(order, now_ns=SENT)
    assert order.status is OrderStatus.NEW


def test_an_unknown_order_still_counts_and_is_queried():
    tracker, order = tracked()
    tracker.doubted(order, now_ns=SENT + SECOND)
    assert (order.status, tracker.open_lots(Side.BUY)) == (OrderStatus.UNKNOWN, 20)
    assert tracker.queries(SENT + SECOND) == [order]
    assert tracker.queries(SENT + SECOND) == []  # one query at a time


def test_minus_2013_proves_death_only_later_than_send_recv_window_and_margin():
    tracker, order = tracked()
    tracker.doubted(order, now_ns=SENT + SECOND)
    landing = SENT + SECOND + WINDOW + PROOF_MARGIN_NS
    tracker.queries(SENT + SECOND)
    assert not tracker.missing(order, query_sent_ns=landing, now_ns=landing)
    assert order.status is OrderStatus.UNKNOWN
    assert tracker.queries(landing - 1) == []
    (asked,) = tracker.queries(landing + SECOND)
    assert tracker.missing(asked, query_sent_ns=landing + 1, now_ns=landing + SECOND)
    assert (order.status, tracker.unresolved) == (OrderStatus.REJECTED, 0)


def test_an_order_that_the_venue_layer_may_still_hold_cannot_be_proven_dead_before_its_deadline():
    _, order = tracked()
    assert order.provable_ns == DEADLINE + WINDOW + PROOF_MARGIN_NS


def test_a_send_that_is_never_answered_becomes_unknown():
    tracker, order = tracked()
    assert tracker.overdue(SENT + 5 * SECOND) == []
    assert tracker.overdue(SENT + 11 * SECOND) == [order]
    assert order.status is OrderStatus.UNKNOWN


def test_a_failed_cancel_is_repeated_after_a_growing_pause():
    tracker, order = tracked()
    observe(tracker, order, VenueStatus.NEW)
    pauses, now = [], SENT
    for _ in range(4):
        assert tracker.cancellable(order, now)
        tracker.cancel_sent(order, now)
        assert not tracker.cancellable(order, now + 100 * SECOND)
        tracker.cancel_answered(order, now_ns=now)
        pauses.append(order.cancel_after_ns - now)
        now = order.cancel_after_ns
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]


def test_finished_orders_are_remembered_in_bounds():
    tracker = Tracker()
    for number in range(5_000):
        order = make_order(str(number))
        tracker.add(order)
        tracker.finish(order, OrderStatus.CANCELED, now_ns=SENT)
    assert len(tracker.recent) == 2_048
    assert tracker.get("4999") is not None
