"""The modes of an account: one-way or hedge positions, single-asset or multi-assets margin.

In hedge mode a symbol has two positions, LONG and SHORT, and every order names one; selling a long or buying back a
short can only close. In multi-assets mode all dollar wallets back all cross positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import margins
from mm_exchange.errors import VenueError
from mm_exchange.orders import PositionSide
from mm_exchange.user_events import MultiAssetsUpdate

if TYPE_CHECKING:
    from mm_exchange.accounts import Account
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


def check_side(account: Account, side: PositionSide, *, reduce_only: bool) -> None:
    """-4061 for a position side that is not of the account's mode; -1106 for reduceOnly in hedge mode."""
    if account.hedged == (side is PositionSide.BOTH):
        raise VenueError(-4061, "Order's position side does not match user's setting.")
    if account.hedged and reduce_only:
        raise VenueError(-1106, "Parameter 'reduceonly' sent when not required.")


def set_hedged(floor: Floor, trading: Trading, *, hedged: bool, now_ns: int) -> None:
    """Change between one-way and hedge mode; -4059 when it is so already, -4067 and -4068 while something is open."""
    account = trading.account
    if account.hedged == hedged:
        raise VenueError(-4059, "No need to change position side.")
    if trading.live or _waiting(floor, account):
        raise VenueError(-4067, "Position side cannot be changed if there exists open orders.")
    if any(position.quantity for position in account.positions.values()):
        raise VenueError(-4068, "Position side cannot be changed if there exists position.")
    account.hedged = hedged
    floor.ledger.add("config", now_ns, api_key=account.api_key, detail={"dualSidePosition": hedged})


def _waiting(floor: Floor, account: Account) -> bool:
    return any(
        algo.api_key == account.api_key for listing in floor.listings.values() for algo in listing.algos.values()
    )


def set_multi_assets(floor: Floor, trading: Trading, *, on: bool, now_ns: int) -> None:
    """Change between single-asset and multi-assets mode; -4171 when it is so already.

    -4167 with isolated symbols, -4170 with open orders, -4172 with a negative wallet, -4169 where the margin of the
    positions would not hold.
    """
    account = trading.account
    if account.multi_assets == on:
        raise VenueError(-4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.")
    if on and any(position.isolated for position in account.positions.values()):
        raise VenueError(
            -4167, "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode."
        )
    if trading.live:
        raise VenueError(-4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures.")
    if any(amount < 0 for amount in account.wallets.values()):
        raise VenueError(
            -4172,
            "Unable to adjust Multi-Assets Mode with a negative wallet balance of margin available asset in "
            "USDⓈ-M Futures account.",
        )
    account.multi_assets = on
    if not _margin_holds(floor, trading):
        account.multi_assets = not on
        raise VenueError(
            -4169, "Unable to adjust Multi-Assets Mode with insufficient margin balance in USDⓈ-M Futures."
        )
    now_ms = now_ns // 1_000_000
    floor.ledger.add("config", now_ns, api_key=account.api_key, detail={"multiAssetsMargin": on})
    floor.outbox.append(MultiAssetsUpdate(account.api_key, now_ms, None, on))


def _margin_holds(floor: Floor, trading: Trading) -> bool:
    assets = {position.rules.quote for position in trading.account.positions.values() if position.quantity}
    return all(
        balance >= needed for balance, needed in (margins.cross_balance(floor, trading, asset) for asset in assets)
    )
