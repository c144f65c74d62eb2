"""Margin of an account across its positions, at the mark prices of now.

Cross positions of one asset share the wallet less what backs isolated ones. In multi-assets mode the wallets of all
assets are shared, each dollar coin at 1 (the venue's index price and collateral ratio are left out).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from mm_exchange import brackets
from mm_exchange.accounts import Margin, Position, margin_of
from mm_exchange.errors import VenueError
from mm_exchange.scales import MONEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


def margin(floor: Floor, _trading: Trading, position: Position) -> Margin:
    """Margin figures of one position at the mark price of now."""
    return margin_of(position, floor.listings[position.rules.symbol].market.mark())


def sharing(trading: Trading, asset: str) -> Iterator[Position]:
    """The positions that live on the same collateral as `asset`."""
    account = trading.account
    for position in account.positions.values():
        if account.multi_assets or position.rules.quote == asset:
            yield position


def wallet(trading: Trading, asset: str) -> int:
    """The wallet that backs cross positions of an asset, in money atoms, isolated wallets taken off."""
    account = trading.account
    assets = account.wallets if account.multi_assets else (asset,)
    return sum(account.cross_wallet(name) for name in assets)


def available(floor: Floor, trading: Trading, asset: str) -> int:
    """Balance free for new positions, in money atoms: cross wallet and PnL less every initial margin."""
    total = wallet(trading, asset)
    for position in sharing(trading, asset):
        if not (position.quantity or position.bids or position.asks):
            continue
        mark = floor.listings[position.rules.symbol].market.mark()
        initial = position.worst(mark) // position.leverage
        if position.isolated:
            # The position's own margin has left the cross wallet; its orders' has not.
            total -= initial - abs(position.notional(mark)) // position.leverage
        else:
            total += position.unrealized(mark) - initial
    return max(0, total)


def check(floor: Floor, trading: Trading, *, position: Position, value: int, mark: int) -> None:
    """-2019 unless the account can carry further orders of a signed notional, -2027 beyond what the leverage allows."""
    rules = position.rules
    now = position.worst(mark)
    then = position.worst(mark, bids=max(0, value), asks=max(0, -value))
    if then <= now:
        return
    if then > brackets.max_notional(rules.brackets, position.leverage) * MONEY.one:
        raise VenueError(-2027, "Exceeded the maximum allowable position at current leverage.")
    if then // position.leverage - now // position.leverage > available(floor, trading, rules.quote):
        raise VenueError(-2019, "Margin is insufficient.")


def cross_balance(floor: Floor, trading: Trading, asset: str) -> tuple[int, int]:
    """Margin balance and maintenance margin of the cross positions of an asset, in money atoms."""
    balance, needed = wallet(trading, asset), 0
    for position in sharing(trading, asset):
        if position.quantity and not position.isolated:
            mark = floor.listings[position.rules.symbol].market.mark()
            balance += position.unrealized(mark)
            needed += position.maintenance(mark)
    return balance, needed


def isolated_balance(position: Position, mark: int) -> tuple[int, int]:
    """Margin balance and maintenance margin of an isolated position, in money atoms."""
    return position.isolated_wallet + position.unrealized(mark), position.maintenance(mark)


def liquidation_price(floor: Floor, trading: Trading, position: Position) -> Decimal:
    """Mark price at which a position's margin balance meets its maintenance margin, the rest of the account unmoved.

    0 where there is none. Both sides of a hedged cross symbol move with the same mark and share the price.
    """
    if not position.quantity:
        return Decimal(0)
    if position.isolated:
        return solve([position], position.isolated_wallet)
    together = [side for side in trading.account.sides(position.rules.symbol) if side.quantity and not side.isolated]
    backing, others = cross_balance(floor, trading, position.rules.quote)
    mark = floor.listings[position.rules.symbol].market.mark()
    own = sum(side.unrealized(mark) - side.maintenance(mark) for side in together)
    return solve(together, backing - others - own)


def solve(positions: list[Position], backing: int) -> Decimal:
    """Price at which positions of one symbol, backed by money atoms, just meet their maintenance margin; 0: none.

    backing + Σ(quantity x price - cost) = Σ(|quantity| x price x ratio - cum), where ratio and cum are those of the
    bracket that the position is in *at that price* (the venue's formula with the bracket of now is its first step).
    """
    rules = positions[0].rules
    rows = [rules.brackets[0]] * len(positions)
    price = Decimal(0)
    for _ in range(len(rules.brackets) + 1):
        fixed, slope = MONEY.decimal(backing), Decimal(0)
        for position, row in zip(positions, rows, strict=True):
            quantity = rules.quantities.decimal(position.quantity)
            fixed += row.cum - MONEY.decimal(position.cost)
            slope += abs(quantity) * row.ratio - quantity
        price = fixed / slope if slope else Decimal(0)
        if price <= 0:
            return Decimal(0)
        found = [_bracket_at(position, price) for position in positions]
        if found == rows:
            break
        rows = found
    return price


def _bracket_at(position: Position, price: Decimal) -> brackets.Bracket:
    value = abs(position.rules.quantities.decimal(position.quantity)) * price
    return brackets.bracket_of(position.rules.brackets, MONEY.round(value))
