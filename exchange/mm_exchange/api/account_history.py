"""What an account did: its orders, trades and wallet movements, with the venue's filters by time and id.

Without times the venue looks back seven days; with one of them at seven days from there; a longer span is -4165.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mm_exchange import views
from mm_exchange.errors import VenueError, invalid_parameter

if TYPE_CHECKING:
    from mm_exchange.api.core import Call
    from mm_exchange.api.params import Params

_WEEK_MS = 7 * 24 * 3600 * 1000
Row = TypeVar("Row")


def _span(call: Call) -> tuple[int, int]:
    """First and last millisecond that is asked for."""
    start, end = call.params.integer("startTime"), call.params.integer("endTime")
    if start is not None and end is not None:
        if end < start:
            raise invalid_parameter("endTime")
        if end - start > _WEEK_MS:
            raise VenueError(-4165, "Invalid time interval. Maximum time interval is 7 days.")
        return start, end
    if start is not None:
        return start, start + _WEEK_MS
    # A little into the future: a client whose clock is ahead must still see what just happened.
    last = end if end is not None else call.now_ms + 1000
    return last - _WEEK_MS, last


def _page(rows: list[Row], params: Params, *, default: int, forward: bool) -> list[Row]:
    """Pages go forward from a place to start; otherwise the latest are shown."""
    limit = params.integer("limit")
    if limit == 0:
        raise invalid_parameter("limit")
    limit = min(limit or default, 1000)
    return rows[:limit] if forward else rows[-limit:]


def _not_both(params: Params, name: str) -> int | None:
    """An id to start from, which the venue does not take together with times."""
    first = params.integer(name)
    if first is not None and (params.get("startTime") is not None or params.get("endTime") is not None):
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    return first


def all_orders(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/allOrders: newest `limit`, or from `orderId` on, or created within times."""
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    first = call.params.integer("orderId")
    start, end = _span(call)
    rows = [
        order
        for order in call.trading.orders.values()
        if order.symbol == symbol
        and (order.order_id >= first if first is not None else start <= order.created_ms <= end)
    ]
    forward = first is not None or call.params.get("startTime") is not None
    return [views.order_query(order) for order in _page(rows, call.params, default=500, forward=forward)]


def user_trades(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/userTrades: newest `limit`, or from `fromId` on, within times, of one order."""
    params = call.params
    symbol = call.venue.listing(params.symbol()).rules.symbol
    first, order_id = _not_both(params, "fromId"), params.integer("orderId")
    start, end = _span(call)
    rows = [
        trade
        for trade in call.trading.trades
        if trade.order.symbol == symbol
        and order_id in (None, trade.order.order_id)
        and (trade.trade_id >= first if first is not None else start <= trade.time_ms <= end)
    ]
    forward = first is not None or params.get("startTime") is not None
    return [views.trade_row(trade) for trade in _page(rows, params, default=500, forward=forward)]


def income(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/income: commissions, realised PnL, funding and transfers; `page` counts from 1."""
    params = call.params
    symbol, kind, page = params.get("symbol"), params.get("incomeType"), params.integer("page") or 1
    start, end = _span(call) if params.get("endTime") is None else (params.integer("startTime") or 0, _end(call))
    rows = [
        row
        for row in call.trading.income
        if symbol in (None, row.symbol) and kind in (None, row.kind) and start <= row.time_ms <= end
    ]
    if page > 1:
        limit = min(params.integer("limit") or 100, 1000)
        return [views.income_row(row) for row in rows[(page - 1) * limit : page * limit]]
    forward = params.get("startTime") is not None or params.get("page") is not None
    return [views.income_row(row) for row in _page(rows, params, default=100, forward=forward)]


def _end(call: Call) -> int:
    # Income alone has no longest span.
    end = call.params.integer("endTime")
    return call.now_ms if end is None else end
