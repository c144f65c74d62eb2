"""Accounts: wallets, positions, fees and the margin check.

One-way mode only in this floor. A position is kept as signed lots and signed cost in money atoms, so that entry
price, realised PnL and fees are exact: over a round trip the wallet moves by cost difference minus fees, no more.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING

from mm_exchange.rules import BRACKETS
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


@dataclasses.dataclass(slots=True)
class Position:
    """Signed quantity and what it cost. `cost` has the sign of `quantity`; realised PnL and commission accumulate."""

    rules: SymbolRules
    leverage: int = 20
    isolated: bool = False
    quantity: int = 0
    cost: int = 0
    realized: int = 0
    commission: int = 0
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

    @property
    def entry_price(self) -> Decimal:
        """Average entry price; 0 when flat."""
        if not self.quantity:
            return Decimal(0)
        return MONEY.decimal(self.cost) / self.rules.quantities.decimal(self.quantity)

    def unrealized(self, mark: int) -> int:
        """Unrealised PnL in money atoms at a mark price in price units."""
        return self.rules.notional(mark, self.quantity) - self.cost if self.quantity else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Margin:
    """Margin figures of one symbol in money atoms."""

    notional: int
    unrealized: int
    initial: int
    position_initial: int
    open_order_initial: int
    maintenance: int
    isolated_wallet: int
    bid_notional: int
    ask_notional: int


@dataclasses.dataclass(slots=True)
class Exposure:
    """Notional of resting orders of one symbol, in money atoms, kept by the venue as orders come and go."""

    bids: int = 0
    asks: int = 0


def maintenance(notional: int) -> int:
    """Maintenance margin of an absolute notional, in money atoms, by the bracket table."""
    value = MONEY.decimal(notional)
    bracket = next((row for row in BRACKETS if value <= row.cap), BRACKETS[-1])
    return MONEY.round(value * bracket.ratio - bracket.cum)


class Account:
    """One account: its key, wallets and positions."""

    def __init__(self, api_key: str, secret: bytes, *, balances: Mapping[str, int], fees: Fees) -> None:
        self.api_key = api_key
        self.secret = secret
        self.wallets: dict[str, int] = dict(balances)
        self.fees = fees
        self.positions: dict[str, Position] = {}
        self.updated_ms = 0
        self.realized = 0
        self.commission = 0

    def position(self, rules: SymbolRules) -> Position:
        """The position of a symbol, made flat on first use."""
        found = self.positions.get(rules.symbol)
        if found is None:
            found = self.positions[rules.symbol] = Position(rules)
        return found

    def book_trade(self, rules: SymbolRules, *, quantity: int, price: int, maker: bool, now_ms: int) -> tuple[int, int]:
        """Book a signed quantity at a price; returns (realised PnL, commission) in money atoms."""
        position = self.position(rules)
        realized = position.trade(quantity, price)
        commission = self.fees.of(abs(rules.notional(price, quantity)), maker=maker)
        position.commission += commission
        position.updated_ms = self.updated_ms = now_ms
        self.realized += realized
        self.commission += commission
        self.wallets[rules.quote] = self.wallets.get(rules.quote, 0) + realized - commission
        return realized, commission

    def margin(self, position: Position, mark: int, *, exposure: Exposure) -> Margin:
        """Margin of one symbol: the dearer of 'all bids fill' and 'all asks fill', over the leverage."""
        notional = position.rules.notional(mark, position.quantity)
        worst = max(abs(notional + exposure.bids), abs(notional - exposure.asks))
        initial = worst // position.leverage
        position_initial = abs(notional) // position.leverage
        return Margin(
            notional=notional,
            unrealized=position.unrealized(mark),
            initial=initial,
            position_initial=position_initial,
            open_order_initial=initial - position_initial,
            maintenance=maintenance(abs(notional)),
            isolated_wallet=abs(position.cost) // position.leverage if position.isolated else 0,
            bid_notional=exposure.bids,
            ask_notional=exposure.asks,
        )


def liquidation_price(position: Position, mark: int, *, wallet: int) -> Decimal:
    """Price at which the margin balance falls to the maintenance margin; 0 where there is none.

    `wallet` is what backs the position, in money atoms: the isolated wallet, or the cross wallet less what other
    positions need. Source: the venue's formula (WB + cum - side x q x entry) / (q x ratio - side x q).
    """
    if not position.quantity:
        return Decimal(0)
    rules = position.rules
    quantity = abs(rules.quantities.decimal(position.quantity))
    side = 1 if position.quantity > 0 else -1
    value = MONEY.decimal(abs(rules.notional(mark, position.quantity)))
    bracket = next((row for row in BRACKETS if value <= row.cap), BRACKETS[-1])
    numerator = MONEY.decimal(wallet) + bracket.cum - side * quantity * position.entry_price
    price = numerator / (quantity * (bracket.ratio - side))
    return max(Decimal(0), price)
