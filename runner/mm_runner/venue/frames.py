"""The venue's stream frames as it spells them; `wire` turns them into events of the core.

Market prices are read as floats (the book makes ticks of them in the pass that checks them), amounts of orders and money as exact decimals.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

_ZERO: Final = Decimal(0)


class Frame(msgspec.Struct, tag_field="e", gc=False):
    """Any event: told apart by `e`."""


class DepthUpdate(Frame, tag="depthUpdate", gc=False):
    """Levels that changed."""

    symbol: str = msgspec.field(name="s")
    first: int = msgspec.field(name="U")
    last: int = msgspec.field(name="u")
    previous: int = msgspec.field(name="pu")
    bids: list[tuple[float, float]] = msgspec.field(name="b")
    asks: list[tuple[float, float]] = msgspec.field(name="a")
    event_ms: int = msgspec.field(name="E", default=0)


class BookTicker(Frame, tag="bookTicker", gc=False):
    """Best bid and ask."""

    symbol: str = msgspec.field(name="s")
    update_id: int = msgspec.field(name="u")
    bid: float = msgspec.field(name="b")
    bid_quantity: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_quantity: float = msgspec.field(name="A")
    event_ms: int = msgspec.field(name="E", default=0)


class AggTrade(Frame, tag="aggTrade", gc=False):
    """Fills of one taker at one price."""

    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="a")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")
    event_ms: int = msgspec.field(name="E", default=0)


class Trade(Frame, tag="trade", gc=False):
    """One fill."""

    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="t")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")
    event_ms: int = msgspec.field(name="E", default=0)


class MarkPriceUpdate(Frame, tag="markPriceUpdate", gc=False):
    """Mark price and funding."""

    symbol: str = msgspec.field(name="s")
    mark: float = msgspec.field(name="p")
    funding_rate: str | float = msgspec.field(name="r", default="")  # empty on delivery contracts
    next_funding_ms: int = msgspec.field(name="T", default=0)
    event_ms: int = msgspec.field(name="E", default=0)


MarketFrame = DepthUpdate | BookTicker | AggTrade | Trade | MarkPriceUpdate


class WrappedMarket(msgspec.Struct, gc=False):
    """A market frame of a combined stream."""

    data: MarketFrame


class Order(msgspec.Struct, gc=False):
    """The order of an ORDER_TRADE_UPDATE."""

    symbol: str = msgspec.field(name="s")
    client_order_id: str = msgspec.field(name="c")
    side: str = msgspec.field(name="S")
    quantity: Decimal = msgspec.field(name="q")
    price: Decimal = msgspec.field(name="p")
    execution_type: str = msgspec.field(name="x")
    status: str = msgspec.field(name="X")
    order_id: int = msgspec.field(name="i")
    executed: Decimal = msgspec.field(name="z")
    last_quantity: Decimal = msgspec.field(name="l", default=_ZERO)
    last_price: Decimal = msgspec.field(name="L", default=_ZERO)
    commission_asset: str | None = msgspec.field(name="N", default=None)
    commission: Decimal = msgspec.field(name="n", default=_ZERO)
    trade_id: int = msgspec.field(name="t", default=0)
    maker: bool = msgspec.field(name="m", default=False)
    reduce_only: bool = msgspec.field(name="R", default=False)
    realized_pnl: Decimal = msgspec.field(name="rp", default=_ZERO)


class OrderTradeUpdate(Frame, tag="ORDER_TRADE_UPDATE", gc=False):
    """Something happened to an order."""

    order: Order = msgspec.field(name="o")
    event_ms: int = msgspec.field(name="E", default=0)
    transaction_ms: int = msgspec.field(name="T", default=0)


class Balance(msgspec.Struct, gc=False):
    """One asset's wallet."""

    asset: str = msgspec.field(name="a")
    wallet: Decimal = msgspec.field(name="wb")


class Position(msgspec.Struct, gc=False):
    """One symbol's position."""

    symbol: str = msgspec.field(name="s")
    amount: Decimal = msgspec.field(name="pa")
    entry_price: Decimal = msgspec.field(name="ep")
    side: str = msgspec.field(name="ps", default="BOTH")


class Account(msgspec.Struct, gc=False):
    """The body of an ACCOUNT_UPDATE."""

    reason: str = msgspec.field(name="m", default="")
    balances: list[Balance] = msgspec.field(name="B", default_factory=list)
    positions: list[Position] = msgspec.field(name="P", default_factory=list)


class AccountUpdate(Frame, tag="ACCOUNT_UPDATE", gc=False):
    """Balances or positions moved."""

    account: Account = msgspec.field(name="a")
    event_ms: int = msgspec.field(name="E", default=0)
    transaction_ms: int = msgspec.field(name="T", default=0)


class LeverageChange(msgspec.Struct, gc=False):
    """One symbol's leverage."""

    symbol: str = msgspec.field(name="s")
    leverage: int = msgspec.field(name="l")


class AccountConfigUpdate(Frame, tag="ACCOUNT_CONFIG_UPDATE", gc=False):
    """Somebody changed leverage or the multi-asset mode."""

    leverage: LeverageChange | None = msgspec.field(name="ac", default=None)


class ListenKeyExpired(Frame, tag="listenKeyExpired", gc=False):
    """The stream's key ended."""

    listen_key: str = msgspec.field(name="listenKey", default="")


UserFrame = OrderTradeUpdate | AccountUpdate | AccountConfigUpdate | ListenKeyExpired


class WrappedUser(msgspec.Struct, gc=False):
    """A user frame of a combined stream."""

    data: UserFrame
