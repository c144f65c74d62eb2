"""What happens by the clock: countdowns, good-till dates, listenKeys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import life
from mm_exchange.user_events import ListenKeyExpired

if TYPE_CHECKING:
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


def tick(floor: Floor, now_ns: int) -> None:
    """Let everything happen that is due."""
    for trading in floor.trading.values():
        for symbol, deadline in list(trading.countdowns.items()):
            if deadline <= now_ns:
                _fire_countdown(floor, trading, symbol=symbol, now_ns=now_ns)
        for order in list(trading.dated.values()):
            if order.request.good_till_ms * 1_000_000 <= now_ns:
                life.expire(floor, order, by="good-till-date", now_ns=now_ns)
    for key in floor.listen_keys.due(now_ns):
        expire_listen_key(floor, key.api_key, now_ns=now_ns)


def _fire_countdown(floor: Floor, trading: Trading, *, symbol: str, now_ns: int) -> None:
    del trading.countdowns[symbol]
    floor.ledger.add("countdown", now_ns, symbol=symbol, api_key=trading.account.api_key, status="FIRED")
    life.cancel_all(floor, trading, symbol=symbol, by="countdown", now_ns=now_ns)


def expire_listen_key(floor: Floor, api_key: str, *, now_ns: int) -> None:
    """End an account's listenKey and tell its streams."""
    ended = floor.listen_keys.end(api_key)
    if ended is not None:
        floor.ledger.add("listen-key", now_ns, api_key=api_key, status="EXPIRED")
        floor.outbox.append(ListenKeyExpired(api_key, now_ns // 1_000_000, None, ended.key))
