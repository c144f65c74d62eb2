"""Drives the core: every event goes in here, on the loop, synchronously; every action goes out from here.

An event is handled within the callback that brought it (a socket's read, a timer, a task), without a queue in between; an event that comes while
another is being handled waits in line, so that the core is never entered twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mm_runner.control.clocks import SECOND_NS, boot_ns, instant
from mm_runner.core.engine import Engine
from mm_runner.core.messages import (
    Action,
    BookTicker,
    DeadMan,
    DepthDiff,
    Drained,
    EmitEvent,
    Event,
    Instant,
    PersistClaimState,
    ReportChanged,
    Tick,
    Trade,
)
from mm_runner.journal.writer import JournalWriter
from mm_runner.telemetry.setup import Telemetry

_MARKET: Final = (DepthDiff, BookTicker, Trade)
_SAID_BY_THE_VENUE: Final = frozenset({"ws_connect", "ws_disconnect", "rate_limited"})
"""Core and adapter both notice these; the adapter's line stands, it also knows the attempts that the core never hears of."""
_SHORTEST_WAIT_SECONDS: Final = 0.001


@dataclass(slots=True)
class Ports:
    """Where the driver's actions go; set by the wiring before the first event."""

    venue: Callable[[Sequence[Action]], None]
    persist: Callable[[PersistClaimState], None]
    report_changed: Callable[[], None]
    broken: Callable[[BaseException], None]


class Driver:
    """One engine and its timer.

    Args:
        engine: the core.
        telemetry: for events that the core emits and for the tick histogram.
        journal: takes every call of the core; None where nobody asked for one.
    """

    def __init__(self, engine: Engine, telemetry: Telemetry, journal: JournalWriter | None = None) -> None:
        self.engine = engine
        self.telemetry = telemetry
        self.journal = journal
        self.armed_until_ns = 0
        self.drained: asyncio.Future[Drained] = asyncio.get_running_loop().create_future()
        self.is_broken = False
        self._ports: Ports | None = None
        self._waiting: deque[Event] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._wake_ns: int | None = None
        self._tick_seconds = telemetry.metrics.histogram("runner_tick_seconds")
        self._fills = {side: telemetry.metrics.cell("runner_fills_total", side=side) for side in ("BUY", "SELL")}
        self._filled = {
            side: telemetry.metrics.cell("runner_filled_quantity_total", side=side) for side in ("BUY", "SELL")
        }

    def connect(self, ports: Ports) -> None:
        """Say where actions go."""
        self._ports = ports

    def deliver(self, event: Event) -> None:
        """Take one event. Never raises: a defect of the core ends the process by the crash path."""
        self._waiting.append(event)
        if self._busy or self.is_broken:
            return
        self._busy = True
        try:
            while self._waiting:
                self._handle(self._waiting.popleft())
        except Exception as error:  # noqa: BLE001 - whatever it is, the way out must still be taken (invariant 3)
            self.is_broken = True
            if self._ports is not None:
                self._ports.broken(error)
        finally:
            self._busy = False
        self._set_timer()

    def _handle(self, event: Event) -> None:
        if self.journal is None:
            now = instant()
            actions = self.engine.handle(event, now)
        else:
            actions, now = self._handle_and_write(event, self.journal)
        if isinstance(event, _MARKET):
            self._tick_seconds.observe((boot_ns() - now.boot_ns) / SECOND_NS)
        elif isinstance(event, DeadMan):
            self.armed_until_ns = event.armed_until_boot_ns
        if actions and self._ports is not None:
            self._act(actions, self._ports)

    def _handle_and_write(self, event: Event, journal: JournalWriter) -> tuple[Sequence[Action], Instant]:
        """The core sees exactly what the journal keeps, and the journal what the core made of it, were it a defect."""
        event, now = journal.clean(event), instant()
        try:
            actions = self.engine.handle(event, now)
        except Exception as error:
            journal.append(event, now, (), error=type(error).__name__)
            raise
        journal.append(event, now, actions)
        return actions, now

    def _act(self, actions: Sequence[Action], ports: Ports) -> None:
        ports.venue(actions)
        report_changed = False
        for action in actions:
            match action:
                case EmitEvent():
                    self._emit(action)
                case ReportChanged():
                    report_changed = True
                case PersistClaimState():
                    ports.persist(action)
                case Drained():
                    if not self.drained.done():
                        self.drained.set_result(action)
                case _:
                    pass
        if report_changed:
            ports.report_changed()

    def _emit(self, action: EmitEvent) -> None:
        if action.name in _SAID_BY_THE_VENUE:
            return
        self.telemetry.log.emit_fields(action.name, action.fields)
        if action.name == "fill":
            side = str(action.fields.get("side"))
            if side in self._fills:
                self._fills[side].value += 1
                self._filled[side].value += float(str(action.fields.get("qty", 0)))

    # -- timer ---------------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self.is_broken:
            self._drop_timer()
            return
        wanted = self.engine.next_wake_ns
        if wanted == self._wake_ns and self._timer is not None:
            return
        self._drop_timer()
        if wanted is None:
            return
        self._wake_ns = wanted
        delay = max(_SHORTEST_WAIT_SECONDS, (wanted - boot_ns()) / SECOND_NS)
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._wake_ns = None

    def _wake(self) -> None:
        self._timer = None
        self._wake_ns = None
        self.deliver(Tick())

    def stop(self) -> None:
        """No more ticks."""
        self._drop_timer()
