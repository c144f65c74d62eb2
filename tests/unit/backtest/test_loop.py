"""The loop's order of things: venue first, then what is heard, then timers; ticks exactly when they are wanted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mm_backtest.decisions import DecisionLog
from mm_backtest.driver import Driver, HostClock
from mm_backtest.latency import constant
from mm_backtest.loop import Loop
from mm_backtest.observer import Observer
from mm_backtest.run import Options
from mm_backtest.schedule import NEVER, Schedule
from mm_backtest.tape import open_tape
from mm_backtest.world import World
from mm_exchange.rules import rules_for
from mm_runner.core.messages import BookTicker, Tick
from support.backtests import maker
from support.tapes import write_tape

MS = 1_000_000
START = 1_723_161_255_000 * MS


class Engine:
    """Writes down what it hears; wants a tick `every` ms after what it last heard, or at one instant once dirty."""

    def __init__(self, said, every=100):
        self.said = said
        self.every = every
        self.dirty = False
        self.dirty_due = None
        self.now = 0

    def handle(self, event, now):
        self.now = now.boot_ns
        self.said.append((type(event).__name__, getattr(event, "update_id", None), now.wall_ms - START // MS))
        if isinstance(event, Tick):
            self.dirty, self.dirty_due = False, None
        return ()

    @property
    def next_wake_ns(self):
        return self.now + self.every * MS if self.dirty_due is None else self.dirty_due


def played(events, *, latency_ms=5.0, engine=None, latency=None):
    """Play touches at these milliseconds; `said` gets venue, engine and timer in their order."""
    said: list = []
    engine = engine or Engine(said)
    engine.said = said
    schedule = Schedule()
    driver = Driver(engine, HostClock.starting_at(START), decisions=DecisionLog(None))
    venue = SimpleNamespace(
        floor=SimpleNamespace(outbox=[]),
        on_market=lambda event, now: said.append(("venue", event, (now - START) // MS)),
    )
    listing = SimpleNamespace(market=SimpleNamespace(touch=None))
    observer = Observer(maker().spec, rules_for("ETHUSDT"))
    loop = Loop(
        venue,
        listing,
        driver=driver,
        schedule=schedule,
        latency=latency or constant(latency_ms),
        observer=observer,
        told=lambda *_: None,
    )
    schedule.at(START + 20 * MS, lambda now: said.append(("timer", None, (now - START) // MS)))
    ticker = [BookTicker(update_id=n, bid=1, bid_quantity=1, ask=2, ask_quantity=1) for n in range(len(events))]
    loop.play([(START + at * MS, number, ticker[number]) for number, at in enumerate(events)])
    return said, driver


def test_the_engine_hears_one_feed_latency_after_the_venue():
    said, _ = played([0, 10])
    assert [one for one in said if one[0] != "timer"][:4] == [
        ("venue", 0, 0),
        ("BookTicker", 0, 5),
        ("venue", 1, 10),
        ("BookTicker", 1, 15),
    ]


def test_at_one_instant_the_venue_comes_first_then_what_is_heard_then_timers():
    said, _ = played([15, 20], latency_ms=5.0)
    assert [one[0] for one in said if one[2] == 20] == ["venue", "BookTicker", "timer"]


def test_without_latency_an_event_is_heard_before_the_next_instant():
    said, _ = played([0, 1], latency_ms=0.0)
    assert said[:4] == [("venue", 0, 0), ("BookTicker", 0, 0), ("venue", 1, 1), ("BookTicker", 1, 1)]


def test_messages_of_the_feed_never_overtake_each_other():
    delays = iter([9 * MS, 1 * MS, 1 * MS])
    drawn = replace(constant(0), feed=lambda: next(delays), feed_constant_ns=None)
    said, _ = played([0, 2, 30], latency=drawn)
    assert [one[1:] for one in said if one[0] == "BookTicker"] == [(0, 9), (1, 9), (2, 31)]


def test_a_silent_market_ticks_as_often_as_the_engine_wants():
    said, _ = played([0, 1_000], latency_ms=0.0, engine=Engine([], every=300))
    assert [one[2] for one in said if one[0] == "Tick"] == [300, 600, 900]


def test_a_lively_market_pushes_the_tick_away():
    said, _ = played(list(range(0, 1_000, 50)), engine=Engine([], every=300))
    assert all(one[0] != "Tick" for one in said)


def test_an_engine_that_turns_dirty_is_ticked_at_its_earlier_wish():
    class Dirty(Engine):
        def handle(self, event, now):
            actions = super().handle(event, now)
            if isinstance(event, BookTicker) and event.update_id == 1:
                self.dirty, self.dirty_due = True, now.boot_ns + 7 * MS
            return actions

    said, _ = played([0, 10, 100], latency_ms=0.0, engine=Dirty([]))
    assert next(one[2] for one in said if one[0] == "Tick") == 17


def test_a_wish_that_has_passed_is_granted_a_millisecond_later_and_not_for_ever_at_once():
    class Restless(Engine):
        @property
        def next_wake_ns(self):
            return self.now

    said, driver = played([0, 10], latency_ms=0.0, engine=Restless([]))
    driver.rewake()
    assert driver.wake_ns == driver.heard_ns + MS
    ticks = [one[2] for one in said if one[0] == "Tick"]
    assert ticks == sorted(set(ticks))


def test_nothing_is_wanted_and_nothing_ticks():
    class Content(Engine):
        next_wake_ns = None

    said, driver = played([0, 1_000], engine=Content([]))
    driver.rewake()
    assert driver.wake_ns == NEVER
    assert all(one[0] != "Tick" for one in said)


class Eager:
    """An engine whose wish is asked for after every event: what the loop leaves out when it need not ask."""

    def __init__(self, engine):
        self._engine = engine
        self._turn = 0

    def __getattr__(self, name):
        return getattr(self._engine, name)

    @property
    def dirty(self):
        self._turn += 1
        return self._turn


@pytest.mark.parametrize("latency_ms", [0.0, 7.0])
def test_asking_for_the_wish_only_when_it_can_have_changed_changes_no_decision(tmp_path, latency_ms):
    tape = open_tape(write_tape(tmp_path / "tape", seconds=8), "ETHUSDT")
    shas = []
    for eager in (False, True):
        conditions = Options(latency_ms=latency_ms).conditions()
        world = World(maker().spec, tape.rules, conditions, decisions=DecisionLog(None), start_ns=tape.start_ns)
        if eager:
            world.driver.engine = Eager(world.engine)
        world.run(tape.steps())
        shas.append(world.decisions.sha256())
    assert shas[0] == shas[1]
