"""The venue adapter on the virtual clock: carries out the engine's venue actions and hands back the same events as `mm_runner.venue` does live.

Mirrors `order_desk` (waiting orders are taken back, a cancel follows its unacknowledged order on the order lane, others are batched), `gateway`
(depth, reconciliation), `deadman` and `user_stream`. What is left out, because a backtest has no network: sockets, listenKeys, clock readings, weight budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from mm_backtest.counter import Counter, Departed
from mm_backtest.driver import HostClock
from mm_backtest.lanes import Lane, Request
from mm_backtest.latency import Latency
from mm_backtest.schedule import Schedule
from mm_exchange.api.core import Reply
from mm_runner.core import messages as m
from mm_runner.core.instrument import Instrument
from mm_runner.venue import answers, routes
from mm_runner.venue.api import BATCH, order_query
from mm_runner.venue.errors import NotSentError, RefusedError, UnknownError, VenueError, judge, judge_item
from mm_runner.venue.signing import encoded_list

Deliver = Callable[[m.Event, int], None]
Decoded = TypeVar("Decoded")
_SECOND: Final = 1_000_000_000
_RECV_WINDOW_MS: Final = 2_000
_DEPTH_LIMIT: Final = 1_000
_TRADES_PAGE: Final = 1_000
_RETRY_PART: Final = 12
_ZERO: Final = Decimal(0)


class Gateway:
    """One symbol of the venue.

    Args:
        counter: where requests arrive.
        instrument: as it was loaded.
        schedule: what is due later.
        latency: how long each way takes.
        clock: the engine's clocks.
        deliver: gets each event, never from within `execute`.
        told: called after anything was done at the venue, so that its user events go on their way.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        counter: Counter,
        instrument: Instrument,
        *,
        schedule: Schedule,
        latency: Latency,
        clock: HostClock,
        deliver: Deliver,
        told: Callable[[int], None],
    ) -> None:
        self.instrument = instrument
        self._counter = counter
        self._schedule = schedule
        self._clock = clock
        self._deliver = deliver
        self._told = told
        self._symbol = f"symbol={instrument.symbol}".encode()
        self._order_lane = Lane(schedule, latency)
        self._spare_lane = Lane(schedule, latency)
        self._general_lane = Lane(schedule, latency, serial=False)
        self._waiting: dict[str, Request] = {}
        self._unacknowledged: set[str] = set()
        self._dead_man_seconds = 0
        self._dead_man_turn = 0
        self._armed_until_ns = 0

    # -- actions -------------------------------------------------------------------------------------------------------

    def execute(self, actions: Iterable[m.Action], time_ns: int) -> None:
        """Start what concerns the venue; cancels of one call share requests and go first."""
        cancels: list[m.CancelOrder] = []
        places: list[m.PlaceOrder] = []
        for action in actions:
            match action:
                case m.CancelOrder():
                    cancels.append(action)
                case m.PlaceOrder():
                    places.append(action)
                case m.SetDeadMan():
                    self._set_dead_man(action, time_ns)
                case m.QueryOrder():
                    self._query(action, time_ns)
                case m.FetchDepthSnapshot():
                    self._fetch_depth(time_ns)
                case m.Reconcile():
                    self._reconcile(action, time_ns)
                case _:
                    pass
        if cancels:
            self._cancel_all(cancels, time_ns)
        for order in places:
            self._place(order, time_ns)

    def _later(self, event: m.Event, time_ns: int) -> None:
        self._schedule.at(time_ns, self._deliver, event)

    def _arrive(self, departed: Departed, time_ns: int) -> Reply:
        reply = self._counter.answer(departed, time_ns)
        self._told(time_ns)
        return reply

    def _submit(  # noqa: PLR0913 - a request's moments, by name
        self,
        lane: Lane,
        route: routes.Route,
        query: bytes,
        *,
        time_ns: int,
        answered: Callable[[Reply, int], None],
        failed: Callable[[VenueError, int], None],
        depart: Callable[[int], bool] = lambda _time_ns: True,
        recv_window_ms: int = _RECV_WINDOW_MS,
    ) -> Request:
        signed_ns = time_ns

        def leave(now_ns: int) -> bool:
            nonlocal signed_ns
            signed_ns = now_ns
            return depart(now_ns)

        def fail(left: bool, now_ns: int) -> None:  # noqa: FBT001 - a callback
            text = f"no {'answer' if left else 'turn or connection'} within {route.timeout_seconds:.1f} s"
            failed(UnknownError(text) if left else NotSentError(f"not sent: {text}"), now_ns)

        request = Request(
            depart=leave,
            arrive=lambda now_ns: self._arrive(Departed(route, query, signed_ns, recv_window_ms), now_ns),
            answered=answered,
            failed=fail,
            made_ns=time_ns,
            timeout_seconds=route.timeout_seconds,
        )
        lane.submit(request, time_ns)
        return request

    # -- new orders ----------------------------------------------------------------------------------------------------

    def _place(self, order: m.PlaceOrder, time_ns: int) -> None:
        cid = order.client_order_id

        def depart(now_ns: int) -> bool:
            self._waiting.pop(cid, None)
            if self._clock.boot_ns(now_ns) >= order.send_deadline_boot_ns:
                self._later(_refused(cid, m.LOCAL_REFUSAL, "send deadline passed"), now_ns)
                return False
            self._unacknowledged.add(cid)
            return True

        def ended(outcome: m.Event, now_ns: int) -> None:
            self._waiting.pop(cid, None)
            self._unacknowledged.discard(cid)
            self._deliver(outcome, now_ns)

        def answered(reply: Reply, now_ns: int) -> None:
            try:
                outcome = self._accepted(cid, _decoded(reply, answers.OrderAnswer))
            except VenueError as error:
                outcome = _failed_place(cid, error)
            ended(outcome, now_ns)

        waiting_before = self._order_lane.busy
        request = self._submit(
            self._order_lane, routes.PLACE, order_query(order, self.instrument), time_ns=time_ns, depart=depart,
            answered=answered, failed=lambda error, now_ns: ended(_failed_place(cid, error), now_ns),
            recv_window_ms=order.recv_window_ms,
        )  # fmt: skip
        if waiting_before:
            self._waiting[cid] = request

    def _accepted(self, cid: str, answer: answers.OrderAnswer) -> m.Event:
        if answer.clientOrderId != cid or not answer.orderId:
            return m.OrderUnknown(client_order_id=cid, error="the answer names another order")
        return m.OrderAccepted(
            client_order_id=cid,
            order_id=answer.orderId,
            status=answers.status_of(answer.status),
            executed=answers.lots_of(self.instrument, answer.executedQty),
            average_price=answer.avgPrice,
            update_ms=answer.updateTime,
        )

    # -- cancels -------------------------------------------------------------------------------------------------------

    def _cancel_all(self, cancels: Sequence[m.CancelOrder], time_ns: int) -> None:
        single: list[m.CancelOrder] = []
        together: list[m.CancelOrder] = []
        for cancel in cancels:
            waiting = self._waiting.get(cancel.client_order_id)
            if waiting is not None and self._order_lane.take_back(waiting):
                self._taken_back(cancel.client_order_id, time_ns)
            elif cancel.client_order_id in self._unacknowledged:
                single.append(cancel)
            else:
                together.append(cancel)
        for cancel in single:
            # Invariant 7: behind its own order, on the same connection.
            self._cancel(cancel, self._order_lane, time_ns)
        lane = self._spare_lane if self._order_lane.busy or single else self._order_lane
        for start in range(0, len(together), BATCH):
            batch = together[start : start + BATCH]
            if len(batch) == 1:
                self._cancel(batch[0], lane, time_ns)
            else:
                self._cancel_batch([cancel.client_order_id for cancel in batch], lane, time_ns)

    def _taken_back(self, cid: str, time_ns: int) -> None:
        del self._waiting[cid]
        self._later(_refused(cid, m.LOCAL_REFUSAL, "taken back"), time_ns)
        self._later(m.CancelRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message="never sent"), time_ns)

    def _cancel(self, cancel: m.CancelOrder, lane: Lane, time_ns: int) -> None:
        cid = cancel.client_order_id
        key = f"orderId={cancel.order_id}" if cancel.order_id else f"origClientOrderId={cid}"

        def answered(reply: Reply, now_ns: int) -> None:
            try:
                outcome = self._cancel_answer(cid, _decoded(reply, answers.OrderAnswer))
            except VenueError as error:
                outcome = _failed_cancel(cid, error)
            self._deliver(outcome, now_ns)

        self._submit(
            lane, routes.CANCEL, b"%b&%b" % (self._symbol, key.encode()), time_ns=time_ns, answered=answered,
            failed=lambda error, now_ns: self._deliver(_failed_cancel(cid, error), now_ns),
        )  # fmt: skip

    def _cancel_batch(self, ids: list[str], lane: Lane, time_ns: int) -> None:
        query = b"%b&origClientOrderIdList=%b" % (self._symbol, encoded_list(ids).encode())

        def failed(error: VenueError, now_ns: int) -> None:
            for cid in ids:
                self._deliver(_failed_cancel(cid, error), now_ns)

        def answered(reply: Reply, now_ns: int) -> None:
            try:
                items = _decoded(reply, list[answers.OrderAnswer])
            except VenueError as error:
                failed(error, now_ns)
                return
            for cid, item in zip(ids, items, strict=True):
                self._deliver(self._cancel_answer(cid, item), now_ns)

        self._submit(lane, routes.CANCEL_BATCH, query, time_ns=time_ns, answered=answered, failed=failed)

    def _cancel_answer(self, cid: str, answer: answers.OrderAnswer) -> m.Event:
        if answer.code and not answer.orderId:
            return _failed_cancel(cid, judge_item(answer.code, answer.msg))
        return m.CancelAccepted(
            client_order_id=cid,
            order_id=answer.orderId,
            status=answers.status_of(answer.status),
            executed=answers.lots_of(self.instrument, answer.executedQty),
        )

    # -- questions -----------------------------------------------------------------------------------------------------

    def _query(self, action: m.QueryOrder, time_ns: int) -> None:
        cid = action.client_order_id
        asked = self._clock.boot_ns(time_ns)

        def failed(error: VenueError, now_ns: int) -> None:
            if isinstance(error, RefusedError) and error.code == -2013:
                self._deliver(m.OrderMissing(client_order_id=cid, query_sent_boot_ns=asked), now_ns)
            else:
                self._deliver(m.QueryFailed(client_order_id=cid, error=str(error)), now_ns)

        def answered(reply: Reply, now_ns: int) -> None:
            try:
                found = answers.order_state(_decoded(reply, answers.OrderAnswer), self.instrument)
            except VenueError as error:
                failed(error, now_ns)
            else:
                self._deliver(m.OrderFound(order=found), now_ns)

        query = b"%b&origClientOrderId=%b" % (self._symbol, cid.encode())
        self._submit(self._general_lane, routes.QUERY, query, time_ns=time_ns, answered=answered, failed=failed)

    def _fetch_depth(self, time_ns: int) -> None:
        def failed(error: VenueError, now_ns: int) -> None:
            self._deliver(m.DepthSnapshotFailed(error=str(error)), now_ns)

        def answered(reply: Reply, now_ns: int) -> None:
            try:
                depth = _decoded(reply, answers.Depth)
            except VenueError as error:
                failed(error, now_ns)
                return
            snapshot = m.DepthSnapshot(
                last_update_id=depth.lastUpdateId,
                bids=depth.bids,
                asks=depth.asks,
                sent_boot_ns=self._clock.boot_ns(time_ns),
            )
            self._deliver(snapshot, now_ns)

        query = b"%b&limit=%d" % (self._symbol, _DEPTH_LIMIT)
        self._submit(self._general_lane, routes.DEPTH, query, time_ns=time_ns, answered=answered, failed=failed)

    def _reconcile(self, action: m.Reconcile, time_ns: int) -> None:
        """Four readings side by side; they arrive together and the last answer ends it."""
        reading = AccountReading(action, self.instrument, sent_boot_ns=self._clock.boot_ns(time_ns))
        since = action.trades_since_ms
        asked = [
            (routes.POSITION_RISK, self._symbol, reading.position),
            (routes.ACCOUNT, b"", reading.account),
            (routes.OPEN_ORDERS, self._symbol, reading.orders),
        ]
        if since > 0:
            trades = b"%b&limit=%d&startTime=%d" % (self._symbol, _TRADES_PAGE, since)
            asked.append((routes.USER_TRADES, trades, reading.trades))
        reading.missing = len(asked)
        for route, query, take in asked:
            self._submit(
                self._general_lane, route, query, time_ns=time_ns,
                answered=lambda reply, now_ns, take=take: self._read(reading, take, reply, now_ns),  # type: ignore[misc]
                failed=lambda error, now_ns: self._unread(reading, error, now_ns),
            )  # fmt: skip

    def _read(self, reading: AccountReading, take: Callable[[Reply], None], reply: Reply, now_ns: int) -> None:
        try:
            take(reply)
        except VenueError as error:
            self._unread(reading, error, now_ns)
            return
        reading.missing -= 1
        if not reading.missing:
            self._deliver(reading.snapshot(), now_ns)

    def _unread(self, reading: AccountReading, error: VenueError, now_ns: int) -> None:
        if not reading.failed:
            reading.failed = True
            self._deliver(m.ReconcileFailed(error=str(error)), now_ns)

    # -- dead-man switch -----------------------------------------------------------------------------------------------

    def _set_dead_man(self, action: m.SetDeadMan, time_ns: int) -> None:
        wanted = action.seconds if action.enabled else 0
        if wanted != self._dead_man_seconds:
            self._dead_man_seconds = wanted
            self._dead_man_turn += 1
            self._schedule.at(time_ns, self._refresh, self._dead_man_turn)

    def _refresh(self, turn: int, time_ns: int) -> None:
        seconds = self._dead_man_seconds
        if turn != self._dead_man_turn or not seconds:
            return

        def failed(_error: VenueError, now_ns: int) -> None:
            self._schedule.at(now_ns + seconds * _SECOND // _RETRY_PART, self._refresh, turn)

        def answered(reply: Reply, now_ns: int) -> None:
            try:
                _decoded(reply, answers.Countdown)
            except VenueError as error:
                failed(error, now_ns)
                return
            # Invariant 3: armed at least until then, counted from the send.
            armed_until = self._clock.boot_ns(time_ns) + seconds * _SECOND
            self._armed_until_ns = max(self._armed_until_ns, armed_until)
            self._schedule.at(now_ns + seconds * _SECOND // 3, self._refresh, turn)
            self._deliver(m.DeadMan(armed_until_boot_ns=self._armed_until_ns), now_ns)

        query = b"%b&countdownTime=%d" % (self._symbol, seconds * 1000)
        self._submit(self._general_lane, routes.COUNTDOWN, query, time_ns=time_ns, answered=answered, failed=failed)


class AccountReading:
    """The parts of one `Reconcile` until all are there."""

    def __init__(self, action: m.Reconcile, instrument: Instrument, *, sent_boot_ns: int) -> None:
        self.missing = 0
        self.failed = False
        self._reason = action.reason
        self._instrument = instrument
        self._sent_boot_ns = sent_boot_ns
        self._risk: list[answers.PositionRisk] = []
        self._account = answers.Account()
        self._orders: tuple[m.OrderState, ...] = ()
        self._trades: tuple[m.TradeRecord, ...] = ()

    def position(self, reply: Reply) -> None:
        """`positionRisk`."""
        self._risk = _decoded(reply, list[answers.PositionRisk])

    def account(self, reply: Reply) -> None:
        """`account`."""
        self._account = _decoded(reply, answers.Account)

    def orders(self, reply: Reply) -> None:
        """`openOrders`."""
        listed = _decoded(reply, list[answers.OrderAnswer])
        self._orders = tuple(answers.order_state(one, self._instrument) for one in listed)

    def trades(self, reply: Reply) -> None:
        """`userTrades`, its first page: a reconciliation every 30 s leaves fewer than a page of new ones."""
        self._trades = answers.trade_records(_decoded(reply, list[answers.UserTrade]), self._instrument)

    def snapshot(self) -> m.AccountSnapshot:
        """All of it."""
        instrument = self._instrument
        listed = [one for one in self._risk if one.symbol == instrument.symbol]
        both = next((one for one in listed if one.positionSide == "BOTH"), None)
        return m.AccountSnapshot(
            sent_boot_ns=self._sent_boot_ns,
            position=0 if both is None else answers.lots_of(instrument, both.positionAmt),
            entry_price=_ZERO if both is None else both.entryPrice,
            wallet_balance=self._account.wallet(instrument.quote_asset),
            open_orders=self._orders,
            unrealized_pnl=_ZERO if both is None else both.unRealizedProfit,
            position_update_ms=0 if both is None else both.updateTime,
            liquidation_price=_ZERO if both is None else both.liquidationPrice,
            margin_ratio=self._account.margin_ratio,
            trades=self._trades,
            hedge_mode=any(one.positionSide != "BOTH" for one in listed),
        )


def _decoded(reply: Reply, kind: type[Decoded]) -> Decoded:
    verdict = judge(reply.status, reply.body, retry_after=reply.headers.get("Retry-After", ""))
    if verdict is not None:
        raise verdict
    return answers.decode(reply.body, kind)


def _refused(cid: str, code: int, message: str) -> m.OrderRefused:
    return m.OrderRefused(client_order_id=cid, code=code, message=message)


def _failed_place(cid: str, error: VenueError) -> m.Event:
    match error:
        case UnknownError():
            return m.OrderUnknown(client_order_id=cid, error=str(error))
        case RefusedError():
            return _refused(cid, error.code, str(error))
        case _:
            return _refused(cid, m.LOCAL_REFUSAL, str(error))


def _failed_cancel(cid: str, error: VenueError) -> m.Event:
    match error:
        case UnknownError():
            return m.CancelUnknown(client_order_id=cid, error=str(error))
        case NotSentError():
            return m.CancelRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message=str(error))
        case _:
            return m.CancelRefused(client_order_id=cid, code=error.code, message=str(error))
