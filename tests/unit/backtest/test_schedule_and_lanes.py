"""The virtual clock's small heap, and the connections that requests wait on."""

from mm_backtest.lanes import Lane, Request
from mm_backtest.latency import constant
from mm_backtest.schedule import NEVER, Schedule

MS = 1_000_000


class Wire:
    """A lane whose requests write down their moments."""

    def __init__(self, latency_ms=5.0, **options):
        self.schedule = Schedule()
        self.lane = Lane(self.schedule, constant(latency_ms), **options)
        self.said = []

    def request(self, name, *, at=0, timeout=3.0, departs=True):
        def depart(now):
            self.said.append((f"{name} leaves", now // MS))
            return departs

        def arrive(now):
            self.said.append((f"{name} arrives", now // MS))
            return name

        return Request(
            depart=depart,
            arrive=arrive,
            answered=lambda answer, now: self.said.append((f"{answer} answered", now // MS)),
            failed=lambda left, now: self.said.append((f"{name} failed, left={left}", now // MS)),
            made_ns=at,
            timeout_seconds=timeout,
        )

    def run(self):
        while self.schedule.next_ns != NEVER:
            self.schedule.run_next()
        return self.said


def test_calls_of_one_instant_are_made_in_the_order_in_which_they_were_put_in():
    schedule, made = Schedule(), []
    for name in "cab":
        schedule.at(7, lambda name, now: made.append((name, now)), name)
    schedule.at(3, lambda now: made.append(("first", now)))
    while schedule.next_ns != NEVER:
        schedule.run_next()
    assert made == [("first", 3), ("c", 7), ("a", 7), ("b", 7)]


def test_a_request_arrives_and_is_answered_one_way_later_each():
    wire = Wire()
    wire.lane.submit(wire.request("order"), 0)
    assert wire.lane.busy
    assert wire.run() == [("order leaves", 0), ("order arrives", 5), ("order answered", 10)]
    assert not wire.lane.busy


def test_a_second_request_leaves_only_once_the_first_is_answered():
    wire = Wire()
    wire.lane.submit(wire.request("first"), 0)
    wire.lane.submit(wire.request("second"), 0)
    assert ("second leaves", 10) in wire.run()


def test_a_lane_of_several_connections_lets_nobody_wait():
    wire = Wire(serial=False)
    wire.lane.submit(wire.request("first"), 0)
    wire.lane.submit(wire.request("second"), 0)
    assert not wire.lane.busy
    assert ("second leaves", 0) in wire.run()


def test_a_request_that_is_taken_back_never_leaves_and_one_that_has_left_cannot_be():
    wire = Wire()
    first, second = wire.request("first"), wire.request("second")
    wire.lane.submit(first, 0)
    wire.lane.submit(second, 0)
    assert wire.lane.take_back(second)
    assert not wire.lane.take_back(first)
    assert all("second" not in what for what, _ in wire.run())


def test_a_withheld_request_frees_the_lane_at_once():
    wire = Wire()
    wire.lane.submit(wire.request("withheld", departs=False), 0)
    wire.lane.submit(wire.request("next"), 0)
    assert wire.run()[:2] == [("withheld leaves", 0), ("next leaves", 0)]


def test_an_answer_later_than_the_timeout_is_a_failure_but_the_venue_acts_all_the_same():
    wire = Wire(latency_ms=800)
    wire.lane.submit(wire.request("slow", timeout=1.0), 0)
    assert wire.run() == [("slow leaves", 0), ("slow arrives", 800), ("slow failed, left=True", 1000)]


def test_a_request_whose_turn_comes_too_late_never_leaves():
    wire = Wire(latency_ms=800)
    wire.lane.submit(wire.request("slow", timeout=3.0), 0)
    wire.lane.submit(wire.request("late", timeout=1.0), 0)
    assert wire.run()[-1] == ("late failed, left=False", 1600)
    assert all(what != "late leaves" for what, _ in wire.said)
