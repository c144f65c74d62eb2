"""The meeting of a new order with everything that it can trade with: the displayed book and other accounts' orders.

Best price first. At one price the displayed size that stands before a resting order of ours trades first, then that
order, and so on in time order; what is displayed behind the last of them comes last. Trades between accounts of the
exchange are not published and leave the displayed book as it is: a tape stays the tape.

Orders of one account do not trade with each other unless their mode says NONE (self-trade prevention): the taker's
mode decides who expires, with status EXPIRED_IN_MATCH.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from mm_exchange import fills, life
from mm_exchange.matching import Execution, crosses, take
from mm_exchange.orders import Order, OrderRequest, Side, StpMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.floor import Floor, Listing


def meet(floor: Floor, order: Order, *, now_ns: int) -> None:
    """Trade an order with what is there, within its limit price (0: no limit). It may end here or have a rest."""
    listing = floor.listings[order.symbol]
    makers = _makers(listing, order.price, buy=order.is_buy)
    if not makers:
        fills.execute(floor, take(order, listing.market), now_ns=now_ns)
        return
    for price, maker, size in _walk(listing, order.price, makers=makers, buy=order.is_buy):
        if not order.live:
            return
        if maker is None:
            part = min(order.remaining, size)
            fills.execute(floor, [Execution(order, price, part, maker=False)], now_ns=now_ns)
        elif maker.live:
            _trade_or_prevent(floor, order, maker=maker, now_ns=now_ns)


def _trade_or_prevent(floor: Floor, taker: Order, *, maker: Order, now_ns: int) -> None:
    mode = taker.request.stp_mode
    if maker.api_key == taker.api_key and mode is not StpMode.NONE:
        if mode is not StpMode.EXPIRE_TAKER:
            life.expire_in_match(floor, maker, now_ns=now_ns)
        if mode is not StpMode.EXPIRE_MAKER:
            life.expire_in_match(floor, taker, now_ns=now_ns)
        return
    part = min(fills.fillable(taker), fills.fillable(maker))
    if part:
        # Booked without `execute`, which would take the taker's part out of the displayed book.
        fills.settle(floor, Execution(maker, maker.price, part, maker=True), now_ns=now_ns)
        fills.settle(floor, Execution(taker, maker.price, part, maker=False), now_ns=now_ns)


def would_take(listing: Listing, price: int, *, buy: bool) -> bool:
    """Would an order at this price take liquidity of anybody? (Post-only refuses then.)."""
    return crosses(listing.market, price, buy=buy) or bool(_makers(listing, price, buy=buy))


def fills_at_once(listing: Listing, request: OrderRequest, *, api_key: str) -> bool:
    """Is there enough for the whole of an order (fill or kill), own orders not counted?"""
    buy, left = request.side is Side.BUY, request.quantity
    makers = [maker for maker in _makers(listing, request.price, buy=buy) if maker.api_key != api_key]
    for _, maker, size in _walk(listing, request.price, makers=makers, buy=buy):
        left -= size if maker is None else fills.fillable(maker)
        if left <= 0:
            return True
    return False


def _makers(listing: Listing, price: int, *, buy: bool) -> list[Order]:
    """Resting orders of ours that an order at a price (0: any) would meet, best price first, then time."""
    best = listing.resting.best(buy=not buy)
    if best is None or (price and (best > price if buy else best < price)):
        return []
    return [
        maker
        for maker in listing.resting
        if maker.is_buy != buy and (not price or (maker.price <= price if buy else maker.price >= price))
    ]


def _walk(listing: Listing, limit: int, *, makers: list[Order], buy: bool) -> Iterator[tuple[int, Order | None, int]]:
    """What a taker meets in order: (price, one of our orders, or None and a displayed size)."""
    shown = dict(
        takewhile(
            lambda level: not limit or (level[0] <= limit if buy else level[0] >= limit),
            listing.market.opposite(buy=buy),
        )
    )
    queues: dict[int, list[Order]] = {}
    for maker in makers:
        queues.setdefault(maker.price, []).append(maker)
    for price in sorted({*shown, *queues}, reverse=not buy):
        left, ahead = shown.get(price, 0), 0
        for maker in queues.get(price, ()):
            before = min(left, max(0, maker.queue_ahead - ahead))
            if before:
                left, ahead = left - before, ahead + before
                yield price, None, before
            yield price, maker, maker.remaining
        if left:
            yield price, None, left
