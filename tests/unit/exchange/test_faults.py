"""The fault plan: when, where, how often, and the same again with the same seed."""

import pytest

from mm_exchange.faults import FaultPlan, FaultSpec, Subject
from mm_exchange.ledger import Ledger

SECOND = 10**9
KINDS = frozenset({"http-status", "gap", "stall", "drop"})
REST = Subject("rest", "ETHUSDT", "key", "POST", "/fapi/v1/order")


@pytest.fixture
def plan():
    return FaultPlan(Ledger(), seed=1)


def struck(plan, now_s, subject=REST):
    return plan.strike(subject, KINDS, now_ns=int(now_s * SECOND)) is not None


def test_a_fault_begins_and_ends_in_time(plan):
    plan.add(FaultSpec("http-status", "rest", after_seconds=2, seconds=3), 0)
    assert [struck(plan, at) for at in (0, 1.9, 2, 4.9, 5)] == [False, False, True, True, False]


def test_a_fault_strikes_as_often_as_it_was_told(plan):
    plan.add(FaultSpec("http-status", "rest", count=2), 0)
    assert [struck(plan, 0) for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("spec", "meets"),
    [
        ({"symbol": "ETHUSDT"}, True),
        ({"symbol": "BTCUSDT"}, False),
        ({"params": {"path": "/fapi/v1/order", "method": "POST"}}, True),
        ({"params": {"method": "GET"}}, False),
        ({"params": {"apiKey": "other"}}, False),
    ],
)
def test_a_fault_strikes_whom_it_was_told(plan, spec, meets):
    plan.add(FaultSpec("http-status", "rest", **spec), 0)
    assert struck(plan, 0) is meets


def test_chance_is_seeded():
    def run(seed):
        plan = FaultPlan(Ledger(), seed=seed)
        plan.add(FaultSpec("http-status", "rest", probability=0.5), 0)
        return [struck(plan, 0) for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 10 < sum(run(1)) < 40


def test_a_drop_without_duration_strikes_what_is_there_once(plan):
    plan.add(FaultSpec("drop", "market-stream"), 0)
    (fault,) = plan.on_present(frozenset({"drop"}), now_ns=0)
    sockets = [Subject("market-stream"), Subject("user-stream"), Subject("market-stream")]
    assert plan.hit_present(fault, sockets, now_ns=0) == [0, 2]
    assert plan.on_present(frozenset({"drop"}), now_ns=0) == []
    assert not struck(plan, 1, Subject("market-stream"))


def test_a_planned_drop_waits_for_its_time_even_for_sockets_that_come_later(plan):
    plan.add(FaultSpec("drop", "market-stream", after_seconds=5), 0)
    assert plan.on_present(frozenset({"drop"}), now_ns=0) == []
    assert len(plan.on_present(frozenset({"drop"}), now_ns=5 * SECOND)) == 1


def test_faults_go_when_they_are_removed(plan):
    first = plan.add(FaultSpec("http-status", "rest"), 0)
    plan.add(FaultSpec("stall", "rest"), 0)
    assert plan.remove(first.fault_id, 0) == 1
    assert plan.remove(None, 0) == 1
    assert not plan
    assert not struck(plan, 0)
