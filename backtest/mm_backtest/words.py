"""From the exchange's market events to the messages that the engine's venue adapter would make of its frames.

The same numbers come out as over the wire: an integer divided by a power of ten is the float nearest to the decimal, and so is what a decoder reads.
"""

from __future__ import annotations

from mm_exchange.market import DepthUpdate, MarketEvent, Touch, Trade
from mm_exchange.rules import SymbolRules
from mm_runner.core import messages


class Words:
    """One symbol's translator.

    Args:
        rules: the scales of prices and quantities.
    """

    def __init__(self, rules: SymbolRules) -> None:
        self._price = rules.prices.one
        self._quantity = rules.quantities.one

    def of(self, event: MarketEvent) -> messages.Event | None:
        """The engine's message; None for a snapshot, which no stream carries."""
        kind = type(event)
        if kind is Touch:
            return self.touch(event)  # type: ignore[arg-type]
        if kind is Trade:
            return self._trade(event)  # type: ignore[arg-type]
        if kind is DepthUpdate:
            return self._depth(event)  # type: ignore[arg-type]
        return None

    def touch(self, event: Touch) -> messages.Event:
        """A bookTicker, which most events are."""
        price, quantity = self._price, self._quantity
        return messages.BookTicker(
            update_id=event.update_id,
            bid=event.bid / price,
            bid_quantity=event.bid_quantity / quantity,
            ask=event.ask / price,
            ask_quantity=event.ask_quantity / quantity,
            event_ms=event.event_ms,
        )

    def _trade(self, event: Trade) -> messages.Event:
        return messages.Trade(
            price=event.price / self._price,
            quantity=event.quantity / self._quantity,
            buyer_is_maker=event.buyer_is_maker,
            event_ms=event.event_ms,
        )

    def _depth(self, event: DepthUpdate) -> messages.Event:
        price, quantity = self._price, self._quantity
        return messages.DepthDiff(
            first_update_id=event.first_id,
            last_update_id=event.last_id,
            previous_update_id=event.previous_id,
            bids=[(at / price, size / quantity) for at, size in event.bids],
            asks=[(at / price, size / quantity) for at, size in event.asks],
            event_ms=event.event_ms,
        )
