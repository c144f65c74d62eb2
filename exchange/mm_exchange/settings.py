"""Settings of an account: leverage, margin type, and the dead-man switch of each symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import brackets, margins
from mm_exchange.errors import VenueError
from mm_exchange.scales import MONEY
from mm_exchange.user_events import LeverageUpdate, account_update

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


def set_leverage(floor: Floor, trading: Trading, *, symbol: str, leverage: int, now_ns: int) -> Position:
    """Change a symbol's leverage, for all of its positions.

    -4028 outside what the symbol offers, -4161 to lower it under an isolated position, -2027 when a position would be
    too large for it, -2028 when it would lack margin.
    """
    account, rules = trading.account, floor.listing(symbol).rules
    position = account.position(rules)
    if not 1 <= leverage <= rules.brackets[0].leverage:
        raise VenueError(-4028, f"Leverage {leverage} is not valid")
    sides, old = account.sides(symbol), position.leverage
    _check_leverage(floor, trading, sides=sides, leverage=leverage)
    for side in sides:
        side.leverage = leverage
    floor.ledger.add("config", now_ns, symbol=symbol, api_key=account.api_key, detail={"leverage": leverage})
    if leverage != old:
        floor.outbox.append(LeverageUpdate(account.api_key, now_ns // 1_000_000, symbol, leverage))
    return position


def _check_leverage(floor: Floor, trading: Trading, *, sides: list[Position], leverage: int) -> None:
    rules, missing = sides[0].rules, 0
    mark = floor.listings[rules.symbol].market.mark()
    most = brackets.max_notional(rules.brackets, leverage) * MONEY.one
    for side in sides:
        worst = side.worst(mark)
        if side.isolated and side.quantity and leverage < side.leverage:
            raise VenueError(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions")
        if worst > most and leverage > side.leverage:
            raise VenueError(-2027, "Exceeded the maximum allowable position at current leverage.")
        missing += worst // leverage - worst // side.leverage
    if missing > margins.available(floor, trading, rules.quote):
        raise VenueError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")


def set_margin_type(floor: Floor, trading: Trading, *, symbol: str, isolated: bool, now_ns: int) -> None:
    """Change a symbol's margin type; -4046 when it is that already, -4047 and -4048 while something is open."""
    listing, account = floor.listing(symbol), trading.account
    position = account.position(listing.rules)
    if position.isolated == isolated:
        raise VenueError(-4046, "No need to change margin type.")
    if isolated and account.multi_assets:
        raise VenueError(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
    if any(order.symbol == symbol for order in trading.live.values()):
        raise VenueError(-4047, "Margin type cannot be changed if there exists open orders.")
    sides = account.sides(symbol)
    if any(side.quantity for side in sides):
        raise VenueError(-4048, "Margin type cannot be changed if there exists position.")
    for side in sides:
        side.isolated = isolated
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
