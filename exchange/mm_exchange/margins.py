"""Margin of an account across its symbols, at the mark prices of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange.accounts import Exposure
from mm_exchange.errors import VenueError

if TYPE_CHECKING:
    from mm_exchange.accounts import Margin, Position
    from mm_exchange.floor import Floor, Listing
    from mm_exchange.trading import Trading


def margin(floor: Floor, trading: Trading, position: Position) -> Margin:
    """Margin figures of one symbol of an account at the mark price of now."""
    symbol = position.rules.symbol
    mark = floor.listings[symbol].market.mark()
    return trading.account.margin(position, mark, exposure=trading.exposure(symbol))


def available(floor: Floor, trading: Trading, asset: str) -> int:
    """Balance free for new positions, in money atoms: wallet and cross PnL less every initial margin."""
    total = trading.account.wallets.get(asset, 0)
    for position in trading.account.positions.values():
        if position.rules.quote == asset:
            figures = margin(floor, trading, position)
            total += (0 if position.isolated else figures.unrealized) - figures.initial
    return max(0, total)


def check(floor: Floor, trading: Trading, *, listing: Listing, price: int, quantity: int) -> None:
    """-2019 unless the account can carry a further signed quantity at a price, resting or filled."""
    value = listing.rules.notional(price, quantity)
    exposure = trading.exposure(listing.rules.symbol)
    wanted = Exposure(exposure.bids + max(0, value), exposure.asks + max(0, -value))
    position = trading.account.position(listing.rules)
    mark = listing.market.mark()
    now = trading.account.margin(position, mark, exposure=exposure).initial
    then = trading.account.margin(position, mark, exposure=wanted).initial
    if then > now and then - now > available(floor, trading, listing.rules.quote):
        raise VenueError(-2019, "Margin is insufficient.")
