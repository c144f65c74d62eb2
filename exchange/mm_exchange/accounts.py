"""Accounts: wallets, positions, fees, and the margin of one position.

A position is kept as signed lots and signed cost in money atoms, so that entry price, realised PnL and fees are
exact: over a round trip the wallet moves by cost difference minus fees, no more.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING

from mm_exchange import brackets
from mm_exchange.orders import PositionSide
from mm_exchange.scales import MONEY, divide_half_even

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm_exchange.rules import SymbolRules

_RATE_UNITS = 10**6


@dataclasses.dataclass(frozen=True, slots=True)
class Fees:
    """Commission rates in millionths of the notional; the venue's VIP 0 by default (0.02 % and 0.05 %)."""

    maker: int = 200
    taker: int = 500

    def of(self, notional: int, *, maker: bool) -> int:
        """Commission in money atoms of a non-negative notional."""
        return divide_half_even(notional * (self.maker if maker else self.taker), _RATE_UNITS)


@dataclasses.dataclass(slots=True, eq=False)
class Position:
    """Signed quantity and what it cost. `cost` has the sign of `quantity`; realised PnL and commission accumulate.

    `bids` and `asks` are the notional of the resting orders that could open it, in money atoms, kept as orders come
    and go. `isolated_wallet` is the part of the wallet that backs it alone.
    """

    rules: SymbolRules
    side: PositionSide = PositionSide.BOTH
    leverage: int = 20
    isolated: bool = False
    quantity: int = 0
    cost: int = 0
    realized: int = 0
    commission: int = 0
    funding: int = 0
    isolated_wallet: int = 0
    bids: int = 0
    asks: int = 0
    updated_ms: int = 0

    def trade(self, quantity: int, price: int) -> int:
        """Take a signed quantity at a price; returns the realised PnL in money atoms."""
        value = self.rules.notional(price, quantity)
        if self.quantity * quantity >= 0:
            self.quantity += quantity
            self.cost += value
            return 0
        closing = min(abs(quantity), abs(self.quantity))
        closed_cost = divide_half_even(self.cost * closing, abs(self.quantity))
        closed_value = divide_half_even(value * closing, abs(quantity))
        realized = -closed_value - closed_cost
        self.quantity += quantity
        self.cost = self.cost - closed_cost if abs(quantity) == closing else value - closed_value
        self.realized += realized
        return realized

    def move_isolated(self, quantity: int, price: int) -> None:
        """Set margin aside for what a trade of an isolated position opens; give back what it closes. Before `trade`."""
        opening = abs(quantity)
        if self.quantity * quantity < 0:
            closing = min(abs(quantity), abs(self.quantity))
            self.isolated_wallet -= divide_half_even(self.isolated_wallet * closing, abs(self.quantity))
            opening -= closing
        if opening:
            self.isolated_wallet += -(-self.rules.notional(price, opening) // self.leverage)

    @property
    def entry_price(self) -> Decimal:
        """Average entry price; 0 when flat."""
        if not self.quantity:
            return Decimal(0)
        return MONEY.decimal(self.cost) / self.rules.quantities.decimal(self.quantity)

    def notional(self, mark: int) -> int:
        """Signed notional in money atoms at a mark price in price units."""
        return self.rules.notional(mark, self.quantity)

    def unrealized(self, mark: int) -> int:
        """Unrealised PnL in money atoms at a mark price in price units."""
        return self.rules.notional(mark, self.quantity) - self.cost if self.quantity else 0

    def worst(self, mark: int, *, bids: int = 0, asks: int = 0) -> int:
        """The dearer of 'all bids fill' and 'all asks fill' in money atoms, with further orders of `bids` and `asks`."""
        notional = self.rules.notional(mark, self.quantity)
        return max(abs(notional + self.bids + bids), abs(notional - self.asks - asks))

    def maintenance(self, mark: int) -> int:
        """Maintenance margin in money atoms at a mark price."""
        return brackets.maintenance(self.rules.brackets, abs(self.rules.notional(mark, self.quantity)))


@dataclasses.dataclass(frozen=True, slots=True)
class Margin:
    """Margin figures of one position in money atoms."""

    notional: int
    unrealized: int
    initial: int
    position_initial: int
    open_order_initial: int
    maintenance: int
    isolated_wallet: int
    bid_notional: int
    ask_notional: int


def margin_of(position: Position, mark: int) -> Margin:
    """Margin of one position and its open orders at a mark price: the worst notional over the leverage."""
    notional = position.notional(mark)
    initial = position.worst(mark) // position.leverage
    position_initial = abs(notional) // position.leverage
    return Margin(
        notional=notional,
        unrealized=position.unrealized(mark),
        initial=initial,
        position_initial=position_initial,
        open_order_initial=initial - position_initial,
        maintenance=position.maintenance(mark),
        isolated_wallet=position.isolated_wallet,
        bid_notional=position.bids,
        ask_notional=position.asks,
    )


class Account:
    """One account: its key, wallets and positions, and its modes (hedge or one-way, multi-assets or single-asset)."""

    def __init__(self, api_key: str, secret: bytes, *, balances: Mapping[str, int], fees: Fees) -> None:
        self.api_key = api_key
        self.secret = secret
        self.wallets: dict[str, int] = dict(balances)
        self.fees = fees
        self.hedged = False
        self.multi_assets = False
        self.positions: dict[str, Position] = {}
        self.updated_ms = 0
        self.realized = 0
        self.commission = 0

    def position(self, rules: SymbolRules, side: PositionSide = PositionSide.BOTH) -> Position:
        """The position of a symbol (in hedge mode: of one side), made flat on first use with its siblings' settings."""
        key = rules.symbol if side is PositionSide.BOTH else f"{rules.symbol}:{side.value}"
        found = self.positions.get(key)
        if found is None:
            found = self.positions[key] = Position(rules, side)
            sibling = next((other for other in self.sides(rules.symbol) if other is not found), None)
            if sibling is not None:
                found.leverage, found.isolated = sibling.leverage, sibling.isolated
        return found

    def sides(self, symbol: str) -> list[Position]:
        """Every position of a symbol: one-way, long, short, as far as they were ever used."""
        return [position for position in self.positions.values() if position.rules.symbol == symbol]

    def cross_wallet(self, asset: str) -> int:
        """A wallet less what backs isolated positions alone, in money atoms."""
        total = self.wallets.get(asset, 0)
        for position in self.positions.values():
            if position.isolated_wallet and position.rules.quote == asset:
                total -= position.isolated_wallet
        return total

    def book_trade(self, position: Position, *, quantity: int, price: int, commission: int, now_ms: int) -> int:
        """Book a signed quantity at a price with its commission; returns the realised PnL in money atoms."""
        if position.isolated:
            position.move_isolated(quantity, price)
        realized = position.trade(quantity, price)
        position.commission += commission
        position.updated_ms = self.updated_ms = now_ms
        self.realized += realized
        self.commission += commission
        self.pay(position.rules.quote, realized - commission)
        return realized

    def pay(self, asset: str, amount: int) -> None:
        """Add a signed amount to a wallet."""
        self.wallets[asset] = self.wallets.get(asset, 0) + amount
