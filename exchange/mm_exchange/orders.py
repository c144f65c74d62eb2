"""An order and the words the venue uses for it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.rules import SymbolRules

if TYPE_CHECKING:
    from mm_exchange.accounts import Position


class Side(StrEnum):
    """BUY or SELL."""

    BUY = "BUY"
    SELL = "SELL"


class PositionSide(StrEnum):
    """Which position of a symbol is meant: the one of one-way mode, or one of the two of hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


class OrderType(StrEnum):
    """The order types that meet the book; conditional ones (see `algos`) become one of these."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """How long an order lives. GTX is post-only."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    GTD = "GTD"


class StpMode(StrEnum):
    """Whom it costs when two orders of one account would trade with each other (self-trade prevention)."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class Status(StrEnum):
    """Life cycle of an order."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"


FINAL = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.EXPIRED_IN_MATCH})


class OrderRequest(msgspec.Struct, frozen=True):
    """What a client asks for, already in units and past the filters that need no account.

    `sent_type` is the type of the conditional order that this one came from, "" for others; `liquidation` marks what
    the liquidation engine sends.
    """

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int = 0
    client_order_id: str = ""
    reduce_only: bool = False
    good_till_ms: int = 0
    stp_mode: StpMode = StpMode.EXPIRE_MAKER
    position_side: PositionSide = PositionSide.BOTH
    price_match: str = "NONE"
    close_position: bool = False
    sent_type: str = ""
    liquidation: bool = False

    @property
    def reduces(self) -> bool:
        """True for what may only close: reduce-only in one-way mode, the closing direction in hedge mode."""
        side = self.position_side
        return self.reduce_only or (
            side is not PositionSide.BOTH and (side is PositionSide.LONG) != (self.side is Side.BUY)
        )


class Order(msgspec.Struct, eq=False):
    """An accepted order. Mutable: matching moves `filled`, `status` and `queue_ahead`.

    `queue_ahead` is the displayed size that still stands before this order at its price; `arrival` orders our own
    orders at one price in time. `position` is what it fills into.
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
    position: Position
    is_buy: bool
    reduces: bool
    filled: int = 0
    cum_quote: int = 0
    status: Status = Status.NEW
    queue_ahead: int = 0
    amendments: int = 0

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return self.request.symbol

    @property
    def client_order_id(self) -> str:
        """The client's id, or the one the venue made up."""
        return self.request.client_order_id

    @property
    def remaining(self) -> int:
        """Quantity units not filled yet."""
        return self.quantity - self.filled

    @property
    def live(self) -> bool:
        """True while it can still fill."""
        return self.status not in FINAL

    @property
    def shown_type(self) -> str:
        """The type that clients are told."""
        return "LIQUIDATION" if self.request.liquidation else self.request.type.value

    @property
    def original_type(self) -> str:
        """The type that it was sent with."""
        return self.request.sent_type or self.shown_type
