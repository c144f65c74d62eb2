"""Conditional orders: `algoOrder` and its lists."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mm_exchange.algo_orders import CALLBACK_UNITS, Algo, AlgoRequest, AlgoType, WorkingType
from mm_exchange.api.order_terms import good_till, limit_price, position_side, stp_mode
from mm_exchange.errors import VenueError, mandatory
from mm_exchange.orders import OrderType, Side, TimeInForce
from mm_exchange.scales import plain, to_decimal
from mm_exchange.user_events import average_price

if TYPE_CHECKING:
    from mm_exchange.api.core import Call
    from mm_exchange.api.params import Params
    from mm_exchange.rules import SymbolRules
    from mm_exchange.venue import Venue

_CLOSERS = (AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET)
# Callback rates from 0.1 % to 10 %.
_CALLBACK = range(CALLBACK_UNITS // 1000, CALLBACK_UNITS // 10 + 1)


def parse_algo(venue: Venue, params: Params, *, now_ms: int) -> AlgoRequest:
    """A conditional order from its parameters, past every check that needs no account."""
    rules = venue.listing(params.symbol()).rules
    if params.need("algoType").upper() != "CONDITIONAL":
        raise VenueError(-1102, "Mandatory parameter 'algoType' was not sent, was empty/null, or malformed.")
    side = params.choice("side", Side, code=-1117, msg="Invalid side.")
    kind = params.choice("type", AlgoType, code=-1116, msg="Invalid orderType.")
    limit = kind.becomes is OrderType.LIMIT
    time_in_force = _time_in_force(params) if limit else TimeInForce.GTC
    price, match = limit_price(venue, params, buy=side is Side.BUY) if limit else (0, "NONE")
    trailing = kind is AlgoType.TRAILING_STOP_MARKET
    return AlgoRequest(
        params.symbol(), side, kind, _quantity(params, kind, rules=rules), price,
        0 if trailing else _trigger_price(rules, params, "triggerPrice"), params.client_id("clientAlgoId") or "",
        time_in_force, position_side(params), _working_type(params), params.flag("reduceOnly"),
        params.flag("closePosition"), params.flag("priceProtect"), match,
        _activate_price(rules, params) if trailing else 0, _callback_rate(params) if trailing else 0,
        good_till(params, now_ms) if time_in_force is TimeInForce.GTD else 0, stp_mode(params),
    )  # fmt: skip


def _time_in_force(params: Params) -> TimeInForce:
    if params.get("timeInForce") is None:
        return TimeInForce.GTC
    return params.choice("timeInForce", TimeInForce, code=-1115, msg="Invalid timeInForce.")


def _working_type(params: Params) -> WorkingType:
    if params.get("workingType") is None:
        return WorkingType.CONTRACT_PRICE
    return params.choice("workingType", WorkingType, code=-4031, msg="Invalid parameter working type.")


def _quantity(params: Params, kind: AlgoType, *, rules: SymbolRules) -> int:
    """Units of the quantity; 0 for one that closes whatever there is then."""
    if not params.flag("closePosition"):
        return rules.parse_quantity(params.get("quantity"), market=kind.becomes is OrderType.MARKET)
    if kind not in _CLOSERS:
        raise VenueError(-4136, f"Target strategy invalid for orderType {kind.value},closePosition true")
    if params.get("quantity") is not None:
        raise VenueError(-4137, "Quantity must be zero with closePosition equals true.")
    if params.get("reduceOnly") is not None:
        raise VenueError(-1106, "Parameter 'reduceOnly' sent when not required.")
    return 0


def _trigger_price(rules: SymbolRules, params: Params, name: str) -> int:
    text = params.need(name)
    try:
        value = to_decimal(text)
    except ValueError as error:
        raise mandatory(name) from error
    if value <= 0:
        raise VenueError(-4006, "Stop price less than zero.")
    if value > rules.prices.decimal(rules.max_price):
        raise VenueError(-4007, "Stop price greater than max price.")
    return rules.parse_price(text)


def _activate_price(rules: SymbolRules, params: Params) -> int:
    # Most clients say activatePrice here, and activationPrice where they know the older endpoint only.
    name = "activatePrice" if params.get("activatePrice") is not None else "activationPrice"
    if params.get(name) is None:
        return 0
    try:
        return _trigger_price(rules, params, name)
    except VenueError as error:
        raise VenueError(-4135, "Invalid activation price.") from error


def _callback_rate(params: Params) -> int:
    try:
        rate = to_decimal(params.need("callbackRate")) * CALLBACK_UNITS / 100
    except ValueError as error:
        raise mandatory("callbackRate") from error
    if rate != int(rate) or int(rate) not in _CALLBACK:
        raise VenueError(-2007, "Invalid callBack rate.")
    return int(rate)


def place(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/algoOrder."""
    request = parse_algo(call.venue, call.params, now_ms=call.now_ms)
    return algo_row(call.venue.place_algo(call.trading, request, now_ns=call.now_ns))


def _named(call: Call) -> Algo:
    algo_id, client_id = call.params.integer("algoId"), call.params.get("clientAlgoId")
    if algo_id is None and client_id is None:
        raise VenueError(-1102, "Either 'clientAlgoId' or 'algoId' must be sent.")
    return call.venue.find_algo(call.trading, algo_id=algo_id, client_algo_id=client_id)


def query(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/algoOrder: any conditional order of the account, finished ones too; -2013."""
    return algo_query(_named(call))


def cancel(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/algoOrder; -2011 when it does not wait."""
    try:
        algo = _named(call)
    except VenueError as error:
        raise VenueError(-2011, "Unknown order sent.") if error.code == -2013 else error from error
    call.venue.cancel_algo(algo, by="client", now_ns=call.now_ns)
    return {"algoId": algo.algo_id, "clientAlgoId": algo.request.client_algo_id, "code": "200", "msg": "success"}


def cancel_all(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/algoOpenOrders: everything that waits on a symbol."""
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    call.venue.cancel_all_algos(call.trading, symbol, by="cancel-all", now_ns=call.now_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_algos(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/openAlgoOrders, of one symbol or of all."""
    params = call.params
    symbol, algo_id = params.get("symbol"), params.integer("algoId")
    if symbol is not None:
        call.venue.listing(symbol)
    return [
        algo_query(algo)
        for name, listing in call.venue.listings.items()
        for algo in listing.algos.values()
        if algo.api_key == call.account.api_key and symbol in (None, name) and algo_id in (None, algo.algo_id)
    ]


def all_algos(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/allAlgoOrders of a symbol: from `algoId` on, within times, by pages of `limit`."""
    params = call.params
    symbol = call.venue.listing(params.symbol()).rules.symbol
    first, start, end = params.integer("algoId"), params.integer("startTime") or 0, params.integer("endTime")
    rows = [
        algo
        for algo in call.trading.algos.by_id.values()
        if algo.request.symbol == symbol
        and algo.algo_id >= (first or 0)
        and start <= algo.created_ms
        and (end is None or algo.created_ms <= end)
    ]
    limit, page = min(params.integer("limit") or 500, 1000), params.integer("page") or 1
    if first is not None or page > 1:
        rows = rows[(page - 1) * limit : page * limit]
    return [algo_query(algo) for algo in rows[-limit:]]


def algo_row(algo: Algo) -> dict[str, Any]:
    """Reply to a new conditional order."""
    request, prices, quantities = algo.request, algo.rules.prices, algo.rules.quantities
    trailing = request.type is AlgoType.TRAILING_STOP_MARKET
    rate = plain(Decimal(request.callback_rate * 100) / CALLBACK_UNITS) if trailing else None
    return {
        "algoId": algo.algo_id, "clientAlgoId": request.client_algo_id, "algoType": "CONDITIONAL",
        "orderType": request.type.value, "symbol": request.symbol, "side": request.side.value,
        "positionSide": request.position_side.value, "timeInForce": request.time_in_force.value,
        "quantity": quantities.text(request.quantity), "algoStatus": algo.status.value,
        "triggerPrice": prices.text(request.trigger_price), "price": prices.text(request.price),
        "icebergQuantity": None, "selfTradePreventionMode": request.stp_mode.value,
        "workingType": request.working_type.value, "priceMatch": request.price_match,
        "closePosition": request.close_position, "priceProtect": request.price_protect,
        "reduceOnly": request.reduce_only, "activatePrice": prices.text(request.activate_price) if trailing else "",
        "callbackRate": rate or "", "createTime": algo.created_ms, "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms, "goodTillDate": request.good_till_ms,
    }  # fmt: skip


def algo_query(algo: Algo) -> dict[str, Any]:
    """A conditional order as queried: with what it became."""
    order = algo.order
    became = {"actualOrderId": "", "actualPrice": "0.00000"}
    if order is not None:
        became = {
            "actualOrderId": str(order.order_id), "actualPrice": average_price(order),
            "actualType": order.request.type.value, "actualQty": order.rules.quantities.text(order.filled),
        }  # fmt: skip
    return algo_row(algo) | became | {"tpOrderType": ""}
