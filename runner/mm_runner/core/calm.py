"""Calm: until when a review would find everything as the last one left it, so that a market event need not cause one.

Between two reviews only the market and the clock move. What the clock alone can change has its instant: a deadline of Lease or dead-man switch, a
request that is due, an answer that is overdue, a cancel to be repeated, the account read too long ago. The earliest of them ends the calm. What the
market can change is looked at each time: whether the book is in step and fresh, and whether the risk machine moved. Everything else changes by
an event that is no market event, and each of those is followed by a whole review.

A review that is skipped in calm would have decided nothing (tests/unit/runner/core/test_calm.py holds both against each other).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_contract.states import EffectiveState, RiskState
from mm_runner.core.account import Account
from mm_runner.core.market import REFRESH_NS, REFRESH_REDUCING_NS, Market
from mm_runner.core.reporting import GRACE_NS
from mm_runner.core.risk import RiskMachine
from mm_runner.core.settings import NEVER_NS, Settings

if TYPE_CHECKING:
    from mm_runner.core.engine import Engine


class Calm:
    """What the last review left behind."""

    __slots__ = ("_patience_ns", "_until_ns", "both_sides", "risk")

    def __init__(self) -> None:
        self.risk = RiskState.HALTED
        """The risk machine's state then."""
        self.both_sides = False
        """Both sides rested as wanted, and nothing but an event can change that."""
        self._until_ns = 0
        self._patience_ns = 0

    def holds(self, market: Market, risk: RiskMachine, now_ns: int) -> bool:
        """Whether nothing but prices moved."""
        return (
            now_ns < self._until_ns
            and market.book.synced
            and now_ns - market.fresh_ns <= self._patience_ns
            and risk.state is self.risk
        )

    def settle(self, engine: Engine, market: Market, account: Account, *, settings: Settings, now_ns: int) -> None:
        """Note how long the review that ends now may stand."""
        if not market.book.synced or engine.stale or engine.authority.stopping:
            self._until_ns = 0
            return
        self.risk = engine.risk.state
        self._patience_ns = min(
            settings.risk.stale_ns, REFRESH_REDUCING_NS if self.risk is RiskState.REDUCE_ONLY else REFRESH_NS
        )
        running = engine.effective[0] is EffectiveState.RUNNING
        self.both_sides = running and engine.both_sides_ns == now_ns
        due = min(_next_deadline_ns(engine, settings, now_ns), market.next_due_ns(), account.next_due_ns())
        if running and not self.both_sides and engine.both_sides_ns is not None:
            due = min(due, engine.both_sides_ns + GRACE_NS)
        self._until_ns = due


def _next_deadline_ns(engine: Engine, settings: Settings, now_ns: int) -> int:
    """The next deadline of Lease or switch that has not passed yet; one that has passed rules already."""
    deadlines = engine.authority.deadlines(settings)
    due = deadlines.lease_ns if deadlines.lease_ns > now_ns else NEVER_NS
    ready = deadlines.ready_until_ns(recv_window_ns=settings.recv_window_ns)
    return min(due, ready) if ready > now_ns else due
