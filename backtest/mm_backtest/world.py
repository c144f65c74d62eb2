"""The world of one run: venue, engine and everything between them, put together on one virtual clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from mm_backtest.counter import Counter
from mm_backtest.decisions import DecisionLog
from mm_backtest.driver import Driver, HostClock
from mm_backtest.gateway import Gateway
from mm_backtest.latency import Latency
from mm_backtest.loop import Loop
from mm_backtest.observer import Observer
from mm_backtest.order_entry import DirectEntry, WireEntry
from mm_backtest.own_events import OwnEvents
from mm_backtest.recorder import Recorder
from mm_backtest.schedule import NEVER, Schedule
from mm_backtest.session import Quiet, Session, claim_of
from mm_backtest.tape import Step
from mm_contract.resource import MarketMakerSpec
from mm_exchange.market import Touch
from mm_exchange.matching import MatchingModel
from mm_exchange.rules import SymbolRules
from mm_exchange.venue import Venue
from mm_runner.core import messages as m
from mm_runner.core.engine import Engine

_GRAIN_NS: Final = 1_000_000
"""The venue looks at its own deadlines at most this often; served it does so every 10 ms."""
_ANNOUNCED: Final = frozenset({"risk_event", "effective_state"})


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a run is made."""

    latency: Latency
    balance: Decimal = Decimal(10_000)
    seed: int = 0
    matching: MatchingModel = field(default_factory=MatchingModel)
    wire: bool = False
    """Orders and own events take the long way through the exchange's JSON; the outcome is the same, which is what it is for."""


class World:
    """One run from the first event of a tape to the engine's last word.

    Args:
        spec: what the engine runs.
        rules: of the tape's symbol.
        conditions: latency, balance, chance, matching.
        decisions: gets every action.
        start_ns: the virtual clock at the beginning.
    """

    def __init__(
        self,
        spec: MarketMakerSpec,
        rules: SymbolRules,
        conditions: Conditions,
        *,
        decisions: DecisionLog,
        start_ns: int,
    ) -> None:
        self.spec = spec
        self.start_ns = start_ns
        self.decisions = decisions
        self.schedule = Schedule()
        self.venue = Venue(matching=conditions.matching)
        self.counter = Counter(self.venue, rules, balance=conditions.balance, now_ns=start_ns, seed=conditions.seed)
        self.observer = Observer(spec, rules)
        clock = HostClock.starting_at(start_ns)
        self.engine = Engine(claim=claim_of(spec))
        self.driver = Driver(self.engine, clock, decisions=decisions)
        parts = Quiet(self.counter, self.schedule, conditions.latency, clock, self._deliver)
        self._session = Session(spec, parts)
        self._loaded = self._session.load_instrument(start_ns)
        self._session.configure_account(start_ns)
        self.recorder = Recorder(self.counter, self.schedule, start_ns=start_ns)
        instrument = self._loaded.instrument
        entry = WireEntry(self.counter, instrument) if conditions.wire else DirectEntry(self.counter, instrument)
        self._gateway = Gateway(
            self.counter, instrument, schedule=self.schedule, latency=conditions.latency, clock=clock,
            deliver=self._deliver, entry=entry, told=self._told,
        )  # fmt: skip
        self._own_events = OwnEvents(
            self.venue, lambda: self._gateway.instrument, schedule=self.schedule, delay=conditions.latency.user,
            deliver=self._deliver, wire=conditions.wire,
        )  # fmt: skip
        self.loop = Loop(
            self.venue, self.counter.listing, driver=self.driver, schedule=self.schedule, latency=conditions.latency,
            observer=self.observer, told=self._told,
        )  # fmt: skip
        self.driver.connect(self._act)
        self._seen = 0
        self._venue_due_ns = NEVER
        self._drained: m.Drained | None = None

    def run(self, steps: Iterable[Step]) -> None:
        """Start the engine, play the tape, then let the engine withdraw and prove it."""
        self.schedule.at(self.start_ns, self._begin)
        self.loop.play(steps)
        self._deliver(m.ShutdownRequested(reason="the tape has ended"), self.loop.now_ns)
        grace_ns = self.loop.now_ns + self.spec.shutdown.grace_seconds * 1_000_000_000
        self.loop.run_on(grace_ns, until=lambda: self._drained is not None)
        self.observer.ended(self.loop.now_ns)

    @property
    def zero_own_orders(self) -> bool:
        """Whether the engine proved at its end that none of its orders was left."""
        return self._drained is not None and self._drained.zero_own_orders

    def _begin(self, time_ns: int) -> None:
        self._told(time_ns)
        self._session.begin(self._loaded, time_ns)

    def _watch_venue(self, time_ns: int) -> None:
        """The venue's own deadlines (countdowns, funding, margins) come when they are due."""
        due_ns = max(self.venue.next_due_ns, time_ns + _GRAIN_NS)
        if due_ns < self._venue_due_ns:
            self._venue_due_ns = due_ns
            self.schedule.at(due_ns, self._tick_venue)

    def _tick_venue(self, time_ns: int) -> None:
        if time_ns >= self._venue_due_ns:
            self._venue_due_ns = NEVER
        self.venue.tick(time_ns)
        self._told(time_ns)

    def _deliver(self, event: m.Event, time_ns: int) -> None:
        """Everything that the engine hears but market frames, which the loop hands over by itself."""
        self.observer.delivered(event, time_ns)
        self.recorder.delivered(event, time_ns)
        if isinstance(event, m.InstrumentLoaded):
            self._gateway.instrument = event.instrument
        self.driver.deliver(event, time_ns)

    def _told(self, time_ns: int, touch: Touch | None = None) -> None:
        """Something may have happened to own orders: the ledger tells those who watch, the user stream tells the engine."""
        ledger = self.venue.ledger
        if len(ledger) != self._seen:
            self.recorder.before(touch)
            for entry in ledger.read(since=self._seen):
                self.observer.recorded(entry)
                self.recorder.recorded(entry)
            self._seen = len(ledger)
        if self.venue.floor.outbox:
            self._own_events.send(time_ns)
        self._watch_venue(time_ns)

    def _act(self, actions: Sequence[m.Action], time_ns: int) -> None:
        """Most actions are lines for the log: they end here."""
        acting: list[m.Action] = []
        for action in actions:
            kind = type(action)
            if kind is m.EmitEvent:
                if action.name in _ANNOUNCED:  # type: ignore[union-attr]
                    acting.append(action)
            elif kind is not m.ReportChanged:
                acting.append(action)
                if kind is m.Drained:
                    self._drained = action  # type: ignore[assignment]
        if not acting:
            return
        self.observer.decided(acting, boot_ns=self.driver.clock.boot_ns(time_ns), time_ns=time_ns)
        self.recorder.decided(acting, time_ns)
        self._session.execute(acting, time_ns)
        self._gateway.execute(acting, time_ns)
