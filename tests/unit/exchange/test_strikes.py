"""Faults together: what each does beside others, and that the same seed strikes the same subjects."""

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from mm_exchange.fault_kinds import KINDS, TARGET_NAMES
from mm_exchange.faults import FaultPlan, FaultSpec, Subject
from mm_exchange.ledger import Ledger
from mm_exchange.strikes import FRAME_KINDS, REST_KINDS, shifted, strike_frame, strike_request

EVERY_KIND = frozenset(KINDS)
SECOND = 10**9
FRAME = b'{"e":"depthUpdate","E":1790000000123,"T":1790000000120,"s":"ETHUSDT","b":[],"a":[]}'

chances = st.floats(0.1, 1.0)
counts = st.none() | st.integers(1, 5)


targets = st.sampled_from(TARGET_NAMES)


@st.composite
def specs(draw, target=targets):
    target = draw(target)
    kind = draw(st.sampled_from(sorted(kind for kind, table in KINDS.items() if target in table.targets)))
    params = draw(st.fixed_dictionaries({}, optional={"skip": st.integers(0, 3), "every": st.integers(1, 3)}))
    after, seconds = draw(st.integers(0, 5)), draw(st.none() | st.integers(1, 20))
    return FaultSpec(
        kind, target, draw(st.sampled_from([None, "A", "B"])), draw(chances), draw(counts), after, seconds, params
    )


subjects = st.lists(
    st.tuples(st.sampled_from(TARGET_NAMES), st.sampled_from([None, "A", "B"]), st.integers(0, 2)), max_size=40
)


def draws(plan, met):
    """Which faults want each subject, one after another; every third second the clock's tick."""
    seen, now_ns = [], 0
    for target, symbol, later in met:
        now_ns += later * SECOND
        found = plan.drawn(Subject(target, symbol), EVERY_KIND, now_ns=now_ns)
        for fault in found:
            plan.hit(fault, Subject(target, symbol), now_ns=now_ns)
        plan.tick(now_ns)
        seen.append([fault.fault_id for fault in found])
    return seen


def planned(faults, *, seed=7, ledger=None):
    plan = FaultPlan(Ledger() if ledger is None else ledger, seed=seed)
    for spec in faults:
        plan.add(spec, 0)
    return plan


@given(faults=st.lists(specs(), max_size=6), met=subjects)
def test_the_same_seed_strikes_the_same_subjects(faults, met):
    one, two = Ledger(), Ledger()
    assert draws(planned(faults, ledger=one), met) == draws(planned(faults, ledger=two), met)
    assert list(one.read()) == list(two.read())


@given(faults=st.lists(specs(), min_size=1, max_size=4), more=st.lists(specs(), max_size=3), met=subjects)
def test_more_faults_change_nothing_for_those_that_are_there(faults, more, met):
    alone = draws(planned(faults), met)
    beside = draws(planned([*faults, *more]), met)
    known = set(range(1, len(faults) + 1))
    assert [[number for number in struck if number in known] for struck in beside] == alone


@given(faults=st.lists(specs(), max_size=6), met=subjects)
def test_nothing_strikes_more_often_or_others_than_it_was_told(faults, met):
    ledger = Ledger()
    plan = planned(faults, ledger=ledger)
    struck = draws(plan, met)
    for number, spec in enumerate(faults, 1):
        hit = [subject for subject, numbers in zip(met, struck, strict=True) if number in numbers]
        assert all(target == spec.target for target, _, _ in hit)
        assert all(spec.symbol is None or symbol in (None, spec.symbol) for _, symbol, _ in hit)
        if spec.count is not None and spec.kind != "filters-changed":
            assert len(hit) <= spec.count
        recorded = [entry for entry in ledger.read() if entry.detail["id"] == number and entry.status == "STRUCK"]
        assert len(recorded) == len(hit)


def test_every_strike_begins_with_added_and_a_fault_that_is_over_expires_once():
    ledger = Ledger()
    plan = planned([FaultSpec("gap", "market-stream", count=1), FaultSpec("stall", "rest", seconds=2)], ledger=ledger)
    subject = Subject("market-stream", "A", stream="a@trade")
    assert plan.strike(subject, FRAME_KINDS, now_ns=0) is not None
    assert plan
    for at in (1, 2, 3):
        plan.tick(at * SECOND)
    assert not plan
    told = [(entry.status, entry.detail["kind"]) for entry in ledger.read()]
    assert told == [("ADDED", "gap"), ("ADDED", "stall"), ("STRUCK", "gap"), ("EXPIRED", "gap"), ("EXPIRED", "stall")]
    struck = next(entry for entry in ledger.read() if entry.status == "STRUCK")
    assert (struck.symbol, struck.detail["stream"], struck.detail["hits"]) == ("A", "a@trade", 1)
    assert [row["state"] for row in plan.shown(3 * SECOND)] == ["over", "over"]


def test_a_long_silence_does_not_fill_the_ledger():
    ledger = Ledger()
    plan = planned([FaultSpec("stall", "market-stream")], ledger=ledger)
    for _ in range(2000):
        strike_frame(plan, Subject("market-stream", "A"), FRAME, now_ns=0)
    assert sum(entry.status == "STRUCK" for entry in ledger.read()) == 101
    assert plan.shown(0)[0]["hits"] == 2000


@given(faults=st.lists(specs(st.just("market-stream")), max_size=6))
def test_frames_compose(faults):
    plan = planned([spec for spec in faults if spec.probability == 1 or spec.kind in FRAME_KINDS])
    now_ns = 5 * SECOND
    active = plan.drawn(Subject("other"), EVERY_KIND, now_ns=now_ns)
    assert active == []
    strike = strike_frame(plan, Subject("market-stream", "A"), FRAME, now_ns=now_ns)
    hit = [fault.spec.kind for fault in plan._faults.values() if fault.hits]
    if {"stall", "gap"} & set(hit):
        assert strike.payloads == ()
        assert len(hit) == 1
        return
    assert len(strike.payloads) == 1 + hit.count("duplicate")
    assert len(set(strike.payloads)) == 1
    assert strike.delay_s == hit.count("delay") * 1.0
    assert (strike.overtaken_s is not None) == ("reorder" in hit)
    if "malformed" not in hit:
        assert orjson.loads(strike.payloads[0])["E"] == 1790000000123 + 10_000 * hit.count("clock-skew")
    else:
        assert len(strike.payloads[0]) < len(FRAME)


@given(faults=st.lists(specs(st.just("rest")), max_size=6))
def test_a_request_ends_once(faults):
    """At most one fault ends it; what cannot act beside that one keeps its count."""
    plan = planned(faults)
    strike = strike_request(plan, Subject("rest", "A", method="GET"), REST_KINDS, now_ns=5 * SECOND)
    hit = [fault for fault in plan._faults.values() if fault.hits]
    kinds = [fault.spec.kind for fault in hit]
    if strike is None:
        assert hit == []
        return
    assert strike.delay_s == kinds.count("delay") * 1.0
    if strike.ending is not None:
        assert strike.ending in hit
        assert set(kinds) - {strike.ending.spec.kind} <= {"delay", "reorder"}
    elif strike.lost is not None:
        assert not strike.cut
    else:
        assert strike.cut == ("malformed" in kinds)
        assert strike.skew_ms == 10_000 * kinds.count("clock-skew")


def test_while_a_frame_waits_to_be_overtaken_the_next_one_overtakes():
    plan = planned([FaultSpec("reorder", "market-stream")])
    subject = Subject("market-stream", "A")
    assert strike_frame(plan, subject, FRAME, now_ns=0).overtaken_s == 1.0
    assert strike_frame(plan, subject, FRAME, now_ns=0, may_swap=False).overtaken_s is None
    assert plan.shown(0)[0]["hits"] == 1


def test_times_are_shifted_in_raw_and_in_combined_frames():
    order = {"e": "ORDER_TRADE_UPDATE", "E": 1000, "T": 1000, "o": {"c": "x", "T": 1000, "E": "no time"}}
    for frame in (order, {"stream": "key", "data": order}):
        moved = json.loads(shifted(orjson.dumps(frame), -400))
        inner = moved.get("data", moved)
        assert (inner["E"], inner["T"], inner["o"]["T"], inner["o"]["E"]) == (600, 600, 600, "no time")
