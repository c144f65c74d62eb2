"""Order entry, amendment, cancellation and queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.api.order_terms import parse_order
from mm_exchange.api.params import Params
from mm_exchange.errors import VenueError, invalid_parameter, mandatory, no_such_order
from mm_exchange.orders import Order, Side
from mm_exchange.venue import OrderName
from mm_exchange.views import order_ack, order_query, order_result

if TYPE_CHECKING:
    from mm_exchange.api.core import Call

_BATCH_PLACE = 5
_BATCH_CANCEL = 10


def place(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/order."""
    return _place(call, call.params)


def _place(call: Call, params: Params) -> dict[str, Any]:
    response = (params.get("newOrderRespType") or "ACK").upper()
    if response not in ("ACK", "RESULT"):
        raise invalid_parameter("newOrderRespType")
    request = parse_order(call.venue, params, now_ms=call.now_ms)
    order = call.venue.place(
        call.trading, request, now_ns=call.now_ns, address=call.address, request_ms=call.request_ms
    )
    return order_result(order) if response == "RESULT" else order_ack(order)


def test_place(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/order/test: the same checks of the parameters; what would be acknowledged, without an order id."""
    request = parse_order(call.venue, call.params, now_ms=call.now_ms)
    rules = call.venue.listing(request.symbol).rules
    never = Order(
        order_id=0, request=request, api_key=call.account.api_key, rules=rules, created_ms=call.now_ms,
        price=request.price, quantity=request.quantity, arrival=0, updated_ms=call.now_ms,
        position=call.account.position(rules, request.position_side), is_buy=request.side is Side.BUY,
        reduces=request.reduces,
    )  # fmt: skip
    return order_ack(never)


def place_batch(call: Call) -> list[dict[str, Any]]:
    """POST /fapi/v1/batchOrders: at most 5; a refused item is its error in its place."""
    return [_batch_item(call, item) for item in call.params.items("batchOrders", longest=_BATCH_PLACE)]


def _batch_item(call: Call, item: Params) -> dict[str, Any]:
    try:
        return _place(call, item)
    except VenueError as error:
        call.api.record_refusal(item, error, api_key=call.account.api_key, address=call.address, now_ns=call.now_ns)
        return {"code": error.code, "msg": error.msg}


def amend(call: Call) -> dict[str, Any]:
    """PUT /fapi/v1/order: price and quantity of a resting LIMIT order."""
    order = _named(call)
    if not order.live:
        raise no_such_order()
    price = order.rules.parse_price(call.params.get("price"))
    quantity = order.rules.parse_quantity(call.params.get("quantity"))
    if (call.params.get("side") or order.request.side) != order.request.side:
        raise invalid_parameter("side")
    amended = call.venue.amend(call.trading, order, price=price, quantity=quantity, now_ns=call.now_ns)
    return order_result(amended) | {"pair": order.symbol}


def _name(params: Params) -> OrderName:
    name = OrderName(params.integer("orderId"), params.get("origClientOrderId"))
    if name == OrderName():
        raise VenueError(-1102, "Either 'origClientOrderId' or 'orderId' must be sent.")
    return name


def _named(call: Call) -> Order:
    name = _name(call.params)
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    return call.venue.find(call.trading, symbol, name=name)


def query(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/order: any order of the account, finished ones too; -2013."""
    return order_query(_named(call))


def open_order(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/openOrder: a resting order; -2013 when it no longer rests."""
    order = _named(call)
    if not order.live:
        raise no_such_order()
    return order_query(order)


def open_orders(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/openOrders, of one symbol or of all."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        call.venue.listing(symbol)
    return [order_query(order) for order in call.trading.live.values() if symbol in (None, order.symbol)]


def open_orders_weight(params: Params) -> int:
    """1 for a symbol, 40 for all."""
    return 1 if params.get("symbol") else 40


def cancel(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/order; -2011 when it does not rest."""
    return _cancel(call, _name(call.params), by="client")


def _cancel(call: Call, name: OrderName, *, by: str) -> dict[str, Any]:
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    try:
        order = call.venue.cancel(call.trading, symbol, name=name, by=by, now_ns=call.now_ns)
    except VenueError as error:
        call.venue.ledger.add(
            "cancel-reject", call.now_ns, symbol=symbol, api_key=call.account.api_key, order_id=name.order_id,
            client_order_id=name.client_order_id, code=error.code, msg=error.msg, address=call.address,
        )  # fmt: skip
        raise
    return order_result(order)


def cancel_batch(call: Call) -> list[dict[str, Any]]:
    """DELETE /fapi/v1/batchOrders: at most 10 by either id list; a refused item is its error in its place."""
    numbers = call.params.texts("orderIdList", longest=_BATCH_CANCEL)
    texts = call.params.texts("origClientOrderIdList", longest=_BATCH_CANCEL)
    if (numbers is None) == (texts is None):
        raise VenueError(-1102, "Either 'orderIdList' or 'origClientOrderIdList' must be sent, and not both.")
    if not all(number.isdecimal() for number in numbers or ()):
        raise invalid_parameter("orderIdList")
    names = [OrderName(client_order_id=text) for text in texts or ()]
    names += [OrderName(order_id=int(number)) for number in numbers or ()]
    return [_cancel_item(call, name) for name in names]


def _cancel_item(call: Call, name: OrderName) -> dict[str, Any]:
    try:
        return _cancel(call, name, by="batch")
    except VenueError as error:
        return {"code": error.code, "msg": error.msg}


def cancel_all(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/allOpenOrders: everything of the symbol on the account."""
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    call.venue.cancel_all(call.trading, symbol, by="cancel-all", now_ns=call.now_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def countdown(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/countdownCancelAll: the dead-man switch of a symbol; 0 disarms."""
    countdown_ms = call.params.integer("countdownTime")
    if countdown_ms is None:
        raise mandatory("countdownTime")
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    call.venue.set_countdown(call.trading, symbol, countdown_ms=countdown_ms, now_ns=call.now_ns)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}
