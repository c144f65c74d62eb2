"""Conditional orders as the venue's algo service keeps them, and the words it uses for them.

A conditional order is no order yet: it takes no margin and has no place in the book. Once its trigger is reached it
becomes an order (see `algos`), which then lives on its own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from mm_exchange.orders import Order, OrderType, PositionSide, Side, StpMode, TimeInForce
from mm_exchange.rules import SymbolRules
from mm_exchange.user_events import UserEvent, average_price

CALLBACK_UNITS = 10_000
"""Callback rates count in 1/10,000: 0.1 % is 10."""


class AlgoType(StrEnum):
    """What a conditional order waits for, and what it becomes."""

    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"

    @property
    def becomes(self) -> OrderType:
        """The type of the order that it becomes."""
        return OrderType.LIMIT if self in (AlgoType.STOP, AlgoType.TAKE_PROFIT) else OrderType.MARKET

    @property
    def takes_profit(self) -> bool:
        """True for what waits for a better price; a stop waits for a worse one."""
        return self in (AlgoType.TAKE_PROFIT, AlgoType.TAKE_PROFIT_MARKET)


class WorkingType(StrEnum):
    """The price that is watched: the last trade's, or the mark price."""

    CONTRACT_PRICE = "CONTRACT_PRICE"
    MARK_PRICE = "MARK_PRICE"


class AlgoStatus(StrEnum):
    """Life cycle of a conditional order."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


class AlgoRequest(msgspec.Struct, frozen=True):
    """What a client asks for, in units. `quantity` is 0 with `close_position`; `callback_rate` in `CALLBACK_UNITS`."""

    symbol: str
    side: Side
    type: AlgoType
    quantity: int = 0
    price: int = 0
    trigger_price: int = 0
    client_algo_id: str = ""
    time_in_force: TimeInForce = TimeInForce.GTC
    position_side: PositionSide = PositionSide.BOTH
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    reduce_only: bool = False
    close_position: bool = False
    price_protect: bool = False
    price_match: str = "NONE"
    activate_price: int = 0
    callback_rate: int = 0
    good_till_ms: int = 0
    stp_mode: StpMode = StpMode.EXPIRE_MAKER


class Algo(msgspec.Struct, eq=False):
    """A conditional order. `order` is what it became; `activated` and `extreme` are a trailing stop's own."""

    algo_id: int
    request: AlgoRequest
    api_key: str
    rules: SymbolRules
    created_ms: int
    updated_ms: int
    status: AlgoStatus = AlgoStatus.NEW
    triggered_ms: int = 0
    order: Order | None = None
    activated: bool = False
    extreme: int = 0
    reason: str = ""

    @property
    def is_buy(self) -> bool:
        """True for BUY."""
        return self.request.side is Side.BUY

    def reached(self, price: int) -> bool:
        """Take a new price over: is this the moment?"""
        if self.request.type is AlgoType.TRAILING_STOP_MARKET:
            return self._trailed(price)
        rising = self.is_buy != self.request.type.takes_profit
        return price >= self.request.trigger_price if rising else price <= self.request.trigger_price

    def _trailed(self, price: int) -> bool:
        request, buy = self.request, self.is_buy
        if not self.activated:
            wanted = request.activate_price
            self.activated = not wanted or (price <= wanted if buy else price >= wanted)
            self.extreme = price
            return False
        self.extreme = min(self.extreme, price) if buy else max(self.extreme, price)
        rate = request.callback_rate if buy else -request.callback_rate
        turn = self.extreme * (CALLBACK_UNITS + rate)
        return price * CALLBACK_UNITS >= turn if buy else price * CALLBACK_UNITS <= turn


class AlgoUpdate(UserEvent, frozen=True, gc=False):
    """ALGO_UPDATE: a conditional order was made or changed. `status` is what it was at that moment."""

    algo: Algo
    status: AlgoStatus

    name: ClassVar[str] = "ALGO_UPDATE"

    def content(self) -> dict[str, Any]:
        """The `o` object."""
        algo, request, order = self.algo, self.algo.request, self.algo.order
        prices, quantities = algo.rules.prices, algo.rules.quantities
        became = {} if order is None else {"act": order.request.type.value}
        detail = {
            "caid": request.client_algo_id, "aid": algo.algo_id, "at": "CONDITIONAL", "o": request.type.value,
            "s": request.symbol, "S": request.side.value, "ps": request.position_side.value,
            "f": request.time_in_force.value, "q": quantities.text(request.quantity), "X": self.status.value,
            "ai": "" if order is None else str(order.order_id),
            "ap": "0" if order is None else average_price(order),
            "aq": quantities.text(0 if order is None else order.filled), "tp": prices.text(request.trigger_price),
            "p": prices.text(request.price), "V": request.stp_mode.value, "wt": request.working_type.value,
            "pm": request.price_match, "cp": request.close_position, "pP": request.price_protect,
            "R": request.reduce_only, "tt": algo.triggered_ms, "gtd": request.good_till_ms, "rm": algo.reason,
        }  # fmt: skip
        return {"T": self.now_ms, "o": detail | became}


class TriggerReject(UserEvent, frozen=True, gc=False):
    """CONDITIONAL_ORDER_TRIGGER_REJECT: the order that a conditional order should become was refused."""

    order_id: int
    reason: str

    name: ClassVar[str] = "CONDITIONAL_ORDER_TRIGGER_REJECT"

    def content(self) -> dict[str, Any]:
        """Which one, and why."""
        return {"T": self.now_ms, "or": {"s": self.symbol, "i": self.order_id, "r": self.reason}}
