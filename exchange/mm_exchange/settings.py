"""Settings of an account: leverage, margin type, and the dead-man switch of each symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import margins
from mm_exchange.errors import VenueError
from mm_exchange.user_events import LeverageUpdate, account_update

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


def set_leverage(floor: Floor, trading: Trading, *, symbol: str, leverage: int, now_ns: int) -> Position:
    """Change a symbol's leverage; -4028 outside 1..125, -2028 when open positions would lack margin."""
    position = trading.account.position(floor.listing(symbol).rules)
    if not 1 <= leverage <= 125:
        raise VenueError(-4028, f"Leverage {leverage} is not valid")
    before, old = margins.margin(floor, trading, position).initial, position.leverage
    free = margins.available(floor, trading, position.rules.quote)
    position.leverage = leverage
    if margins.margin(floor, trading, position).initial - before > free:
        position.leverage = old
        raise VenueError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
    account = trading.account
    floor.ledger.add("config", now_ns, symbol=symbol, api_key=account.api_key, detail={"leverage": leverage})
    if leverage != old:
        floor.outbox.append(LeverageUpdate(account.api_key, now_ns // 1_000_000, symbol, leverage))
    return position


def set_margin_type(floor: Floor, trading: Trading, *, symbol: str, isolated: bool, now_ns: int) -> None:
    """Change a symbol's margin type; -4046 when it is that already, -4047 and -4048 while something is open."""
    listing, account = floor.listing(symbol), trading.account
    position = account.position(listing.rules)
    if position.isolated == isolated:
        raise VenueError(-4046, "No need to change margin type.")
    if any(order.symbol == symbol for order in trading.live.values()):
        raise VenueError(-4047, "Margin type cannot be changed if there exists open orders.")
    if position.quantity:
        raise VenueError(-4048, "Margin type cannot be changed if there exists position.")
    position.isolated = isolated
    now_ms, mark = now_ns // 1_000_000, listing.market.mark()
    detail = {"marginType": "ISOLATED" if isolated else "CROSSED"}
    floor.ledger.add("config", now_ns, symbol=symbol, api_key=account.api_key, detail=detail)
    floor.outbox.append(account_update(account, position, reason="MARGIN_TYPE_CHANGE", mark=mark, now_ms=now_ms))


def set_countdown(floor: Floor, trading: Trading, *, symbol: str, countdown_ms: int, now_ns: int) -> None:
    """Arm, refresh or (0) disarm the dead-man switch of an account and symbol."""
    floor.listing(symbol)
    if countdown_ms:
        trading.countdowns[symbol] = now_ns + countdown_ms * 1_000_000
        floor.wake_at(trading.countdowns[symbol])
    else:
        trading.countdowns.pop(symbol, None)
    floor.ledger.add(
        "countdown", now_ns, symbol=symbol, api_key=trading.account.api_key,
        status="ARMED" if countdown_ms else "DISARMED", countdown_time=countdown_ms,
    )  # fmt: skip
