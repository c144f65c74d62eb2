"""Order entry: what a new or amended order must satisfy, and its first meeting with the book."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from mm_exchange import crossing, life, margins, modes
from mm_exchange.crossing import fills_at_once, would_take
from mm_exchange.errors import VenueError
from mm_exchange.orders import Order, OrderRequest, OrderType, PositionSide, Side, TimeInForce

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor, Listing
    from mm_exchange.trading import Trading

_MAX_AMENDMENTS = 10_000
_IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a request came from, for the ledger: client address, the client's own timestamp."""

    address: str | None = None
    request_ms: int | None = None


def place(floor: Floor, trading: Trading, *, request: OrderRequest, origin: Origin, now_ns: int) -> Order:
    """Accept an order and match it, or refuse it with the venue's code. Refusals leave no trace here."""
    listing = floor.listing(request.symbol)
    _check(floor, trading, request=request, listing=listing)
    order = _accepted(floor, trading, request=request, listing=listing, now_ns=now_ns)
    trading.remember(order)
    if request.good_till_ms:
        floor.wake_at(request.good_till_ms * 1_000_000)
    life.expose(order, sign=1)
    floor.ledger.add_order("order", now_ns, order=order, address=origin.address, request_time=origin.request_ms)
    life.tell(floor, order, "NEW")
    crossing.meet(floor, order, now_ns=now_ns)
    if order.live:
        _rest_or_expire(floor, order, listing=listing, now_ns=now_ns)
    return order


def _accepted(floor: Floor, trading: Trading, *, request: OrderRequest, listing: Listing, now_ns: int) -> Order:
    order_id, now_ms = floor.next_order_id(), now_ns // 1_000_000
    if not request.client_order_id:
        request = msgspec.structs.replace(request, client_order_id=f"auto{order_id}")
    position = trading.account.position(listing.rules, request.position_side)
    return Order(
        order_id, request, trading.account.api_key, listing.rules, now_ms, request.price, request.quantity, order_id,
        now_ms, position, request.side is Side.BUY, request.reduces,
    )  # fmt: skip


def _rest_or_expire(floor: Floor, order: Order, *, listing: Listing, now_ns: int) -> None:
    if order.request.type is OrderType.MARKET or order.request.time_in_force in _IMMEDIATE:
        life.expire(floor, order, by="venue", now_ns=now_ns)
    else:
        listing.resting.add(order, listing.market)


def _check(floor: Floor, trading: Trading, *, request: OrderRequest, listing: Listing) -> None:
    rules, buy = listing.rules, request.side is Side.BUY
    modes.check_side(trading.account, request.position_side, reduce_only=request.reduce_only)
    known = trading.by_client_id.get((request.symbol, request.client_order_id))
    if known is not None and known.live:
        raise VenueError(-4116, "ClientOrderId is duplicated.")
    mark = listing.market.mark()
    price = _checked_price(trading, request, listing=listing, mark=mark)
    rules.check_notional(price, request.quantity, reduce_only=request.reduces)
    position = trading.account.position(rules, request.position_side)
    if request.reduces:
        _check_reduces(position, request, buy=buy)
    else:
        value = rules.notional(price, request.quantity if buy else -request.quantity)
        margins.check(floor, trading, position=position, value=value, mark=mark)
    _check_time_in_force(request, listing, api_key=trading.account.api_key)


def _checked_price(trading: Trading, request: OrderRequest, *, listing: Listing, mark: int) -> int:
    """The price an order is valued at: its own, or the touch it would take."""
    rules, market, buy = listing.rules, listing.market, request.side is Side.BUY
    if request.type is not OrderType.LIMIT:
        touch = market.best_ask() if buy else market.best_bid()
        if touch is None:
            return mark
        rules.check_counterparty(touch[0], mark, buy=buy)
        return touch[0]
    if mark:
        rules.check_percent_price(request.price, mark, buy=buy)
    if trading.open_count.get(request.symbol, 0) >= rules.max_orders:
        raise VenueError(-2025, "Reach max open order limit.")
    return request.price


def _check_reduces(position: Position, request: OrderRequest, *, buy: bool) -> None:
    held = position.quantity
    beyond = request.position_side is not PositionSide.BOTH and request.quantity > abs(held)
    if held == 0 or (held > 0) == buy or beyond:
        raise VenueError(-2022, "ReduceOnly Order is rejected.")


def _check_time_in_force(request: OrderRequest, listing: Listing, *, api_key: str) -> None:
    buy = request.side is Side.BUY
    if request.time_in_force is TimeInForce.GTX and would_take(listing, request.price, buy=buy):
        raise VenueError(
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be rejected. "
            "The order will not be recorded in the order history",
        )
    if request.time_in_force is TimeInForce.FOK and not fills_at_once(listing, request, api_key=api_key):
        raise VenueError(
            -5021,
            "Due to the order could not be filled immediately, the FOK order has been rejected. "
            "The order will not be recorded in the order history",
        )


def amend(floor: Floor, order: Order, *, price: int, quantity: int, now_ns: int) -> Order:
    """Change price or quantity of a resting LIMIT order. Only a smaller quantity at the same price keeps its place.

    Raises -5026 after 10,000 amendments, -5027 when nothing changes, -4016 or -4024 too far from the mark, -5022 when a
    post-only order would cross, -2019 without margin.
    """
    listing, trading = floor.listings[order.symbol], floor.trading[order.api_key]
    if order.amendments >= _MAX_AMENDMENTS:
        raise VenueError(-5026, "Exceed maximum modify order limit.")
    if price == order.price and quantity == order.quantity:
        raise VenueError(-5027, "No need to modify the order.")
    if quantity <= order.filled:
        life.cancel(floor, order, by="amend", now_ns=now_ns)
        return order
    _check_amendment(floor, trading, order=order, price=price, quantity=quantity)
    life.expose(order, sign=-1)
    _move(order, listing, price=price, quantity=quantity)
    order.updated_ms = now_ns // 1_000_000
    order.amendments += 1
    life.expose(order, sign=1)
    floor.ledger.add_order("amend", now_ns, order=order)
    life.tell(floor, order, "AMENDMENT")
    crossing.meet(floor, order, now_ns=now_ns)
    return order


def _check_amendment(floor: Floor, trading: Trading, *, order: Order, price: int, quantity: int) -> None:
    listing = floor.listings[order.symbol]
    listing.rules.check_notional(price, quantity, reduce_only=order.reduces)
    mark = listing.market.mark()
    if mark and price != order.price:
        listing.rules.check_percent_price(price, mark, buy=order.is_buy)
    if order.request.time_in_force is TimeInForce.GTX and would_take(listing, price, buy=order.is_buy):
        raise VenueError(
            -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."
        )
    if order.reduces:
        return
    rest = quantity - order.filled
    value = listing.rules.notional(price, rest if order.is_buy else -rest)
    # The order stands aside while its margin is counted anew.
    life.expose(order, sign=-1)
    try:
        margins.check(floor, trading, position=order.position, value=value, mark=mark)
    finally:
        life.expose(order, sign=1)


def _move(order: Order, listing: Listing, *, price: int, quantity: int) -> None:
    if price == order.price and quantity < order.quantity:
        order.quantity = quantity
        return
    listing.resting.remove(order)
    order.price, order.quantity = price, quantity
    listing.resting.add(order, listing.market)
