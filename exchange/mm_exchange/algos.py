"""The algo service: takes conditional orders in, watches prices for them, and turns them into orders.

Sources: the venue's documents of `algoOrder`. A stop triggers when the price has gone against the side that will
trade, a take profit when it has gone with it, a trailing stop when it turns by the callback rate from the best price
since its activation. The watched price is the last trade's, or the mark price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mm_exchange import algo_life, entry, modes
from mm_exchange.algo_orders import Algo, AlgoRequest, AlgoStatus, AlgoType, TriggerReject, WorkingType
from mm_exchange.errors import VenueError, no_such_order, unknown_order
from mm_exchange.orders import OrderRequest, OrderType, TimeInForce

if TYPE_CHECKING:
    from mm_exchange.floor import Floor, Listing
    from mm_exchange.trading import Trading

_FIRST_ALGO_ID = 2_100_000_000
# Price protection: how far mark and last price may be apart when a protected order triggers, in percent.
_PROTECT_PERCENT = 5


def place(floor: Floor, trading: Trading, *, request: AlgoRequest, now_ns: int) -> Algo:
    """Take a conditional order in; -4116, -4045, -4130, -2021 and what its account's modes refuse."""
    listing, account = floor.listing(request.symbol), trading.account
    modes.check_side(account, request.position_side, reduce_only=request.reduce_only)
    _check(trading, request, listing=listing)
    algo_id, now_ms = _FIRST_ALGO_ID + floor.next_algo_number(), now_ns // 1_000_000
    if not request.client_algo_id:
        request = msgspec.structs.replace(request, client_algo_id=f"algo{algo_id}")
    algo = Algo(algo_id, request, account.api_key, listing.rules, now_ms, now_ms)
    price = watched(listing, request.working_type)
    if _at_once(algo, price):
        raise VenueError(-2021, "Order would immediately trigger.")
    if request.type is AlgoType.TRAILING_STOP_MARKET:
        algo.activated, algo.extreme = not request.activate_price, price
    trading.algos.add(algo)
    listing.algos[algo_id] = algo
    algo_life.turn(floor, algo, AlgoStatus.NEW, now_ns=now_ns)
    return algo


def _check(trading: Trading, request: AlgoRequest, *, listing: Listing) -> None:
    own = [algo for algo in listing.algos.values() if algo.api_key == trading.account.api_key]
    if any(algo.request.client_algo_id == request.client_algo_id for algo in own):
        raise VenueError(-4116, "ClientOrderId is duplicated.")
    if len(own) >= listing.rules.max_algo_orders:
        raise VenueError(-4045, "Reach max stop order limit.")
    if request.close_position and any(_closes_too(algo.request, request) for algo in own):
        raise VenueError(
            -4130, "An open stop or take profit order with GTE and closePosition in the direction is existing."
        )


def _closes_too(other: AlgoRequest, request: AlgoRequest) -> bool:
    return (
        other.close_position
        and (other.side, other.position_side) == (request.side, request.position_side)
        and other.type.takes_profit == request.type.takes_profit
    )


def _at_once(algo: Algo, price: int) -> bool:
    request = algo.request
    if request.type is not AlgoType.TRAILING_STOP_MARKET:
        return bool(price) and algo.reached(price)
    wanted = request.activate_price
    return bool(wanted) and (wanted >= price if algo.is_buy else wanted <= price)


def watched(listing: Listing, working_type: WorkingType) -> int:
    """The price that conditional orders of a kind look at, in price units; 0 while there is none."""
    market = listing.market
    if working_type is WorkingType.MARK_PRICE or market.last_trade is None:
        return market.mark()
    return market.last_trade.price


def on_market(floor: Floor, listing: Listing, *, now_ns: int) -> None:
    """Look at every waiting conditional order of a symbol after its market moved."""
    prices = {kind: watched(listing, kind) for kind in WorkingType}
    for algo in list(listing.algos.values()):
        price = prices[algo.request.working_type]
        if price and algo.reached(price) and not _protected(algo, listing):
            _trigger(floor, algo, now_ns=now_ns)


def _protected(algo: Algo, listing: Listing) -> bool:
    if not algo.request.price_protect or listing.market.last_trade is None:
        return False
    mark = listing.market.mark()
    return abs(mark - listing.market.last_trade.price) * 100 > _PROTECT_PERCENT * mark


def _trigger(floor: Floor, algo: Algo, *, now_ns: int) -> None:
    trading = floor.trading[algo.api_key]
    algo.triggered_ms = now_ns // 1_000_000
    floor.listings[algo.request.symbol].algos.pop(algo.algo_id, None)
    algo_life.turn(floor, algo, AlgoStatus.TRIGGERING, now_ns=now_ns)
    try:
        order = entry.place(floor, trading, request=_order(trading, algo), origin=entry.Origin(), now_ns=now_ns)
    except VenueError as error:
        algo.reason = error.msg
        algo_life.turn(floor, algo, AlgoStatus.REJECTED, now_ns=now_ns)
        floor.outbox.append(TriggerReject(algo.api_key, algo.updated_ms, algo.request.symbol, algo.algo_id, error.msg))
        return
    algo.order = order
    algo_life.turn(floor, algo, AlgoStatus.TRIGGERED, now_ns=now_ns)
    trading.triggered[order.order_id] = algo
    if not order.live:
        algo_life.finish(floor, order, now_ns=now_ns)


def _order(trading: Trading, algo: Algo) -> OrderRequest:
    request = algo.request
    becomes, quantity = request.type.becomes, request.quantity
    if request.close_position:
        held = trading.account.position(algo.rules, request.position_side).quantity
        quantity = abs(held) if (held > 0) != algo.is_buy else 0
        if not quantity:
            raise VenueError(-2022, "ReduceOnly Order is rejected.")
    return OrderRequest(
        request.symbol, request.side, becomes,
        request.time_in_force if becomes is OrderType.LIMIT else TimeInForce.GTC, quantity, price=request.price,
        client_order_id=request.client_algo_id, reduce_only=request.reduce_only or request.close_position,
        good_till_ms=request.good_till_ms if becomes is OrderType.LIMIT else 0, stp_mode=request.stp_mode,
        position_side=request.position_side, price_match=request.price_match,
        close_position=request.close_position, sent_type=request.type.value,
    )  # fmt: skip


def find(trading: Trading, *, algo_id: int | None, client_algo_id: str | None) -> Algo:
    """A conditional order of the account; -2013 when there is none."""
    found = (
        trading.algos.by_id.get(algo_id)
        if algo_id is not None
        else trading.algos.by_client_id.get(client_algo_id or "")
    )
    if found is None:
        raise no_such_order()
    return found


def cancel(floor: Floor, algo: Algo, *, by: str, now_ns: int) -> None:
    """Take a waiting conditional order off; -2011 when it does not wait any more."""
    if algo.status is not AlgoStatus.NEW:
        raise unknown_order()
    algo_life.turn(floor, algo, AlgoStatus.CANCELED, now_ns=now_ns, by=by)


def cancel_all(floor: Floor, trading: Trading, *, symbol: str, by: str, now_ns: int) -> None:
    """Take every waiting conditional order of an account and symbol off."""
    for algo in list(floor.listing(symbol).algos.values()):
        if algo.api_key == trading.account.api_key:
            cancel(floor, algo, by=by, now_ns=now_ns)


def expire_due(floor: Floor, now_ns: int) -> None:
    """Good-till dates of waiting conditional orders."""
    for listing in floor.listings.values():
        for algo in list(listing.algos.values()):
            if algo.request.good_till_ms and algo.request.good_till_ms * 1_000_000 <= now_ns:
                algo_life.turn(floor, algo, AlgoStatus.EXPIRED, now_ns=now_ns, by="good-till-date")
