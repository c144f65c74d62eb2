"""The JSON of market streams, field for field as the venue sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.api.public import premium
from mm_exchange.candles import close_of
from mm_exchange.scales import MONEY

if TYPE_CHECKING:
    from mm_exchange.candles import Candle
    from mm_exchange.market import DepthUpdate, Touch, Trade
    from mm_exchange.rules import SymbolRules
    from mm_exchange.statistics import AggregateTrade, DayFigures
    from mm_exchange.venue import Listing


def _rows(levels: Any, rules: SymbolRules) -> list[tuple[str, str]]:
    price, quantity = rules.prices.text, rules.quantities.text
    return [(price(at), quantity(size)) for at, size in levels]


def depth_payload(event: DepthUpdate, rules: SymbolRules) -> dict[str, Any]:
    """A diff depth frame."""
    return {
        "e": "depthUpdate", "E": event.event_ms, "T": event.transaction_ms, "s": event.symbol,
        "U": event.first_id, "u": event.last_id, "pu": event.previous_id,
        "b": _rows(event.bids, rules), "a": _rows(event.asks, rules),
    }  # fmt: skip


def partial_payload(listing: Listing, levels: int, *, now_ms: int) -> dict[str, Any]:
    """A partial book frame: the best levels, absolute."""
    book, rules = listing.market.book, listing.rules
    last = book.last_update_id
    return {
        "e": "depthUpdate", "E": now_ms, "T": listing.market.event_ms, "s": rules.symbol, "U": last, "u": last,
        "pu": last, "b": _rows(book.bids(levels), rules), "a": _rows(book.asks(levels), rules),
    }  # fmt: skip


def touch_payload(touch: Touch, rules: SymbolRules) -> dict[str, Any]:
    """A bookTicker frame."""
    price, quantity = rules.prices.text, rules.quantities.text
    return {
        "e": "bookTicker", "u": touch.update_id, "s": touch.symbol, "b": price(touch.bid),
        "B": quantity(touch.bid_quantity), "a": price(touch.ask), "A": quantity(touch.ask_quantity),
        "T": touch.transaction_ms, "E": touch.event_ms,
    }  # fmt: skip


def trade_payload(trade: Trade, rules: SymbolRules) -> dict[str, Any]:
    """A trade frame."""
    return {
        "e": "trade", "E": trade.event_ms, "T": trade.transaction_ms, "s": trade.symbol, "t": trade.trade_id,
        "p": rules.prices.text(trade.price), "q": rules.quantities.text(trade.quantity),
        "X": "MARKET" if trade.market else "INSURANCE_FUND", "m": trade.buyer_is_maker,
    }  # fmt: skip


def aggregate_payload(trade: AggregateTrade, rules: SymbolRules) -> dict[str, Any]:
    """An aggTrade frame of the fills of one taker order at one price."""
    quantity = rules.quantities.text(trade.quantity)
    return {
        "e": "aggTrade", "E": trade.event_ms, "s": rules.symbol, "a": trade.aggregate_id,
        "p": rules.prices.text(trade.price), "q": quantity, "nq": quantity, "f": trade.first_id,
        "l": trade.last_id, "T": trade.time_ms, "m": trade.buyer_is_maker,
    }  # fmt: skip


def mark_payload(listing: Listing, now_ms: int) -> dict[str, Any]:
    """A markPrice frame."""
    shown = premium(listing, now_ms)
    return {
        "e": "markPriceUpdate", "E": now_ms, "s": shown["symbol"], "p": shown["markPrice"],
        "ap": shown["markPrice"], "P": shown["estimatedSettlePrice"], "i": shown["indexPrice"],
        "r": shown["lastFundingRate"], "T": shown["nextFundingTime"],
    }  # fmt: skip


def _candle(candle: Candle, interval: str, *, rules: SymbolRules, closed: bool) -> dict[str, Any]:
    price, quantity = rules.prices.text, rules.quantities.text
    return {
        "t": candle.open_ms, "T": close_of(interval, candle.open_ms), "i": interval, "f": candle.first_id,
        "L": candle.last_id, "o": price(candle.open), "c": price(candle.close), "h": price(candle.high),
        "l": price(candle.low), "v": quantity(candle.volume), "n": candle.count, "x": closed,
        "q": MONEY.text(candle.quote), "V": quantity(candle.taker_volume), "Q": MONEY.text(candle.taker_quote),
        "B": "0",
    }  # fmt: skip


def kline_payload(
    candle: Candle, interval: str, *, rules: SymbolRules, now_ms: int, closed: bool = False
) -> dict[str, Any]:
    """A kline frame; `closed` once its span is over."""
    shown = _candle(candle, interval, rules=rules, closed=closed)
    return {"e": "kline", "E": now_ms, "s": rules.symbol, "k": shown | {"s": rules.symbol}}


def continuous_kline_payload(
    candle: Candle, interval: str, *, rules: SymbolRules, now_ms: int, closed: bool = False
) -> dict[str, Any]:
    """A continuous_kline frame of a pair's perpetual contract."""
    shown = _candle(candle, interval, rules=rules, closed=closed)
    return {"e": "continuous_kline", "E": now_ms, "ps": rules.symbol, "ct": "PERPETUAL", "k": shown}


def mini_ticker_payload(figures: DayFigures, rules: SymbolRules, *, now_ms: int) -> dict[str, Any]:
    """A 24hrMiniTicker frame."""
    price, quantity, day = rules.prices.text, rules.quantities.text, figures.day
    return {
        "e": "24hrMiniTicker", "E": now_ms, "s": rules.symbol, "c": price(day.close), "o": price(day.open),
        "h": price(day.high), "l": price(day.low), "v": quantity(day.volume), "q": MONEY.text(day.quote),
    }  # fmt: skip


def ticker_payload(figures: DayFigures, rules: SymbolRules, *, now_ms: int) -> dict[str, Any]:
    """A 24hrTicker frame."""
    price, quantity, day = rules.prices.text, rules.quantities.text, figures.day
    change = day.close - day.open
    return {
        "e": "24hrTicker", "E": now_ms, "s": rules.symbol, "p": price(change), "P": percent(change, day.open),
        "w": price(figures.weighted_price), "c": price(day.close), "Q": quantity(figures.close_quantity),
        "o": price(day.open), "h": price(day.high), "l": price(day.low), "v": quantity(day.volume),
        "q": MONEY.text(day.quote), "O": day.open_ms, "C": figures.close_ms, "F": day.first_id, "L": day.last_id,
        "n": day.count,
    }  # fmt: skip


def percent(change: int, base: int) -> str:
    """A change in percent of a base, with the venue's three decimals."""
    return f"{100 * change / base:.3f}" if base else "0.000"
