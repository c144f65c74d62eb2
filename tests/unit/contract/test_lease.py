"""The Lease keeper, alone and in races of two against a server with a resourceVersion precondition."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_contract.claim import send_deadline_seconds
from mm_contract.lease import (
    Conflict,
    Failed,
    Finished,
    LeaseKeeper,
    LeasePhase,
    LeaseRecord,
    Missing,
    Observed,
    Outcome,
    Request,
    Verb,
    Wait,
)
from support.soak import examples

SECOND = 1_000_000_000
LEASE = 15


@dataclass
class Server:
    """A Lease behind an API server: writes need the current resourceVersion."""

    record: LeaseRecord | None = field(default_factory=lambda: LeaseRecord("", resource_version="1"))
    version: int = 1
    writes: list[str] = field(default_factory=list)

    def perform(self, request: Request, now: int) -> Outcome:
        if request.verb is Verb.READ:
            return Observed(self.record) if self.record else Missing()
        assert request.record is not None
        if request.verb is Verb.CREATE:
            return Conflict() if self.record else self._store(request.record, now)
        if self.record is None:
            return Missing()
        if request.record.resource_version != self.record.resource_version:
            return Conflict()
        return self._store(request.record, now)

    def _store(self, record: LeaseRecord, now: int) -> Outcome:
        self.version += 1
        self.record = replace(record, resource_version=str(self.version), renew_time=str(now))
        self.writes.append(record.holder)
        return Observed(self.record)


class Clock:
    def __init__(self) -> None:
        self.now = 1000 * SECOND

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


def step(keeper: LeaseKeeper, server: Server, clock: Clock, *, broken: bool = False) -> object:
    """One decision and, for a request, its outcome at once."""
    action = keeper.decide(clock.now)
    if isinstance(action, Request):
        keeper.sent(action, clock.now)
        outcome = Failed("503") if broken else server.perform(action, clock.now)
        keeper.answered(action, outcome, now_ns=clock.now)
    return action


def run(keeper: LeaseKeeper, server: Server, clock: Clock, *, seconds: float, broken: bool = False) -> None:
    """Let virtual time pass, jumping from one decision to the next."""
    end = clock.now + round(seconds * SECOND)
    while clock.now < end:
        action = step(keeper, server, clock, broken=broken)
        if isinstance(action, Wait):
            clock.now = min(end, max(action.until_ns, clock.now + 1))
        elif isinstance(action, Finished):
            clock.now = end


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_free_lease_is_taken_at_once_and_transitions_count_up(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=0.1)
    assert keeper.phase is LeasePhase.HOLDING
    assert keeper.transitions == 1
    assert keeper.held(clock.now)


def test_a_held_lease_is_renewed_every_third(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=61)
    assert len(server.writes) == 13  # the acquisition and one renewal every 5 s
    assert keeper.transitions == 1


def test_every_request_is_shorter_than_the_retry_period() -> None:
    for lease_seconds in (10, 15, 120):
        keeper = LeaseKeeper("a", lease_seconds)
        action = keeper.decide(0)
        assert isinstance(action, Request)
        assert action.timeout_ns < min(2.0, lease_seconds * 2 / 15) * SECOND


def test_the_send_deadline_counts_from_the_send_and_not_from_the_answer(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    step(keeper, server, clock)
    acquire = keeper.decide(clock.now)
    assert isinstance(acquire, Request)
    sent = clock.now
    keeper.sent(acquire, sent)
    clock.advance(1.4)
    keeper.answered(acquire, server.perform(acquire, clock.now), now_ns=clock.now)
    assert keeper.send_deadline_ns == sent + round(send_deadline_seconds(LEASE) * SECOND)


def test_a_holder_that_cannot_renew_stops_sending_at_the_deadline_and_returns_with_the_api(
    server: Server, clock: Clock
) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=0.1)
    run(keeper, server, clock, seconds=9.8, broken=True)
    assert keeper.held(clock.now)
    run(keeper, server, clock, seconds=0.2, broken=True)
    assert not keeper.held(clock.now)
    run(keeper, server, clock, seconds=120, broken=True)
    run(keeper, server, clock, seconds=3)
    assert keeper.held(clock.now)
    assert keeper.transitions == 1


def test_a_taker_waits_until_the_record_was_unchanged_for_the_whole_lease(server: Server, clock: Clock) -> None:
    holder, taker = LeaseKeeper("a", LEASE), LeaseKeeper("b", LEASE)
    run(holder, server, clock, seconds=0.1)
    start = clock.now
    while taker.phase is LeasePhase.WAITING:
        run(taker, server, clock, seconds=0.25)
        assert clock.now < start + 20 * SECOND
    assert clock.now - start >= LEASE * SECOND
    assert taker.transitions == 2


def test_a_taker_respects_a_longer_duration_of_the_record(server: Server, clock: Clock) -> None:
    run(LeaseKeeper("a", 60), server, clock, seconds=0.1)
    taker = LeaseKeeper("b", LEASE)
    run(taker, server, clock, seconds=59)
    assert taker.phase is LeasePhase.WAITING
    run(taker, server, clock, seconds=4)
    assert taker.phase is LeasePhase.HOLDING


def test_a_taker_never_takes_from_a_holder_that_renews(server: Server, clock: Clock) -> None:
    holder, taker = LeaseKeeper("a", LEASE), LeaseKeeper("b", LEASE, jitter=1.0)
    for _ in range(400):
        run(holder, server, clock, seconds=0.1)
        run(taker, server, clock, seconds=0.4)
    assert holder.held(clock.now)
    assert taker.phase is LeasePhase.WAITING


def test_a_taker_counts_afresh_after_the_api_was_away(server: Server, clock: Clock) -> None:
    """No fail-over storm when the API server returns: the holder could not renew, which says nothing of it."""
    holder, taker = LeaseKeeper("a", LEASE), LeaseKeeper("b", LEASE)
    run(holder, server, clock, seconds=0.1)
    run(taker, server, clock, seconds=1)
    run(taker, server, clock, seconds=300, broken=True)
    run(taker, server, clock, seconds=LEASE - 1)
    assert taker.phase is LeasePhase.WAITING
    run(holder, server, clock, seconds=0.1)
    assert holder.phase is LeasePhase.HOLDING


def test_a_taker_that_was_frozen_counts_afresh(server: Server, clock: Clock) -> None:
    run(LeaseKeeper("a", LEASE), server, clock, seconds=0.1)
    taker = LeaseKeeper("b", LEASE)
    run(taker, server, clock, seconds=1)
    clock.advance(3600)
    run(taker, server, clock, seconds=LEASE - 1)
    assert taker.phase is LeasePhase.WAITING


def test_a_frozen_holder_may_not_send_on_waking_and_finds_itself_replaced(server: Server, clock: Clock) -> None:
    holder, taker = LeaseKeeper("a", LEASE), LeaseKeeper("b", LEASE)
    run(holder, server, clock, seconds=0.1)
    run(taker, server, clock, seconds=LEASE + 5)
    assert not holder.held(clock.now)
    run(holder, server, clock, seconds=0.1)
    assert holder.phase is LeasePhase.LOST
    assert "b" in holder.reason


def test_an_answer_after_a_freeze_extends_nothing(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=5.05)
    clock.advance(0.05)
    renewal = Request(99, Verb.RENEW, SECOND, record=server.record)
    keeper.sent(renewal, clock.now)
    clock.advance(60)
    keeper.answered(renewal, server.perform(renewal, clock.now), now_ns=clock.now)
    assert not keeper.held(clock.now)


def test_a_deleted_lease_is_lost_by_its_holder(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=1)
    server.record = None
    run(keeper, server, clock, seconds=6)
    assert keeper.phase is LeasePhase.LOST
    assert not keeper.held(clock.now)
    assert isinstance(keeper.decide(clock.now), Finished)


def test_a_cleared_lease_is_lost_by_its_holder(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=1)
    server.record = LeaseRecord("", transitions=1, resource_version="900")
    run(keeper, server, clock, seconds=6)
    assert keeper.phase is LeasePhase.LOST


def test_an_edited_but_still_own_lease_is_renewed_on(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=1)
    assert server.record is not None
    server.record = replace(server.record, resource_version="900")
    server.version = 900
    run(keeper, server, clock, seconds=30)
    assert keeper.held(clock.now)


def test_a_missing_lease_is_waited_for_where_the_operator_creates_it(server: Server, clock: Clock) -> None:
    server.record = None
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=10)
    assert keeper.phase is LeasePhase.WAITING
    server.record = LeaseRecord("", resource_version="7")
    run(keeper, server, clock, seconds=3)
    assert keeper.phase is LeasePhase.HOLDING


def test_a_missing_lease_is_created_by_a_leader_election(server: Server, clock: Clock) -> None:
    server.record = None
    first, second = (LeaseKeeper(name, LEASE, create_when_missing=True) for name in "ab")
    for _ in range(4):
        step(first, server, clock)
        step(second, server, clock)
    assert [first.phase, second.phase].count(LeasePhase.HOLDING) == 1


def test_a_released_lease_is_taken_at_the_next_look(server: Server, clock: Clock) -> None:
    holder, taker = LeaseKeeper("a", LEASE), LeaseKeeper("b", LEASE)
    run(holder, server, clock, seconds=1)
    run(taker, server, clock, seconds=1)
    holder.release()
    assert not holder.held(clock.now)
    run(holder, server, clock, seconds=0.1)
    assert holder.phase is LeasePhase.RELEASED
    run(taker, server, clock, seconds=2.5)
    assert taker.phase is LeasePhase.HOLDING
    assert taker.transitions == 2


def test_a_release_that_is_never_acknowledged_ends_after_a_few_attempts(server: Server, clock: Clock) -> None:
    keeper = LeaseKeeper("a", LEASE)
    run(keeper, server, clock, seconds=1)
    keeper.release()
    run(keeper, server, clock, seconds=20, broken=True)
    assert keeper.phase is LeasePhase.RELEASED
    assert keeper.reason


def test_an_acquisition_whose_answer_was_lost_holds_only_after_an_acknowledged_renewal(
    server: Server, clock: Clock
) -> None:
    keeper = LeaseKeeper("a", LEASE)
    step(keeper, server, clock)
    acquire = keeper.decide(clock.now)
    assert isinstance(acquire, Request)
    keeper.sent(acquire, clock.now)
    server.perform(acquire, clock.now)
    keeper.answered(acquire, Failed("timeout"), now_ns=clock.now)
    clock.advance(2.5)
    read = step(keeper, server, clock)
    assert isinstance(read, Request)
    assert read.verb is Verb.READ
    assert not keeper.held(clock.now)
    renewal = step(keeper, server, clock)
    assert isinstance(renewal, Request)
    assert renewal.verb is Verb.RENEW
    assert keeper.held(clock.now)


def test_an_empty_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody holds it"):
        LeaseKeeper("", LEASE)


# Two keepers, one server, any weather.


@dataclass
class Late:
    """A request that was given up by its sender but may still land."""

    request: Request
    lands_at: int


@dataclass
class Node:
    keeper: LeaseKeeper
    offset: int
    frozen_until: int = 0
    in_flight: tuple[Request, int, int, bool] | None = None  # request, lands at, answered at, answer is lost
    outcome: Outcome | None = None

    def clock(self, now: int) -> int:
        return now + self.offset


WEATHER = st.lists(
    st.tuples(
        st.floats(0.01, 25.0),  # seconds until the next change
        st.sampled_from(["calm", "slow", "lost-request", "lost-answer", "down", "freeze-0", "freeze-1", "restart-0"]),
        st.floats(0.0, 40.0),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(60), deadline=None)
@given(weather=WEATHER, offset=st.integers(-(10**12), 10**12), jitter=st.floats(0.0, 1.0))
def test_two_keepers_are_never_both_inside_a_held_window(
    weather: list[tuple[float, str, float]], offset: int, jitter: float
) -> None:
    world = World(offset=offset, jitter=jitter)
    for seconds, kind, size in weather:
        world.change(kind, size)
        world.run(seconds)
    world.change("calm", 0.0)
    world.run(45.0)
    assert any(node.keeper.held(node.clock(world.now)) for node in world.nodes), "calm weather ends with a holder"


class World:
    """Virtual time in steps of 50 ms; requests take time, land late, lose their answers."""

    TICK = SECOND // 20

    def __init__(self, *, offset: int, jitter: float) -> None:
        self.now = 10**13
        self.server = Server()
        self.nodes = [Node(LeaseKeeper("a0", LEASE), 0), Node(LeaseKeeper("b0", LEASE, jitter=jitter), offset)]
        self.kind, self.size = "calm", 0.0
        self.names = 0
        self.late: list[Late] = []

    def change(self, kind: str, size: float) -> None:
        self.kind, self.size = kind, size
        if kind.startswith("freeze"):
            self.nodes[int(kind[-1])].frozen_until = self.now + round(size * SECOND)
        if kind == "restart-0":
            self.names += 1
            node = self.nodes[0]
            if node.in_flight is not None:
                self.late.append(Late(node.in_flight[0], node.in_flight[1]))
            self.nodes[0] = Node(LeaseKeeper(f"a{self.names}", LEASE), node.offset + 12345)

    def run(self, seconds: float) -> None:
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            self.now += self.TICK
            self._land_late()
            for node in self.nodes:
                self._serve(node)
                if self.now >= node.frozen_until:
                    self._drive(node)
            self._check()

    def _land_late(self) -> None:
        for late in [late for late in self.late if late.lands_at <= self.now]:
            self.late.remove(late)
            self.server.perform(late.request, self.now)

    def _serve(self, node: Node) -> None:
        """The network works on while a node is frozen."""
        if node.in_flight is not None and node.outcome is None and node.in_flight[1] <= self.now:
            node.outcome = self.server.perform(node.in_flight[0], self.now)

    def _drive(self, node: Node) -> None:
        if node.in_flight is not None:
            request, _, answered, lost = node.in_flight
            if node.outcome is not None and answered <= self.now and not lost:
                node.keeper.answered(request, node.outcome, now_ns=node.clock(self.now))
                node.in_flight, node.outcome = None, None
        action = node.keeper.decide(node.clock(self.now))
        if isinstance(action, Finished):
            self._reincarnate(node)
        elif isinstance(action, Request):
            if node.in_flight is not None and node.outcome is None:
                self.late.append(Late(node.in_flight[0], node.in_flight[1]))
            node.keeper.sent(action, node.clock(self.now))
            node.in_flight, node.outcome = self._send(action), None

    def _send(self, request: Request) -> tuple[Request, int, int, bool]:
        never = 1 << 62
        slow = round(self.size * SECOND)
        match self.kind:
            case "slow":
                return request, self.now + slow, self.now + slow, False
            case "lost-request" | "down":
                return request, never, never, True
            case "lost-answer":
                return request, self.now + slow // 10, never, True
            case _:
                return request, self.now, self.now + self.TICK, False

    def _reincarnate(self, node: Node) -> None:
        self.names += 1
        node.keeper = LeaseKeeper(f"n{self.names}", LEASE)

    def _check(self) -> None:
        holders = [node.keeper.holder for node in self.nodes if node.keeper.held(node.clock(self.now))]
        assert len(holders) <= 1, f"two holders at once: {holders}"
