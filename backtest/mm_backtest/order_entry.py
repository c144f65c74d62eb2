"""Order entry at the venue, at the instant of arrival: new orders and cancels in, the events of their answers out.

Two ways with the same outcome. `DirectEntry` calls the exchange's core with integers and is what a backtest uses; `WireEntry` sends the very bytes of
the live engine through the exchange's REST core (signature, parameters, JSON, the live decoders). That both give the same decisions and the same ledger
is a test (tests/integration/backtest/test_order_entry.py), so the fast way can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Protocol, TypeVar

import orjson

from mm_backtest.counter import ADDRESS, API_KEY, Counter, Departed
from mm_exchange.api.core import Reply
from mm_exchange.errors import VenueError as Refusal
from mm_exchange.orders import OrderRequest, OrderType, Side, TimeInForce
from mm_exchange.scales import MONEY, divide_half_even
from mm_exchange.signing import check_time
from mm_exchange.venue import OrderName
from mm_runner.core import messages as m
from mm_runner.core.instrument import Instrument
from mm_runner.venue import answers, routes
from mm_runner.venue.api import order_query
from mm_runner.venue.errors import NotSentError, RefusedError, UnknownError, VenueError, judge, judge_item
from mm_runner.venue.signing import encoded_list

Decoded = TypeVar("Decoded")
_MS: Final = 1_000_000
_RECV_WINDOW_MS: Final = 2_000
"""The REST client's, for everything but orders."""
_NO_AVERAGE: Final = Decimal("0.00")
_TIMES_IN_FORCE: Final = {None: TimeInForce.GTC} | {one: TimeInForce(one.value) for one in m.TimeInForce}
_SIDES: Final = {one: Side(one.value) for one in m.Side}
_TYPES: Final = {one: OrderType(one.value) for one in m.OrderType}


class OrderEntry(Protocol):
    """What becomes of order requests when they arrive."""

    def place(self, order: m.PlaceOrder, *, signed_ns: int, now_ns: int) -> m.Event:
        """A new order: OrderAccepted, OrderRefused or OrderUnknown."""

    def cancel(self, cancels: Sequence[m.CancelOrder], *, signed_ns: int, now_ns: int) -> list[m.Event]:
        """One cancel, or a batch: CancelAccepted, CancelRefused or CancelUnknown each."""


class DirectEntry:
    """Straight into the venue's core.

    Args:
        counter: venue and account.
        instrument: as the engine counts ticks and lots.
    """

    def __init__(self, counter: Counter, instrument: Instrument) -> None:
        self._counter = counter
        self._wire = WireEntry(counter, instrument)
        self._tick = counter.rules.tick
        self._step = counter.rules.step

    def place(self, order: m.PlaceOrder, *, signed_ns: int, now_ns: int) -> m.Event:
        """See `OrderEntry`. What the filters would refuse by its text takes the long way, to be refused in the venue's words."""
        price, quantity = order.price * self._tick, order.quantity * self._step
        if not self._within_filters(order, price, quantity):
            return self._wire.place(order, signed_ns=signed_ns, now_ns=now_ns)
        counter, cid = self._counter, order.client_order_id
        request = OrderRequest(
            counter.rules.symbol, _SIDES[order.side], _TYPES[order.type], _TIMES_IN_FORCE[order.time_in_force], quantity,
            price, cid, order.reduce_only,
        )  # fmt: skip
        sent_ms = signed_ns // _MS
        counter.requests += 1
        try:
            counter.charge(0, now_ns=now_ns)
            check_time(str(sent_ms), str(order.recv_window_ms), now_ms=now_ns // _MS)
            counter.charge_order(now_ns)
            made = counter.venue.place(counter.trading, request, now_ns=now_ns, address=ADDRESS, request_ms=sent_ms)
        except Refusal as refusal:
            counter.record_refusal(order, refusal, sent_ms=sent_ms, now_ns=now_ns)
            return failed_place(cid, _verdict(refusal))
        return m.OrderAccepted(
            client_order_id=cid,
            order_id=made.order_id,
            status=answers.status_of(made.status.value),
            executed=made.filled // self._step,
            average_price=self._average(made.cum_quote, made.filled),
            update_ms=made.updated_ms,
        )

    def cancel(self, cancels: Sequence[m.CancelOrder], *, signed_ns: int, now_ns: int) -> list[m.Event]:
        """See `OrderEntry`."""
        counter, single = self._counter, len(cancels) == 1
        counter.requests += 1
        try:
            counter.charge(1, now_ns=now_ns)
            check_time(str(signed_ns // _MS), str(_RECV_WINDOW_MS), now_ms=now_ns // _MS)
        except Refusal as refusal:
            return [failed_cancel(cancel.client_order_id, _verdict(refusal)) for cancel in cancels]
        return [self._cancel_one(cancel, single=single, now_ns=now_ns) for cancel in cancels]

    def _cancel_one(self, cancel: m.CancelOrder, *, single: bool, now_ns: int) -> m.Event:
        counter, cid = self._counter, cancel.client_order_id
        by_id = single and cancel.order_id
        name = OrderName(order_id=cancel.order_id) if by_id else OrderName(client_order_id=cid)
        symbol = counter.rules.symbol
        try:
            order = counter.venue.cancel(
                counter.trading, symbol, name=name, by="client" if single else "batch", now_ns=now_ns
            )
        except Refusal as refusal:
            counter.venue.ledger.add(
                "cancel-reject", now_ns, symbol=symbol, api_key=API_KEY, order_id=name.order_id,
                client_order_id=name.client_order_id, code=refusal.code, msg=refusal.msg, address=ADDRESS,
            )  # fmt: skip
            return failed_cancel(cid, _verdict(refusal) if single else judge_item(refusal.code, refusal.msg))
        return m.CancelAccepted(
            client_order_id=cid,
            order_id=order.order_id,
            status=answers.status_of(order.status.value),
            executed=order.filled // self._step,
        )

    def _within_filters(self, order: m.PlaceOrder, price: int, quantity: int) -> bool:
        rules = self._counter.rules
        if order.type is m.OrderType.MARKET:
            return rules.min_quantity <= quantity <= rules.max_market_quantity
        return rules.min_quantity <= quantity <= rules.max_quantity and rules.min_price <= price <= rules.max_price

    def _average(self, cum_quote: int, filled: int) -> Decimal:
        if not filled:
            return _NO_AVERAGE
        return MONEY.decimal(divide_half_even(cum_quote * self._counter.rules.quantities.one, filled))


class WireEntry:
    """Through the exchange's REST core, in the bytes of the live engine.

    Args:
        counter: venue and account.
        instrument: for the texts of prices and quantities.
    """

    def __init__(self, counter: Counter, instrument: Instrument) -> None:
        self._counter = counter
        self._instrument = instrument
        self._symbol = f"symbol={instrument.symbol}".encode()

    def place(self, order: m.PlaceOrder, *, signed_ns: int, now_ns: int) -> m.Event:
        """See `OrderEntry`."""
        cid = order.client_order_id
        query = order_query(order, self._instrument)
        reply = self._counter.answer(Departed(routes.PLACE, query, signed_ns, order.recv_window_ms), now_ns)
        try:
            answer = decoded(reply, answers.OrderAnswer)
        except VenueError as error:
            return failed_place(cid, error)
        if answer.clientOrderId != cid or not answer.orderId:
            return m.OrderUnknown(client_order_id=cid, error="the answer names another order")
        return m.OrderAccepted(
            client_order_id=cid,
            order_id=answer.orderId,
            status=answers.status_of(answer.status),
            executed=answers.lots_of(self._instrument, answer.executedQty),
            average_price=answer.avgPrice,
            update_ms=answer.updateTime,
        )

    def cancel(self, cancels: Sequence[m.CancelOrder], *, signed_ns: int, now_ns: int) -> list[m.Event]:
        """See `OrderEntry`."""
        if len(cancels) == 1:
            return [self._cancel_one(cancels[0], signed_ns=signed_ns, now_ns=now_ns)]
        ids = [cancel.client_order_id for cancel in cancels]
        query = b"%b&origClientOrderIdList=%b" % (self._symbol, encoded_list(ids).encode())
        reply = self._counter.answer(Departed(routes.CANCEL_BATCH, query, signed_ns, _RECV_WINDOW_MS), now_ns)
        try:
            items = decoded(reply, list[answers.OrderAnswer])
        except VenueError as error:
            return [failed_cancel(cid, error) for cid in ids]
        return [self._cancel_answer(cid, item) for cid, item in zip(ids, items, strict=True)]

    def _cancel_one(self, cancel: m.CancelOrder, *, signed_ns: int, now_ns: int) -> m.Event:
        cid = cancel.client_order_id
        key = f"orderId={cancel.order_id}" if cancel.order_id else f"origClientOrderId={cid}"
        query = b"%b&%b" % (self._symbol, key.encode())
        reply = self._counter.answer(Departed(routes.CANCEL, query, signed_ns, _RECV_WINDOW_MS), now_ns)
        try:
            return self._cancel_answer(cid, decoded(reply, answers.OrderAnswer))
        except VenueError as error:
            return failed_cancel(cid, error)

    def _cancel_answer(self, cid: str, answer: answers.OrderAnswer) -> m.Event:
        if answer.code and not answer.orderId:
            return failed_cancel(cid, judge_item(answer.code, answer.msg))
        return m.CancelAccepted(
            client_order_id=cid,
            order_id=answer.orderId,
            status=answers.status_of(answer.status),
            executed=answers.lots_of(self._instrument, answer.executedQty),
        )


def decoded(reply: Reply, kind: type[Decoded]) -> Decoded:
    """An answer as the live engine reads it.

    Raises:
        VenueError: the verdict, where it is no success.
    """
    verdict = judge(reply.status, reply.body, retry_after=reply.headers.get("Retry-After", ""))
    if verdict is not None:
        raise verdict
    return answers.decode(reply.body, kind)


def failed_place(cid: str, error: VenueError) -> m.Event:
    """What the failure of an order request means to the core."""
    match error:
        case UnknownError():
            return m.OrderUnknown(client_order_id=cid, error=str(error))
        case RefusedError():
            return m.OrderRefused(client_order_id=cid, code=error.code, message=str(error))
        case _:
            return m.OrderRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message=str(error))


def failed_cancel(cid: str, error: VenueError) -> m.Event:
    """What the failure of a cancel means to the core."""
    match error:
        case UnknownError():
            return m.CancelUnknown(client_order_id=cid, error=str(error))
        case NotSentError():
            return m.CancelRefused(client_order_id=cid, code=m.LOCAL_REFUSAL, message=str(error))
        case _:
            return m.CancelRefused(client_order_id=cid, code=error.code, message=str(error))


def _verdict(refusal: Refusal) -> VenueError:
    """The live engine's judgement of a refusal."""
    body = orjson.dumps({"code": refusal.code, "msg": refusal.msg})
    retry_after = "" if refusal.retry_after is None else str(refusal.retry_after)
    verdict = judge(refusal.status, body, retry_after=retry_after)
    return verdict if verdict is not None else UnknownError("a refusal with a success's status")
