"""The engine as a whole, one situation at a time."""

from __future__ import annotations

from decimal import Decimal

import pytest
from core_world import CLAIM, INSTRUMENT, MS, SECOND, World, make_spec

from mm_contract.claim import ClientOrderId
from mm_contract.claim_state import ClaimState, HaltLatch
from mm_contract.events import schema_error
from mm_contract.states import EffectiveState, HaltState, Phase, RiskState
from mm_runner.core import messages as m

BUY, SELL = m.Side.BUY, m.Side.SELL


def quoting_world(**changes: object) -> World:
    world = World(make_spec(**changes))
    world.advance(100)
    assert world.engine.report(world.now).effective.phase is Phase.QUOTING
    return world


def placed_since(world: World) -> list[m.PlaceOrder]:
    return world.of(m.PlaceOrder)


# -- starting ----------------------------------------------------------------------------------------------------------


def test_quotes_both_sides_post_only_once_everything_is_known():
    world = quoting_world()
    assert len(world.resting(BUY)) == 2
    assert len(world.resting(SELL)) == 2
    assert all(action.time_in_force is m.TimeInForce.GTX and not action.reduce_only for action in placed_since(world))
    assert max(o.price for o in world.resting(BUY)) < world.venue.bid
    assert min(o.price for o in world.resting(SELL)) > world.venue.ask


@pytest.mark.parametrize("missing", ["lease", "dead_man", "halts", "user", "spec"])
def test_sends_nothing_while_one_of_its_conditions_is_missing(missing):
    world = World(start=False)
    world.keep_alive = False
    world.start(**{missing: False})
    for _ in range(10):
        world.advance(50)
        if missing != "lease":
            world.send(m.LeaseState(held=True, send_deadline_boot_ns=world.now_ns + 10 * SECOND, epoch=1))
    assert placed_since(world) == []
    report = world.engine.report(world.now)
    assert report.effective.phase is Phase.STARTING
    assert report.effective.message


def test_every_client_order_id_carries_claim_and_epoch_and_none_repeats():
    world = quoting_world()
    world.move_market(400)
    world.advance(1000)
    ids = [ClientOrderId.parse(action.client_order_id) for action in placed_since(world)]
    assert len(ids) > 4
    assert all(cid is not None and cid.belongs_to(CLAIM) and cid.epoch == 1 for cid in ids)
    assert len({cid.sequence for cid in ids}) == len(ids)


def test_the_epoch_is_durable_before_the_first_order():
    world = World(start=False)
    world.auto = False
    world.start()
    for action in list(world.pending):
        if not isinstance(action, m.PersistClaimState):
            world.auto = isinstance(action, m.FetchDepthSnapshot | m.Reconcile)
            world.carry_out(action)
    world.auto = False
    world.advance(200)
    persist = [a for a in world.actions if isinstance(a, m.PersistClaimState)]
    assert persist[0].state.epoch == 1
    assert placed_since(world) == []
    world.send(m.ClaimStatePersisted(token=persist[-1].token))
    world.advance(100)
    assert placed_since(world)


def test_a_cancelled_orphan_of_an_earlier_epoch_is_seen_gone_before_the_first_quote():
    world = World(start=False)
    orphan = m.PlaceOrder(
        client_order_id=str(ClientOrderId(CLAIM.order_prefix, 1, 77)), side=BUY, type=m.OrderType.LIMIT, time_in_force=m.TimeInForce.GTC,
        price=267_000, quantity=20, reduce_only=False, send_deadline_boot_ns=0, recv_window_ms=2000,
    )  # fmt: skip
    world.venue.place(orphan)
    world.start(lease=False)
    assert world.engine.highest_order_epoch == 1
    world.send(m.LeaseState(held=True, send_deadline_boot_ns=world.now_ns + 10 * SECOND, epoch=2))
    world.keep_alive = False
    for _ in range(20):
        world.send(m.LeaseState(held=True, send_deadline_boot_ns=world.now_ns + 10 * SECOND, epoch=2))
        world.advance(50)
    assert not world.venue.orders[orphan.client_order_id].open
    assert world.logged("orphan_cancelled")
    first_order = next(i for i, a in enumerate(world.actions) if isinstance(a, m.PlaceOrder))
    cancel = next(i for i, a in enumerate(world.actions) if isinstance(a, m.CancelOrder))
    assert cancel < first_order
    assert world.resting(BUY)


def test_foreign_orders_are_never_touched_and_refused_at_the_start_unless_tolerated():
    for policy, quotes in (("Refuse", False), ("Tolerate", True)):
        world = World(make_spec(exchange={"foreignOrders": policy}), start=False)
        foreign = m.PlaceOrder(
            client_order_id="web_abc", side=BUY, type=m.OrderType.LIMIT, time_in_force=m.TimeInForce.GTC, price=260_000, quantity=20,
            reduce_only=False, send_deadline_boot_ns=0, recv_window_ms=2000,
        )  # fmt: skip
        world.venue.place(foreign)
        world.start()
        world.advance(1000)
        assert bool(placed_since(world)) is quotes
        assert world.venue.orders["web_abc"].open
        if not quotes:
            assert "foreignOrders" in world.engine.report(world.now).effective.message


# -- desired state -----------------------------------------------------------------------------------------------------


def test_halted_cancels_everything_at_once_and_running_brings_the_quotes_back():
    world = quoting_world()
    world.forget()
    world.respec(desiredState="Halted")
    assert not world.resting(BUY)
    assert not world.resting(SELL)
    assert not placed_since(world)
    world.advance(2000)
    assert not placed_since(world)
    report = world.engine.report(world.now)
    assert (report.effective.phase, report.effective.ruled_by, report.effective.message) == (Phase.HALTED, "spec", "")
    world.respec(desiredState="Running")
    world.advance(100)
    assert world.resting(BUY)
    assert world.resting(SELL)


def test_a_trading_halt_rules_and_is_named():
    world = quoting_world()
    world.send(m.HaltsChanged(halts=(m.Halt(name="desk-stop", state=HaltState.HALTED, reason="drill"),)))
    assert not world.resting(BUY)
    assert world.engine.report(world.now).effective.ruled_by == "TradingHalt/desk-stop"
    world.send(m.HaltsChanged())
    world.advance(100)
    assert world.resting(BUY)


def test_a_halt_list_that_becomes_unreadable_later_leaves_the_decision_to_the_lease():
    world = quoting_world()
    world.send(m.HaltsChanged(unreadable=True))
    world.advance(500)
    assert world.resting(BUY)


def test_reduce_only_quotes_the_reducing_side_with_the_flag_and_never_more_than_the_position():
    world = quoting_world()
    world.fill(BUY, 40)
    world.forget()
    world.respec(desiredState="ReduceOnly")
    world.advance(1000)
    assert not world.resting(BUY)
    assert sum(o.lots for o in world.resting(SELL)) == 40
    assert all(action.reduce_only for action in placed_since(world))
    assert world.engine.report(world.now).effective.phase is Phase.REDUCE_ONLY


def test_flat_closes_the_position_by_bounded_taking_and_then_rests_nothing():
    world = quoting_world()
    world.fill(BUY, 40)
    world.forget()
    world.auto = False
    world.respec(desiredState="Flat")
    assert not world.engine.report(world.now).effective.flat
    world.auto = True
    for action in world.pending:
        world.carry_out(action)
    world.advance(3000)
    assert world.venue.position == 0
    assert not world.resting(BUY)
    assert not world.resting(SELL)
    orders = placed_since(world)
    assert orders
    assert all(a.reduce_only and a.side is SELL and a.time_in_force is m.TimeInForce.IOC for a in orders)
    assert all(a.price >= world.venue.bid * (1 - 0.0020) - 1 for a in orders)
    assert "flat" in world.engine.report(world.now).effective.message
    assert world.engine.report(world.now).effective.flat


def test_flat_with_a_stale_book_closes_by_market_sized_from_a_fresh_rest_position():
    world = quoting_world()
    world.fill(BUY, 40)
    world.data = False
    world.forget()
    world.respec(desiredState="Flat")
    world.venue.bid -= 50_000
    world.send(m.StreamDown(stream=m.Stream.PUBLIC, error="cut"))
    world.advance(3000)
    orders = placed_since(world)
    market = [a for a in orders if a.type is m.OrderType.MARKET]
    assert market
    assert all(a.reduce_only and a.quantity <= 40 for a in market)
    first = world.actions.index(market[0])
    assert any(isinstance(a, m.Reconcile) for a in world.actions[:first])
    assert world.venue.position == 0


def test_dust_counts_as_flat():
    world = quoting_world()
    world.respec(desiredState="Flat")
    world.advance(1000)
    world.forget()
    world.advance(5000)
    assert not placed_since(world)


def test_the_local_latch_halts_and_with_close_flattens():
    world = quoting_world()
    world.fill(BUY, 20)
    world.send(m.LocalHalt(active=True))
    world.advance(1000)
    assert not world.resting(SELL)
    assert world.venue.position == 20
    assert world.engine.report(world.now).effective.ruled_by == "local"
    world.send(m.LocalHalt(active=True, close=True))
    world.advance(2000)
    assert world.venue.position == 0


# -- spec --------------------------------------------------------------------------------------------------------------


def test_a_hot_change_is_applied_only_when_quotes_follow_it():
    world = quoting_world()
    world.advance(500)
    narrow = min(o.price for o in world.resting(SELL)) - max(o.price for o in world.resting(BUY))
    assert world.engine.report(world.now).spec.applied_generation == 1
    world.auto = False
    world.respec(quoting={"minSpreadBps": 20.0})
    assert any(isinstance(a, m.PlaceOrder | m.CancelOrder) for a in world.pending)
    assert world.engine.report(world.now).spec.applied_generation == 2
    world.auto = True
    for action in world.pending:
        world.carry_out(action)
    world.advance(1000)
    wide = min(o.price for o in world.resting(SELL)) - max(o.price for o in world.resting(BUY))
    assert wide > 3 * narrow


def test_a_generation_that_nothing_could_act_on_yet_is_seen_but_not_applied():
    world = World(start=False)
    world.send(m.SpecChanged(spec=world.spec, generation=7))
    assert (
        world.engine.report(world.now).spec.observed_generation,
        world.engine.report(world.now).spec.applied_generation,
    ) == (7, 0)
    world.send(m.InstrumentLoaded(instrument=INSTRUMENT, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005")))
    assert world.engine.report(world.now).spec.applied_generation == 7


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"strategy": {"grid": None, "glft": {}}}, "grid"),
        ({"exchange": {"orderEntry": "WebSocketApi"}}, "orderEntry"),
        ({"risk": {"maxAccountNotional": "1000"}}, "maxAccountNotional"),
        ({"risk": {"drawdownBands": [{"drawdown": 0.05, "reduce": 0.25}]}}, "drawdownBands"),
        ({"risk": {"adaptive": {"enabled": True}}}, "adaptive"),
    ],
)
def test_what_is_not_built_is_refused_with_a_sentence_and_the_last_good_spec_goes_on(changes, word):
    world = quoting_world()
    world.respec(**changes)
    world.advance(500)
    spec = world.engine.report(world.now).spec
    assert (spec.applied_generation, spec.refused_generation) == (1, 2)
    assert word in spec.refused_message
    assert world.resting(BUY)
    world.respec()
    spec = world.engine.report(world.now).spec
    assert (spec.applied_generation, spec.refused_generation) == (3, 0)


def test_dry_run_first_cancels_and_proves_zero_and_then_sends_nothing_but_still_wants_quotes():
    world = quoting_world()
    world.respec(dryRun=True)
    assert not world.resting(BUY)
    world.advance(4000)
    world.forget()
    world.move_market(300)
    world.advance(3000)
    assert not placed_since(world)
    assert not world.of(m.CancelOrder)
    assert world.logged("order_place_dry_run")
    assert world.logged("strategy_adjust")
    assert world.engine.report(world.now).effective.ruled_by == "dryRun"
    world.respec(dryRun=False)
    world.advance(500)
    assert world.resting(BUY)


# -- ways out ----------------------------------------------------------------------------------------------------------


def test_a_gap_pulls_the_quotes_and_one_snapshot_brings_them_back():
    world = quoting_world()
    world.auto = False
    world.forget()
    bids, asks = world.levels()
    world.diff(bids, asks, skip=5)
    assert len(world.of(m.CancelOrder)) == 4
    assert not placed_since(world)
    assert len(world.of(m.FetchDepthSnapshot)) == 1
    world.auto = True
    for action in list(world.pending):
        world.carry_out(action)
    world.advance(200)
    assert world.resting(BUY)
    assert len(world.of(m.FetchDepthSnapshot)) == 1


def test_a_silent_book_is_refreshed_by_rest_and_pulled_when_that_fails_too():
    world = quoting_world()
    world.data = False
    world.forget()
    world.advance(1400)
    assert [a.reason for a in world.of(m.FetchDepthSnapshot)] == ["refresh"]
    assert world.resting(BUY)
    world.advance(900)
    assert not world.resting(BUY)
    assert world.logged("data_stale")
    assert world.engine.report(world.now).effective.ruled_by == "data"
    assert not world.engine.ready
    assert world.engine.safe_without_data


def test_a_lapsed_lease_pulls_the_quotes_and_no_order_carries_a_later_deadline():
    world = quoting_world()
    world.keep_alive = False
    deadline = world.engine.authority.lease_deadline_ns
    assert all(a.send_deadline_boot_ns <= deadline for a in placed_since(world))
    while world.now_ns < deadline - 100 * MS:
        world.send(m.DeadMan(armed_until_boot_ns=world.now_ns + 10 * SECOND))
        world.advance(50)
    assert world.resting(BUY)
    world.forget()
    world.now_ns = deadline
    world.send(m.Tick())
    assert not world.resting(BUY)
    assert world.engine.report(world.now).effective.ruled_by == "lease"
    world.advance(1000)
    assert not placed_since(world)


def test_a_dead_man_switch_that_is_not_refreshed_pulls_the_quotes_before_it_fires():
    world = quoting_world()
    world.keep_alive = False
    armed_until = world.engine.authority.dead_man_until_ns
    while world.now_ns < armed_until - 3 * SECOND:
        world.send(m.LeaseState(held=True, send_deadline_boot_ns=world.now_ns + 10 * SECOND, epoch=1))
        world.advance(50)
    assert world.resting(BUY)
    while world.now_ns < armed_until - 2 * SECOND:
        world.send(m.LeaseState(held=True, send_deadline_boot_ns=world.now_ns + 10 * SECOND, epoch=1))
        world.advance(50)
    assert not world.resting(BUY)
    assert world.engine.report(world.now).effective.ruled_by == "deadman"


def test_without_the_switch_wanted_orders_do_not_wait_for_it():
    world = World(make_spec(failover={"deadManSwitch": False}), start=False)
    world.start(dead_man=False)
    world.keep_alive = False
    world.advance(100)
    assert world.resting(BUY)
    assert all(not a.enabled for a in world.of(m.SetDeadMan))


def test_a_lost_user_stream_pulls_the_quotes_until_the_account_was_read_again():
    world = quoting_world()
    world.send(m.StreamDown(stream=m.Stream.USER, error="cut"))
    assert not world.resting(BUY)
    world.advance(1000)
    assert not world.resting(BUY)
    assert world.engine.report(world.now).effective.ruled_by == "reconciling"
    world.forget()
    world.send(m.StreamUp(stream=m.Stream.USER))
    world.advance(100)
    assert world.logged("reconciled")
    assert world.resting(BUY)


def test_fills_missed_while_the_user_stream_was_away_are_counted_once():
    world = quoting_world()
    world.send(m.StreamDown(stream=m.Stream.USER, error="cut"))
    world.send(m.StreamUp(stream=m.Stream.USER))
    world.advance(100)
    resting = world.resting(BUY)[0]
    world.send(m.StreamDown(stream=m.Stream.USER, error="cut"))
    resting.status = m.VenueStatus.NEW  # the cancel did not win: a fill came first
    world.advance(10)
    missed = world.venue.fill(resting, 20)
    assert missed
    world.send(m.StreamUp(stream=m.Stream.USER))
    world.advance(1000)
    figures = world.engine.report(world.now).figures
    assert figures.position == "0.020"
    assert Decimal(figures.fees) == sum(trade.commission for trade in world.venue.trades)
    world.deliver(missed)
    assert world.engine.report(world.now).figures == figures


def test_shutdown_cancels_and_proves_zero_twice_a_recv_window_apart():
    world = quoting_world()
    world.forget()
    began = world.now_ns
    world.send(m.ShutdownRequested(reason="SIGTERM"))
    assert not world.resting(BUY)
    world.advance(1500)
    assert not world.of(m.Drained)
    world.advance(1500)
    assert world.of(m.Drained) == [m.Drained(zero_own_orders=True, reason="SIGTERM")]
    assert world.now_ns - began >= 2 * SECOND
    assert not placed_since(world)
    assert world.engine.report(world.now).effective.phase is Phase.STOPPING


def test_shutdown_before_the_lease_was_ever_held_proves_nothing_and_waits_for_nothing():
    world = World(start=False)
    world.start(lease=False)
    world.send(m.ShutdownRequested(reason="SIGTERM"))
    assert world.of(m.Drained) == [m.Drained(zero_own_orders=False, reason="SIGTERM")]


def test_a_node_drain_does_not_sell_the_book_but_a_deletion_that_asks_for_it_does():
    for close, position in ((False, 20), (True, 0)):
        world = quoting_world()
        world.fill(BUY, 20)
        world.send(m.ShutdownRequested(reason="stop", close=close))
        world.advance(6000)
        assert world.venue.position == position
        assert world.of(m.Drained)


def test_a_higher_epoch_on_the_claim_stops_the_engine_which_cancels_only_its_own():
    world = quoting_world()
    successor = m.PlaceOrder(
        client_order_id=str(ClientOrderId(CLAIM.order_prefix, 2, 1)), side=BUY, type=m.OrderType.LIMIT, time_in_force=m.TimeInForce.GTX,
        price=267_000, quantity=20, reduce_only=False, send_deadline_boot_ns=0, recv_window_ms=2000,
    )  # fmt: skip
    _, events = world.venue.place(successor)
    world.forget()
    world.deliver(events)
    world.advance(4000)
    assert world.logged("superseded")
    assert world.venue.orders[successor.client_order_id].open
    assert [o.cid for o in world.resting(BUY) + world.resting(SELL)] == [successor.client_order_id]
    assert not placed_since(world)
    assert world.of(m.Drained) == [m.Drained(zero_own_orders=True, reason="superseded")]


# -- unknown results ---------------------------------------------------------------------------------------------------


def test_an_unknown_order_is_queried_and_never_sent_again_blind():
    world = World(start=False)
    world.lose_next_ack = 1
    world.start()
    world.advance(200)
    assert world.logged("order_unknown")
    assert world.logged("order_resolved")
    assert len(world.resting(SELL)) == 2  # the lost one was found, not doubled


def test_minus_2022_asks_the_exchange_for_the_position():
    world = quoting_world()
    world.forget()
    order = placed = next(iter(world.engine.account.tracker.live.values()))
    world.engine.account.tracker.live[order.client_order_id].acknowledged = False
    world.send(m.OrderRefused(client_order_id=placed.client_order_id, code=-2022, message="reduce only"))
    assert [a.reason for a in world.of(m.Reconcile)] == ["reduce_only_refused"]


def test_minus_1021_stops_until_the_account_was_read_again():
    world = quoting_world()
    world.auto = False
    order = next(iter(world.engine.account.tracker.live.values()))
    order.acknowledged = False
    world.forget()
    world.send(m.OrderRefused(client_order_id=order.client_order_id, code=-1021, message="timestamp"))
    assert len(world.of(m.CancelOrder)) == 3
    assert world.of(m.Reconcile)


# -- risk in the whole -------------------------------------------------------------------------------------------------


def test_a_stop_loss_halts_latches_and_waits_for_that_very_acknowledgement():
    risk = {"stopLoss": "5", "maxPosition": "2", "maxOrderNotional": "5000", "shock": {"moveBps": 5000}}
    world = quoting_world(risk=risk, quoting={"baseSize": "0.5"})
    world.fill(BUY, 500)
    world.forget()
    world.move_market(-3_000)
    world.advance(200)
    report = world.engine.report(world.now)
    assert (report.risk.state, report.risk.reason, report.risk.latched) == (RiskState.HALTED, "stop_loss", True)
    assert not world.resting(BUY)
    assert not world.resting(SELL)
    assert world.claim_state.latch == HaltLatch(
        halt_id=report.risk.halt_id, reason="stop_loss", since=world.claim_state.latch.since
    )
    world.move_market(3_000)
    world.advance(5000)
    assert world.engine.report(world.now).risk.state is RiskState.HALTED
    world.respec(risk=risk | {"acknowledgedHalt": "00000000-0000-0000-0000-000000000000"})
    world.advance(200)
    assert world.engine.report(world.now).risk.state is RiskState.HALTED
    world.respec(risk=risk | {"acknowledgedHalt": report.risk.halt_id})
    world.advance(200)
    assert world.engine.report(world.now).risk.state is RiskState.NORMAL
    assert world.claim_state.latch is None
    assert report.risk.halt_id in world.claim_state.consumed_acknowledgements
    assert world.resting(SELL)


def test_a_latch_outlives_a_restart():
    latch = HaltLatch(
        halt_id="7b0a4b5e-0000-4000-8000-000000000001", reason="max_drawdown", since="2026-01-01T00:00:00Z"
    )
    world = World(claim_state=ClaimState(epoch=0, latch=latch))
    world.advance(1000)
    assert not placed_since(world)
    report = world.engine.report(world.now)
    assert (report.risk.state, report.risk.halt_id) == (RiskState.HALTED, latch.halt_id)


def test_an_unreadable_claim_state_means_halted():
    world = World(start=False)
    world.start()
    other = World(start=False)
    other.send(m.InstrumentLoaded(instrument=INSTRUMENT, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005")))
    other.send(m.ClaimStateLoaded(state=None))
    other.start()  # its ClaimStateLoaded comes again, readable
    assert placed_since(other)
    third = World(start=False)
    third.claim_state = None
    third.start()
    third.advance(1000)
    assert not placed_since(third)
    assert third.engine.report(third.now).risk.reason == "claim_state_unreadable"


def test_on_halt_flatten_closes_with_bounded_slippage():
    world = quoting_world(
        risk={"stopLoss": "5", "maxPosition": "2", "maxOrderNotional": "5000", "onHalt": "Flatten"},
        quoting={"baseSize": "0.5"},
    )
    world.fill(BUY, 500)
    world.forget()
    world.move_market(-3_000)
    world.advance(3000)
    assert world.venue.position == 0
    assert all(a.reduce_only for a in placed_since(world) if a.side is SELL)


def test_a_position_moved_by_hand_beyond_the_enter_bound_only_reduces_until_the_exit_bound():
    world = quoting_world()
    world.deliver(world.venue.move_by_hand(360))
    world.advance(2000)
    report = world.engine.report(world.now)
    assert (report.risk.state, report.risk.reason) == (RiskState.REDUCE_ONLY, "position")
    assert report.figures.position == "0.360"
    assert not world.resting(BUY)
    assert all(o.reduce_only for o in world.resting(SELL))
    world.deliver(world.venue.move_by_hand(-90))
    world.advance(2000)
    assert world.engine.report(world.now).risk.state is RiskState.REDUCE_ONLY
    world.deliver(world.venue.move_by_hand(-30))
    world.advance(2000)
    assert world.engine.report(world.now).risk.state is RiskState.NORMAL
    assert world.resting(BUY)


# -- telling -----------------------------------------------------------------------------------------------------------


def test_every_log_event_has_the_fields_that_the_registry_requires():
    world = quoting_world()
    world.fill(BUY, 30)
    world.move_market(250)
    world.advance(1000)
    world.respec(desiredState="ReduceOnly")
    world.advance(1000)
    world.respec(desiredState="Flat")
    world.advance(2000)
    world.send(m.StreamDown(stream=m.Stream.PUBLIC, error="cut"))
    world.send(m.StreamUp(stream=m.Stream.PUBLIC))
    world.send(m.RateLimited(until_boot_ns=world.now_ns, code=429))
    world.send(m.LocalHalt(active=True))
    world.send(m.ControlPlane(ok=False, error="timeout"))
    world.send(m.LeaseState(held=False))
    world.send(m.ShutdownRequested(reason="SIGTERM"))
    world.advance(4000)
    events = world.of(m.EmitEvent)
    assert len({event.name for event in events}) > 15
    assert [(e.name, error) for e in events if (error := schema_error(e.name, e.fields)) is not None] == []


def test_a_report_is_announced_when_something_changed_and_not_at_every_tick():
    world = quoting_world()
    world.advance(500)
    world.forget()
    world.advance(2000)
    assert not world.of(m.ReportChanged)
    world.respec(desiredState="Halted")
    assert world.of(m.ReportChanged)


def test_gauges_and_figures_agree_with_the_venue():
    world = quoting_world()
    world.fill(BUY, 20)
    world.advance(600)
    gauges = world.engine.gauges(world.now)
    assert gauges.position == pytest.approx(0.02)
    assert gauges.worst_case_long == pytest.approx((world.venue.position + world.venue.open_lots(BUY)) / 1000)
    assert gauges.worst_case_short == pytest.approx((world.venue.position - world.venue.open_lots(SELL)) / 1000)
    assert gauges.equity == pytest.approx(float(world.venue.wallet) + gauges.unrealized_pnl)
    assert world.engine.effective == (EffectiveState.RUNNING, "spec")


def test_the_same_inputs_give_the_same_actions():
    def run() -> list[m.Action]:
        world = quoting_world()
        world.fill(BUY, 20)
        world.move_market(150)
        world.advance(1500)
        return world.actions

    assert run() == run()


def test_a_venue_that_cannot_be_read_is_asked_at_a_growing_pause_however_fast_the_market_moves():
    world = quoting_world()
    world.auto = False
    # Fills and the account's position disagree, and stay so: a reason to read at once, renewed by every event.
    order = world.resting(BUY)[0]
    world.deliver([event for event in world.venue.fill(order, order.lots) if isinstance(event, m.OrderReport)])
    world.forget()
    refused = 0
    for _ in range(2000):
        world.advance(10, step=10)
        while len(world.of(m.Reconcile)) > refused and refused < 50:
            refused += 1
            world.send(m.ReconcileFailed(error="obeying HTTP 429"))
    assert 2 <= refused <= 6, "20 s hold pauses of 1, 2, 4, 8 s"
