"""How an account stands with the venue: forced liquidations, its place in the deleveraging queue, trading rules kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.errors import invalid_parameter
from mm_exchange.views import order_query

if TYPE_CHECKING:
    from mm_exchange.api.core import Call

_WEEK_MS = 7 * 24 * 3600 * 1000


def force_orders(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/forceOrders: what the liquidation engine sent for this account, the last seven days by default.

    There is no auto-deleveraging here, so `autoCloseType=ADL` finds nothing.
    """
    params = call.params
    symbol, kind = params.get("symbol"), params.get("autoCloseType")
    if kind not in (None, "LIQUIDATION", "ADL"):
        raise invalid_parameter("autoCloseType")
    end = params.integer("endTime") or call.now_ms
    start = params.integer("startTime") or end - _WEEK_MS
    rows = [
        order
        for order in call.trading.orders.values()
        if order.request.liquidation
        and kind != "ADL"
        and symbol in (None, order.symbol)
        and start <= order.created_ms <= end
    ]
    return [order_query(order) for order in rows[-min(params.integer("limit") or 50, 100) :]]


def adl_quantile(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/adlQuantile: every quantile is 0, because nobody is deleveraged here."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        call.venue.listing(symbol)
    held = {position.rules.symbol for position in call.account.positions.values() if position.quantity}
    return [
        {"symbol": name, "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 0}}
        for name in call.venue.listings
        if name in held and symbol in (None, name)
    ]


def api_trading_status(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/apiTradingStatus: no indicator is ever triggered here."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        call.venue.listing(symbol)
    return {"indicators": {}, "updateTime": call.now_ms}
