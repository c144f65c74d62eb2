"""The account: own orders, position and money, kept equal to the exchange's by events and by reconciliation.

Owns the tracker and the ledger, folds every order and account event into them, and decides when the exchange has to be asked again.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from mm_contract.claim import Claim, ClientOrderId
from mm_runner.core.instrument import Instrument
from mm_runner.core.ledger import Execution, Ledger
from mm_runner.core.messages import (
    AccountReport,
    AccountSnapshot,
    CancelAccepted,
    CancelOrder,
    CancelRefused,
    CancelUnknown,
    Instant,
    OrderAccepted,
    OrderFound,
    OrderMissing,
    OrderReport,
    OrderState,
    OrderType,
    OrderUnknown,
    QueryFailed,
    QueryOrder,
    Reconcile,
    TradeRecord,
    VenueStatus,
)
from mm_runner.core.orders import Order, Tracker
from mm_runner.core.outbox import Outbox
from mm_runner.core.proof import ZeroProof
from mm_runner.core.settings import MS, SECOND
from mm_runner.core.spelling import Spelling

RECONCILE_NS: Final = 30 * SECOND
_TOO_LONG_AGO_NS: Final = 3 * RECONCILE_NS
_SOON_NS: Final = 300 * MS
_MAX_SOON_NS: Final = 5 * SECOND
_APART_NS: Final = 500 * MS
_ANSWER_BOUND_NS: Final = 15 * SECOND
_MAX_PAUSE_NS: Final = 30 * SECOND
_SPACING_NS: Final = 100 * MS
"""Between two readings of the account, whatever asks for them: their weight must not eat the budget of cancels."""
_UNTRADED_NS: Final = 2 * SECOND
_SAME_DRIFT: Final = 3
NO_SUCH_ORDER: Final = -2011
_MONEY_MOVED: Final = frozenset(
    {"DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "MARGIN_TRANSFER", "ASSET_TRANSFER"}
)


class Account:
    """Everything that is ours on the exchange.

    Args:
        claim: tells own orders from foreign ones.
        instrument: lots and ticks.
        outbox: where queries and log events go.
        ledger: money and position.
    """

    def __init__(self, *, claim: Claim, instrument: Instrument, outbox: Outbox, ledger: Ledger) -> None:
        self.claim = claim
        self.order_prefix = claim.order_prefix
        """Of every own client order id; kept, because the claim hashes itself anew each time."""
        self.instrument = instrument
        self.ledger = ledger
        self.spelling = Spelling(instrument)
        self.tracker = Tracker()
        self.proof = ZeroProof()
        self.epoch = 0
        self.highest_epoch = 0
        self.superseded_by = 0
        self.foreign_orders = 0
        self.foreign_seen = 0
        self.hedge_mode = False
        self.margin_ratio = 0.0
        self.liquidation_price = Decimal(0)
        self.settled_ns: int | None = None
        """When the request of the newest snapshot that settled everything left."""
        self.money_moved = Decimal(0)
        """Deposits less withdrawals since `take_money_moved` was last asked."""
        self.recv_window_ms = 2_000
        self._outbox = outbox
        self._user_up_ns: int | None = None
        self._current = False
        self._in_flight_ns: int | None = None
        self._due_ns: int | None = None
        self._retry_ns = 0
        """Not before this instant after a failure, whoever wants it sooner: a venue in trouble is not asked at the pace of the market."""
        self._due_reason = "start"
        self._failures = 0
        self._unsettled = 0
        self._drift: tuple[int, int] = (0, 0)
        self._settled_ms = 0
        self._untraded: dict[str, int] = {}

    # -- reconciliation ------------------------------------------------------------------------------------------------

    def reconciled(self, now_ns: int) -> bool:
        """Position and orders were read since the user stream came up, everything agrees, and not too long ago."""
        # Invariant 7: nothing but cancels before that (tests/unit/runner/core/test_engine.py).
        return self._current and self.settled_ns is not None and now_ns - self.settled_ns <= _TOO_LONG_AGO_NS

    def unsettle(self, reason: str, now_ns: int) -> None:
        """Trust nothing until the exchange was read again."""
        self._current = False
        self.want_reconcile(reason, now_ns)

    def want_reconcile(self, reason: str, at_ns: int) -> None:
        """Ask the exchange at this instant at the latest."""
        if self._due_ns is None or at_ns < self._due_ns:
            self._due_ns, self._due_reason = at_ns, reason

    def on_user_up(self, now_ns: int) -> None:
        """From now on no user event is missed; what was missed is read."""
        first = self._user_up_ns is None and self.settled_ns is None
        self._user_up_ns = now_ns
        self._failures, self._retry_ns = 0, 0
        self.unsettle("start" if first else "reconnect", now_ns)

    def on_user_down(self) -> None:
        """Fills may be missed from now on."""
        self._user_up_ns = None
        self._current = False

    def on_reconcile_failed(self, error: str, now_ns: int) -> None:
        """Ask again after a growing pause."""
        self._in_flight_ns = None
        self._outbox.log("reconcile_error", error=error)
        self._retry_ns = now_ns + min(SECOND << min(self._failures, 5), _MAX_PAUSE_NS)
        self._failures += 1
        self.want_reconcile("retry", self._retry_ns)

    def on_snapshot(self, snapshot: AccountSnapshot, now: Instant) -> None:
        """Compare everything with what the exchange lists."""
        self._in_flight_ns = None
        self._failures, self._retry_ns = 0, now.boot_ns + _SPACING_NS
        self.hedge_mode = snapshot.hedge_mode
        self.margin_ratio = snapshot.margin_ratio
        self.liquidation_price = snapshot.liquidation_price
        own = self._sort_open_orders(snapshot, now)
        self._look_for_missing(own, snapshot, now)
        for trade in snapshot.trades:
            self._on_trade_record(trade)
        self.proof.witness(
            own_orders=sum(1 for cid, _ in own.values() if cid.epoch <= max(self.epoch, 1)) if self.epoch else len(own),
            unresolved=self.tracker.unresolved,
            sent_ns=snapshot.sent_boot_ns,
            recv_window_ns=self.recv_window_ms * MS,
        )
        settled = self._settle_position(snapshot, now)
        orphans = any(order.epoch != self.epoch for order in self.tracker.live.values())
        asking = any(order.query_wanted or order.query_in_flight for order in self.tracker.live.values())
        in_time = self._user_up_ns is not None and snapshot.sent_boot_ns >= self._user_up_ns
        if settled and in_time and self.epoch and not orphans and not (asking and not self._current):
            self._current = True
            self.settled_ns = snapshot.sent_boot_ns
            self._settled_ms = now.wall_ms
            self._outbox.log(
                "reconciled",
                position=self.spelling.quantity(self.ledger.position),
                openOrders=len(own),
                reason=self._due_reason,
            )
            self._unsettled = 0
            self._due_ns = None
            self.want_reconcile("periodic", now.boot_ns + RECONCILE_NS)
        else:
            self.want_reconcile("unsettled", now.boot_ns + min(_SOON_NS << min(self._unsettled, 8), _MAX_SOON_NS))
            self._unsettled += 1

    def _sort_open_orders(self, snapshot: AccountSnapshot, now: Instant) -> dict[str, tuple[ClientOrderId, OrderState]]:
        own: dict[str, tuple[ClientOrderId, OrderState]] = {}
        foreign = 0
        for state in snapshot.open_orders:
            cid = ClientOrderId.parse(state.client_order_id)
            if cid is None or cid.claim_prefix != self.order_prefix:
                foreign += 1
                continue
            own[state.client_order_id] = cid, state
            self._see_epoch(cid.epoch)
            if self.epoch and cid.epoch <= self.epoch:
                self._on_listed(cid, state, snapshot, now=now)
        self.foreign_seen += max(0, foreign - self.foreign_orders)
        self.foreign_orders = foreign
        return own

    def _see_epoch(self, epoch: int) -> None:
        self.highest_epoch = max(self.highest_epoch, epoch)
        # Invariant 5: a higher epoch on the claim means that this engine is superseded (tests/unit/runner/core/test_engine.py).
        if 0 < self.epoch < epoch:
            self.superseded_by = max(self.superseded_by, epoch)

    def _on_listed(self, cid: ClientOrderId, state: OrderState, snapshot: AccountSnapshot, *, now: Instant) -> None:
        order = self.tracker.get(state.client_order_id)
        if order is None:
            self._adopt(cid, state, now)
            return
        if order.final is not None:
            if order.done_ns >= snapshot.sent_boot_ns:
                return  # it ended while the snapshot was on its way
            self.tracker.revive(order)
            order.cancel_wanted = True
        self._observe(order, state, now)

    def _adopt(self, cid: ClientOrderId, state: OrderState, now: Instant) -> None:
        """An own order that this process does not know: an earlier epoch's orphan. Cancelled like any other of ours."""
        self._outbox.log(
            "orphan_cancelled", clientOrderId=state.client_order_id, orderId=state.order_id, epoch=cid.epoch
        )
        self.tracker.add(
            Order(
                client_order_id=state.client_order_id,
                epoch=cid.epoch,
                side=state.side,
                type=OrderType.LIMIT,
                time_in_force=None,
                price=state.price,
                lots=state.quantity,
                reduce_only=state.reduce_only,
                sent_ns=now.boot_ns,
                send_deadline_ns=now.boot_ns,
                recv_window_ns=self.recv_window_ms * MS,
                order_id=state.order_id,
                executed=state.executed,
                traded=state.executed,
                acknowledged=True,
                cancel_wanted=True,
            )
        )

    def _look_for_missing(
        self, own: dict[str, tuple[ClientOrderId, OrderState]], snapshot: AccountSnapshot, now: Instant
    ) -> None:
        """A resting order that is not listed has ended, or is just being accepted: its own query tells."""
        for order in list(self.tracker.live.values()):
            listed = order.client_order_id in own
            if (
                not listed
                and order.acknowledged
                and order.sent_ns < snapshot.sent_boot_ns
                and not order.query_in_flight
            ):
                self.tracker.ask(order, now_ns=now.boot_ns)

    def _settle_position(self, snapshot: AccountSnapshot, now: Instant) -> bool:
        ledger = self.ledger
        if not ledger.snapshot_is_current(sent_ns=snapshot.sent_boot_ns, update_ms=snapshot.position_update_ms):
            return False
        drift = snapshot.position - ledger.own if ledger.known else 0
        doubtful = any(o.query_wanted or o.query_in_flight or not o.acknowledged for o in self.tracker.live.values())
        if drift and doubtful:
            # An order whose end is being asked for may explain it; the same difference three times in a row is none of ours.
            self._drift = (drift, self._drift[1] + 1 if self._drift[0] == drift else 1)
            if self._drift[1] < _SAME_DRIFT:
                return False
        self._drift = (0, 0)
        if drift:
            self._outbox.log(
                "position_drift",
                position=self.spelling.quantity(snapshot.position),
                expected=self.spelling.quantity(ledger.own),
            )
        ledger.wallet = snapshot.wallet_balance
        ledger.settle(snapshot.position, snapshot.entry_price, now_ns=now.boot_ns)
        return True

    # -- own orders ----------------------------------------------------------------------------------------------------

    def on_accepted(self, event: OrderAccepted, now: Instant) -> Order | None:
        """The acknowledgement of a new order."""
        order = self.tracker.get(event.client_order_id)
        if order is None:
            return None
        price = self._average(event.average_price, order)
        self._fold(order, event.status, event.executed, order_id=event.order_id, fill=(price, event.update_ms), now=now)
        return order

    def on_unknown(self, event: OrderUnknown, now: Instant) -> None:
        """Prove it by query."""
        order = self.tracker.get(event.client_order_id)
        if order is not None and order.final is None and not order.acknowledged:
            self._outbox.log("order_unknown", clientOrderId=event.client_order_id, error=event.error)
            self.tracker.doubted(order, now_ns=now.boot_ns)

    def on_cancel_accepted(self, event: CancelAccepted, now: Instant) -> None:
        """The venue's answer to a cancel is a final state."""
        order = self.tracker.get(event.client_order_id)
        if order is None:
            return
        order.cancel_in_flight = False
        self._fold(order, event.status, event.executed, order_id=event.order_id, fill=(order.price, 0), now=now)

    def on_cancel_refused(self, event: CancelRefused, now: Instant) -> None:
        """-2011: it is no longer open, its query tells how it ended. Anything else: again after a pause."""
        order = self.tracker.get(event.client_order_id)
        if order is None or order.final is not None:
            return
        self.tracker.cancel_answered(order, now_ns=now.boot_ns)
        if event.code == NO_SUCH_ORDER:
            self.tracker.ask_now(order, now_ns=now.boot_ns)

    def on_cancel_unknown(self, event: CancelUnknown, now: Instant) -> None:
        """A cancel may be repeated; meanwhile the query may tell."""
        order = self.tracker.get(event.client_order_id)
        if order is not None and order.final is None:
            self.tracker.cancel_answered(order, now_ns=now.boot_ns)
            self.tracker.ask_now(order, now_ns=now.boot_ns)

    def on_found(self, event: OrderFound, now: Instant) -> None:
        """A query's answer."""
        order = self.tracker.get(event.order.client_order_id)
        if order is None:
            return
        doubted = order.unknown
        self.tracker.answered(order)
        self._observe(order, event.order, now)
        if doubted:
            self._outbox.log("order_resolved", clientOrderId=order.client_order_id, status=order.status.value)

    def on_missing(self, event: OrderMissing, now: Instant) -> None:
        """-2013: no such order, if asked late enough."""
        order = self.tracker.get(event.client_order_id)
        if order is None or order.final is not None:
            return
        was_acknowledged = order.acknowledged
        if self.tracker.missing(order, query_sent_ns=event.query_sent_boot_ns, now_ns=now.boot_ns):
            self._outbox.log("order_resolved", clientOrderId=order.client_order_id, status=order.status.value)
            if was_acknowledged:
                self.want_reconcile("order_gone", now.boot_ns)

    def on_query_failed(self, event: QueryFailed, now: Instant) -> None:
        """Ask again later."""
        order = self.tracker.get(event.client_order_id)
        if order is not None:
            self.tracker.query_failed(order, now_ns=now.boot_ns)

    def on_report(self, event: OrderReport, now: Instant) -> Order | None:
        """ORDER_TRADE_UPDATE of any order of the symbol; returns the own order it speaks of."""
        order = self.tracker.get(event.client_order_id)
        if order is None:
            self._on_untracked(event, now)
            return None
        self._see_epoch(order.epoch)
        fill = event.last_price or order.price, event.transaction_ms
        self._fold(order, event.status, event.executed, order_id=event.order_id, fill=fill, now=now)
        if event.trade_id and event.last_lots > 0:
            self._on_own_trade(order, event, now)
        return order

    def _on_untracked(self, event: OrderReport, now: Instant) -> None:
        """Somebody else's order, or one of ours that this process does not know: then the account is read."""
        cid = ClientOrderId.parse(event.client_order_id)
        if cid is None or cid.claim_prefix != self.order_prefix:
            if event.execution_type == "TRADE":
                self._outbox.log("foreign_trade", position=self.spelling.quantity(self.ledger.position))
            return
        self._see_epoch(cid.epoch)
        if self.epoch and cid.epoch <= self.epoch:
            self.proof.reset()
            self.want_reconcile("unknown_own_order", now.boot_ns)

    def on_account(self, event: AccountReport, now: Instant) -> None:
        """ACCOUNT_UPDATE."""
        ledger = self.ledger
        if event.wallet_balance is not None and ledger.known:
            if event.reason in _MONEY_MOVED:
                self.money_moved += event.wallet_balance - ledger.wallet
            ledger.wallet = event.wallet_balance
        if event.position is not None:
            ledger.on_venue_position(
                event.position, event.entry_price, time_ms=event.transaction_ms, now_ns=now.boot_ns
            )
        self._outbox.log("account_update", position=self.spelling.quantity(ledger.position), reason=event.reason)

    def take_money_moved(self) -> Decimal:
        """Deposits less withdrawals since the last call."""
        moved, self.money_moved = self.money_moved, Decimal(0)
        return moved

    def _observe(self, order: Order, state: OrderState, now: Instant) -> None:
        fill = self._average(state.average_price, order), state.update_ms
        self._fold(order, state.status, state.executed, order_id=state.order_id, fill=fill, now=now)

    def _average(self, average: Decimal, order: Order) -> int:
        return round(average / self.instrument.tick_size) if average > 0 else order.price

    def _fold(  # noqa: PLR0913 - one report, field by field
        self,
        order: Order,
        status: VenueStatus,
        executed: int,
        *,
        order_id: int,
        fill: tuple[int, int],
        now: Instant,
    ) -> None:
        """Fold in one report: whoever tells first, each executed lot moves the position once. `fill`: price in ticks, venue time in ms."""
        # A snapshot that settled the position after this order's end has all of its lots already.
        settled = order.final is not None and self.settled_ns is not None and order.done_ns < self.settled_ns
        lots = self.tracker.observe(order, status, executed=executed, order_id=order_id, now_ns=now.boot_ns)
        if lots <= 0:
            return
        if settled:
            self.want_reconcile("late_fill", now.boot_ns)
            return
        self.ledger.on_filled(order.side, lots, price=fill[0], time_ms=fill[1], now_ns=now.boot_ns)
        self._untraded[order.client_order_id] = now.boot_ns

    def _on_own_trade(self, order: Order, event: OrderReport, now: Instant) -> None:
        trade = Execution(
            trade_id=event.trade_id,
            side=event.side,
            price=event.last_price,
            lots=event.last_lots,
            commission=event.commission,
            commission_asset=event.commission_asset,
            realized_pnl=event.realized_pnl,
            maker=event.maker,
            time_ms=event.transaction_ms or now.wall_ms,
        )
        if not self.ledger.on_trade(trade):
            return
        self._traded(order, event.last_lots)
        self._log_fill(order, trade)

    def _traded(self, order: Order, lots: int) -> None:
        order.traded += lots
        if order.traded >= order.executed:
            self._untraded.pop(order.client_order_id, None)

    def _log_fill(self, order: Order, trade: Execution) -> None:
        self._outbox.log(
            "fill",
            side=trade.side,
            price=self.spelling.price(trade.price),
            qty=self.spelling.quantity(trade.lots),
            clientOrderId=order.client_order_id,
            position=self.spelling.quantity(self.ledger.position),
            pnl=str(trade.realized_pnl),
            commission=str(trade.commission),
            maker=trade.maker,
            tradeId=trade.trade_id,
        )

    def _on_trade_record(self, record: TradeRecord) -> None:
        trade = Execution(
            trade_id=record.trade_id,
            side=record.side,
            price=record.price,
            lots=record.quantity,
            commission=record.commission,
            commission_asset=record.commission_asset,
            realized_pnl=record.realized_pnl,
            maker=record.maker,
            time_ms=record.time_ms,
        )
        if not self.ledger.on_trade(trade):
            return
        order = next((o for o in self._known_orders() if o.order_id == record.order_id), None)
        if order is not None:
            self._traded(order, record.quantity)
            self._log_fill(order, trade)

    def _known_orders(self) -> list[Order]:
        return [*self.tracker.live.values(), *self.tracker.recent.values()]

    # -- time ----------------------------------------------------------------------------------------------------------

    def on_time(self, now: Instant) -> None:
        """Send what is due: queries of doubtful orders, reconciliation."""
        now_ns = now.boot_ns
        tracker = self.tracker
        if now_ns >= tracker.next_due_ns():
            for order in tracker.overdue(now_ns):
                self._outbox.log("order_unknown", clientOrderId=order.client_order_id, error="never answered")
            for order in tracker.queries(now_ns):
                self._outbox.put(QueryOrder(client_order_id=order.client_order_id))
        ledger = self.ledger
        if ledger.apart_since_ns is not None and now_ns - ledger.apart_since_ns > _APART_NS:
            self.want_reconcile("position", now_ns)
        if self._untraded and min(self._untraded.values()) + _UNTRADED_NS < now_ns:
            self._untraded = {
                cid: now_ns for cid, at in self._untraded.items() if cid in tracker.recent or cid in tracker.live
            }
            self.want_reconcile("trades", now_ns)
        if self._in_flight_ns is not None and now_ns - self._in_flight_ns > _ANSWER_BOUND_NS:
            self._in_flight_ns = None
        if self._due_ns is not None and self._in_flight_ns is None and now_ns >= max(self._due_ns, self._retry_ns):
            self._due_ns, self._in_flight_ns = None, now_ns
            self._outbox.put(Reconcile(reason=self._due_reason, trades_since_ms=self._trades_since(now.wall_ms)))

    def next_due_ns(self) -> int:
        """The instant at which `on_time` may have something to do, a cancel is to be repeated, or `reconciled` may end."""
        due = self.tracker.next_due_ns()
        if self._current and self.settled_ns is not None:
            due = min(due, self.settled_ns + _TOO_LONG_AGO_NS)
        if self.ledger.apart_since_ns is not None:
            due = min(due, self.ledger.apart_since_ns + _APART_NS)
        if self._untraded:
            due = min(due, min(self._untraded.values()) + _UNTRADED_NS)
        if self._in_flight_ns is not None:
            return min(due, self._in_flight_ns + _ANSWER_BOUND_NS)
        return due if self._due_ns is None else min(due, max(self._due_ns, self._retry_ns))

    def _trades_since(self, wall_ms: int) -> int:
        """From midnight at the start, then from well before the last settled snapshot: duplicates cost nothing."""
        midnight = wall_ms - wall_ms % 86_400_000
        return midnight if not self._settled_ms else max(midnight - 60_000, self._settled_ms - 60_000)

    def cancel(self, order: Order, now_ns: int, *, reason: str) -> bool:
        """Send a cancel unless one is under way or a pause holds; True where one left."""
        order.cancel_wanted = True
        if not self.tracker.cancellable(order, now_ns):
            return False
        self.tracker.cancel_sent(order, now_ns)
        self._outbox.put(
            CancelOrder(
                client_order_id=order.client_order_id, order_id=order.order_id, recv_window_ms=self.recv_window_ms
            )
        )
        self._outbox.log("order_cancel", clientOrderId=order.client_order_id, reason=reason, orderId=order.order_id)
        return True
