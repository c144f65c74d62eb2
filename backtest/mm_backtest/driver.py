"""Drives the engine's core on the virtual clock, as `mm_runner.control.driver` does on the wall clock: events in, actions out, ticks when it wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mm_backtest.decisions import DecisionLog
from mm_backtest.schedule import NEVER
from mm_runner.core.engine import Engine
from mm_runner.core.messages import Action, Event, Instant, Tick

Act = Callable[[Sequence[Action], int], None]
"""Carries out actions decided at a time (unix nanoseconds of the virtual clock)."""
_BOOTED_NS: Final = 3_600_000_000_000
"""The virtual host booted an hour before the tape: boot and wall clock must not be mistaken for one another."""
_TICK: Final = Tick()
_SHORTEST_WAIT_NS: Final = 1_000_000
"""As live: a timer is not set for less."""


@dataclass(frozen=True, slots=True)
class HostClock:
    """The engine's clocks at a time of the virtual one."""

    epoch_ns: int
    """What is taken off the virtual clock's unix nanoseconds to get CLOCK_BOOTTIME."""

    @classmethod
    def starting_at(cls, start_ns: int) -> HostClock:
        """A host whose tape begins at this instant."""
        return cls(start_ns - _BOOTED_NS)

    def boot_ns(self, time_ns: int) -> int:
        """CLOCK_BOOTTIME."""
        return time_ns - self.epoch_ns

    def time_ns(self, boot_ns: int) -> int:
        """The virtual clock at a boot time."""
        return boot_ns + self.epoch_ns


class Driver:
    """One engine and its timer.

    Args:
        engine: the core.
        clock: its clocks.
        decisions: gets every action.
    """

    def __init__(self, engine: Engine, clock: HostClock, *, decisions: DecisionLog) -> None:
        self.engine = engine
        self.clock = clock
        self.events = 0
        self.heard_ns = 0
        """When the core was last given something."""
        self.wake_ns = NEVER
        """When the next tick is due, or earlier: the loop asks anew (`rewake`) before it believes it."""
        self._decisions = decisions
        self._act: Act = _nowhere

    def connect(self, act: Act) -> None:
        """Say where actions go."""
        self._act = act

    def deliver(self, event: Event, time_ns: int) -> None:
        """Take one event."""
        self.events += 1
        self.heard_ns = time_ns
        now = Instant(time_ns - self.clock.epoch_ns, time_ns // 1_000_000)
        actions = self.engine.handle(event, now)
        if actions:
            self.carry_out(actions, time_ns)
        self.rewake()

    def carry_out(self, actions: Sequence[Action], time_ns: int) -> None:
        """Log and pass on what was decided."""
        self._decisions.add(time_ns - self.clock.epoch_ns, actions)
        self._act(actions, time_ns)

    def rewake(self) -> None:
        """Ask when the core wants its next tick."""
        wake = self.engine.next_wake_ns
        self.wake_ns = NEVER if wake is None else max(wake + self.clock.epoch_ns, self.heard_ns + _SHORTEST_WAIT_NS)

    def tick(self, time_ns: int) -> None:
        """Time passed."""
        self.deliver(_TICK, time_ns)


def _nowhere(actions: Sequence[Action], time_ns: int) -> None:
    raise RuntimeError(f"{len(actions)} actions at {time_ns} before the driver was connected")
