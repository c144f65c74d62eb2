"""The later life of an order: found, told of, cancelled, expired; and what it adds to its account's exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import algo_life
from mm_exchange.errors import VenueError, no_such_order, unknown_order
from mm_exchange.orders import FINAL, Order, Status
from mm_exchange.user_events import OrderUpdate

if TYPE_CHECKING:
    from mm_exchange.floor import Floor
    from mm_exchange.trading import OrderName, Trading
    from mm_exchange.user_events import FillReport


def find(trading: Trading, symbol: str, *, name: OrderName) -> Order:
    """An order of the account; -2013 when there is none."""
    by_client = trading.by_client_id.get((symbol, name.client_order_id or ""))
    order = trading.orders.get(name.order_id) if name.order_id is not None else by_client
    if order is None or order.symbol != symbol:
        raise no_such_order()
    return order


def find_live(trading: Trading, symbol: str, *, name: OrderName) -> Order:
    """A resting order of the account; -2011 when there is none."""
    try:
        order = find(trading, symbol, name=name)
    except VenueError as error:
        raise unknown_order() from error
    if not order.live:
        raise unknown_order()
    return order


def cancel_all(floor: Floor, trading: Trading, *, symbol: str, by: str, now_ns: int) -> list[Order]:
    """Take every resting order of an account and symbol off, a person's manual ones too."""
    orders = [order for order in trading.live.values() if order.symbol == symbol]
    for order in orders:
        cancel(floor, order, by=by, now_ns=now_ns)
    return orders


def cancel(floor: Floor, order: Order, *, by: str, now_ns: int) -> None:
    """End a live order because somebody wants it."""
    _finish(floor, order, status=Status.CANCELED, by=by, now_ns=now_ns)


def expire(floor: Floor, order: Order, *, by: str, now_ns: int) -> None:
    """End a live order because a rule wants it."""
    _finish(floor, order, status=Status.EXPIRED, by=by, now_ns=now_ns)


def expire_in_match(floor: Floor, order: Order, *, now_ns: int) -> None:
    """End a live order that would have traded with one of its own account."""
    _finish(floor, order, status=Status.EXPIRED_IN_MATCH, by="self-trade", now_ns=now_ns)


def _finish(floor: Floor, order: Order, *, status: Status, by: str, now_ns: int) -> None:
    trading = floor.trading[order.api_key]
    expose(order, sign=-1)
    order.status = status
    order.updated_ms = now_ns // 1_000_000
    floor.listings[order.symbol].resting.remove(order)
    trading.retire(order)
    kind = "cancel" if status is Status.CANCELED else "expire"
    floor.ledger.add_order(kind, now_ns, order=order, by=by)
    tell(floor, order, "CANCELED" if status is Status.CANCELED else "EXPIRED")
    if order.request.sent_type:
        algo_life.finish(floor, order, now_ns=now_ns)


def expose(order: Order, *, sign: int) -> None:
    """Add (or with -1 take back) what an order could open to its position's open-order notional."""
    if order.reduces or order.status in FINAL:
        return
    value = sign * order.rules.notional(order.price, order.quantity - order.filled)
    if order.is_buy:
        order.position.bids += value
    else:
        order.position.asks += value


def tell(floor: Floor, order: Order, execution: str, *, fill: FillReport | None = None) -> None:
    """Queue the ORDER_TRADE_UPDATE of what just happened to an order, at its own update time."""
    position = order.position
    floor.outbox.append(
        OrderUpdate(
            order.api_key, order.updated_ms, order.symbol, order, execution, order.status, order.price, order.quantity,
            order.filled, order.cum_quote, position.bids, position.asks, fill,
        )
    )  # fmt: skip
