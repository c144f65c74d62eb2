"""What the venue derives from its public market for those who ask: aggregated trades, candles and 24-h figures.

Sans-I/O, fed by the stream hub of a served exchange; a backtest that calls `Venue` directly pays nothing for it. A trade
costs two look-ups and a few additions here; everything else is done when somebody reads.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from mm_exchange.candles import MINUTE_MS, Candle, Minutes, fold

if TYPE_CHECKING:
    from mm_exchange.market import Trade
    from mm_exchange.rules import SymbolRules
    from mm_exchange.venue import Listing, Venue

_AGGREGATION_MS = 100
_DAY_MS = 1440 * MINUTE_MS
_SAMPLE_MS = 1000
_KEPT_AGGREGATES = 1000
_FIRST_AGGREGATE_ID = 1_000_001
# Index and premium are no prices of the tick grid: they are kept in 10^-8.
DERIVED_ONE = 10**8


@dataclasses.dataclass(frozen=True, slots=True)
class AggregateTrade:
    """The fills of one taker order at one price: same time, price and side."""

    aggregate_id: int
    price: int
    quantity: int
    first_id: int
    last_id: int
    time_ms: int
    event_ms: int
    buyer_is_maker: bool


@dataclasses.dataclass(frozen=True, slots=True)
class DayFigures:
    """The rolling 24 hours of a symbol, in units. `close_quantity` is the last trade's."""

    day: Candle
    close_quantity: int
    close_ms: int
    weighted_price: int


class SymbolStatistics:
    """The derived figures of one symbol."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.traded = Minutes()
        self.mark = Minutes()
        self.index = Minutes()
        self.premium = Minutes()
        self.aggregates: deque[AggregateTrade] = deque(maxlen=_KEPT_AGGREGATES)
        # Trades since the exchange started: what changes when a candle or a 24-h figure does.
        self.trades = 0
        self._group: list[Trade] = []
        self._group_due_ms = 0
        self._next_aggregate_id = _FIRST_AGGREGATE_ID
        # The closed minutes of the rolling day, folded once a minute.
        self._closed: tuple[tuple[int, int], Candle | None] = ((-1, -1), None)

    def on_trade(self, trade: Trade, now_ms: int) -> AggregateTrade | None:
        """Take a trade over; the aggregate that it ended, if it did."""
        self._count(trade)
        if not trade.market:
            # Prints of the insurance fund and of ADL are no taker's order.
            return None
        ended = None
        if self._group and _key(self._group[-1]) != _key(trade):
            ended = self._end_group()
        if not self._group:
            self._group_due_ms = now_ms + _AGGREGATION_MS
        self._group.append(trade)
        return ended

    def _count(self, trade: Trade) -> None:
        self.trades += 1
        candle = self.traded.at(trade.transaction_ms, trade.price)
        quote = self.listing.rules.notional(trade.price, trade.quantity)
        candle.volume += trade.quantity
        candle.quote += quote
        candle.count += 1
        candle.last_id = trade.trade_id
        if candle.first_id < 0:
            candle.first_id = trade.trade_id
        if not trade.buyer_is_maker:
            candle.taker_volume += trade.quantity
            candle.taker_quote += quote

    def due(self, now_ms: int) -> AggregateTrade | None:
        """The open aggregate, when it has waited long enough for more fills."""
        return self._end_group() if self._group and self._group_due_ms <= now_ms else None

    def _end_group(self) -> AggregateTrade:
        group, self._group = self._group, []
        first, last = group[0], group[-1]
        made = AggregateTrade(
            self._next_aggregate_id, first.price, sum(trade.quantity for trade in group), first.trade_id,
            last.trade_id, last.transaction_ms, last.event_ms, first.buyer_is_maker,
        )  # fmt: skip
        self._next_aggregate_id += 1
        self.aggregates.append(made)
        return made

    def sample(self, now_ms: int) -> None:
        """Note mark price, index price and premium of now."""
        market, rules = self.listing.market, self.listing.rules
        mark = market.mark()
        if not mark:
            return
        index = market.index(now_ms)
        self.mark.at(now_ms, mark)
        self.index.at(now_ms, round(index / rules.prices.one * DERIVED_ONE))
        self.premium.at(now_ms, round((mark - index) / index * DERIVED_ONE) if index else 0)

    def last_trades(self, limit: int, *, from_id: int | None = None) -> list[Trade]:
        """Public trades, oldest first: the newest `limit`, or from an id on."""
        recent = self.listing.market.recent_trades
        if from_id is None:
            return list(islice(recent, max(0, len(recent) - limit), None))
        return list(islice((trade for trade in recent if trade.trade_id >= from_id), limit))

    def day(self, now_ms: int) -> DayFigures:
        """The rolling 24 hours: to the minute, as candles are kept."""
        listing = self.listing
        start = now_ms - now_ms % MINUTE_MS - _DAY_MS + MINUTE_MS
        open_minute = self.traded.last
        span = (start, open_minute.open_ms if open_minute is not None else -1)
        if self._closed[0] != span:
            closed = (minute for minute in self.traded.since(start) if minute is not open_minute)
            self._closed = (span, fold(closed, start))
        day = dataclasses.replace(self._closed[1]) if self._closed[1] is not None else None
        if open_minute is not None and open_minute.open_ms >= start:
            if day is None:
                day = dataclasses.replace(open_minute, open_ms=start)
            else:
                day.absorb(open_minute)
        last = listing.market.last_trade
        if day is None:
            price = last.price if last is not None else listing.market.mark()
            day = Candle(start, price, price, price, price)
        weighted = round(day.quote * listing.rules.quantities.one * listing.rules.prices.one
                         / (day.volume * 10**8)) if day.volume else 0  # fmt: skip
        return DayFigures(day, last.quantity if last is not None else 0, now_ms, weighted)


class Statistics:
    """The derived figures of every symbol of a venue, made on first use."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._symbols: dict[str, SymbolStatistics] = {}
        self._sample_due_ms = 0

    def of(self, symbol: str) -> SymbolStatistics:
        """The figures of a listed symbol; raises the venue's -1121 for any other."""
        found = self._symbols.get(symbol)
        if found is None:
            found = self._symbols[symbol] = SymbolStatistics(self._venue.listing(symbol))
        return found

    def every(self) -> list[SymbolStatistics]:
        """The figures of all listed symbols."""
        return [self.of(symbol) for symbol in self._venue.listings]

    def due(self, now_ms: int) -> list[tuple[SymbolRules, AggregateTrade]]:
        """Aggregates that have waited long enough for more fills."""
        ended = ((figures.listing.rules, figures.due(now_ms)) for figures in self._symbols.values())
        return [(rules, trade) for rules, trade in ended if trade is not None]

    def tick(self, now_ms: int) -> None:
        """Sample mark and index prices once a second."""
        if now_ms < self._sample_due_ms:
            return
        self._sample_due_ms = now_ms + _SAMPLE_MS
        for figures in self.every():
            figures.sample(now_ms)


def _key(trade: Trade) -> tuple[int, int, bool]:
    return trade.transaction_ms, trade.price, trade.buyer_is_maker
