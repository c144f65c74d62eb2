"""Public histories and derived figures: trades, candles, 24-h tickers, funding rates, open interest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.candles import INTERVALS, close_of
from mm_exchange.errors import VenueError, invalid_parameter
from mm_exchange.funding import CAP, RATES
from mm_exchange.payloads import percent
from mm_exchange.scales import MONEY, Scale

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.api.core import Call
    from mm_exchange.api.params import Params
    from mm_exchange.candles import Candle, Minutes
    from mm_exchange.market import Trade
    from mm_exchange.rules import SymbolRules
    from mm_exchange.statistics import SymbolStatistics

_LONGEST_AGGREGATES_MS = 3600 * 1000
_MOST_CANDLES = 1500


def _figures(call: Call, name: str = "symbol") -> SymbolStatistics:
    return call.api.statistics.of(call.venue.listing(call.params.need(name)).rules.symbol)


def _limit(params: Params, *, default: int = 500, most: int = 1000) -> int:
    limit = params.integer("limit")
    if limit == 0:
        raise invalid_parameter("limit")
    return min(limit or default, most)


def _trade_rows(trades: list[Trade], rules: SymbolRules) -> list[dict[str, Any]]:
    return [
        {
            "id": trade.trade_id, "price": rules.prices.text(trade.price),
            "qty": rules.quantities.text(trade.quantity),
            "quoteQty": MONEY.text(rules.notional(trade.price, trade.quantity)),
            "time": trade.transaction_ms, "isBuyerMaker": trade.buyer_is_maker, "isRPITrade": False,
        }
        for trade in trades
    ]  # fmt: skip


def trades(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/trades: the latest public trades."""
    figures = _figures(call)
    return _trade_rows(figures.last_trades(_limit(call.params)), figures.listing.rules)


def historical_trades(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/historicalTrades: the latest ones, or from `fromId` on (the last thousand are remembered)."""
    figures = _figures(call)
    kept = figures.last_trades(_limit(call.params), from_id=call.params.integer("fromId"))
    return _trade_rows(kept, figures.listing.rules)


def aggregate_trades(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/aggTrades: the latest, from `fromId` on, or within times (at most an hour when both are sent)."""
    params, figures = call.params, _figures(call)
    from_id, start, end = params.integer("fromId"), params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and not 0 <= end - start <= _LONGEST_AGGREGATES_MS:
        raise (
            VenueError(-4188, "More than 1 hour between startTime and endTime.")
            if end >= start
            else (VenueError(-1130, "Data sent for parameter 'endTime' is not valid."))
        )
    rules = figures.listing.rules
    chosen = [
        trade
        for trade in figures.aggregates
        if trade.aggregate_id >= (from_id or 0)
        and (start or 0) <= trade.time_ms
        and (end is None or trade.time_ms <= end)
    ]
    limit = _limit(params)
    # With a place to start from the venue pages forward; otherwise it shows the latest.
    rows = chosen[:limit] if from_id is not None or start is not None else chosen[-limit:]
    return [
        {"a": row.aggregate_id, "p": rules.prices.text(row.price), "q": rules.quantities.text(row.quantity),
         "nq": rules.quantities.text(row.quantity), "f": row.first_id, "l": row.last_id, "T": row.time_ms,
         "m": row.buyer_is_maker}
        for row in rows
    ]  # fmt: skip


def candles_weight(params: Params) -> int:
    """1, 2, 5 or 10 by the number of candles."""
    limit = params.integer("limit") or 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def klines(call: Call) -> list[list[Any]]:
    """GET /fapi/v1/klines."""
    figures = _figures(call)
    return _traded(call, figures)


def continuous_klines(call: Call) -> list[list[Any]]:
    """GET /fapi/v1/continuousKlines of a pair: only perpetual contracts are listed here."""
    if call.params.need("contractType").upper() != "PERPETUAL":
        raise VenueError(-1130, "Data sent for parameter 'contractType' is not valid: only PERPETUAL is listed here.")
    return _traded(call, _figures(call, "pair"))


def _traded(call: Call, figures: SymbolStatistics) -> list[list[Any]]:
    rules = figures.listing.rules
    quantity = rules.quantities.text

    def sums(candle: Candle) -> tuple[Any, ...]:
        return (quantity(candle.volume), MONEY.text(candle.quote), candle.count, quantity(candle.taker_volume),
                MONEY.text(candle.taker_quote))  # fmt: skip

    return _rows(call, figures.traded, rules.prices, sums=sums)


def _no_sums(_candle: Candle) -> tuple[Any, ...]:
    # The venue counts the samples of a price that is not traded; nobody can rely on how many there are.
    return "0", "0", 60, "0", "0"


def mark_klines(call: Call) -> list[list[Any]]:
    """GET /fapi/v1/markPriceKlines: the mark price, sampled every second."""
    figures = _figures(call)
    return _rows(call, figures.mark, figures.listing.rules.prices, sums=_no_sums)


def index_klines(call: Call) -> list[list[Any]]:
    """GET /fapi/v1/indexPriceKlines of a pair: the index price, sampled every second."""
    return _rows(call, _figures(call, "pair").index, MONEY, sums=_no_sums)


def premium_klines(call: Call) -> list[list[Any]]:
    """GET /fapi/v1/premiumIndexKlines: how far the mark price is from the index, as a ratio."""
    return _rows(call, _figures(call).premium, MONEY, sums=_no_sums)


def _rows(call: Call, minutes: Minutes, prices: Scale, *, sums: Callable[[Candle], tuple[Any, ...]]) -> list[list[Any]]:
    params = call.params
    interval = params.need("interval")
    if interval not in INTERVALS:
        raise VenueError(-1120, "Invalid interval.")
    start, end = params.integer("startTime"), params.integer("endTime")
    limit = _limit(params, most=_MOST_CANDLES)
    found = [
        candle
        for candle in minutes.folded(interval, call.now_ms)
        if (start or 0) <= candle.open_ms and (end is None or candle.open_ms <= end)
    ]
    rows = []
    for candle in found[:limit] if start is not None else found[-limit:]:
        volume, quote, count, taker_volume, taker_quote = sums(candle)
        rows.append([
            candle.open_ms, prices.text(candle.open), prices.text(candle.high), prices.text(candle.low),
            prices.text(candle.close), volume, close_of(interval, candle.open_ms), quote, count, taker_volume,
            taker_quote, "0",
        ])  # fmt: skip
    return rows


def day_ticker(call: Call) -> Any:
    """GET /fapi/v1/ticker/24hr; a list without a symbol."""
    if call.params.get("symbol") is not None:
        return _day_ticker(_figures(call), call.now_ms)
    return [_day_ticker(figures, call.now_ms) for figures in call.api.statistics.every()]


def _day_ticker(figures: SymbolStatistics, now_ms: int) -> dict[str, Any]:
    shown, rules = figures.day(now_ms), figures.listing.rules
    price, quantity, day = rules.prices.text, rules.quantities.text, shown.day
    change = day.close - day.open
    return {
        "symbol": rules.symbol, "priceChange": price(change), "priceChangePercent": percent(change, day.open),
        "weightedAvgPrice": price(shown.weighted_price), "lastPrice": price(day.close),
        "lastQty": quantity(shown.close_quantity), "openPrice": price(day.open), "highPrice": price(day.high),
        "lowPrice": price(day.low), "volume": quantity(day.volume), "quoteVolume": MONEY.text(day.quote),
        "openTime": day.open_ms, "closeTime": shown.close_ms, "firstId": day.first_id, "lastId": day.last_id,
        "count": day.count,
    }  # fmt: skip


def funding_rates(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/fundingRate: what was settled, of one symbol or of all, oldest first."""
    params = call.params
    symbol, start, end = params.get("symbol"), params.integer("startTime"), params.integer("endTime")
    listings = [call.venue.listing(symbol)] if symbol is not None else list(call.venue.listings.values())
    found = sorted(
        (settled.time_ms, listing.rules.symbol, settled.rate, listing.rules.prices.decimal(settled.mark))
        for listing in listings
        for settled in listing.funding.history
        if (start or 0) <= settled.time_ms and (end is None or settled.time_ms <= end)
    )  # fmt: skip
    limit = _limit(params, default=100)
    return [
        {"symbol": name, "fundingRate": RATES.text(rate), "fundingTime": time_ms, "markPrice": f"{mark:.8f}"}
        for time_ms, name, rate, mark in (found[:limit] if start is not None else found[-limit:])
    ]


def funding_terms(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/fundingInfo: cap, floor and interval of every symbol."""
    cap = RATES.text(CAP)
    return [
        {"symbol": listing.rules.symbol, "adjustedFundingRateCap": cap, "adjustedFundingRateFloor": f"-{cap}",
         "fundingIntervalHours": max(1, listing.funding.interval_ms // 3_600_000), "disclaimer": False}
        for listing in call.venue.listings.values()
    ]  # fmt: skip


def open_interest(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/openInterest: what this exchange's accounts hold long; the recorded market's is not known."""
    rules = call.venue.listing(call.params.symbol()).rules
    held = [trading.account.positions.get(rules.symbol) for trading in call.venue.trading.values()]
    long = sum(max(0, position.quantity) for position in held if position is not None)
    return {"openInterest": rules.quantities.text(long), "symbol": rules.symbol, "time": call.now_ms}
