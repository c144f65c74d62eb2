"""Request weight per client address and order counts per account, with the venue's escalation 429 to 418.

Sans-I/O. Windows are aligned to the clock's minute (or ten seconds), as the venue's counters are.
"""

from __future__ import annotations

import dataclasses

from mm_exchange.errors import VenueError

# How many requests beyond the limit are answered with 429 before the address is banned.
_PATIENCE = 60
_FIRST_BAN_S = 120
_LONGEST_BAN_S = 3 * 24 * 3600


@dataclasses.dataclass(frozen=True)
class LimitValues:
    """The venue's published limits; tests may make them smaller."""

    weight_per_minute: int = 2400
    orders_per_10s: int = 300
    orders_per_minute: int = 1200


@dataclasses.dataclass(slots=True)
class _Window:
    seconds: int
    start: int = -1
    used: int = 0

    def add(self, amount: int, now_s: int) -> int:
        start = now_s - now_s % self.seconds
        if start != self.start:
            self.start, self.used = start, 0
        self.used += amount
        return self.used


@dataclasses.dataclass(slots=True)
class _Address:
    window: _Window
    refused: int = 0
    banned_until_s: int = 0
    bans: int = 0


class RequestLimits:
    """Weights by client address."""

    def __init__(self, values: LimitValues) -> None:
        self._values = values
        self._addresses: dict[str, _Address] = {}

    def charge(self, address: str, weight: int, *, now_ns: int) -> int:
        """Count a request; the weight used this minute.

        Raises:
            VenueError: -1003 with 429 beyond the limit, with 418 while banned; both with `Retry-After`.
        """
        now_s = now_ns // 10**9
        state = self._addresses.get(address)
        if state is None:
            state = self._addresses[address] = _Address(_Window(60))
        if now_s < state.banned_until_s:
            until = state.banned_until_s * 1000
            raise VenueError(
                -1003,
                f"Way too many requests; IP({address}) banned until {until}. "
                "Please use the websocket for live updates to avoid bans.",
                status=418,
                retry_after=state.banned_until_s - now_s,
            )
        used = state.window.add(weight, now_s)
        limit = self._values.weight_per_minute
        if used <= limit:
            state.refused = 0
            return used
        state.refused += 1
        if state.refused > _PATIENCE:
            state.banned_until_s = now_s + min(_LONGEST_BAN_S, _FIRST_BAN_S * 4**state.bans)
            state.bans += 1
            state.refused = 0
        raise VenueError(
            -1003,
            f"Too many requests; current limit of IP({address}) is {limit} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
            status=429,
            retry_after=60 - now_s % 60,
        )

    def used(self, address: str, *, now_ns: int) -> int:
        """Weight used this minute."""
        state = self._addresses.get(address)
        return state.window.add(0, now_ns // 10**9) if state is not None else 0


class OrderLimits:
    """New orders by account: per ten seconds and per minute."""

    def __init__(self, values: LimitValues) -> None:
        self._values = values
        self._accounts: dict[str, tuple[_Window, _Window]] = {}

    def _windows(self, api_key: str) -> tuple[_Window, _Window]:
        found = self._accounts.get(api_key)
        if found is None:
            found = self._accounts[api_key] = (_Window(10), _Window(60))
        return found

    def charge(self, api_key: str, *, per_10s: int, per_minute: int, now_ns: int) -> tuple[int, int]:
        """Count new orders; the counts of both windows. Raises -1015 with 429 beyond either limit."""
        now_s = now_ns // 10**9
        short, long = self._windows(api_key)
        counts = short.add(per_10s, now_s), long.add(per_minute, now_s)
        for count, limit, name in (
            (counts[0], self._values.orders_per_10s, "10 SECONDS"),
            (counts[1], self._values.orders_per_minute, "1 MINUTE"),
        ):
            if count > limit:
                raise VenueError(-1015, f"Too many new orders; current limit is {limit} orders per {name}.", status=429)
        return counts

    def counts(self, api_key: str, *, now_ns: int) -> tuple[int, int]:
        """Orders counted in both windows now."""
        now_s = now_ns // 10**9
        short, long = self._windows(api_key)
        return short.add(0, now_s), long.add(0, now_s)
