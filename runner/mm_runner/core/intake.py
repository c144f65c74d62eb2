"""The intake: what each event changes in the parts of the engine. It decides nothing; `Engine` reviews afterwards and acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mm_runner.core.account import Account
from mm_runner.core.desk import Desk
from mm_runner.core.ledger import Ledger
from mm_runner.core.market import Market
from mm_runner.core.messages import (
    LOCAL_REFUSAL,
    AccountReport,
    AccountSnapshot,
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
    HaltsChanged,
    Instant,
    InstrumentLoaded,
    LeaseState,
    LocalHalt,
    MarkPrice,
    OrderAccepted,
    OrderFound,
    OrderMissing,
    OrderRefused,
    OrderReport,
    OrderUnknown,
    QueryFailed,
    RateLimited,
    ReconcileFailed,
    ShutdownRequested,
    SpecChanged,
    SpecRefused,
    Stream,
    StreamDown,
    StreamUp,
    TimeInForce,
    Trade,
    VenueStatus,
)
from mm_runner.core.orders import Order
from mm_runner.core.settings import MS, refusal, settings_of

if TYPE_CHECKING:
    from mm_runner.core.engine import Engine

POST_ONLY_REFUSED: Final = -5022
REDUCE_ONLY_REFUSED: Final = -2022
TIMESTAMP_REFUSED: Final = -1021

# -- market ------------------------------------------------------------------------------------------------------------


def _diff(engine: Engine, event: DepthDiff, now: Instant) -> None:
    market = engine.market
    if market is not None:
        market.on_diff(event, now.boot_ns)
        _touch(engine, market, now)


def _ticker(engine: Engine, event: BookTicker, now: Instant) -> None:
    market = engine.market
    if market is not None and market.on_ticker(event, now.boot_ns):
        _touch(engine, market, now)


def _depth(engine: Engine, event: DepthSnapshot, now: Instant) -> None:
    market = engine.market
    if market is not None:
        market.on_snapshot(event, now.boot_ns)
        _touch(engine, market, now)


def _depth_failed(engine: Engine, event: DepthSnapshotFailed, now: Instant) -> None:
    if engine.market is not None:
        engine.market.on_snapshot_failed(event.error, now.boot_ns)


def _mark(engine: Engine, event: MarkPrice, now: Instant) -> None:
    if engine.market is not None:
        engine.market.on_mark(event, now.boot_ns)


def _touch(engine: Engine, market: Market, now: Instant) -> None:
    """A moved touch is what wakes the quoting round; the rest of the book is not looked at."""
    if not market.book.synced:
        return
    touch = market.touch
    if touch == engine.touch:
        return
    engine.touch = touch
    engine.dirty = True
    settings = engine.settings
    if settings is not None:
        mid = (touch[0] + touch[1]) / 2
        engine.risk.on_mid(settings.risk, mid, now)
        market.volatility.sample(mid, now_ns=now.boot_ns, interval_ns=settings.quote.interval_ns)


def _stream_up(engine: Engine, event: StreamUp, now: Instant) -> None:
    engine.streams.add(event.stream)
    engine.outbox.log("ws_connect", stream=event.stream.value)
    if engine.market is None or engine.account is None:
        return
    engine.market.on_stream_up(event, now.boot_ns)
    if event.stream is Stream.USER:
        engine.account.on_user_up(now.boot_ns)


def _stream_down(engine: Engine, event: StreamDown, now: Instant) -> None:
    del now
    engine.streams.discard(event.stream)
    engine.outbox.log("ws_disconnect", stream=event.stream.value, error=event.error)
    if engine.market is None or engine.account is None:
        return
    engine.market.on_stream_down(event)
    if event.stream is Stream.PUBLIC:
        engine.risk.forget_mids()
    if event.stream is Stream.USER:
        engine.account.on_user_down()


# -- own orders --------------------------------------------------------------------------------------------------------


def _report(engine: Engine, event: OrderReport, now: Instant) -> None:
    account = engine.account
    order = account.on_report(event, now) if account is not None else None
    if account is None or order is None:
        return
    spelling = account.spelling
    engine.dirty = True
    engine.outbox.log(
        "order_update",
        status=event.status,
        clientOrderId=event.client_order_id,
        orderId=event.order_id,
        side=event.side,
        price=spelling.price(event.price),
        qty=spelling.quantity(event.quantity),
        filled=spelling.quantity(event.executed),
        lastQty=spelling.quantity(event.last_lots),
        lastPrice=spelling.price(event.last_price),
        pnl=str(event.realized_pnl),
        commission=str(event.commission),
        commissionAsset=event.commission_asset,
        maker=event.maker,
        reduceOnly=event.reduce_only,
        tradeId=event.trade_id,
    )
    _after_status(engine, order, event.status, now=now)


def _account_report(engine: Engine, event: AccountReport, now: Instant) -> None:
    account = engine.account
    if account is None:
        return
    account.on_account(event, now)
    if account.money_moved:
        engine.risk.adjust_baselines(account.take_money_moved())
    engine.dirty = True


def _accepted(engine: Engine, event: OrderAccepted, now: Instant) -> None:
    account = engine.account
    order = account.on_accepted(event, now) if account is not None else None
    if order is None:
        return
    elapsed = now.boot_ns - order.sent_ns
    if engine.settings is not None:
        engine.risk.on_round_trip(engine.settings.risk, elapsed, now)
    engine.outbox.log(
        "order_ack",
        clientOrderId=event.client_order_id,
        orderId=event.order_id,
        status=event.status,
        latencyMs=elapsed / MS,
    )
    _after_status(engine, order, event.status, now=now)


def _after_status(engine: Engine, order: Order, status: VenueStatus, *, now: Instant) -> None:
    """A post-only order that expires at once would have taken: the venue's other way of saying -5022."""
    if engine.desk is None or order.time_in_force is not TimeInForce.GTX:
        return
    if status in (VenueStatus.EXPIRED, VenueStatus.EXPIRED_IN_MATCH) and not order.executed:
        engine.desk.back_off[order.side].refused(now.boot_ns)
    elif status is VenueStatus.NEW:
        engine.desk.back_off[order.side].accepted()


def _refused(engine: Engine, event: OrderRefused, now: Instant) -> None:
    account = engine.account
    order = account.tracker.get(event.client_order_id) if account is not None else None
    if account is None or order is None:
        return
    account.tracker.refused(order, now_ns=now.boot_ns)
    engine.dirty = True
    engine.outbox.log(
        "order_reject",
        clientOrderId=event.client_order_id,
        code=event.code,
        error=event.message,
        side=order.side,
        price=account.spelling.price(order.price),
        qty=account.spelling.quantity(order.lots),
        reduceOnly=order.reduce_only,
    )
    if event.code == LOCAL_REFUSAL:
        return
    if event.code == POST_ONLY_REFUSED:
        if engine.desk is not None:
            engine.desk.back_off[order.side].refused(now.boot_ns)
        return
    if event.code == TIMESTAMP_REFUSED:
        # Stop, renew freshly, then decide (invariant 4): never resent in the belief that only the clock was wrong.
        account.unsettle("clock", now.boot_ns)
    elif event.code == REDUCE_ONLY_REFUSED:
        account.want_reconcile("reduce_only_refused", now.boot_ns)
    _error(engine, now)


def _unknown(engine: Engine, event: OrderUnknown, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_unknown(event, now)
        _error(engine, now)


def _cancel_accepted(engine: Engine, event: CancelAccepted, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_cancel_accepted(event, now)
        engine.dirty = True


def _cancel_refused(engine: Engine, event: CancelRefused, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_cancel_refused(event, now)


def _cancel_unknown(engine: Engine, event: CancelUnknown, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_cancel_unknown(event, now)
        _error(engine, now)


def _found(engine: Engine, event: OrderFound, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_found(event, now)
        engine.dirty = True


def _missing(engine: Engine, event: OrderMissing, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_missing(event, now)
        engine.dirty = True


def _query_failed(engine: Engine, event: QueryFailed, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_query_failed(event, now)
        _error(engine, now)


def _snapshot(engine: Engine, event: AccountSnapshot, now: Instant) -> None:
    account = engine.account
    if account is None:
        return
    before = account.foreign_orders
    account.on_snapshot(event, now)
    engine.dirty = True
    if account.foreign_orders != before:
        settings = engine.settings
        policy = "Refuse" if settings is not None and settings.refuse_foreign else "Tolerate"
        engine.outbox.log("foreign_orders", count=account.foreign_orders, policy=policy)


def _reconcile_failed(engine: Engine, event: ReconcileFailed, now: Instant) -> None:
    if engine.account is not None:
        engine.account.on_reconcile_failed(event.error, now.boot_ns)
        _error(engine, now)


def _error(engine: Engine, now: Instant) -> None:
    if engine.settings is not None:
        engine.risk.on_error(engine.settings.risk, now)


# -- control -----------------------------------------------------------------------------------------------------------


def _instrument(engine: Engine, event: InstrumentLoaded, now: Instant) -> None:
    if engine.account is not None:
        _filters(engine, engine.account, event)
        return
    ledger = Ledger(event.instrument, maker_fee=event.maker_fee, taker_fee=event.taker_fee)
    ledger.since_ms = now.wall_ms
    engine.market = Market(event.instrument, engine.outbox)
    engine.account = Account(claim=engine.claim, instrument=event.instrument, outbox=engine.outbox, ledger=ledger)
    engine.desk = Desk(account=engine.account, market=engine.market, outbox=engine.outbox)
    for stream in sorted(engine.streams):
        engine.market.on_stream_up(StreamUp(stream=stream), now.boot_ns)
        if stream is Stream.USER:
            engine.account.on_user_up(now.boot_ns)
    _compile(engine)


def _filters(engine: Engine, account: Account, event: InstrumentLoaded) -> None:
    """Filters were read again. Another step would change the meaning of every integer in here, so it is not taken over."""
    old, new = account.instrument, event.instrument
    if (old.tick_size, old.lot_size) != (new.tick_size, new.lot_size):
        engine.outbox.log(
            "preflight",
            check="filters",
            ok=False,
            detail="tick or lot size changed; restart the engine to take it over",
        )
        return
    account.instrument = account.ledger.instrument = new
    account.ledger.maker_fee, account.ledger.taker_fee = event.maker_fee, event.taker_fee
    if engine.desk is not None and engine.market is not None:
        engine.desk.gate.instrument = engine.market.instrument = new
    _compile(engine)


def _spec(engine: Engine, event: SpecChanged, now: Instant) -> None:
    del now
    sentence = refusal(event.spec, symbol=engine.symbol)
    if sentence is not None:
        _refuse(engine, event.generation, "Unsupported", message=sentence)
        return
    engine.observed_generation = max(engine.observed_generation, event.generation)
    engine.refused = (0, "", "")
    engine.spec = (event.spec, event.generation)
    _compile(engine)


def _spec_refused(engine: Engine, event: SpecRefused, now: Instant) -> None:
    del now
    _refuse(engine, event.generation, event.reason, message=event.message)


def _refuse(engine: Engine, generation: int, reason: str, *, message: str) -> None:
    engine.observed_generation = max(engine.observed_generation, generation)
    if engine.refused != (generation, reason, message):
        engine.outbox.log("spec_refused", generation=generation, error=message)
    engine.refused = (generation, reason, message)


def _compile(engine: Engine) -> None:
    """Take the newest accepted spec into the engine's own units; the next review acts on it and only then says so."""
    if engine.spec is None or engine.account is None:
        return
    spec, generation = engine.spec
    engine.settings = settings_of(spec, generation=generation, instrument=engine.account.instrument)
    engine.account.recv_window_ms = engine.settings.recv_window_ms
    engine.force = True


def _halts(engine: Engine, event: HaltsChanged, now: Instant) -> None:
    del now
    engine.authority.on_halts(event)


def _local_halt(engine: Engine, event: LocalHalt, now: Instant) -> None:
    del now
    engine.authority.on_local_halt(event)


def _control_plane(engine: Engine, event: ControlPlane, now: Instant) -> None:
    del now
    if engine.authority.control_plane_ok and not event.ok:
        engine.outbox.log("control_plane_error", error=event.error)
    engine.authority.control_plane_ok = event.ok


def _lease(engine: Engine, event: LeaseState, now: Instant) -> None:
    del now
    if engine.authority.lease_held and not event.held:
        engine.outbox.log("lease_lost", reason="released, or taken by another engine")
    engine.authority.on_lease(event)
    if event.held and event.epoch != engine.epoch:
        engine.epoch = event.epoch
        engine.epoch_durable = False
    _save_epoch(engine)


def _save_epoch(engine: Engine) -> None:
    state = engine.risk.claim_state
    if state is not None and engine.epoch > state.epoch:
        engine.risk.save(epoch=engine.epoch)


def _dead_man(engine: Engine, event: DeadMan, now: Instant) -> None:
    del now
    engine.authority.dead_man_until_ns = max(engine.authority.dead_man_until_ns, event.armed_until_boot_ns)


def _claim_state(engine: Engine, event: ClaimStateLoaded, now: Instant) -> None:
    engine.risk.load(event.state, now)
    _save_epoch(engine)


def _persisted(engine: Engine, event: ClaimStatePersisted, now: Instant) -> None:
    del now
    lifted = engine.risk.persisted(event.token)
    if lifted is not None:
        engine.outbox.log("halt_acknowledged", haltId=lifted)
        engine.force = True


def _rate_limited(engine: Engine, event: RateLimited, now: Instant) -> None:
    authority = engine.authority
    authority.rate_limited_until_ns = max(authority.rate_limited_until_ns, event.until_boot_ns)
    left = max(0, event.until_boot_ns - now.boot_ns) / 1e9
    engine.outbox.log("rate_limited", code=event.code, retryAfterSeconds=left)


def _shutdown(engine: Engine, event: ShutdownRequested, now: Instant) -> None:
    del now
    authority = engine.authority
    authority.stopping = authority.stopping or event.reason or "shutdown"
    authority.stop_closes = authority.stop_closes or event.close
    engine.force = True


HANDLERS: Final[Mapping[type, Callable[[Engine, Any, Instant], None]]] = {
    DepthDiff: _diff,
    BookTicker: _ticker,
    DepthSnapshot: _depth,
    DepthSnapshotFailed: _depth_failed,
    MarkPrice: _mark,
    StreamUp: _stream_up,
    StreamDown: _stream_down,
    OrderReport: _report,
    AccountReport: _account_report,
    OrderAccepted: _accepted,
    OrderRefused: _refused,
    OrderUnknown: _unknown,
    CancelAccepted: _cancel_accepted,
    CancelRefused: _cancel_refused,
    CancelUnknown: _cancel_unknown,
    OrderFound: _found,
    OrderMissing: _missing,
    QueryFailed: _query_failed,
    AccountSnapshot: _snapshot,
    ReconcileFailed: _reconcile_failed,
    InstrumentLoaded: _instrument,
    SpecChanged: _spec,
    SpecRefused: _spec_refused,
    HaltsChanged: _halts,
    LocalHalt: _local_halt,
    ControlPlane: _control_plane,
    LeaseState: _lease,
    DeadMan: _dead_man,
    ClaimStateLoaded: _claim_state,
    ClaimStatePersisted: _persisted,
    RateLimited: _rate_limited,
    ShutdownRequested: _shutdown,
}
"""Who takes what. Trade (markouts come later), ListenKey (the shell's section) and Tick change nothing by themselves."""
MARKET_EVENTS: Final = frozenset({DepthDiff, BookTicker, MarkPrice, Trade})
"""What comes hundreds of times a second and mostly changes nothing that anybody decides on."""
