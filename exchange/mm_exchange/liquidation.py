"""Liquidation: what happens when the mark price eats an account's margin down to its maintenance margin.

In the venue's order: a MARGIN_CALL while there is time; then the account's own open orders go, then a position is
closed by an IOC order at its bankruptcy price (where its margin would be exactly gone), and what the book does not
take the insurance fund takes over at that price. A liquidation fee on what was liquidated goes to the fund, as far
as margin is left. Simplified: a position is closed whole, not in steps of the brackets, and there is no
auto-deleveraging: the fund pays whatever is missing.

Invariant: after a liquidation no wallet is below zero that backs no position any more.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mm_exchange import algos, crossing, fills, life, margins, wallets
from mm_exchange.accounts import Position
from mm_exchange.matching import Execution
from mm_exchange.orders import Order, OrderRequest, OrderType, Side, TimeInForce
from mm_exchange.public_events import ForceOrder
from mm_exchange.scales import MONEY, divide_half_even
from mm_exchange.trading import Income
from mm_exchange.user_events import MarginCall, position_state

if TYPE_CHECKING:
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading

# MARGIN_CALL is sent once the maintenance margin reaches this part (in percent) of the margin balance, and again only
# after it fell below the second.
_CALL_PERCENT = 80
_CALM_PERCENT = 70


Amount = tuple[str, int]
"""An asset and its money atoms."""


@dataclasses.dataclass(frozen=True, slots=True)
class Backing:
    """What stands behind positions that are judged together, in money atoms at the mark prices of now."""

    positions: list[Position]
    balance: int
    needed: int
    asset: str
    isolated: bool


def run(floor: Floor, now_ns: int) -> None:
    """Judge every account that holds a position."""
    for trading in list(floor.trading.values()):
        held = [position for position in trading.account.positions.values() if position.quantity]
        if held:
            _judge(floor, trading, held=held, now_ns=now_ns)
        for asset, amount in trading.account.wallets.items():
            if amount < 0:
                absorb(floor, trading, asset=asset, now_ns=now_ns)


def _judge(floor: Floor, trading: Trading, *, held: list[Position], now_ns: int) -> None:
    for position in held:
        if position.isolated:
            _act(floor, trading, backing=_isolated(floor, position), now_ns=now_ns)
    # Liquidating one position may have changed the rest.
    crossed = sorted({position.rules.quote for position in held if position.quantity and not position.isolated})
    for asset in crossed[:1] if trading.account.multi_assets else crossed:
        _act(floor, trading, backing=_cross(floor, trading, asset), now_ns=now_ns)


def _isolated(floor: Floor, position: Position) -> Backing:
    mark = floor.listings[position.rules.symbol].market.mark()
    balance, needed = margins.isolated_balance(position, mark)
    return Backing([position], balance, needed, position.rules.quote, isolated=True)


def _cross(floor: Floor, trading: Trading, asset: str) -> Backing:
    balance, needed = margins.cross_balance(floor, trading, asset)
    positions = [
        position for position in margins.sharing(trading, asset) if position.quantity and not position.isolated
    ]
    return Backing(positions, balance, needed, asset, isolated=False)


def _act(floor: Floor, trading: Trading, *, backing: Backing, now_ns: int) -> None:
    if backing.needed > backing.balance:
        _liquidate(floor, trading, backing=backing, now_ns=now_ns)
        return
    key = backing.positions[0].rules.symbol if backing.isolated else backing.asset
    if 100 * backing.needed >= _CALL_PERCENT * backing.balance:
        if key not in trading.margin_called:
            trading.margin_called.add(key)
            _call(floor, trading, backing=backing, now_ns=now_ns)
    elif 100 * backing.needed < _CALM_PERCENT * backing.balance:
        trading.margin_called.discard(key)


def _call(floor: Floor, trading: Trading, *, backing: Backing, now_ns: int) -> None:
    account, now_ms = trading.account, now_ns // 1_000_000
    states = tuple(
        (position_state(position, mark), position.maintenance(mark))
        for position in backing.positions
        for mark in (floor.listings[position.rules.symbol].market.mark(),)
    )
    cross = None if backing.isolated else account.cross_wallet(backing.asset)
    floor.outbox.append(MarginCall(account.api_key, now_ms, backing.positions[0].rules.symbol, cross, states))
    detail = {"balance": MONEY.text(backing.balance), "maintenance": MONEY.text(backing.needed)}
    floor.ledger.add(
        "margin-call", now_ns, symbol=backing.positions[0].rules.symbol, api_key=account.api_key, detail=detail
    )


def _liquidate(floor: Floor, trading: Trading, *, backing: Backing, now_ns: int) -> None:
    symbols = {position.rules.symbol for position in backing.positions} if backing.isolated else None
    for order in list(trading.live.values()):
        if symbols is None or order.symbol in symbols:
            life.cancel(floor, order, by="liquidation", now_ns=now_ns)
    for symbol in symbols or floor.listings:
        algos.cancel_all(floor, trading, symbol=symbol, by="liquidation", now_ns=now_ns)
    while backing.positions and backing.needed > backing.balance:
        # The position that asks for the most margin goes first: it is the one that most likely heals the rest.
        worst = max(
            backing.positions,
            key=lambda position: position.maintenance(floor.listings[position.rules.symbol].market.mark()),
        )
        _close(floor, trading, position=worst, backing=backing, now_ns=now_ns)
        if backing.isolated:
            break
        backing = _cross(floor, trading, backing.asset)
    absorb(floor, trading, asset=backing.asset, now_ns=now_ns)


def _close(floor: Floor, trading: Trading, *, position: Position, backing: Backing, now_ns: int) -> None:
    """Close a position at its bankruptcy price or better; the fund takes what the book does not."""
    listing = floor.listings[position.rules.symbol]
    equity = backing.balance - position.unrealized(listing.market.mark())
    order = _order(floor, position, price=bankruptcy_price(position, equity), api_key=trading.account.api_key,
                   now_ns=now_ns)  # fmt: skip
    detail = {
        "balance": MONEY.text(backing.balance), "maintenance": MONEY.text(backing.needed),
        "marginType": "ISOLATED" if backing.isolated else "CROSSED",
        "markPrice": position.rules.prices.text(listing.market.mark()),
    }  # fmt: skip
    trading.remember(order)
    floor.ledger.add_order("liquidation", now_ns, order=order, detail=detail)
    life.tell(floor, order, "NEW")
    before = position.realized
    crossing.meet(floor, order, now_ns=now_ns)
    if order.live:
        _take_over(floor, order, now_ns=now_ns)
    left = equity + position.realized - before if backing.isolated else _left(floor, trading, backing.asset)
    _charge(floor, trading, order=order, left=left, now_ns=now_ns)
    floor.public.append(ForceOrder(order.symbol, now_ns // 1_000_000, order))


def bankruptcy_price(position: Position, equity: int) -> int:
    """Price, a multiple of the tick, at which `equity` (money atoms) and the position's PnL are used up.

    Rounded in the account's favour and never below one tick: what that leaves unpaid is the fund's.
    """
    rules, long = position.rules, position.quantity > 0
    unit = abs(position.quantity) * MONEY.one
    value = (position.cost - equity if long else equity - position.cost) * rules.prices.one * rules.quantities.one
    step = unit * rules.tick
    ticks = -(-value // step) if long else value // step
    return int(max(rules.tick, ticks * rules.tick))


def _order(floor: Floor, position: Position, *, price: int, api_key: str, now_ns: int) -> Order:
    order_id, now_ms, quantity = floor.next_order_id(), now_ns // 1_000_000, abs(position.quantity)
    request = OrderRequest(
        position.rules.symbol, Side.SELL if position.quantity > 0 else Side.BUY, OrderType.LIMIT, TimeInForce.IOC,
        quantity, price, f"autoclose-{now_ms}{order_id % 10**6:06d}", reduce_only=True,
        position_side=position.side, liquidation=True,
    )  # fmt: skip
    return Order(
        order_id, request, api_key, position.rules, now_ms, price, quantity, order_id, now_ms, position,
        request.side is Side.BUY, reduces=True,
    )  # fmt: skip


def _take_over(floor: Floor, order: Order, *, now_ns: int) -> None:
    """The fund buys what is left, at the bankruptcy price."""
    quantity, rules, fund = order.remaining, order.rules, floor.fund
    fills.settle(floor, Execution(order, order.price, quantity, maker=False), by="insurance-fund", now_ns=now_ns)
    held = fund.positions.setdefault(order.symbol, Position(rules))
    realized = held.trade(-quantity if order.is_buy else quantity, order.price)
    fund.pay(rules.quote, realized)


def _left(floor: Floor, trading: Trading, asset: str) -> int:
    """What a cross account can still pay: neither more than its wallet nor what its other positions need."""
    balance, needed = margins.cross_balance(floor, trading, asset)
    return min(balance - needed, margins.wallet(trading, asset))


def _charge(floor: Floor, trading: Trading, *, order: Order, left: int, now_ns: int) -> None:
    fee = min(divide_half_even(order.cum_quote * order.rules.liquidation_fee, 10**6), max(0, left))
    if fee:
        _insure(floor, trading, symbol=order.symbol, amount=(order.rules.quote, -fee), now_ns=now_ns)


def absorb(floor: Floor, trading: Trading, *, asset: str, now_ns: int) -> None:
    """The fund fills a wallet up to zero once nothing is left that could still pay."""
    missing = -margins.wallet(trading, asset)
    if missing > 0 and not any(position.quantity for position in margins.sharing(trading, asset)):
        _insure(floor, trading, symbol="", amount=(asset, missing), now_ns=now_ns)


def _insure(floor: Floor, trading: Trading, *, symbol: str, amount: Amount, now_ns: int) -> None:
    """Money from the fund (positive) or to it."""
    asset, units = amount
    floor.fund.pay(asset, -units)
    income = Income("INSURANCE_CLEAR", symbol, asset, units, now_ns // 1_000_000, floor.next_transaction_id())
    wallets.credit(trading, income)
    detail = {"amount": MONEY.text(units), "asset": asset}
    floor.ledger.add("insurance", now_ns, symbol=symbol or None, api_key=trading.account.api_key, detail=detail)
    wallets.tell(floor, trading, income=income, reason="INSURANCE_CLEAR")
