"""The venue adapter on the virtual clock: carries out the engine's venue actions and hands back the same events as `mm_runner.venue` does live.

Mirrors `order_desk` (waiting orders are taken back, a cancel follows its unacknowledged order on the order lane, others are batched), `gateway`
(depth, reconciliation), `deadman` and `user_stream`. What is left out, because a backtest has no network: sockets, listenKeys, clock readings, weight budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mm_backtest.account_reading import TRADES_PAGE, AccountReading
from mm_backtest.counter import Counter, Departed
from mm_backtest.driver import HostClock
from mm_backtest.lanes import Lane, Request
from mm_backtest.latency import Latency
from mm_backtest.order_entry import OrderEntry, decoded, failed_cancel, failed_place
from mm_backtest.schedule import Schedule
from mm_exchange.api.core import Reply
from mm_runner.core import messages as m
from mm_runner.core.instrument import Instrument
from mm_runner.venue import answers, routes
from mm_runner.venue.api import BATCH
from mm_runner.venue.errors import NotSentError, RefusedError, UnknownError, VenueError

Deliver = Callable[[m.Event, int], None]
_SECOND: Final = 1_000_000_000
_RECV_WINDOW_MS: Final = 2_000
_DEPTH_LIMIT: Final = 1_000
_RETRY_PART: Final = 12


class Gateway:
    """One symbol of the venue.

    Args:
        counter: where requests arrive.
        instrument: as it was loaded.
        schedule: what is due later.
        latency: how long each way takes.
        clock: the engine's clocks.
        deliver: gets each event, never from within `execute`.
        entry: what becomes of orders and cancels when they arrive.
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
        entry: OrderEntry,
        told: Callable[[int], None],
    ) -> None:
        self.instrument = instrument
        self._counter = counter
        self._schedule = schedule
        self._clock = clock
        self._deliver = deliver
        self._entry = entry
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

    def _ask(
        self,
        route: routes.Route,
        query: bytes,
        *,
        time_ns: int,
        answered: Callable[[Reply, int], None],
        failed: Callable[[VenueError, int], None],
    ) -> None:
        """A question on one of the general connections; `failed` hears of everything that is no answer."""

        def heard(reply: Reply, now_ns: int) -> None:
            try:
                answered(reply, now_ns)
            except VenueError as error:
                failed(error, now_ns)

        request = Request(
            depart=lambda _now_ns: True,
            arrive=lambda now_ns: self._arrive(Departed(route, query, time_ns, _RECV_WINDOW_MS), now_ns),
            answered=heard,
            failed=lambda left, now_ns: failed(_late(route, left=left), now_ns),
            made_ns=time_ns,
            timeout_seconds=route.timeout_seconds,
        )
        self._general_lane.submit(request, time_ns)

    # -- new orders ----------------------------------------------------------------------------------------------------

    def _place(self, order: m.PlaceOrder, time_ns: int) -> None:
        cid = order.client_order_id
        signed_ns = time_ns

        def depart(now_ns: int) -> bool:
            nonlocal signed_ns
            signed_ns = now_ns
            self._waiting.pop(cid, None)
            if self._clock.boot_ns(now_ns) >= order.send_deadline_boot_ns:
                withheld = m.OrderRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message="send deadline passed")
                self._later(withheld, now_ns)
                return False
            self._unacknowledged.add(cid)
            return True

        def arrive(now_ns: int) -> m.Event:
            outcome = self._entry.place(order, signed_ns=signed_ns, now_ns=now_ns)
            self._told(now_ns)
            return outcome

        def answered(outcome: m.Event, now_ns: int) -> None:
            self._waiting.pop(cid, None)
            self._unacknowledged.discard(cid)
            self._deliver(outcome, now_ns)

        def failed(left: bool, now_ns: int) -> None:  # noqa: FBT001 - a callback
            answered(failed_place(cid, _late(routes.PLACE, left=left)), now_ns)

        request = Request(
            depart=depart, arrive=arrive, answered=answered, failed=failed, made_ns=time_ns,
            timeout_seconds=routes.PLACE.timeout_seconds,
        )  # fmt: skip
        if self._order_lane.busy:
            self._waiting[cid] = request
        self._order_lane.submit(request, time_ns)

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
            self._cancel((cancel,), self._order_lane, time_ns)
        lane = self._spare_lane if self._order_lane.busy or single else self._order_lane
        for start in range(0, len(together), BATCH):
            self._cancel(together[start : start + BATCH], lane, time_ns)

    def _taken_back(self, cid: str, time_ns: int) -> None:
        del self._waiting[cid]
        self._later(m.OrderRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message="taken back"), time_ns)
        self._later(m.CancelRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message="never sent"), time_ns)

    def _cancel(self, cancels: Sequence[m.CancelOrder], lane: Lane, time_ns: int) -> None:
        signed_ns = time_ns
        route = routes.CANCEL if len(cancels) == 1 else routes.CANCEL_BATCH

        def depart(now_ns: int) -> bool:
            nonlocal signed_ns
            signed_ns = now_ns
            return True

        def arrive(now_ns: int) -> list[m.Event]:
            outcomes = self._entry.cancel(cancels, signed_ns=signed_ns, now_ns=now_ns)
            self._told(now_ns)
            return outcomes

        def answered(outcomes: list[m.Event], now_ns: int) -> None:
            for outcome in outcomes:
                self._deliver(outcome, now_ns)

        def failed(left: bool, now_ns: int) -> None:  # noqa: FBT001 - a callback
            error = _late(route, left=left)
            answered([failed_cancel(cancel.client_order_id, error) for cancel in cancels], now_ns)

        request = Request(
            depart=depart, arrive=arrive, answered=answered, failed=failed, made_ns=time_ns,
            timeout_seconds=route.timeout_seconds,
        )  # fmt: skip
        lane.submit(request, time_ns)

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
            found = answers.order_state(decoded(reply, answers.OrderAnswer), self.instrument)
            self._deliver(m.OrderFound(order=found), now_ns)

        query = b"%b&origClientOrderId=%b" % (self._symbol, cid.encode())
        self._ask(routes.QUERY, query, time_ns=time_ns, answered=answered, failed=failed)

    def _fetch_depth(self, time_ns: int) -> None:
        def failed(error: VenueError, now_ns: int) -> None:
            self._deliver(m.DepthSnapshotFailed(error=str(error)), now_ns)

        def answered(reply: Reply, now_ns: int) -> None:
            depth = decoded(reply, answers.Depth)
            snapshot = m.DepthSnapshot(
                last_update_id=depth.lastUpdateId,
                bids=depth.bids,
                asks=depth.asks,
                sent_boot_ns=self._clock.boot_ns(time_ns),
            )
            self._deliver(snapshot, now_ns)

        query = b"%b&limit=%d" % (self._symbol, _DEPTH_LIMIT)
        self._ask(routes.DEPTH, query, time_ns=time_ns, answered=answered, failed=failed)

    def _reconcile(self, action: m.Reconcile, time_ns: int) -> None:
        """Readings side by side, as live; the last answer ends it."""
        reading = AccountReading(self.instrument, sent_boot_ns=self._clock.boot_ns(time_ns))
        asked = [
            (routes.POSITION_RISK, self._symbol, reading.position),
            (routes.ACCOUNT, b"", reading.account),
            (routes.OPEN_ORDERS, self._symbol, reading.orders),
        ]
        if action.trades_since_ms > 0:
            trades = b"%b&limit=%d&startTime=%d" % (self._symbol, TRADES_PAGE, action.trades_since_ms)
            asked.append((routes.USER_TRADES, trades, reading.trades))
        reading.missing = len(asked)
        for route, query, take in asked:
            self._read(route, query, reading=reading, take=take, time_ns=time_ns)

    def _read(
        self,
        route: routes.Route,
        query: bytes,
        *,
        reading: AccountReading,
        take: Callable[[Reply], bytes],
        time_ns: int,
    ) -> None:
        def answered(reply: Reply, now_ns: int) -> None:
            following = take(reply)
            if following:
                self._read(route, self._symbol + following, reading=reading, take=take, time_ns=now_ns)
                return
            reading.missing -= 1
            if not reading.missing and not reading.failed:
                self._deliver(reading.snapshot(), now_ns)

        def failed(error: VenueError, now_ns: int) -> None:
            if not reading.failed:
                reading.failed = True
                self._deliver(m.ReconcileFailed(error=str(error)), now_ns)

        self._ask(route, query, time_ns=time_ns, answered=answered, failed=failed)

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
            decoded(reply, answers.Countdown)
            # Invariant 3: armed at least until then, counted from the send.
            armed_until = self._clock.boot_ns(time_ns) + seconds * _SECOND
            self._armed_until_ns = max(self._armed_until_ns, armed_until)
            self._schedule.at(now_ns + seconds * _SECOND // 3, self._refresh, turn)
            self._deliver(m.DeadMan(armed_until_boot_ns=self._armed_until_ns), now_ns)

        query = b"%b&countdownTime=%d" % (self._symbol, seconds * 1000)
        self._ask(routes.COUNTDOWN, query, time_ns=time_ns, answered=answered, failed=failed)


def _late(route: routes.Route, *, left: bool) -> VenueError:
    """No answer within the route's timeout, or no turn."""
    if left:
        return UnknownError(f"no answer within {route.timeout_seconds:.1f} s")
    return NotSentError(f"not sent: no turn or connection within {route.timeout_seconds:.1f} s")
