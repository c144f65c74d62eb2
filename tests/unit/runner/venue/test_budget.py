"""Budgets follow the venue's own counters; bans stop everything."""

from __future__ import annotations

import pytest

from mm_runner.venue.budget import Budget, Urgency

NOON = 1_790_000_040_000 // 60_000 * 60_000
S = 1_000_000_000


def obstacle(budget: Budget, urgency: Urgency, *, weight: int = 1, ms: int = NOON, boot_s: float = 0) -> str:
    return budget.obstacle(urgency, weight, venue_ms=ms, boot_ns=int(boot_s * S))


def test_a_fresh_budget_hinders_nothing():
    assert all(obstacle(Budget(), urgency) == "" for urgency in Urgency)


def test_beyond_its_share_of_the_weight_orders_and_deferrable_calls_wait_but_cancels_go():
    budget = Budget(share=0.5)
    budget.note({"X-MBX-USED-WEIGHT-1M": "1200"}, NOON)
    assert "weight budget spent: 1200 of 2400" in obstacle(budget, Urgency.ORDER)
    assert obstacle(budget, Urgency.DEFERRABLE) != ""
    assert obstacle(budget, Urgency.ESSENTIAL) == ""


def test_the_next_minute_of_the_venue_frees_the_weight():
    budget = Budget(share=0.5)
    budget.note({"X-MBX-USED-WEIGHT-1M": "2400"}, NOON + 59_999)
    assert obstacle(budget, Urgency.DEFERRABLE, ms=NOON + 59_999) != ""
    assert obstacle(budget, Urgency.DEFERRABLE, ms=NOON + 60_000) == ""


@pytest.mark.parametrize(
    ("header", "limit", "frees_after"), [("X-MBX-ORDER-COUNT-10S", 300, 10_000), ("X-MBX-ORDER-COUNT-1M", 1200, 60_000)]
)
def test_order_counts_stop_new_orders_only(header, limit, frees_after):
    budget = Budget(share=1.0)
    budget.note({header: str(limit)}, NOON)
    assert "order budget spent" in obstacle(budget, Urgency.ORDER)
    assert obstacle(budget, Urgency.DEFERRABLE) == ""
    assert obstacle(budget, Urgency.ORDER, ms=NOON + frees_after) == ""


def test_what_is_in_flight_counts_before_its_answer():
    budget = Budget(share=1.0)
    budget.set_limits(orders_10s=2)
    budget.sending(Urgency.ORDER, 0, venue_ms=NOON)
    assert obstacle(budget, Urgency.ORDER) == ""
    budget.sending(Urgency.ORDER, 0, venue_ms=NOON)
    assert obstacle(budget, Urgency.ORDER) != ""


def test_a_late_answer_of_the_same_window_does_not_lower_the_count():
    budget = Budget()
    budget.note({"X-MBX-USED-WEIGHT-1M": "500"}, NOON)
    budget.note({"X-MBX-USED-WEIGHT-1M": "20"}, NOON + 1)
    assert budget.weight.now(NOON + 1) == 500


def test_a_ban_stops_even_cancels_and_is_never_shortened():
    budget = Budget()
    budget.ban(code=418, seconds=120, boot_ns=0)
    until = budget.ban(code=429, seconds=1, boot_ns=S)
    assert until == 120 * S
    assert "obeying HTTP" in obstacle(budget, Urgency.ESSENTIAL, boot_s=119)
    assert obstacle(budget, Urgency.ESSENTIAL, boot_s=120) == ""


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9"])
def test_unreadable_headers_are_passed_over(value):
    budget = Budget()
    budget.note({"X-MBX-USED-WEIGHT-1M": value}, NOON)
    assert budget.weight.now(NOON) == 0


def test_limits_come_from_the_exchange_info():
    budget = Budget(share=1.0)
    budget.set_limits(weight=10)
    assert obstacle(budget, Urgency.DEFERRABLE, weight=11) != ""
    assert budget.orders_10s.limit == 300
