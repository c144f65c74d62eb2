"""What happens by the clock: countdowns, good-till dates, listenKeys, funding, margin.

Deadlines are exact: `Floor.due_ns` is the next moment at which anything can happen, and before it a tick costs one
comparison. Whatever sets a deadline calls `Floor.wake_at`. Margins are looked at once a second, as the venue's mark
price moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import algos, funding, life, liquidation
from mm_exchange.user_events import ListenKeyExpired

if TYPE_CHECKING:
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading

_SECOND_NS = 1_000_000_000


def tick(floor: Floor, now_ns: int) -> None:
    """Let everything happen that is due."""
    if now_ns < floor.due_ns:
        return
    for trading in floor.trading.values():
        _end_orders(floor, trading, now_ns=now_ns)
    if now_ns >= floor.second_ns:
        _second(floor, now_ns)
    floor.due_ns = floor.second_ns
    for trading in floor.trading.values():
        for deadline in trading.countdowns.values():
            floor.wake_at(deadline)
        for order in trading.dated.values():
            floor.wake_at(order.request.good_till_ms * 1_000_000)


def _end_orders(floor: Floor, trading: Trading, *, now_ns: int) -> None:
    if trading.countdowns:
        for symbol, deadline in list(trading.countdowns.items()):
            if deadline <= now_ns:
                _fire_countdown(floor, trading, symbol=symbol, now_ns=now_ns)
    if trading.dated:
        for order in list(trading.dated.values()):
            if order.request.good_till_ms * 1_000_000 <= now_ns:
                life.expire(floor, order, by="good-till-date", now_ns=now_ns)


def _second(floor: Floor, now_ns: int) -> None:
    """What has the grain of a second."""
    floor.second_ns = now_ns - now_ns % _SECOND_NS + _SECOND_NS
    for key in floor.listen_keys.due(now_ns):
        expire_listen_key(floor, key.api_key, now_ns=now_ns)
    algos.expire_due(floor, now_ns)
    funding.run(floor, now_ns)
    liquidation.run(floor, now_ns)


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
