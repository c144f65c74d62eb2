"""The engine: composes market, account, risk, authority and desk behind `handle(event, now) -> actions`.

The data's way: an event changes what one part knows; then `_review` asks the risk machine, decides permissions from the table, and lets the desk
withdraw, close or quote. Nothing else sends an order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from mm_contract.claim import Claim
from mm_contract.resource import MarketMakerSpec
from mm_contract.states import EffectiveState, RiskState
from mm_runner.core.account import Account
from mm_runner.core.authority import Authority
from mm_runner.core.closing import is_dust
from mm_runner.core.desk import Desk, as_decimal
from mm_runner.core.ledger import Ledger
from mm_runner.core.market import Market
from mm_runner.core.messages import (
    LOCAL_REFUSAL,
    AccountReport,
    AccountSnapshot,
    Action,
    BookTicker,
    CancelAccepted,
    CancelRefused,
    CancelUnknown,
    ClaimStateLoaded,
    ClaimStatePersisted,
    ControlPlane,
    DeadMan,
    DepthDiff,
    DepthSnapshot,
    DepthSnapshotFailed,
    Drained,
    Event,
    HaltsChanged,
    Instant,
    InstrumentLoaded,
    LeaseState,
    ListenKey,
    LocalHalt,
    MarkPrice,
    OrderAccepted,
    OrderFound,
    OrderMissing,
    OrderRefused,
    OrderReport,
    OrderUnknown,
    PersistClaimState,
    QueryFailed,
    RateLimited,
    ReconcileFailed,
    ReportChanged,
    SetDeadMan,
    ShutdownRequested,
    SpecChanged,
    SpecRefused,
    Stream,
    StreamDown,
    StreamUp,
    Tick,
    Trade,
    VenueStatus,
)
from mm_runner.core.orders import Order
from mm_runner.core.outbox import Outbox
from mm_runner.core.permissions import CANCEL_ONLY, Permissions, Situation, Taker, close_asked, decide, ruling
from mm_runner.core.reporting import EngineReport, Gauges, build_gauges, build_report, transition_key
from mm_runner.core.risk import Exposure, RiskMachine
from mm_runner.core.settings import MS, Settings, refusal, settings_of

__all__ = ["Engine", "EngineReport", "Gauges"]

_WAKE_NS: Final = 100 * MS
_ASSESS_NS: Final = 20 * MS
"""Between two quoting rounds the risk machine looks this often at a moving market."""
POST_ONLY_REFUSED: Final = -5022
REDUCE_ONLY_REFUSED: Final = -2022
TIMESTAMP_REFUSED: Final = -1021


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
        self.risk_since_ms = 0
        self.both_sides_ns: int | None = None
        """When both sides were last seen resting."""
        self.ever_quoted = False
        self.stale = False
        self.malformed = 0
        self._spec: tuple[MarketMakerSpec, int] | None = None
        self._streams: dict[Stream, bool] = {}
        self._risk_said: tuple[RiskState, str] = (RiskState.NORMAL, "")
        self._now = Instant(0, 0)
        self._dirty = False
        self._force = True
        self._round_ns = 0
        self._touch: tuple[int, int] = (0, 0)
        self._dead_man_on: tuple[bool, int] = (False, 0)
        self._claim_loaded = False
        self._epoch = 0
        self._epoch_token_done = False
        self._assessed_ns = 0
        self._drained = False
        self._said: object = None
        self._foreign_said = 0

    # -- the border ----------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: Instant) -> Sequence[Action]:
        """Take one event; returns what to do, in order. Never raises on bad input; the same inputs give the same actions."""
        self._now = now
        match event:
            case DepthDiff() | BookTicker() | DepthSnapshot() | DepthSnapshotFailed() | MarkPrice() | Trade():
                self._on_market(event, now)
            case StreamUp() | StreamDown():
                self._on_stream(event, now)
            case (
                OrderReport() | AccountReport() | OrderAccepted() | OrderRefused() | OrderUnknown() | CancelAccepted()
                | CancelRefused() | CancelUnknown() | OrderFound() | OrderMissing() | QueryFailed() | AccountSnapshot()
                | ReconcileFailed()
            ):  # fmt: skip
                self._on_account(event, now)
            case _:
                self._on_control(event, now)
        self._review(now)
        return self.outbox.take()

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
        if self._dirty:
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

    # -- events --------------------------------------------------------------------------------------------------------

    def _on_market(
        self, event: DepthDiff | BookTicker | DepthSnapshot | DepthSnapshotFailed | MarkPrice | Trade, now: Instant
    ) -> None:
        market = self.market
        if market is None:
            return
        match event:
            case DepthDiff():
                market.on_diff(event, now.boot_ns)
            case BookTicker():
                market.on_ticker(event, now.boot_ns)
            case DepthSnapshot():
                market.on_snapshot(event, now.boot_ns)
            case DepthSnapshotFailed():
                market.on_snapshot_failed(event.error, now.boot_ns)
            case MarkPrice():
                market.on_mark(event, now.boot_ns)
            case Trade():
                pass  # markouts and toxicity are not built yet
        if market.book.synced:
            self._on_touch(market, now)

    def _on_touch(self, market: Market, now: Instant) -> None:
        touch = market.touch
        if touch == self._touch:
            return
        self._touch = touch
        self._dirty = True
        if self.settings is not None:
            mid = market.mid_ticks
            self.risk.on_mid(self.settings.risk, mid, now)
            market.volatility.sample(mid, now_ns=now.boot_ns, interval_ns=self.settings.quote.interval_ns)

    def _on_stream(self, event: StreamUp | StreamDown, now: Instant) -> None:
        up = isinstance(event, StreamUp)
        self._streams[event.stream] = up
        if isinstance(event, StreamUp):
            self.outbox.log("ws_connect", stream=event.stream.value)
        else:
            self.outbox.log("ws_disconnect", stream=event.stream.value, error=event.error)
        if self.market is None or self.account is None:
            return
        if isinstance(event, StreamUp):
            self.market.on_stream_up(event, now.boot_ns)
            if event.stream is Stream.USER:
                self.account.on_user_up(now.boot_ns)
        else:
            self.market.on_stream_down(event)
            self.risk.forget_mids()
            if event.stream is Stream.USER:
                self.account.on_user_down()
        self._force = True

    def _on_account(self, event: Event, now: Instant) -> None:
        account, settings = self.account, self.settings
        if account is None:
            return
        match event:
            case OrderReport():
                self._on_report(account, event, now)
            case AccountReport():
                account.on_account(event, now)
                self.risk.adjust_baselines(account.take_money_moved()) if account.money_moved else None
            case OrderAccepted():
                self._on_accepted(account, event, now)
            case OrderRefused():
                self._on_refused(account, event, now)
            case OrderUnknown():
                account.on_unknown(event, now)
                self._on_error(now)
            case CancelAccepted():
                account.on_cancel_accepted(event, now)
            case CancelRefused():
                account.on_cancel_refused(event, now)
            case CancelUnknown():
                account.on_cancel_unknown(event, now)
                self._on_error(now)
            case OrderFound():
                account.on_found(event, now)
            case OrderMissing():
                account.on_missing(event, now)
            case QueryFailed():
                account.on_query_failed(event, now)
                self._on_error(now)
            case AccountSnapshot():
                account.on_snapshot(event, now)
                self._after_snapshot(account, settings)
            case ReconcileFailed():
                account.on_reconcile_failed(event.error, now.boot_ns)
                self._on_error(now)
            case _:
                pass
        # A fill or an end changes what is wanted; the next round need not wait for the market.
        self._dirty = True

    def _on_report(self, account: Account, event: OrderReport, now: Instant) -> None:
        order = account.on_report(event, now)
        if order is None:
            return
        instrument = account.instrument
        self.outbox.log(
            "order_update",
            status=event.status.value,
            clientOrderId=event.client_order_id,
            orderId=event.order_id,
            side=event.side.value,
            price=str(instrument.price(event.price)),
            qty=str(instrument.quantity(event.quantity)),
            filled=str(instrument.quantity(event.executed)),
            lastQty=str(instrument.quantity(event.last_lots)),
            lastPrice=str(instrument.price(event.last_price)),
            pnl=str(event.realized_pnl),
            commission=str(event.commission),
            commissionAsset=event.commission_asset,
            maker=event.maker,
            reduceOnly=event.reduce_only,
            tradeId=event.trade_id,
        )
        self._after_status(order, event.status, now)

    def _on_accepted(self, account: Account, event: OrderAccepted, now: Instant) -> None:
        order = account.on_accepted(event, now)
        if order is None:
            return
        elapsed = now.boot_ns - order.sent_ns
        if self.settings is not None:
            self.risk.on_round_trip(self.settings.risk, elapsed, now)
        self.outbox.log(
            "order_ack",
            clientOrderId=event.client_order_id,
            orderId=event.order_id,
            status=event.status.value,
            latencyMs=elapsed / MS,
        )
        self._after_status(order, event.status, now)

    def _after_status(self, order: Order, status: VenueStatus, now: Instant) -> None:
        if self.desk is None or order.time_in_force is None or order.time_in_force.value != "GTX":
            return
        if status in (VenueStatus.EXPIRED, VenueStatus.EXPIRED_IN_MATCH) and not order.executed:
            self.desk.back_off[order.side].refused(now.boot_ns)
        elif status is VenueStatus.NEW:
            self.desk.back_off[order.side].accepted()

    def _on_refused(self, account: Account, event: OrderRefused, now: Instant) -> None:
        order = account.tracker.get(event.client_order_id)
        if order is None:
            return
        instrument = account.instrument
        account.tracker.refused(order, now_ns=now.boot_ns)
        self.outbox.log(
            "order_reject",
            clientOrderId=event.client_order_id,
            code=event.code,
            error=event.message,
            side=order.side.value,
            price=str(instrument.price(order.price)),
            qty=str(instrument.quantity(order.lots)),
            reduceOnly=order.reduce_only,
        )
        match event.code:
            case code if code == POST_ONLY_REFUSED:
                if self.desk is not None:
                    self.desk.back_off[order.side].refused(now.boot_ns)
            case code if code == LOCAL_REFUSAL:
                pass
            case code if code == TIMESTAMP_REFUSED:
                # Stop, renew freshly, then decide (invariant 4): never resent in the belief that only the clock was wrong.
                account.unsettle("clock", now.boot_ns)
                self._on_error(now)
            case code:
                if code == REDUCE_ONLY_REFUSED:
                    account.want_reconcile("reduce_only_refused", now.boot_ns)
                self._on_error(now)

    def _on_error(self, now: Instant) -> None:
        if self.settings is not None:
            self.risk.on_error(self.settings.risk, now)

    def _after_snapshot(self, account: Account, settings: Settings | None) -> None:
        if account.foreign_orders != self._foreign_said:
            self._foreign_said = account.foreign_orders
            policy = "Refuse" if settings is not None and settings.refuse_foreign else "Tolerate"
            self.outbox.log("foreign_orders", count=account.foreign_orders, policy=policy)

    def _on_control(self, event: Event, now: Instant) -> None:
        match event:
            case InstrumentLoaded():
                self._on_instrument(event, now)
                self._force = True
            case SpecChanged():
                self._on_spec(event)
                self._force = True
            case SpecRefused():
                self._refuse(event.generation, event.reason, event.message)
            case HaltsChanged():
                self.authority.on_halts(event)
            case LocalHalt():
                self.authority.on_local_halt(event)
            case ControlPlane():
                if self.authority.control_plane_ok and not event.ok:
                    self.outbox.log("control_plane_error", error=event.error)
                self.authority.control_plane_ok = event.ok
            case LeaseState():
                self._on_lease(event)
            case DeadMan():
                self.authority.dead_man_until_ns = max(self.authority.dead_man_until_ns, event.armed_until_boot_ns)
            case ClaimStateLoaded():
                self.risk.load(event.state, now)
                self._claim_loaded = True
                self._save_epoch()
            case ClaimStatePersisted():
                self._on_persisted(event)
            case RateLimited():
                self.authority.rate_limited_until_ns = max(self.authority.rate_limited_until_ns, event.until_boot_ns)
                self.outbox.log("rate_limited", code=event.code)
            case ShutdownRequested():
                self.authority.stopping = self.authority.stopping or event.reason or "shutdown"
                self.authority.stop_closes = self.authority.stop_closes or event.close
            case ListenKey() | Tick():
                pass
            case _:
                pass

    def _on_instrument(self, event: InstrumentLoaded, now: Instant) -> None:
        if self.account is None:
            ledger = Ledger(event.instrument, maker_fee=event.maker_fee, taker_fee=event.taker_fee)
            ledger.since_ms = now.wall_ms
            self.market = Market(event.instrument, self.outbox)
            self.account = Account(claim=self.claim, instrument=event.instrument, outbox=self.outbox, ledger=ledger)
            self.desk = Desk(account=self.account, market=self.market, outbox=self.outbox)
            for stream, up in self._streams.items():
                if up:
                    self.market.on_stream_up(StreamUp(stream=stream), now.boot_ns)
                    if stream is Stream.USER:
                        self.account.on_user_up(now.boot_ns)
            self._compile()
            return
        self._on_filters(self.account, event)

    def _on_filters(self, account: Account, event: InstrumentLoaded) -> None:
        """Filters were read again. Other steps would change the meaning of every integer here: then nothing is opened any more."""
        old, new = account.instrument, event.instrument
        if (old.tick_size, old.lot_size) != (new.tick_size, new.lot_size):
            self.outbox.log(
                "preflight", check="filters", ok=False, detail="tick or lot size changed; restart the engine"
            )
            return
        account.instrument = account.ledger.instrument = new
        account.ledger.maker_fee, account.ledger.taker_fee = event.maker_fee, event.taker_fee
        if self.desk is not None and self.market is not None:
            self.desk.gate.instrument = self.market.instrument = new
        self._compile()

    def _on_spec(self, event: SpecChanged) -> None:
        self.observed_generation = max(self.observed_generation, event.generation)
        sentence = refusal(event.spec, symbol=self.symbol)
        if sentence is not None:
            self._refuse(event.generation, "Unsupported", sentence)
            return
        self.refused = (0, "", "")
        self._spec = (event.spec, event.generation)
        self._compile()

    def _refuse(self, generation: int, reason: str, message: str) -> None:
        self.observed_generation = max(self.observed_generation, generation)
        if self.refused != (generation, reason, message):
            self.outbox.log("spec_refused", generation=generation, error=message)
        self.refused = (generation, reason, message)

    def _compile(self) -> None:
        """Take the newest accepted spec into the engine's own units; `_review` acts on it and only then says so."""
        if self._spec is None or self.account is None:
            return
        spec, generation = self._spec
        self.settings = settings_of(spec, generation=generation, instrument=self.account.instrument)
        self.account.recv_window_ms = self.settings.recv_window_ms

    def _on_lease(self, event: LeaseState) -> None:
        was_held = self.authority.lease_held
        self.authority.on_lease(event)
        if was_held and not event.held:
            self.outbox.log("lease_lost", reason="released or lost")
        if event.held and event.epoch != self._epoch:
            self._epoch = event.epoch
            self._epoch_token_done = False
        self._save_epoch()

    def _save_epoch(self) -> None:
        state = self.risk.claim_state
        if state is not None and self._epoch > state.epoch:
            self.risk.save(epoch=self._epoch)

    def _on_persisted(self, event: ClaimStatePersisted) -> None:
        lifted = self.risk.persisted(event.token)
        if lifted is not None:
            self.outbox.log("halt_acknowledged", haltId=lifted)

    # -- review --------------------------------------------------------------------------------------------------------

    def _review(self, now: Instant) -> None:
        market, account, desk, settings = self.market, self.account, self.desk, self.settings
        if (
            market is None
            or account is None
            or desk is None
            or settings is None
            or (self.authority.stopping and not self._epoch)
        ):
            self._leave_early()
            self._say_if_changed(now)
            return
        now_ns = now.boot_ns
        if account.epoch != self._epoch and self._epoch:
            account.epoch = self._epoch
            account.unsettle("epoch", now_ns)
        if account.superseded_by:
            self.authority.superseded_by = max(self.authority.superseded_by, account.superseded_by)
        if self.authority.superseded_by and not self.authority.stopping:
            self.outbox.log("superseded", epoch=account.epoch, higherEpoch=self.authority.superseded_by)
            self.authority.stopping = "superseded"
        due = self._force or now_ns - self._round_ns >= settings.quote.interval_ns
        due = due or (self._dirty and now_ns - self._round_ns >= settings.quote.min_interval_ns)
        if due or (self._dirty and now_ns - self._assessed_ns >= _ASSESS_NS):
            self._assessed_ns = now_ns
            self._assess(market, account, settings, now)
        situation = self._situation(market, account, settings, now)
        permissions = decide(situation)
        effective = ruling(situation)
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

    def _assess(self, market: Market, account: Account, settings: Settings, now: Instant) -> None:
        for order in account.tracker.live.values():
            if not order.acknowledged and not order.unknown:
                self.risk.on_round_trip(settings.risk, now.boot_ns - order.sent_ns, now)
        if not account.ledger.known:
            return
        self.risk.assess(self._exposure(market, account, now), settings.risk, now=now)
        if settings.risk.acknowledged_halt:
            price = self._price(market, account, now)
            self.risk.acknowledge(settings.risk.acknowledged_halt, account.ledger.equity(price) if price else None)
        state = (self.risk.state, self.risk.reason)
        if state != self._risk_said:
            self._tell_risk(state, now)

    def _tell_risk(self, state: tuple[RiskState, str], now: Instant) -> None:
        halt = self.risk.halt
        previous = self._risk_said[0]
        if state[0] is not previous:
            self.risk_since_ms = now.wall_ms
        self._risk_said = state
        self.outbox.log(
            "risk_event",
            state=state[0].value,
            reason=state[1] or "clear",
            previous=previous.value,
            haltId=halt.halt_id if halt else "",
            latched=self.risk.latched,
        )
        if halt is not None and self.risk.latched:
            self.outbox.log("halt_latched", haltId=halt.halt_id, reason=halt.reason)
        self._force = True

    def _exposure(self, market: Market, account: Account, now: Instant) -> Exposure:
        ledger = account.ledger
        price = self._price(market, account, now)
        distance = math.inf
        if account.liquidation_price > 0 and ledger.position and price > 0:
            distance = float(abs(price - account.liquidation_price) / price)
        worse = ledger.high if abs(ledger.high) >= abs(ledger.low) else ledger.low
        return Exposure(
            position=worse,
            unrealized=ledger.unrealized(price) if price else Decimal(0),
            equity=ledger.equity(price),
            equity_known=price > 0 and account.settled_ns is not None and ledger.apart_since_ns is None,
            margin_ratio=account.margin_ratio,
            liquidation_distance=distance,
            volume=ledger.volume_of(now.wall_ms),
            mid_ticks=market.mid_ticks if market.book.synced else 0.0,
        )

    def _price(self, market: Market, account: Account, now: Instant) -> Decimal:
        return as_decimal(market.mark_ticks(now.boot_ns), account.instrument)

    def _situation(self, market: Market, account: Account, settings: Settings, now: Instant) -> Situation:
        authority, risk, now_ns = self.authority, self.risk, now.boot_ns
        deadlines = authority.deadlines(settings)
        usable = market.usable(now_ns=now_ns, stale_ns=settings.risk.stale_ns)
        self._tell_freshness(market, usable=usable, now_ns=now_ns)
        foreign_refused = settings.refuse_foreign and account.foreign_orders > 0 and not self.ever_quoted
        durable = self._claim_loaded and self._epoch_durable()
        return Situation(
            desired=settings.desired_state,
            halts=authority.halts,
            halts_readable=authority.halts_readable,
            local_halt=authority.local_halt,
            close_asked_locally=authority.local_close or (bool(authority.stopping) and authority.stop_closes),
            stopping=bool(authority.stopping),
            risk=risk.state,
            flatten_on_halt=settings.risk.flatten_on_halt and risk.halt is not None,
            stop_rule=risk.stop_rule,
            book_usable=usable,
            reconciled=account.reconciled(now_ns) and not foreign_refused and not account.hedge_mode and durable,
            lease_held=authority.lease_held and now_ns < deadlines.lease_ns,
            superseded=authority.superseded_by > 0,
            dead_man_ready=deadlines.dead_man_ns is None
            or now_ns < deadlines.dead_man_ns - settings.recv_window_ns - 250 * MS,
            dry_run=settings.dry_run,
            dry_run_proven=settings.dry_run and account.proof.proven,
        )

    def _epoch_durable(self) -> bool:
        """The epoch of every order must have been written down first, so that no later engine repeats it (invariant 5)."""
        if self._epoch_token_done:
            return True
        state = self.risk.claim_state
        self._epoch_token_done = (
            state is not None and self._epoch > 0 and state.epoch >= self._epoch and self.risk.all_persisted
        )
        return self._epoch_token_done

    def _tell_freshness(self, market: Market, *, usable: bool, now_ns: int) -> None:
        if market.book.synced and not usable and not self.stale:
            self.stale = True
            self.outbox.log("data_stale", ageMs=market.age_ns(now_ns) // MS, stream=Stream.PUBLIC.value)
        elif usable and self.stale:
            self.stale = False
            self.outbox.log("data_fresh", ageMs=market.age_ns(now_ns) // MS, stream=Stream.PUBLIC.value)

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
        self._dirty, self._force = False, False
        self._round_ns = now_ns
        deadlines = self.authority.deadlines(settings)
        blocked = now_ns < self.authority.rate_limited_until_ns
        if settings.dry_run:
            self._dry_run(desk, settings, situation, now)
        elif permissions.reduce_taker is not Taker.NO and not is_dust(desk.account, desk.instrument):
            if not blocked:
                desk.close(permissions, settings, deadlines=deadlines, now_ns=now_ns, whole=close_asked(situation))
        elif permissions.quote and not close_asked(situation):
            desk.closer.reset()
            if not blocked:
                desk.round(permissions, settings, deadlines=deadlines, now_ns=now_ns)
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
