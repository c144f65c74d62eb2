"""Request budgets: what the venue says we have used, what we may still use, and bans.

Weight is counted per egress IP and shared by every engine behind it, orders per account; both numbers come back with each answer, so no local
guess is kept beyond the running window. Pure: headers and instants in, permissions out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

_MINUTE_MS: Final = 60_000
_TEN_SECONDS_MS: Final = 10_000
_NS: Final = 1_000_000_000


class Urgency(Enum):
    """How a request stands to a spent budget."""

    ORDER = "order"
    """A new order: refused locally when weight or order count is spent."""
    ESSENTIAL = "essential"
    """Cancels, proofs, the dead-man switch: only a ban stops them."""
    DEFERRABLE = "deferrable"
    """Everything that can wait a minute."""


@dataclass(slots=True)
class Window:
    """One counter of the venue: its value holds until the venue's window ends."""

    length_ms: int
    limit: int
    used: int = 0
    _number: int = field(default=-1)

    def note(self, used: int, venue_ms: int) -> None:
        """Take over a header. A late answer of the same window never lowers the count."""
        number = venue_ms // self.length_ms
        self.used = max(used, self.used) if number == self._number else used
        self._number = max(number, self._number)

    def count(self, amount: int, venue_ms: int) -> None:
        """Count what is being sent until an answer tells better."""
        self.used = self.now(venue_ms) + amount
        self._number = venue_ms // self.length_ms

    def now(self, venue_ms: int) -> int:
        """What is used in the window of this instant."""
        return self.used if venue_ms // self.length_ms == self._number else 0


class Budget:
    """Permissions for one address and account.

    Args:
        share: `spec.exchange.weightShare`, the part of every limit that engines may use.
    """

    def __init__(self, share: float = 0.9) -> None:
        self.share = share
        self.weight = Window(_MINUTE_MS, 2400)
        self.orders_10s = Window(_TEN_SECONDS_MS, 300)
        self.orders_1m = Window(_MINUTE_MS, 1200)
        self.banned_until_boot_ns = 0
        self.ban_code = 0

    def set_limits(self, *, weight: int = 0, orders_10s: int = 0, orders_1m: int = 0) -> None:
        """Limits as `exchangeInfo` states them; 0 leaves one alone."""
        self.weight.limit = weight or self.weight.limit
        self.orders_10s.limit = orders_10s or self.orders_10s.limit
        self.orders_1m.limit = orders_1m or self.orders_1m.limit

    def note(self, headers: Mapping[str, str], venue_ms: int) -> None:
        """Take over the counters of an answer; absent or unreadable ones are passed over."""
        for name, window in (
            ("X-MBX-USED-WEIGHT-1M", self.weight),
            ("X-MBX-ORDER-COUNT-10S", self.orders_10s),
            ("X-MBX-ORDER-COUNT-1M", self.orders_1m),
        ):
            value = headers.get(name, "")
            if value.isdigit():
                window.note(int(value), venue_ms)

    def ban(self, *, code: int, seconds: float, boot_ns: int) -> int:
        """A 429 or 418 was answered; returns until when (boot clock) nothing is sent. A longer ban is never shortened."""
        self.banned_until_boot_ns = max(self.banned_until_boot_ns, boot_ns + int(seconds * _NS))
        self.ban_code = code
        return self.banned_until_boot_ns

    def obstacle(self, urgency: Urgency, weight: int, *, venue_ms: int, boot_ns: int) -> str:
        """Why this request may not be sent now; empty where it may."""
        if boot_ns < self.banned_until_boot_ns:
            seconds = (self.banned_until_boot_ns - boot_ns) / _NS
            return f"obeying HTTP {self.ban_code} for another {seconds:.1f} s"
        if urgency is Urgency.ESSENTIAL:
            return ""
        if self.weight.now(venue_ms) + weight > self.share * self.weight.limit:
            return f"weight budget spent: {self.weight.now(venue_ms)} of {self.weight.limit} a minute"
        if urgency is Urgency.ORDER:
            for window in (self.orders_10s, self.orders_1m):
                if window.now(venue_ms) + 1 > self.share * window.limit:
                    return (
                        f"order budget spent: {window.now(venue_ms)} of {window.limit} in {window.length_ms // 1000} s"
                    )
        return ""

    def sending(self, urgency: Urgency, weight: int, *, venue_ms: int) -> None:
        """Count a request that leaves now."""
        self.weight.count(weight, venue_ms)
        if urgency is Urgency.ORDER:
            self.orders_10s.count(1, venue_ms)
            self.orders_1m.count(1, venue_ms)
