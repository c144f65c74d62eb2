"""Price-time matching of resting orders of one symbol against the public market.

Sans-I/O and without accounts: it answers *which order fills how much*, the venue books it. The model:

* An order queues behind the size displayed at its price when it arrives (`queue_ahead`). Trades at the price
  consume that queue first; what is left of a trade fills our orders there in time order. When the displayed size
  falls below `queue_ahead`, the queue shrinks with it (cancellations are taken to happen behind us first).
* A trade through the price, or a touch that crosses it, fills the order in full at its own price.
* The public book is not changed by our orders, and two accounts of the exchange do not trade with each other.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.market import Market
    from mm_exchange.orders import Order


@dataclasses.dataclass(frozen=True, slots=True)
class Execution:
    """One match: `quantity` of `order` at `price`."""

    order: Order
    price: int
    quantity: int
    maker: bool


class RestingOrders:
    """Our resting orders of one symbol, by side, price and time."""

    def __init__(self) -> None:
        # Keys are signed so that both sides iterate best price first: -price for buys, price for sells.
        self._buys: SortedDict = SortedDict()
        self._sells: SortedDict = SortedDict()

    def __len__(self) -> int:
        return sum(len(queue) for side in (self._buys, self._sells) for queue in side.values())

    def __iter__(self) -> Iterator[Order]:
        for side in (self._buys, self._sells):
            for queue in side.values():
                yield from queue

    def add(self, order: Order, displayed: int) -> None:
        """Rest an order behind the `displayed` size at its price."""
        order.queue_ahead = displayed
        side, key = self._place_of(order)
        side.setdefault(key, []).append(order)

    def remove(self, order: Order) -> None:
        """Take an order off; does nothing when it does not rest."""
        side, key = self._place_of(order)
        queue = side.get(key)
        if queue is None or order not in queue:
            return
        queue.remove(order)
        if not queue:
            del side[key]

    def _place_of(self, order: Order) -> tuple[SortedDict, int]:
        return (self._buys, -order.price) if order.is_buy else (self._sells, order.price)

    def on_trade(self, price: int, quantity: int, *, buyer_is_maker: bool) -> list[Execution]:
        """Fills by a public trade. The aggressor sells into our buys when the buyer was the maker, else the reverse."""
        side, limit = (self._buys, -price) if buyer_is_maker else (self._sells, price)
        executions: list[Execution] = []
        for key, queue in side.items():
            if key > limit:
                break
            if key < limit:
                executions += [_in_full(order) for order in queue]
            else:
                executions += _share(queue, quantity)
        return executions

    def on_market(self, market: Market) -> list[Execution]:
        """Fills by a touch that reached our prices, and queues that shrank."""
        executions: list[Execution] = []
        for side, buy in ((self._buys, True), (self._sells, False)):
            if not side:
                continue
            touch = market.best_ask() if buy else market.best_bid()
            reach = None if touch is None else (-touch[0] if buy else touch[0])
            for key, queue in side.items():
                if reach is not None and key <= reach:
                    executions += [_in_full(order) for order in queue]
                else:
                    displayed = market.displayed(-key if buy else key, buy=buy)
                    for order in queue:
                        order.queue_ahead = min(order.queue_ahead, displayed)
        return executions

    def on_outsider(self, quantity: int, *, buys: bool, limit: int | None = None) -> list[Execution]:
        """Fills by an outside taker who meets nobody but us: best price first, then time; `limit` is its worst price."""
        side = self._sells if buys else self._buys
        executions: list[Execution] = []
        for key, queue in side.items():
            if limit is not None and key > (limit if buys else -limit):
                break
            for order in queue:
                if not quantity:
                    return executions
                take = min(order.remaining, quantity)
                quantity -= take
                executions.append(Execution(order, order.price, take, maker=True))
        return executions


def _in_full(order: Order) -> Execution:
    return Execution(order, order.price, order.remaining, maker=True)


def _share(queue: list[Order], quantity: int) -> list[Execution]:
    executions: list[Execution] = []
    ours = 0
    for order in queue:
        reached = quantity - order.queue_ahead - ours
        order.queue_ahead = max(0, order.queue_ahead - quantity)
        take = min(order.remaining, reached)
        if take > 0:
            ours += take
            executions.append(Execution(order, order.price, take, maker=True))
    return executions


def take(order: Order, market: Market) -> list[Execution]:
    """What a taker gets from the displayed book right now, level by level, within its limit price (0: no limit)."""
    executions: list[Execution] = []
    left = order.remaining
    for price, quantity in market.opposite(buy=order.is_buy):
        if not left or _beyond(order, price):
            break
        part = min(left, quantity)
        left -= part
        if part:
            executions.append(Execution(order, price, part, maker=False))
    return executions


def crosses(market: Market, price: int, *, buy: bool) -> bool:
    """Would an order at this price take liquidity? (Post-only refuses then.)."""
    best = market.best_ask() if buy else market.best_bid()
    return best is not None and (price >= best[0] if buy else price <= best[0])


def _beyond(order: Order, price: int) -> bool:
    return bool(order.price) and (price > order.price if order.is_buy else price < order.price)
