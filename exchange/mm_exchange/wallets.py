"""Money that moves without a trade: funding, transfers, liquidation fees, and the insurance fund's payments.

Invariant: every movement of a wallet is one income record, so that a wallet is what it began with plus its income.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import margins
from mm_exchange.errors import VenueError
from mm_exchange.scales import MONEY
from mm_exchange.trading import Income, MarginChange
from mm_exchange.user_events import AccountUpdate, PositionState, account_update, position_state

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


class Fund:
    """The insurance fund: what it took in and paid out by asset, and the positions it took over, by symbol.

    It starts at zero and may go below: there is no auto-deleveraging here, so it pays whatever is missing.
    """

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.positions: dict[str, Position] = {}

    def pay(self, asset: str, amount: int) -> None:
        """Add a signed amount."""
        self.balances[asset] = self.balances.get(asset, 0) + amount


def credit(trading: Trading, income: Income) -> None:
    """Move a wallet by a signed amount and keep the income record."""
    trading.account.pay(income.asset, income.amount)
    trading.account.updated_ms = income.time_ms
    trading.income.append(income)


def tell(floor: Floor, trading: Trading, *, income: Income, reason: str, position: Position | None = None) -> None:
    """ACCOUNT_UPDATE of a wallet that moved, with a position where one is concerned."""
    account, asset = trading.account, income.asset
    states: tuple[PositionState, ...] = ()
    if position is not None:
        mark = floor.listings[position.rules.symbol].market.mark()
        states = (position_state(position, mark),)
    floor.outbox.append(
        AccountUpdate(
            account.api_key, income.time_ms, income.symbol or None, reason, asset, account.wallets.get(asset, 0),
            account.cross_wallet(asset), income.amount, states,
        )
    )  # fmt: skip


def move_margin(floor: Floor, trading: Trading, *, position: Position, amount: int, now_ns: int) -> None:
    """Add money atoms to an isolated position's margin, or (negative) take some back.

    -4049 for a cross position, -4054 for a flat one, -4050 beyond what is free, -4051 beyond what it can spare.
    """
    rules, asset = position.rules, position.rules.quote
    if not position.isolated:
        raise VenueError(-4049, "Add margin only support for isolated position.")
    if not position.quantity:
        raise VenueError(-4054, "Cannot add position margin: position is 0.")
    if amount > margins.available(floor, trading, asset):
        raise VenueError(-4050, "Cross balance insufficient.")
    if amount < 0 and -amount > _spare(floor, position):
        raise VenueError(-4051, "Isolated balance insufficient.")
    position.isolated_wallet += amount
    now_ms = now_ns // 1_000_000
    position.updated_ms = now_ms
    trading.margin_changes.append(MarginChange(rules.symbol, position.side.value, asset, amount, now_ms))
    detail = {"asset": asset, "amount": MONEY.text(amount), "positionSide": position.side.value}
    floor.ledger.add("margin", now_ns, symbol=rules.symbol, api_key=trading.account.api_key, detail=detail)
    account, mark = trading.account, floor.listings[rules.symbol].market.mark()
    floor.outbox.append(account_update(account, position, reason="MARGIN_TRANSFER", mark=mark, now_ms=now_ms))


def _spare(floor: Floor, position: Position) -> int:
    """What an isolated position can do without: what is above its initial margin, losses counted."""
    mark = floor.listings[position.rules.symbol].market.mark()
    initial = abs(position.notional(mark)) // position.leverage
    return position.isolated_wallet + min(0, position.unrealized(mark)) - initial


def transfer(floor: Floor, trading: Trading, *, asset: str, amount: int, now_ns: int) -> None:
    """Deposit (positive) or withdraw money atoms from outside; -2018 beyond what is free."""
    free = min(margins.available(floor, trading, asset), max(0, trading.account.wallets.get(asset, 0)))
    if amount < 0 and -amount > free:
        raise VenueError(-2018, "Balance is insufficient.")
    income = Income("TRANSFER", "", asset, amount, now_ns // 1_000_000, floor.next_transaction_id())
    credit(trading, income)
    detail = {"asset": asset, "amount": MONEY.text(amount)}
    floor.ledger.add("transfer", now_ns, api_key=trading.account.api_key, detail=detail)
    tell(floor, trading, income=income, reason="DEPOSIT" if amount > 0 else "WITHDRAW")
