"""Calm: a review that is skipped would have decided nothing, whatever the market and the clock do."""

from __future__ import annotations

import pytest
from core_world import MS, World, make_spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_contract.states import HaltState
from mm_runner.core import messages as m
from mm_runner.core.judgement import situation_of
from support.soak import examples

STORIES = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.sampled_from([1, 9, 20, 50, 300, 1200, 2100])),
        st.tuples(st.just("move"), st.sampled_from([-30_000, -300, -3, -1, 1, 2, 40, 500, 3_000])),
        st.tuples(st.just("ticker"), st.sampled_from([-2, -1, 0, 1, 2])),
        st.tuples(st.just("mark"), st.sampled_from([-3_000, -20, 0, 20, 3_000])),
        st.tuples(st.just("fill"), st.sampled_from([1, 5, 20, 60])),
        st.tuples(st.just("lose acks"), st.just(2)),
        st.tuples(st.just("refuse cancels"), st.just(2)),
        st.tuples(st.just("silence"), st.sampled_from([400, 600, 1300, 2500, 32_000, 95_000])),
        st.tuples(st.just("renewed for"), st.sampled_from([300, 2_400, 60_000])),
        st.tuples(st.just("gap"), st.just(7)),
        st.tuples(st.just("halt"), st.sampled_from([0, 1])),
    ),
    max_size=25,
)
SPECS = st.sampled_from(
    [
        make_spec(),
        make_spec(risk={"maxPosition": "0.1", "stopLoss": "1", "haltPolicy": "Timed", "haltSeconds": 2}),
        make_spec(risk={"shock": {"moveBps": 5}, "staleAfterMs": 700}, quoting={"minIntervalMs": 10, "restMs": 0}),
        make_spec(failover={"deadManSwitch": False}, desiredState="ReduceOnly"),
    ]
)


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(spec=SPECS, story=STORIES)
def test_an_engine_in_calm_decides_what_a_restless_one_decides(spec: object, story: list[tuple[str, int]]) -> None:
    """`World.send` compares the two at every event."""
    world = World(spec, with_twin=True)
    world.keep_alive = False  # a renewal is followed by a whole review, and would hide what calm forgets
    world.renew(seconds=60)
    pass_time(world, 500)
    for what, amount in story:
        tell(world, what, amount)
    world.renew(seconds=60)
    pass_time(world, 2_000)


def tell(world: World, what: str, amount: int) -> None:  # noqa: C901 - the list of what may happen
    match what:
        case "time":
            pass_time(world, amount)
        case "move":
            world.move_market(amount)
        case "ticker":
            bid, ask = world.venue.bid + amount, world.venue.ask + amount
            world.send(
                m.BookTicker(
                    update_id=world.update_id + 1, bid=bid / 100, bid_quantity=1.0, ask=ask / 100, ask_quantity=1.0
                )
            )
        case "mark":
            world.send(m.MarkPrice(mark=(world.venue.bid + amount) / 100))
        case "fill":
            world.fill(m.Side.BUY if amount % 2 else m.Side.SELL, amount)
        case "lose acks":
            world.lose_next_ack = amount
        case "refuse cancels":
            refuse_cancels(world)
        case "silence":
            world.data = False
            pass_time(world, amount, steps=300)
            world.data = True
        case "renewed for":
            world.renew(seconds=amount / 1000)
        case "gap":
            world.update_id += amount
        case "halt":
            halts = (m.Halt(name="stop", state=HaltState.REDUCE_ONLY),) if amount else ()
            world.send(m.HaltsChanged(halts=halts))


def pass_time(world: World, milliseconds: int, *, steps: int = 25) -> None:
    """In small steps, with a book where data flow, and with trades always: they are signs of life that carry no book."""
    for number in range(steps):
        step = milliseconds * MS * (number + 1) // steps - milliseconds * MS * number // steps
        world.now_ns += step
        world.wall_ms += step // MS
        if world.data and number % 5 == 0:
            world.tick_book()
        world.send(m.Trade(price=2680.0, quantity=1.0, buyer_is_maker=True) if number % 2 else m.Tick())


def refuse_cancels(world: World) -> None:
    """The market runs away and the venue is too busy to cancel: the engine repeats, after a pause."""
    world.auto = False
    world.move_market(900)
    world.auto = True
    for action in [a for a in world.pending if isinstance(a, m.CancelOrder)]:
        world.pending.remove(action)
        world.send(m.CancelRefused(client_order_id=action.client_order_id, code=-1001))
    left, world.pending = world.pending, []
    for action in left:
        world.carry_out(action)


def test_a_calm_engine_reviews_nothing_while_only_prices_move(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(make_spec(quoting={"minIntervalMs": 400, "intervalMs": 500}))
    world.advance(600)
    rounds = world.engine.desk.rounds
    reviews = []

    def counting(*parts: object, **more: object) -> object:
        reviews.append(parts)
        return situation_of(*parts, **more)

    monkeypatch.setattr("mm_runner.core.engine.situation_of", counting)
    while world.engine.desk.rounds == rounds:
        world.now_ns += 20 * MS
        world.tick_book()
    assert len(reviews) == 1, "the round that was due reviewed, and nothing before it"
    for _ in range(20):
        world.now_ns += 20 * MS
        world.tick_book()
        world.send(m.Tick())
    assert len(reviews) == 1
