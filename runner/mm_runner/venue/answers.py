"""The venue's REST answers as types, and what they mean to the core.

Only the fields that the engine reads are named; the venue may add others at any time. Numbers in quotes are read as exact decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from mm_runner.core.instrument import Instrument, Rounding
from mm_runner.core.messages import OrderState, Side, TradeRecord, VenueStatus
from mm_runner.venue.errors import UnknownError

_T = TypeVar("_T")
_STATUSES: Final = {status.value: status for status in VenueStatus}
_ZERO: Final = Decimal(0)


class ServerTime(msgspec.Struct):
    """`GET time`."""

    serverTime: int  # noqa: N815 - the venue's spelling, here and below


class Depth(msgspec.Struct):
    """`GET depth`; prices and quantities as floats, as the streams' levels."""

    lastUpdateId: int  # noqa: N815
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class OrderAnswer(msgspec.Struct):
    """An order in any REST answer; in a batch a refused item carries `code` and `msg` instead."""

    orderId: int = 0  # noqa: N815
    clientOrderId: str = ""  # noqa: N815
    status: str = ""
    side: str = ""
    price: Decimal = _ZERO
    origQty: Decimal = _ZERO  # noqa: N815
    executedQty: Decimal = _ZERO  # noqa: N815
    avgPrice: Decimal = _ZERO  # noqa: N815
    reduceOnly: bool = False  # noqa: N815
    updateTime: int = 0  # noqa: N815
    code: int = 0
    msg: str = ""


class PositionRisk(msgspec.Struct):
    """`GET positionRisk` (v3 lists only symbols with a position or open orders)."""

    symbol: str
    positionAmt: Decimal  # noqa: N815
    entryPrice: Decimal  # noqa: N815
    positionSide: str = "BOTH"  # noqa: N815
    liquidationPrice: Decimal = _ZERO  # noqa: N815
    unRealizedProfit: Decimal = _ZERO  # noqa: N815
    updateTime: int = 0  # noqa: N815


class AccountAsset(msgspec.Struct):
    """One asset of `GET account`."""

    asset: str
    walletBalance: Decimal  # noqa: N815


class Account(msgspec.Struct):
    """`GET account` (v3)."""

    totalMaintMargin: Decimal = _ZERO  # noqa: N815
    totalMarginBalance: Decimal = _ZERO  # noqa: N815
    assets: list[AccountAsset] = []

    @property
    def margin_ratio(self) -> float:
        """Maintenance margin over margin balance; 0 for an account without either."""
        return float(self.totalMaintMargin / self.totalMarginBalance) if self.totalMarginBalance > 0 else 0.0

    def wallet(self, asset: str) -> Decimal:
        """Wallet balance of one asset."""
        return next((one.walletBalance for one in self.assets if one.asset == asset), _ZERO)


class UserTrade(msgspec.Struct):
    """One of `GET userTrades`."""

    id: int
    orderId: int  # noqa: N815
    side: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815
    realizedPnl: Decimal  # noqa: N815
    maker: bool
    time: int


class CommissionRate(msgspec.Struct):
    """`GET commissionRate`: ratios of the notional."""

    makerCommissionRate: Decimal  # noqa: N815
    takerCommissionRate: Decimal  # noqa: N815


class ListenKeyAnswer(msgspec.Struct):
    """`POST listenKey`. The key is a credential (invariant 8)."""

    listenKey: str = ""  # noqa: N815


class Countdown(msgspec.Struct):
    """`POST countdownCancelAll`; the time comes back as a string or a number."""

    countdownTime: int  # noqa: N815


class LeverageAnswer(msgspec.Struct):
    """`POST leverage`."""

    leverage: int


class PositionMode(msgspec.Struct):
    """`GET positionSide/dual`; True is hedge mode."""

    dualSidePosition: bool  # noqa: N815


class _Filter(msgspec.Struct):
    filterType: str  # noqa: N815
    tickSize: Decimal = _ZERO  # noqa: N815
    minPrice: Decimal = _ZERO  # noqa: N815
    maxPrice: Decimal = _ZERO  # noqa: N815
    stepSize: Decimal = _ZERO  # noqa: N815
    minQty: Decimal = _ZERO  # noqa: N815
    maxQty: Decimal = _ZERO  # noqa: N815
    notional: Decimal = _ZERO
    limit: int = 0
    multiplierUp: Decimal = _ZERO  # noqa: N815
    multiplierDown: Decimal = _ZERO  # noqa: N815


class _Symbol(msgspec.Struct):
    symbol: str
    filters: list[_Filter]
    status: str = "TRADING"
    baseAsset: str = ""  # noqa: N815
    quoteAsset: str = "USDT"  # noqa: N815


class _RateLimit(msgspec.Struct):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int  # noqa: N815
    limit: int


class _ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]  # hundreds on production; only ours is decoded
    rateLimits: list[_RateLimit] = []  # noqa: N815


@dataclass(frozen=True, slots=True)
class Rules:
    """What `exchangeInfo` says of one symbol, and the venue's limits."""

    instrument: Instrument
    weight_limit: int
    orders_10s_limit: int
    orders_1m_limit: int


class SymbolError(ValueError):
    """The venue does not list the symbol, or lists it without the filters that trading needs."""


def decode(body: bytes, kind: type[_T]) -> _T:
    """Read an answer.

    Raises:
        UnknownError: a 200 whose body is not what it should be (HTML, cut short): nobody can tell what was done.
    """
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise UnknownError(f"unusable answer: {type(error).__name__} where {kind} was due") from error


def read_rules(body: bytes, symbol: str) -> Rules:
    """Filters of one symbol and the rate limits.

    Raises:
        UnknownError: not an exchangeInfo.
        SymbolError: the symbol is not there, or is not usable.
    """
    answer = decode(body, _ExchangeInfo)
    quoted = f'"{symbol}"'.encode()
    listed = [decode(bytes(raw), _Symbol) for raw in answer.symbols if quoted in bytes(raw)]
    found = next((one for one in listed if one.symbol == symbol), None)
    if found is None:
        raise SymbolError(f"the venue does not list {symbol}: check spec.symbol and spec.exchange.environment")
    limits = {(one.rateLimitType, one.interval, one.intervalNum): one.limit for one in answer.rateLimits}
    return Rules(
        instrument=_instrument(found),
        weight_limit=limits.get(("REQUEST_WEIGHT", "MINUTE", 1), 0),
        orders_10s_limit=limits.get(("ORDERS", "SECOND", 10), 0),
        orders_1m_limit=limits.get(("ORDERS", "MINUTE", 1), 0),
    )


def _instrument(symbol: _Symbol) -> Instrument:
    filters = {one.filterType: one for one in symbol.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if price is None or lot is None or price.tickSize <= 0 or lot.stepSize <= 0:
        raise SymbolError(f"{symbol.symbol}: exchangeInfo lacks a usable PRICE_FILTER or LOT_SIZE")
    market, notional = filters.get("MARKET_LOT_SIZE"), filters.get("MIN_NOTIONAL")
    percent, orders = filters.get("PERCENT_PRICE"), filters.get("MAX_NUM_ORDERS")
    return Instrument.from_filters(
        symbol.symbol,
        tick_size=price.tickSize.normalize() + 0,
        step_size=lot.stepSize.normalize() + 0,
        min_quantity=lot.minQty,
        max_quantity=lot.maxQty,
        market_max_quantity=market.maxQty if market is not None and market.maxQty > 0 else None,
        min_notional=notional.notional if notional is not None else _ZERO,
        min_price=price.minPrice,
        max_price=price.maxPrice,
        multiplier_up=percent.multiplierUp if percent is not None else _ZERO,
        multiplier_down=percent.multiplierDown if percent is not None else _ZERO,
        max_orders=orders.limit if orders is not None and orders.limit > 0 else 200,
        base_asset=symbol.baseAsset,
        quote_asset=symbol.quoteAsset,
        trading=symbol.status == "TRADING",
    )


def status_of(text: str) -> VenueStatus:
    """The venue's status; a spelling that we do not know leads to a query, never to a guess."""
    return _STATUSES.get(text, VenueStatus.UNKNOWN)


def ticks_of(instrument: Instrument, price: Decimal) -> int:
    """A price of somebody's order or fill as ticks. Rounded, not refused, where the filters drifted: a fill must never be lost for its price."""
    return instrument.round_price(price, Rounding.DOWN)


def lots_of(instrument: Instrument, quantity: Decimal) -> int:
    """A quantity as lots, signed towards zero."""
    lots = instrument.round_quantity(abs(quantity))
    return lots if quantity >= 0 else -lots


def order_state(answer: OrderAnswer, instrument: Instrument) -> OrderState:
    """An order of `GET order` or `GET openOrders` for the core."""
    return OrderState(
        client_order_id=answer.clientOrderId,
        order_id=answer.orderId,
        side=Side(answer.side),
        status=status_of(answer.status),
        price=ticks_of(instrument, answer.price),
        quantity=lots_of(instrument, answer.origQty),
        executed=lots_of(instrument, answer.executedQty),
        average_price=answer.avgPrice,
        reduce_only=answer.reduceOnly,
        update_ms=answer.updateTime,
    )


def trade_records(trades: Sequence[UserTrade], instrument: Instrument) -> tuple[TradeRecord, ...]:
    """Fills of `GET userTrades` for the core."""
    return tuple(
        TradeRecord(
            trade_id=one.id,
            order_id=one.orderId,
            side=Side(one.side),
            price=ticks_of(instrument, one.price),
            quantity=lots_of(instrument, one.qty),
            commission=one.commission,
            commission_asset=one.commissionAsset,
            realized_pnl=one.realizedPnl,
            maker=one.maker,
            time_ms=one.time,
        )
        for one in trades
    )
