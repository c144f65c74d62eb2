"""Amending orders, one or several at once, and the history of what was amended."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mm_exchange.api import orders
from mm_exchange.errors import VenueError

if TYPE_CHECKING:
    from mm_exchange.amended import Amendment
    from mm_exchange.api.core import Call
    from mm_exchange.orders import Order

_BATCH = 5


def amend(call: Call) -> dict[str, Any]:
    """PUT /fapi/v1/order: price and quantity of a resting LIMIT order."""
    before = {order.order_id: (order.price, order.quantity) for order in _meant(call)}
    reply = orders.amend(call)
    order = call.trading.orders[reply["orderId"]]
    price, quantity = before[order.order_id]
    call.api.amendments.add(order, price=(price, order.price), quantity=(quantity, order.quantity), now_ms=call.now_ms)
    return reply


def _meant(call: Call) -> list[Order]:
    """The order that a call names, if there is one: its id counts before the client's."""
    params, trading = call.params, call.trading
    by_id = trading.orders.get(params.integer("orderId") or 0)
    by_client = trading.by_client_id.get((params.get("symbol") or "", params.get("origClientOrderId") or ""))
    return [order for order in (by_id, by_client) if order is not None]


def amend_batch(call: Call) -> list[dict[str, Any]]:
    """PUT /fapi/v1/batchOrders: at most 5; a refused item is its error in its place."""
    replies = []
    for item in call.params.items("batchOrders", longest=_BATCH):
        try:
            replies.append(amend(dataclasses.replace(call, params=item)))
        except VenueError as error:
            replies.append({"code": error.code, "msg": error.msg})
    return replies


def history(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/orderAmendment: of one order, or of a symbol within times; the newest first."""
    params = call.params
    symbol = call.venue.listing(params.symbol()).rules.symbol
    order_id, client_id = params.integer("orderId"), params.get("origClientOrderId")
    start, end = params.integer("startTime") or 0, params.integer("endTime")
    rows = [
        row
        for row in reversed(call.api.amendments.of(call.account.api_key))
        if row.order.symbol == symbol
        and order_id in (None, row.order.order_id)
        and (order_id is not None or client_id in (None, row.order.client_order_id))
        and start <= row.time_ms
        and (end is None or row.time_ms <= end)
    ]
    return [_row(row) for row in rows[: min(params.integer("limit") or 50, 100)]]


def _row(row: Amendment) -> dict[str, Any]:
    order = row.order
    price, quantity = order.rules.prices.text, order.rules.quantities.text
    return {
        "amendmentId": row.amendment_id, "symbol": order.symbol, "pair": order.symbol, "orderId": order.order_id,
        "clientOrderId": order.client_order_id, "time": row.time_ms,
        "amendment": {
            "price": {"before": price(row.price[0]), "after": price(row.price[1])},
            "origQty": {"before": quantity(row.quantity[0]), "after": quantity(row.quantity[1])},
            "count": row.count,
        },
        "priceMatch": "NONE",
    }  # fmt: skip
