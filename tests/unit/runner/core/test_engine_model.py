"""The engine against an adversary: acknowledgements are lost, doubled and reordered, fills come at any time, cancels race, streams break.

Whatever happens: the true worst case (the venue's own) never exceeds maxPosition, no order leaves against the table, no unknown order is sent again or
forgotten, and a shutdown ends with nothing left, proven.
"""

from __future__ import annotations

from core_world import MS, SECOND, World, make_spec, written_table
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm_contract.claim import ClientOrderId
from mm_contract.states import HaltState
from mm_runner.core import messages as m
from mm_runner.core.judgement import situation_of
from support.soak import examples

BUY, SELL = m.Side.BUY, m.Side.SELL
MAX_LOTS = 100
SPEC = {
    "risk": {
        "maxPosition": "0.1",
        "maxOrderNotional": "500",
        "shock": {"moveBps": 5000},
        "errorStorm": {"errors": 1000},
    },
    "quoting": {
        "baseSize": "0.03",
        "levels": 3,
        "restMs": 0,
        "toleranceTicks": 0,
        "minIntervalMs": 10,
        "intervalMs": 100,
    },
    "failover": {"deadManSeconds": 10},
}


class Adversary(RuleBasedStateMachine):
    """Chooses which action is carried out next, and which message arrives next, and what is lost."""

    @initialize()
    def begin(self) -> None:
        self.world = World(make_spec(**SPEC), start=False, with_twin=True)
        self.world.auto = False
        self.world.keep_alive = False
        self.inbox: list[m.Event] = []
        self.user: list[m.Event] = []
        self.late: list[tuple[m.PlaceOrder | m.CancelOrder, int]] = []
        self.user_up = True
        self.seen = 0
        self.world.start()
        self.everything()

    # -- helpers -------------------------------------------------------------------------------------------------------

    def send(self, event: m.Event) -> None:
        self.world.send(event)
        self.check_orders()

    def check_orders(self) -> None:
        """Invariant 2 and the deadline at the moment of emission; ids never repeat."""
        engine, world = self.world.engine, self.world
        for action in world.actions[self.seen :]:
            if not isinstance(action, m.PlaceOrder):
                continue
            situation = situation_of(engine, engine.market, engine.account, settings=engine.settings, now=world.now)
            may_open, reduce_maker, reduce_taker, _ = written_table(situation)
            if action.type is m.OrderType.MARKET:
                assert reduce_taker == "market", situation
            elif action.time_in_force is m.TimeInForce.IOC:
                assert reduce_taker == "bounded", situation
            else:
                assert may_open or reduce_maker, situation
                assert may_open or action.reduce_only, "not Running, but without reduceOnly"
            assert action.send_deadline_boot_ns <= engine.authority.lease_deadline_ns
            assert action.send_deadline_boot_ns > world.now_ns
            cid = ClientOrderId.parse(action.client_order_id)
            assert cid is not None
            assert cid.epoch == engine.epoch
        self.seen = len(world.actions)

    def carry_out(self, action: m.Action) -> None:
        """The venue does it; the answers go to the queues."""
        world, venue = self.world, self.world.venue
        venue.now_ms = world.wall_ms
        match action:
            case m.PlaceOrder():
                if world.now_ns >= action.send_deadline_boot_ns:
                    self.inbox.append(m.OrderRefused(client_order_id=action.client_order_id, code=m.LOCAL_REFUSAL))
                    return
                answer, events = venue.place(action)
                self.inbox.append(answer)
                self.user += events
            case m.CancelOrder():
                answer, events = venue.cancel(action)
                self.inbox.append(answer)
                self.user += events
            case m.QueryOrder():
                self.inbox.append(venue.query(action, world.now_ns))
            case m.Reconcile():
                self.inbox.append(venue.snapshot(world.now_ns))
            case m.FetchDepthSnapshot():
                bids, asks = world.levels()
                self.inbox.append(
                    m.DepthSnapshot(last_update_id=world.update_id, bids=bids, asks=asks, sent_boot_ns=world.now_ns)
                )
            case m.PersistClaimState():
                self.inbox.append(m.ClaimStatePersisted(token=action.token))
            case _:
                pass

    def everything(self, rounds: int = 60) -> None:
        """Let the world come to rest: all in order."""
        for _ in range(rounds):
            if not (self.world.pending or self.inbox or self.user):
                return
            while self.world.pending:
                self.carry_out(self.world.pending.pop(0))
            while self.user:
                event = self.user.pop(0)
                if self.user_up:
                    self.send(event)
            while self.inbox:
                self.send(self.inbox.pop(0))

    # -- what may happen -----------------------------------------------------------------------------------------------

    @rule(index=st.integers(0, 30))
    def one_action_is_carried_out(self, index: int) -> None:
        """In any order, but a cancel never overtakes its order: they share a connection."""
        pending = self.world.pending
        if not pending:
            return
        action = pending[index % len(pending)]
        if self.may_leave(action):
            pending.remove(action)
            self.carry_out(action)

    @rule(index=st.integers(0, 30), doubled=st.booleans())
    def one_answer_arrives(self, *, index: int, doubled: bool) -> None:
        if self.inbox:
            event = self.inbox.pop(index % len(self.inbox))
            self.send(event)
            if doubled and not isinstance(event, m.AccountSnapshot | m.DepthSnapshot):
                self.send(event)

    @rule(index=st.integers(0, 3), doubled=st.booleans())
    def one_user_event_arrives(self, *, index: int, doubled: bool) -> None:
        """The stream keeps its order; a doubled or slightly reordered event stands for the venue's habits."""
        if self.user:
            event = self.user.pop(index % len(self.user))
            if self.user_up:
                self.send(event)
                if doubled:
                    self.send(event)

    @rule(index=st.integers(0, 30), lots=st.integers(20, 40))
    def a_diff_is_lost_and_an_order_fills_before_the_book_is_back(self, index: int, lots: int) -> None:
        """The engine must not refill the level from a book that it can no longer trust."""
        self.world.update_id += 7
        self.the_market_moves(0, ["hold"] * 12)
        self.an_order_is_filled(index, lots)
        self.user_events_arrive()
        self.time_passes(120)

    @precondition(lambda self: self.late)
    @rule()
    def a_query_overtakes_a_late_request(self) -> None:
        """-2013 comes first, and only then the order that it denied."""
        for action in [a for a in self.world.pending if isinstance(a, m.QueryOrder)]:
            self.world.pending.remove(action)
            self.send(self.world.venue.query(action, self.world.now_ns))
        self.a_request_given_up_on_lands_after_all()
        self.user_events_arrive()

    def user_events_arrive(self) -> None:
        while self.user:
            event = self.user.pop(0)
            if self.user_up:
                self.send(event)

    @precondition(lambda self: self.late)
    @rule()
    def a_request_given_up_on_lands_after_all(self) -> None:
        """Within its recvWindow (and a second of clock difference) the venue still takes it."""
        action, left_ns = self.late.pop(0)
        if self.world.now_ns <= left_ns + (action.recv_window_ms + 1000) * MS:
            answers = len(self.inbox)
            self.carry_out(action)
            del self.inbox[answers:]

    @rule(index=st.integers(0, 30), lots=st.integers(1, 40))
    def an_order_is_filled(self, index: int, lots: int) -> None:
        orders = [o for o in self.world.venue.orders.values() if o.open]
        if orders:
            self.world.venue.now_ms = self.world.wall_ms
            self.user += self.world.venue.fill(orders[index % len(orders)], lots)

    @rule(milliseconds=st.sampled_from([1, 20, 120, 700]))
    def time_passes(self, milliseconds: int) -> None:
        world = self.world
        world.now_ns += milliseconds * MS
        world.wall_ms += milliseconds
        self.send(m.Tick())

    @rule()
    def lease_and_switch_are_renewed(self) -> None:
        deadline = self.world.now_ns + 10 * SECOND
        self.send(m.LeaseState(held=True, send_deadline_boot_ns=deadline, epoch=1))
        self.send(m.DeadMan(armed_until_boot_ns=deadline))

    @rule(
        ticks=st.integers(-400, 400),
        fates=st.lists(
            st.sampled_from(["carry", "carry", "hold", "lost_before", "lost_after", "late"]), min_size=12, max_size=12
        ),
    )
    def the_market_moves(self, ticks: int, fates: list[str]) -> None:
        """A moved market makes the engine replace its quotes; each of the new orders meets its fate at once."""
        self.world.now_ns += 15 * MS
        self.world.wall_ms += 15
        before = len(self.world.pending)
        self.world.move_market(ticks)
        self.check_orders()
        for action, fate in zip(list(self.world.pending[before:]), fates, strict=False):
            if isinstance(action, m.PlaceOrder | m.CancelOrder):
                self.meet(action, fate)

    def meet(self, action: m.PlaceOrder | m.CancelOrder, fate: str) -> None:
        if fate == "hold" or not self.may_leave(action):
            return
        self.world.pending.remove(action)
        if fate == "late":
            self.late.append((action, self.world.now_ns))
        if fate in ("lost_before", "late"):
            self.become_unknown(action)
            return
        answers = len(self.inbox)
        self.carry_out(action)
        if fate == "lost_after":
            del self.inbox[answers:]
            self.become_unknown(action)

    def may_leave(self, action: m.Action) -> bool:
        """A cancel never overtakes its own order: they share a connection."""
        return not isinstance(action, m.CancelOrder) or not any(
            isinstance(a, m.PlaceOrder) and a.client_order_id == action.client_order_id for a in self.world.pending
        )

    def become_unknown(self, action: m.PlaceOrder | m.CancelOrder) -> None:
        unknown = m.OrderUnknown if isinstance(action, m.PlaceOrder) else m.CancelUnknown
        self.send(unknown(client_order_id=action.client_order_id, error="timeout"))

    @rule(index=st.integers(0, 30), lots=st.integers(5, 40), ticks=st.integers(-60, 60), order_first=st.booleans())
    def a_fill_is_reported_in_halves_around_a_round(
        self, *, index: int, lots: int, ticks: int, order_first: bool
    ) -> None:
        """Between the two reports of one fill the engine quotes: it must count the worse of both."""
        orders = [o for o in self.world.venue.orders.values() if o.open]
        if not orders or self.user or not self.user_up:
            return
        self.world.venue.now_ms = self.world.wall_ms
        events = self.world.venue.fill(orders[index % len(orders)], lots)
        if order_first:
            events.reverse()
        for event in events:
            self.send(event)
            self.the_market_moves(ticks, ["carry"] * 12)

    @rule(
        kind=st.sampled_from(
            ["nothing"] * 6
            + ["lost diff", "halt", "no halt", "no halt", "user stream breaks", "spec", "spec", "running"]
        ),
        state=st.sampled_from(["Running", "ReduceOnly", "Flat", "Halted"]),
    )
    def something_interferes(self, kind: str, state: str) -> None:
        match kind:
            case "lost diff":
                self.world.update_id += 7
            case "halt" | "no halt":
                halts = (m.Halt(name="stop", state=HaltState.HALTED),) if kind == "halt" else ()
                self.send(m.HaltsChanged(halts=halts))
            case "user stream breaks" if self.user_up:
                self.user_up = False
                self.user.clear()
                self.send(m.StreamDown(stream=m.Stream.USER, error="cut"))
            case "spec" | "running":
                self.world.respec(**(SPEC | {"desiredState": state if kind == "spec" else "Running"}))
                self.check_orders()

    @precondition(lambda self: not self.user_up)
    @rule()
    def the_user_stream_returns(self) -> None:
        self.user_up = True
        self.user.clear()
        self.send(m.StreamUp(stream=m.Stream.USER))

    @rule()
    def things_settle(self) -> None:
        self.everything()

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def the_true_worst_case_stays_within_the_cap(self) -> None:
        """The venue's own view, with everything that the engine has emitted and the venue has not seen yet."""
        if not hasattr(self, "world"):
            return
        venue = self.world.venue
        flying = [a for a in self.world.pending if isinstance(a, m.PlaceOrder)]
        for side in (BUY, SELL):
            in_flight = sum(a.quantity for a in flying if a.side is side and not a.reduce_only)
            opening = sum(
                o.lots - o.executed for o in venue.orders.values() if o.open and o.side is side and not o.reduce_only
            )
            worst = venue.position * side.sign + opening + in_flight
            assert worst <= MAX_LOTS, f"{side}: {venue.position=} {opening=} {in_flight=}"

    @invariant()
    def no_order_on_the_venue_is_unknown_to_the_engine(self) -> None:
        if not hasattr(self, "world"):
            return
        tracker = self.world.engine.account.tracker
        on_the_way = {e.client_order_id for e in self.inbox if isinstance(e, m.CancelAccepted)}
        on_the_way |= {e.client_order_id for e in self.user if isinstance(e, m.OrderReport)}
        for order in self.world.venue.orders.values():
            if order.open and order.cid not in on_the_way:
                assert order.cid in tracker.live, f"{order.cid} rests on the venue but the engine has dropped it"

    def teardown(self) -> None:
        """Every story ends with a shutdown that leaves nothing and proves it."""
        if not hasattr(self, "world"):
            return
        world = self.world
        while self.late:
            self.a_request_given_up_on_lands_after_all()
        if not self.user_up:
            self.the_user_stream_returns()
        self.send(m.ShutdownRequested(reason="SIGTERM"))
        for _ in range(400):
            self.everything()
            if world.of(m.Drained):
                break
            world.now_ns += 100 * MS
            world.wall_ms += 100
            self.send(m.Tick())
        assert world.of(m.Drained) == [m.Drained(zero_own_orders=True, reason="SIGTERM")]
        assert not [o for o in world.venue.orders.values() if o.open]
        assert not world.engine.account.tracker.live
        self.everything()
        assert world.engine.account.ledger.position == world.venue.position


Adversary.TestCase.settings = settings(
    max_examples=examples(80), stateful_step_count=60, suppress_health_check=list(HealthCheck)
)
TestAdversary = Adversary.TestCase
