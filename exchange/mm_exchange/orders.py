"""An order and the words the venue uses for it."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm_exchange.rules import SymbolRules


class Side(StrEnum):
    """BUY or SELL."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """The order types that this floor matches; conditional types are refused by name (-4120)."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """How long an order lives. GTX is post-only."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    GTD = "GTD"


class Status(StrEnum):
    """Life cycle of an order."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


FINAL = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED})


@dataclasses.dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for, already in units and past the filters that need no account."""

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int = 0
    client_order_id: str = ""
    reduce_only: bool = False
    good_till_ms: int = 0
    stp_mode: str = "EXPIRE_MAKER"


@dataclasses.dataclass(slots=True, eq=False)
class Order:
    """An accepted order. Mutable: matching moves `filled`, `status` and `queue_ahead`.

    `queue_ahead` is the displayed size that still stands before this order at its price; `arrival` orders our own
    orders at one price in time.
    """

    order_id: int
    request: OrderRequest
    api_key: str
    rules: SymbolRules
    created_ms: int
    price: int
    quantity: int
    arrival: int
    updated_ms: int
    filled: int = 0
    cum_quote: int = 0
    status: Status = Status.NEW
    queue_ahead: int = 0

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return self.request.symbol

    @property
    def client_order_id(self) -> str:
        """The client's id, or the one the venue made up."""
        return self.request.client_order_id

    @property
    def is_buy(self) -> bool:
        """True for BUY."""
        return self.request.side is Side.BUY

    @property
    def remaining(self) -> int:
        """Quantity units not filled yet."""
        return self.quantity - self.filled

    @property
    def live(self) -> bool:
        """True while it can still fill."""
        return self.status not in FINAL
