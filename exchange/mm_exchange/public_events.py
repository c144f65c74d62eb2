"""What everybody may hear beside market data: liquidations. Collected by the venue for `Venue.drain_public()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mm_exchange.user_events import average_price

if TYPE_CHECKING:
    from mm_exchange.orders import Order


class ForceOrder(msgspec.Struct, frozen=True, gc=False):
    """A liquidation order that was executed (`<symbol>@forceOrder`). `order` is final by then."""

    symbol: str
    now_ms: int
    order: Order

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON object as sent."""
        order = self.order
        filled = order.rules.quantities.text(order.filled)
        detail = {
            "s": self.symbol, "S": order.request.side.value, "o": order.request.type.value,
            "f": order.request.time_in_force.value, "q": order.rules.quantities.text(order.quantity),
            "p": order.rules.prices.text(order.price), "ap": average_price(order), "X": order.status.value,
            "l": filled, "z": filled, "T": self.now_ms,
        }  # fmt: skip
        return {"e": "forceOrder", "E": self.now_ms, "o": detail}
