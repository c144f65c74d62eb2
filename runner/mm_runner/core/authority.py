"""Authority: what people and machinery let the engine do - spec, halts, local latch, Lease, dead-man switch.

Holds what the control events said; `permissions.decide` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mm_runner.core.gate import Deadlines
from mm_runner.core.messages import Halt, HaltsChanged, LeaseState, LocalHalt
from mm_runner.core.outbox import Outbox
from mm_runner.core.settings import Settings


@dataclass(slots=True)
class Authority:
    """Everything that rules the engine from outside."""

    outbox: Outbox
    halts: tuple[Halt, ...] = ()
    halts_readable: bool = False
    local_halt: bool = False
    local_close: bool = False
    control_plane_ok: bool = True
    lease_held: bool = False
    lease_deadline_ns: int = 0
    superseded_by: int = 0
    dead_man_until_ns: int = 0
    rate_limited_until_ns: int = 0
    stopping: str = ""
    """Why the engine is to stop; empty while it is not."""
    stop_closes: bool = False

    def on_halts(self, event: HaltsChanged) -> None:
        """An unreadable list counts as a halt only before the first readable one: later it is control plane lost, and the Lease decides."""
        if event.unreadable:
            return
        for halt in event.halts:
            if halt not in self.halts:
                self.outbox.log(
                    "trading_halt", name=halt.name, state=halt.state.value, reason=halt.reason, removed=False
                )
        names = {halt.name for halt in event.halts}
        for halt in self.halts:
            if halt.name not in names:
                self.outbox.log("trading_halt", name=halt.name, state=halt.state.value, removed=True)
        self.halts, self.halts_readable = event.halts, True

    def on_local_halt(self, event: LocalHalt) -> None:
        """The latch file came, went, or changed its mind about closing."""
        if (event.active, event.close) != (self.local_halt, self.local_close):
            self.outbox.log("local_halt", state="set" if event.active else "cleared", close=event.close)
        self.local_halt, self.local_close = event.active, event.active and event.close

    def on_lease(self, event: LeaseState) -> None:
        """The Lease was renewed, lost, or seen with a higher epoch."""
        self.lease_held = event.held
        self.lease_deadline_ns = event.send_deadline_boot_ns if event.held else 0
        self.superseded_by = max(self.superseded_by, event.superseded_by)

    def dead_man_wanted(self, settings: Settings) -> bool:
        """Whether orders depend on the switch: not in a dry run, which sends none and leaves the switch alone."""
        return settings.dead_man and not settings.dry_run

    def deadlines(self, settings: Settings) -> Deadlines:
        """What every order is checked against."""
        return Deadlines(
            lease_ns=self.lease_deadline_ns,
            dead_man_ns=self.dead_man_until_ns if self.dead_man_wanted(settings) else None,
        )
