"""What one resource's worker remembers between reconciles: all of it can be lost at a restart without harm."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from mm_operator.contact import Contact, LeaseSight
from mm_operator.planner import Backoff
from mm_operator.proof import Evidence, Verdict
from mm_operator.views import PodView


@dataclass(slots=True)
class Memory:
    """Of one resource (one uid)."""

    uid: str
    contact: Contact = field(default_factory=Contact)
    evidence: Evidence = field(default_factory=Evidence)
    backoff: Backoff = field(default_factory=Backoff)
    claim_checked: datetime | None = None
    lease: LeaseSight | None = None
    node_ready: bool | None = None
    figures_at: datetime | None = None
    """When figures were last written."""
    newest: PodView | None = None
    """The newest attempt's pod as last seen."""
    drained: frozenset[str] = frozenset()
    """UIDs of pods that we stopped ourselves: their end is no failure."""
    obstacle: str = ""
    errors: int = 0
    """Reconciles that failed in a row."""
    verdict: Verdict | None = None


@dataclass(slots=True)
class Desk:
    """A worker's place: what it remembers, and how it is woken."""

    memory: Memory
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None

    def ring_at(self, loop_time: float) -> None:
        """Ring at this time of the loop's clock, unless it rings earlier anyway."""
        if self.timer is not None and not self.timer.cancelled():
            if self.timer.when() <= loop_time:
                return
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_at(loop_time, self.bell.set)

    def begin(self) -> None:
        """The bell was heard: what is due now is being looked at."""
        self.bell.clear()
        self.close()

    def close(self) -> None:
        """Nothing is due any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
