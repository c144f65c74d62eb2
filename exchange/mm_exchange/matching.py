"""Price-time matching of resting orders of one symbol against the public market.

Sans-I/O and without accounts: it answers *which order fills how much*, the venue books it. The model:

* An order queues behind the size displayed at its price when it arrives (`queue_ahead`). Trades at the price
  consume that queue first; what is left of a trade fills our orders there in time order. What a fall of the displayed
  size without trades does to the queue is the queue model's (`queue_models`); the queue never grows.
* Sizes come from bookTicker and depth. Of two, the one with the higher update id is believed: the batched depth
  stream tells late what bookTicker has told already.
* bookTicker often tells the fall of a size before the trade that made it is told. A trade that is not younger than what
  was last shown at its price is such a late one: it came off the queue as that stood before, and is not counted twice.
* A trade through the price, or a touch that crosses it, fills the order in full at its own price.
* The public book is not changed by our orders; what takers took can be hidden from matching for a while (`impact`).
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from mm_exchange.market import UNTIMED, DepthUpdate, Touch, Trade
from mm_exchange.queue_models import QueueModel, queue_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.book import Level
    from mm_exchange.market import Market, MarketEvent
    from mm_exchange.orders import Order


@dataclasses.dataclass(frozen=True, slots=True)
class Execution:
    """One match: `quantity` of `order` at `price`."""

    order: Order
    price: int
    quantity: int
    maker: bool


@dataclasses.dataclass(frozen=True)
class MatchingModel:
    """How an exchange matches, for all of its symbols.

    `queue` moves queue positions. `whole_fills`: an order whose turn comes fills in whole, however small the trade
    (hftbacktest's NoPartialFillExchange; for comparisons only). `late_trades`: off, trades and sizes count in the order
    they arrive in, as there. `impact_half_life_ms`: what takers took is hidden
    from matching and recovers so fast; None: it is shown on and can be taken again.
    """

    queue: QueueModel = dataclasses.field(default_factory=lambda: queue_model("conservative"))
    whole_fills: bool = False
    late_trades: bool = True
    impact_half_life_ms: float | None = None


class _Place:
    """Where one order stands: the size before it, and what trades took at its price since the last look.

    `looked` is how it stood before that look (size before it, trades, displayed size); None where it came later.
    `late` is what trades took since that the look had told already.
    """

    __slots__ = ("ahead", "late", "looked", "order", "traded")

    def __init__(self, order: Order, ahead: float) -> None:
        self.order = order
        self.ahead = ahead
        self.traded: float = 0
        self.looked: tuple[float, float, int] | None = None
        self.late = 0


class _Level:
    """Our orders at one price in time order, and the size displayed there as of an update id and transaction time."""

    __slots__ = ("places", "price", "seen_id", "seen_ms", "shown")

    def __init__(self, price: int) -> None:
        self.price = price
        self.places: list[_Place] = []
        self.shown = 0
        self.seen_id = 0
        self.seen_ms = UNTIMED


class _Side:
    """Our orders of one side. Keys are signed so that both sides sort best first: -price for buys, price for sells."""

    __slots__ = ("buy", "keys", "levels", "sign")

    def __init__(self, *, buy: bool) -> None:
        self.buy = buy
        self.sign = -1 if buy else 1
        self.keys: list[int] = []
        self.levels: dict[int, _Level] = {}

    def level(self, price: int) -> _Level:
        """The level of a price, made where there is none."""
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = _Level(price)
            insort(self.keys, self.sign * price)
        return level

    def drop(self, price: int) -> None:
        """Forget an empty level."""
        del self.levels[price]
        del self.keys[bisect_left(self.keys, self.sign * price)]

    def within(self, limit: int) -> Iterator[_Level]:
        """Levels from the best one up to a key."""
        for key in self.keys:
            if key > limit:
                return
            yield self.levels[self.sign * key]


class RestingOrders:
    """Our resting orders of one symbol, by side, price and time."""

    def __init__(self, model: MatchingModel | None = None) -> None:
        self._model = model or MatchingModel()
        self._buys = _Side(buy=True)
        self._sells = _Side(buy=False)
        self._levels: dict[int, _Level] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def __iter__(self) -> Iterator[Order]:
        for side in (self._buys, self._sells):
            for key in side.keys:
                for place in side.levels[side.sign * key].places:
                    yield place.order

    def best(self, *, buy: bool) -> int | None:
        """The best price among our orders of a side."""
        keys = (self._buys if buy else self._sells).keys
        return abs(keys[0]) if keys else None

    def add(self, order: Order, market: Market) -> None:
        """Rest an order behind the size displayed at its price."""
        level = (self._buys if order.is_buy else self._sells).level(order.price)
        # Another order of ours at this price may have seen newer sizes than the book has.
        self._look(level, *market.displayed_as_of(order.price, buy=order.is_buy))
        left = level.shown - market.hidden(order.price, bids=order.is_buy)
        place = _Place(order, max(left, level.places[-1].ahead if level.places else 0))
        order.queue_ahead = round(place.ahead)
        level.places.append(place)
        self._levels[order.order_id] = level

    def remove(self, order: Order) -> None:
        """Take an order off; does nothing when it does not rest."""
        level = self._levels.pop(order.order_id, None)
        if level is None:
            return
        level.places = [place for place in level.places if place.order is not order]
        if not level.places:
            (self._buys if order.is_buy else self._sells).drop(level.price)

    def on_event(self, event: MarketEvent, market: Market) -> list[Execution]:
        """Fills by a public event that the market has taken over already."""
        # This runs for every event while anything rests: most events reach none of our prices.
        buys, sells = self._buys.keys, self._sells.keys
        if isinstance(event, Touch):
            if (not buys or -buys[0] < event.bid) and (not sells or sells[0] > event.ask):
                return []
            return self._on_touch(event, market)
        if isinstance(event, Trade):
            if not event.market:
                return []
            return self._on_trade(event)
        executions = self._crossed(market)
        if isinstance(event, DepthUpdate):
            self._look_at(self._buys.levels, event.bids, update=event)
            self._look_at(self._sells.levels, event.asks, update=event)
        else:
            self._look_anew(market)
        return executions

    def _on_touch(self, touch: Touch, market: Market) -> list[Execution]:
        if touch.update_id <= market.book.last_update_id:
            return []
        executions = self._crossed(market)
        for side, best, size in (
            (self._buys, touch.bid, touch.bid_quantity),
            (self._sells, touch.ask, touch.ask_quantity),
        ):
            for level in side.within(side.sign * best):
                # Before the best price nothing is displayed.
                shown = size if level.price == best else 0
                self._look(level, shown, touch.update_id, touch.transaction_ms)
        return executions

    def _look_at(self, levels: dict[int, _Level], rows: list[Level], *, update: DepthUpdate) -> None:
        """A depth update tells sizes at many prices, of which few are ours."""
        if levels:
            for price, size in rows:
                if price in levels:
                    self._look(levels[price], size, update.last_id, update.transaction_ms)

    def _look_anew(self, market: Market) -> None:
        """A whole book replaces all that was known."""
        for side in (self._buys, self._sells):
            for level in side.levels.values():
                level.seen_id = 0
                shown = market.book.size_at(level.price, buy=side.buy)
                self._look(level, shown, market.book.last_update_id, UNTIMED)

    def _look(self, level: _Level, shown: int, update_id: int, at_ms: int) -> None:
        """The displayed size at a price with orders of ours is known anew."""
        if update_id < level.seen_id or (update_id, shown) == (level.seen_id, level.shown):
            return
        before, level.shown, level.seen_id, level.seen_ms = level.shown, shown, update_id, at_ms
        move = self._model.queue.displayed
        least: float = 0
        for place in level.places:
            order = place.order
            place.looked, place.late = (place.ahead, place.traded, before), 0
            moved = move(place.ahead, place.traded, before=before, now=shown, one=order.rules.quantities.one)
            # Invariant: among our own, nobody overtakes who came earlier, whatever a model's parts say.
            place.ahead = least = max(moved, least)
            place.traded = 0
            order.queue_ahead = round(place.ahead)

    def _on_trade(self, trade: Trade) -> list[Execution]:
        """Fills by a public trade. The aggressor sells into our buys when the buyer was the maker, else the reverse."""
        side = self._buys if trade.buyer_is_maker else self._sells
        limit = side.sign * trade.price
        executions: list[Execution] = []
        if not side.keys or side.keys[0] > limit:
            return executions
        for level in side.within(limit):
            if level.price == trade.price:
                executions += self._share(level, trade)
            else:
                executions += [_in_full(place.order) for place in level.places]
        return executions

    def _share(self, level: _Level, trade: Trade) -> list[Execution]:
        """One trade at our price: first what is before us, then our orders in time order, never more than it traded."""
        executions: list[Execution] = []
        quantity, ours = trade.quantity, 0
        late = self._model.late_trades and trade.transaction_ms <= level.seen_ms
        least: float = 0
        for place in level.places:
            if late and place.looked is None:
                # It came after the trade, however late that is told; so did all behind it.
                break
            order = place.order
            front = self._come_late(place, level, quantity) if late else _come(place, quantity)
            # As in `_look`: nobody overtakes who came earlier.
            place.ahead = least = max(place.ahead, least)
            order.queue_ahead = round(place.ahead)
            step = order.rules.step
            reached = int((quantity - front - ours) // step) * step
            take = order.remaining if self._model.whole_fills and reached > 0 else min(order.remaining, reached)
            if take > 0:
                ours += take
                executions.append(Execution(order, order.price, take, maker=True))
        return executions

    def _come_late(self, place: _Place, level: _Level, quantity: int) -> float:
        """A trade whose fall of the displayed size was seen already; what stood before the order when it happened."""
        assert place.looked is not None  # noqa: S101 - asked by the caller
        ahead, traded, before = place.looked
        front = max(0, ahead - place.late)
        place.late += quantity
        told, one = traded + place.late, place.order.rules.quantities.one
        rest = max(0, ahead - place.late)
        place.ahead = min(place.ahead, self._model.queue.displayed(rest, told, before=before, now=level.shown, one=one))
        # What the fall does not explain will be seen at the next look.
        place.traded = max(0, told - max(0, before - level.shown))
        return front

    def _crossed(self, market: Market) -> list[Execution]:
        """Fills by a market whose other side has reached our prices."""
        executions: list[Execution] = []
        for side in (self._buys, self._sells):
            touch = (market.best_ask() if side.buy else market.best_bid()) if side.keys else None
            if touch is None or side.keys[0] > (reach := side.sign * touch[0]):
                continue
            crossed = [place.order for level in side.within(reach) for place in level.places]
            if self._model.impact_half_life_ms is None:
                executions += [_in_full(order) for order in crossed]
            else:
                executions += _met(crossed, market)
        return executions

    def on_outsider(self, quantity: int, *, buys: bool, limit: int | None = None) -> list[Execution]:
        """Fills by an outside taker who meets nobody but us: best price first, then time; `limit` is its worst price."""
        side = self._sells if buys else self._buys
        executions: list[Execution] = []
        worst = side.keys[-1] if limit is None and side.keys else side.sign * (limit or 0)
        for level in side.within(worst):
            for place in level.places:
                if not quantity:
                    return executions
                take = min(place.order.remaining, quantity)
                quantity -= take
                executions.append(Execution(place.order, place.order.price, take, maker=True))
        return executions


def _come(place: _Place, quantity: int) -> float:
    """A trade in its time; what stood before the order."""
    front = place.ahead
    place.ahead = max(0, front - quantity)
    place.traded += quantity
    return front


def _in_full(order: Order) -> Execution:
    return Execution(order, order.price, order.remaining, maker=True)


def _met(orders: list[Order], market: Market) -> list[Execution]:
    """Fills of crossed orders where takers leave a mark: no more than what is left of the levels that cross them."""
    executions: list[Execution] = []
    for order in orders:
        got = 0
        for price, quantity in list(market.opposite(buy=order.is_buy)):
            if got == order.remaining or _beyond(order, price):
                break
            part = min(order.remaining - got, quantity)
            market.consume(price, part, buy=order.is_buy)
            got += part
        if got:
            executions.append(Execution(order, order.price, got, maker=True))
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
    best = next(market.opposite(buy=buy), None)
    return best is not None and (price >= best[0] if buy else price <= best[0])


def _beyond(order: Order, price: int) -> bool:
    return bool(order.price) and (price > order.price if order.is_buy else price < order.price)
