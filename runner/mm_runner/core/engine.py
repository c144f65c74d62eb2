"""The engine: composes market, account, risk, authority and desk behind `handle(event, now) -> actions`.

The data's way: an event changes what one part knows; then `_review` asks the risk machine, decides permissions from the table, and lets the desk
withdraw, close or quote. Nothing else sends an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mm_contract.claim import Claim
from mm_contract.resource import MarketMakerSpec
from mm_contract.states import EffectiveState, RiskState
from mm_runner.core.account import Account
from mm_runner.core.authority import Authority
from mm_runner.core.calm import Calm
from mm_runner.core.closing import is_dust
from mm_runner.core.desk import Desk
from mm_runner.core.gate import Mandate
from mm_runner.core.intake import HANDLERS, MARKET_EVENTS
from mm_runner.core.judgement import assess, situation_of
from mm_runner.core.market import Market
from mm_runner.core.messages import (
    Action,
    Drained,
    Event,
    Instant,
    PersistClaimState,
    ReportChanged,
    SetDeadMan,
    Stream,
    Tick,
)
from mm_runner.core.outbox import Outbox
from mm_runner.core.permissions import CANCEL_ONLY, Permissions, Situation, Taker, close_asked, decide, ruling
from mm_runner.core.reporting import EngineReport, Gauges, build_gauges, build_report, transition_key
from mm_runner.core.risk import RiskMachine
from mm_runner.core.settings import MS, Settings

__all__ = ["Engine", "EngineReport", "Gauges"]

_WAKE_NS: Final = 100 * MS
_REVIEW_NS: Final = 10 * MS
"""Deadlines, staleness and due requests are looked at this often even if nothing but the depth of the book moves."""
_ASSESS_NS: Final = 20 * MS
"""Between two quoting rounds the risk machine looks this often at a moving market."""


class Engine:
    """One symbol's engine. Nothing is known at first: instrument, spec, Lease, claim state and account arrive as events.

    Args:
        claim: whose orders are ours.
    """

    def __init__(self, *, claim: Claim) -> None:
        self.claim = claim
        self.symbol = claim.symbol
        self.outbox = Outbox(symbol=claim.symbol)
        self.authority = Authority(self.outbox)
        self.risk = RiskMachine(claim_key=claim.key)
        self.market: Market | None = None
        self.account: Account | None = None
        self.desk: Desk | None = None
        self.settings: Settings | None = None
        self.permissions: Permissions = CANCEL_ONLY
        self.effective: tuple[EffectiveState, str] = (EffectiveState.HALTED, "lease")
        self.applied_generation = 0
        self.observed_generation = 0
        self.refused: tuple[int, str, str] = (0, "", "")
        """Generation, reason and sentence of a refused change; the last good spec goes on."""
        self.risk_since_ms = 0
        self.both_sides_ns: int | None = None
        """When both sides were last seen resting."""
        self.ever_quoted = False
        """Whether an engine of this process has had its quotes resting: the preflight's rules end there."""
        self.stale = False
        self.spec: tuple[MarketMakerSpec, int] | None = None
        self.streams: set[Stream] = set()
        self.risk_said: tuple[RiskState, str] = (RiskState.NORMAL, "")
        self._now = Instant(0, 0)
        self.dirty = False
        """Something moved: a round as soon as minInterval allows."""
        self.force = True
        """A round at once."""
        self._round_ns = 0
        self.touch: tuple[int, int] = (0, 0)
        self._dead_man_on: tuple[bool, int] = (False, 0)
        self.epoch = 0
        self.epoch_durable = False
        self._reviewed_ns = 0
        self._was_synced = False
        self._assessed_ns = 0
        self._calm = Calm()
        self._situation: Situation | None = None
        self._drained = False
        self._said: object = None

    # -- the border ----------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: Instant) -> Sequence[Action]:
        """Take one event; returns what to do, in order. Never raises on bad input; the same inputs give the same actions."""
        self._now = now
        kind = type(event)
        handler = HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, now)
        if kind in MARKET_EVENTS:
            now_ns = now.boot_ns
            if self._nothing_to_review(now_ns):
                return ()
            if self._is_calm(now_ns):
                self._glance(now)
                return self.outbox.take()
        elif kind is Tick and self._is_calm(now.boot_ns):
            self._glance(now)
            return self.outbox.take()
        self._review(now)
        return self.outbox.take()

    def _nothing_to_review(self, now_ns: int) -> bool:
        """Whether a market event changed nothing that anybody decides on: the book is as trusted as before and no round is due."""
        market, settings = self.market, self.settings
        if market is None or settings is None or self.force or now_ns - self._reviewed_ns >= _REVIEW_NS:
            return False
        if market.book.synced is not self._was_synced:
            return False
        return not self.dirty or now_ns - self._round_ns < settings.quote.min_interval_ns

    def report(self, now: Instant) -> EngineReport:
        """What the engine says of itself."""
        return build_report(self, now)

    def gauges(self, now: Instant) -> Gauges:
        """What the metrics show."""
        return build_gauges(self, now)

    @property
    def next_wake_ns(self) -> int | None:
        """CLOCK_BOOTTIME at which the core wants a Tick at the latest; None: no wish."""
        wake = self._now.boot_ns + _WAKE_NS
        settings = self.settings
        if settings is None:
            return wake
        if self.dirty:
            wake = min(wake, self._round_ns + settings.quote.min_interval_ns)
        deadline = self.authority.deadlines(settings).send_deadline(recv_window_ns=settings.recv_window_ns)
        if deadline > self._now.boot_ns:
            wake = min(wake, deadline)
        return max(wake, self._now.boot_ns)

    @property
    def highest_order_epoch(self) -> int:
        """The highest epoch among own orders ever seen on the exchange: a witness for `next_epoch`; 0 before the first AccountSnapshot."""
        return self.account.highest_epoch if self.account else 0

    @property
    def ready(self) -> bool:
        """For `/readyz`: book synced and fresh, account reconciled."""
        if self.market is None or self.account is None or self.settings is None:
            return False
        fresh = self.market.usable(now_ns=self._now.boot_ns, stale_ns=self.settings.risk.stale_ns)
        return fresh and self.account.reconciled(self._now.boot_ns)

    @property
    def safe_without_data(self) -> bool:
        """For `/healthz`: no own order open or unresolved, so that old data need not restart the process."""
        return self.account is None or not self.account.tracker.unresolved

    # -- review --------------------------------------------------------------------------------------------------------

    def _is_calm(self, now_ns: int) -> bool:
        """Whether a review would find everything as the last one left it (`core.calm` says why), and no round is due."""
        market = self.market
        if market is None or not self._calm.holds(market, self.risk, now_ns) or self.force:
            return False
        return not self._round_due(now_ns)

    def _glance(self, now: Instant) -> None:
        """The review of a calm engine: the risk machine looks at the moving market, and that both sides rest is noted."""
        market, account, desk, settings = self.market, self.account, self.desk, self.settings
        if market is None or account is None or desk is None or settings is None:
            return
        now_ns = now.boot_ns
        self._reviewed_ns = now_ns
        if self._assess_due(now_ns):
            self._assessed_ns = now_ns
            assess(self, market, account, settings=settings, now=now)
            if self.force or self.risk.unsaved or self.risk.state is not self._calm.risk:
                self._conclude(market, account, desk, settings=settings, due=False, now=now)
                return
        if self._calm.both_sides:
            self.both_sides_ns = now_ns

    def _round_due(self, now_ns: int) -> bool:
        settings = self.settings
        if settings is None:
            return False
        since = now_ns - self._round_ns
        return (
            self.force
            or since >= settings.quote.interval_ns
            or (self.dirty and since >= settings.quote.min_interval_ns)
        )

    def _assess_due(self, now_ns: int) -> bool:
        return self.dirty and now_ns - self._assessed_ns >= _ASSESS_NS

    def _review(self, now: Instant) -> None:
        market, account, desk, settings = self.market, self.account, self.desk, self.settings
        never_owned = bool(self.authority.stopping) and not self.epoch
        if market is None or account is None or desk is None or settings is None or never_owned:
            self._leave_early()
            self._say_if_changed(now)
            return
        now_ns = now.boot_ns
        self._reviewed_ns, self._was_synced = now_ns, market.book.synced
        self._know_epochs(account, now_ns)
        due = self._round_due(now_ns)
        if due or self._assess_due(now_ns):
            self._assessed_ns = now_ns
            assess(self, market, account, settings=settings, now=now)
        self._conclude(market, account, desk, settings=settings, due=due, now=now)

    def _conclude(  # noqa: PLR0913 - the parts, known to be there
        self, market: Market, account: Account, desk: Desk, *, settings: Settings, due: bool, now: Instant
    ) -> None:
        """From what is known to what is done."""
        now_ns = now.boot_ns
        situation = situation_of(self, market, account, settings=settings, now=now)
        if situation != self._situation:  # the same question has the same answer
            self._situation = situation
            permissions, effective = decide(situation), ruling(situation)
            if permissions != self.permissions or effective != self.effective:
                due = True
                self._announce(permissions, effective)
        self._keep_dead_man(settings, now_ns)
        market.on_time(now_ns, reducing=self.risk.state is RiskState.REDUCE_ONLY)
        account.on_time(now)
        desk.repeat_cancels(now_ns)
        if due:
            self._act(desk, settings, situation, now)
        self._drain(account, settings, situation, now)
        self._persist()
        self._watch_sides(desk, now_ns)
        self._say_if_changed(now)
        self._calm.settle(self, market, account, settings=settings, now_ns=now_ns)

    def _know_epochs(self, account: Account, now_ns: int) -> None:
        """A new epoch of ours means reading the account anew; a higher one of somebody else's means stopping for good."""
        if account.epoch != self.epoch and self.epoch:
            account.epoch = self.epoch
            account.unsettle("epoch", now_ns)
        authority = self.authority
        authority.superseded_by = max(authority.superseded_by, account.superseded_by)
        if authority.superseded_by and not authority.stopping:
            self.outbox.log("superseded", epoch=account.epoch, higherEpoch=authority.superseded_by)
            authority.stopping = "superseded"

    def _announce(self, permissions: Permissions, effective: tuple[EffectiveState, str]) -> None:
        if effective != self.effective:
            self.outbox.log(
                "effective_state", state=effective[0].value, ruledBy=effective[1], previous=self.effective[0].value
            )
        self.permissions, self.effective = permissions, effective

    def _keep_dead_man(self, settings: Settings, now_ns: int) -> None:
        """The switch is refreshed by whoever may send orders; a stopped or superseded engine lets it run out (invariant 3)."""
        authority = self.authority
        wanted = (
            authority.dead_man_wanted(settings)
            and authority.lease_held
            and now_ns < authority.lease_deadline_ns
            and not authority.superseded_by
        )
        if (wanted, settings.dead_man_seconds) != self._dead_man_on:
            self._dead_man_on = (wanted, settings.dead_man_seconds)
            self.outbox.put(SetDeadMan(enabled=wanted, seconds=settings.dead_man_seconds))

    # -- acting --------------------------------------------------------------------------------------------------------

    def _act(self, desk: Desk, settings: Settings, situation: Situation, now: Instant) -> None:
        now_ns = now.boot_ns
        permissions = self.permissions
        self.dirty, self.force = False, False
        self._round_ns = now_ns
        mandate = Mandate(permissions, settings, self.authority.deadlines(settings), now_ns)
        blocked = now_ns < self.authority.rate_limited_until_ns
        if settings.dry_run:
            self._dry_run(desk, settings, situation, now)
        elif permissions.reduce_taker is not Taker.NO and not is_dust(desk.account, desk.instrument):
            if not blocked:
                desk.close(mandate, whole=close_asked(situation))
        elif permissions.quote and not close_asked(situation):
            desk.closer.reset()
            if not blocked:
                desk.round(mandate)
        elif permissions.cancel:
            desk.closer.reset()
            self._withdraw(desk, now_ns)
        self._applied(settings)

    def _withdraw(self, desk: Desk, now_ns: int) -> None:
        count = desk.withdraw_all(now_ns, reason=self.authority.stopping or self.effective[1])
        if count:
            self.outbox.log("orders_cancelled", reason=self.authority.stopping or self.effective[1], count=count)

    def _dry_run(self, desk: Desk, settings: Settings, situation: Situation, now: Instant) -> None:
        if not situation.dry_run_proven:
            self._withdraw(desk, now.boot_ns)
            desk.account.want_reconcile(
                "dry_run", desk.account.proof.next_ns(now_ns=now.boot_ns, recv_window_ns=settings.recv_window_ns)
            )
        if situation.book_usable and desk.account.ledger.known:
            desk.dry_round(settings)

    def _applied(self, settings: Settings) -> None:
        # Invariant 9: said only after a review acted on it (tests/unit/runner/core/test_engine.py).
        if self.applied_generation != settings.generation:
            self.applied_generation = settings.generation
            self.outbox.log("spec_applied", generation=settings.generation)

    def _drain(self, account: Account, settings: Settings, situation: Situation, now: Instant) -> None:
        if not self.authority.stopping or self._drained:
            return
        closing = close_asked(situation) and not is_dust(account, account.instrument)
        if account.tracker.unresolved or closing:
            return
        if account.proof.proven:
            self._drained = True
            self.outbox.put(Drained(zero_own_orders=True, reason=self.authority.stopping))
            return
        account.want_reconcile(
            "shutdown", account.proof.next_ns(now_ns=now.boot_ns, recv_window_ns=settings.recv_window_ns)
        )

    def _leave_early(self) -> None:
        """Asked to stop before the Lease was ever held or anything was known: no order of ours left, and nothing can be proven."""
        if self.authority.stopping and not self._drained:
            self._drained = True
            self.outbox.put(Drained(zero_own_orders=False, reason=self.authority.stopping))

    def _persist(self) -> None:
        pending = self.risk.pending_save()
        if pending is not None:
            self.outbox.put(PersistClaimState(state=pending[0], token=pending[1]))

    def _watch_sides(self, desk: Desk, now_ns: int) -> None:
        if self.effective[0] is not EffectiveState.RUNNING:
            self.both_sides_ns = None
            return
        if desk.sides_as_wanted():
            self.both_sides_ns = now_ns
            self.ever_quoted = True

    def _say_if_changed(self, now: Instant) -> None:
        key = transition_key(self, now)
        if key != self._said:
            self._said = key
            self.outbox.put(ReportChanged())
