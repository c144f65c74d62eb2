"""ListenKeys: one per account, 60 minutes from its last keepalive, shared by everybody who uses the account.

Sans-I/O. The rules that bite: POST with a live key returns that key, DELETE ends it for every other engine of the
account, PUT on a dead one is -1125.
"""

from __future__ import annotations

import dataclasses

from mm_exchange.errors import VenueError

LIFETIME_NS = 60 * 60 * 10**9


@dataclasses.dataclass(slots=True)
class ListenKey:
    """A live key of an account."""

    key: str
    api_key: str
    expires_ns: int


class ListenKeys:
    """All live keys, by account and by name."""

    def __init__(self) -> None:
        self._by_account: dict[str, ListenKey] = {}
        self._by_name: dict[str, ListenKey] = {}

    def create(self, api_key: str, fresh: str, *, now_ns: int) -> tuple[ListenKey, bool]:
        """The account's live key, extended, or `fresh` made live; and whether it is new."""
        live = self._by_account.get(api_key)
        if live is not None:
            live.expires_ns = now_ns + LIFETIME_NS
            return live, False
        made = ListenKey(fresh, api_key, now_ns + LIFETIME_NS)
        self._by_account[api_key] = self._by_name[fresh] = made
        return made, True

    def keep(self, api_key: str, *, now_ns: int) -> ListenKey:
        """Extend by 60 minutes; -1125 when the account has none."""
        live = self._by_account.get(api_key)
        if live is None:
            raise VenueError(-1125, "This listenKey does not exist.")
        live.expires_ns = now_ns + LIFETIME_NS
        return live

    def end(self, api_key: str) -> ListenKey | None:
        """End the account's key, if it has one."""
        live = self._by_account.pop(api_key, None)
        if live is not None:
            del self._by_name[live.key]
        return live

    def account_of(self, key: str) -> str | None:
        """The account behind a live key."""
        live = self._by_name.get(key)
        return live.api_key if live is not None else None

    def key_of(self, api_key: str) -> str | None:
        """The account's live key."""
        live = self._by_account.get(api_key)
        return live.key if live is not None else None

    def live(self) -> list[ListenKey]:
        """All live keys."""
        return list(self._by_account.values())

    def due(self, now_ns: int) -> list[ListenKey]:
        """Keys whose time has run out."""
        return [key for key in self._by_account.values() if key.expires_ns <= now_ns]
