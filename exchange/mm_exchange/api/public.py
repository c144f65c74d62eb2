"""Market data and rules: the endpoints that need no key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.errors import VenueError
from mm_exchange.funding import INTEREST, RATES, rate_text
from mm_exchange.scales import MONEY, plain
from mm_exchange.views import ORDER_TYPES, TIMES_IN_FORCE

if TYPE_CHECKING:
    from mm_exchange.api.core import Call
    from mm_exchange.api.params import Params
    from mm_exchange.limits import LimitValues
    from mm_exchange.rules import SymbolRules
    from mm_exchange.venue import Listing

_DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
_PERPETUAL_DELIVERY_MS = 4_133_404_800_000
_ONBOARD_MS = 1_569_398_400_000


def ping(_call: Call) -> dict[str, Any]:
    """GET /fapi/v1/ping."""
    return {}


def time(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/time."""
    return {"serverTime": call.now_ms + call.api.skew_ms}


def exchange_info(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/exchangeInfo: rate limits, assets, and each symbol's filters."""
    listings = list(call.venue.listings.values())
    quotes = sorted({listing.rules.quote for listing in listings})
    return {
        "exchangeFilters": [],
        "rateLimits": rate_limits(call.api.limits),
        "serverTime": call.now_ms + call.api.skew_ms,
        "assets": [{"asset": quote, "marginAvailable": True, "autoAssetExchange": "-10000"} for quote in quotes],
        "symbols": [_symbol(listing.rules) for listing in listings],
        "timezone": "UTC",
        "futuresType": "U_MARGINED",
    }


def rate_limits(limits: LimitValues) -> list[dict[str, Any]]:
    """The limits in exchangeInfo's form."""
    rows = (("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute),
            ("ORDERS", "MINUTE", 1, limits.orders_per_minute),
            ("ORDERS", "SECOND", 10, limits.orders_per_10s))  # fmt: skip
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}
        for kind, interval, count, limit in rows
    ]


def _symbol(rules: SymbolRules) -> dict[str, Any]:
    prices, quantities = rules.prices, rules.quantities
    step = quantities.text(rules.step)
    smallest = quantities.text(rules.min_quantity)
    return {
        "symbol": rules.symbol, "pair": rules.symbol, "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_DELIVERY_MS, "onboardDate": _ONBOARD_MS, "status": "TRADING",
        "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000", "baseAsset": rules.base,
        "quoteAsset": rules.quote, "marginAsset": rules.quote, "pricePrecision": rules.price_decimals,
        "quantityPrecision": rules.quantity_decimals, "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "underlyingSubType": [], "settlePlan": 0, "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": prices.text(rules.min_price),
             "maxPrice": prices.text(rules.max_price), "tickSize": prices.text(rules.tick)},
            {"filterType": "LOT_SIZE", "minQty": smallest, "maxQty": quantities.text(rules.max_quantity),
             "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": smallest,
             "maxQty": quantities.text(rules.max_market_quantity), "stepSize": step},
            {"filterType": "MAX_NUM_ORDERS", "limit": rules.max_orders},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": rules.max_algo_orders},
            {"filterType": "MIN_NOTIONAL", "notional": f"{MONEY.decimal(rules.min_notional).normalize():f}"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": str(rules.multiplier_up),
             "multiplierDown": str(rules.multiplier_down), "multiplierDecimal": "4"},
        ],
        "orderTypes": list(ORDER_TYPES), "timeInForce": list(TIMES_IN_FORCE),
    }  # fmt: skip


def depth_weight(params: Params) -> int:
    """2, 5, 10 or 20 by the number of levels."""
    limit = params.integer("limit") or 500
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def depth(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/depth: the displayed book with the update id it stands at."""
    listing = call.venue.listing(call.params.symbol())
    limit = call.params.integer("limit") or 500
    if limit not in _DEPTH_LIMITS:
        raise VenueError(-4021, f"Illegal parameter 'limit', only {_DEPTH_LIMITS} are valid.")
    price, quantity = listing.rules.prices.text, listing.rules.quantities.text
    book, event_ms = listing.market.book, listing.market.event_ms
    return {
        "lastUpdateId": book.last_update_id,
        "E": event_ms,
        "T": event_ms,
        "bids": [[price(level), quantity(size)] for level, size in book.bids(limit)],
        "asks": [[price(level), quantity(size)] for level, size in book.asks(limit)],
    }


def _each(call: Call, view: Any) -> Any:
    """One object for a symbol, a list of all without."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        return view(call.venue.listing(symbol), call.now_ms)
    return [view(listing, call.now_ms) for listing in call.venue.listings.values()]


def book_ticker(call: Call) -> Any:
    """GET /fapi/v1/ticker/bookTicker; a list without a symbol."""
    return _each(call, _book_ticker)


def _book_ticker(listing: Listing, now_ms: int) -> dict[str, Any]:
    price, quantity = listing.rules.prices.text, listing.rules.quantities.text
    bid, ask = listing.market.best_bid() or (0, 0), listing.market.best_ask() or (0, 0)
    return {
        "symbol": listing.rules.symbol, "bidPrice": price(bid[0]), "bidQty": quantity(bid[1]),
        "askPrice": price(ask[0]), "askQty": quantity(ask[1]), "time": listing.market.event_ms or now_ms,
        "lastUpdateId": listing.market.book.last_update_id,
    }  # fmt: skip


def price_ticker(call: Call) -> Any:
    """GET /fapi/v1/ticker/price and v2; a list without a symbol."""
    return _each(call, _price_ticker)


def _price_ticker(listing: Listing, now_ms: int) -> dict[str, Any]:
    last = listing.market.last_trade
    price = last.price if last is not None else listing.market.mark()
    return {"symbol": listing.rules.symbol, "price": listing.rules.prices.text(price),
            "time": last.transaction_ms if last is not None else now_ms}  # fmt: skip


def premium_index(call: Call) -> Any:
    """GET /fapi/v1/premiumIndex: mark and index price; a list without a symbol."""
    return _each(call, premium)


def premium(listing: Listing, now_ms: int) -> dict[str, Any]:
    """Mark and index of a listing, the funding rate as it stands and when it is settled."""
    prices = listing.rules.prices
    mark = plain(round(prices.decimal(listing.market.mark()), 8))
    index = f"{listing.market.index(now_ms) / prices.one:.8f}"
    return {
        "symbol": listing.rules.symbol, "markPrice": mark, "indexPrice": index, "estimatedSettlePrice": index,
        "lastFundingRate": rate_text(listing), "interestRate": RATES.text(INTEREST),
        "nextFundingTime": listing.funding.next_time_ms(now_ms), "time": now_ms,
    }  # fmt: skip
