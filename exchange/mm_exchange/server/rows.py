"""Orders and positions as the admin API and the page show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.scales import MONEY
from mm_exchange.user_events import entry_price

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.orders import Order
    from mm_exchange.trading import Trading
    from mm_exchange.venue import Venue


def order_row(order: Order) -> dict[str, Any]:
    """One order, with the displayed size that stands before it."""
    request, rules = order.request, order.rules
    return {
        "apiKey": order.api_key, "symbol": order.symbol, "orderId": order.order_id,
        "clientOrderId": order.client_order_id, "side": request.side.value, "type": request.type.value,
        "timeInForce": request.time_in_force.value, "reduceOnly": request.reduce_only,
        "price": rules.prices.text(order.price), "quantity": rules.quantities.text(order.quantity),
        "executedQuantity": rules.quantities.text(order.filled), "status": order.status.value,
        "time": order.created_ms, "updateTime": order.updated_ms,
        "queueAhead": rules.quantities.text(order.queue_ahead),
    }  # fmt: skip


def position_row(venue: Venue, trading: Trading, position: Position) -> dict[str, Any]:
    """One position and what it made, at the mark price of now."""
    rules, symbol = position.rules, position.rules.symbol
    mark = venue.listings[symbol].market.mark()
    return {
        "apiKey": trading.account.api_key, "symbol": symbol, "positionSide": position.side.value,
        "position": rules.quantities.text(position.quantity), "entryPrice": entry_price(position),
        "markPrice": rules.prices.text(mark), "unrealizedPnl": MONEY.text(position.unrealized(mark)),
        "realizedPnl": MONEY.text(position.realized), "commission": MONEY.text(position.commission),
        "leverage": position.leverage, "marginType": "ISOLATED" if position.isolated else "CROSSED",
        "walletBalance": MONEY.text(trading.account.wallets.get(rules.quote, 0)),
    }  # fmt: skip
