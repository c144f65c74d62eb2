"""Bookkeeping of fills: from what matching found to positions, wallets, trades, the ledger and the user stream."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mm_exchange import life, user_events
from mm_exchange.orders import FINAL, Order, Status
from mm_exchange.scales import MONEY
from mm_exchange.trading import AccountTrade, Income

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor
    from mm_exchange.matching import Execution
    from mm_exchange.rules import SymbolRules
    from mm_exchange.trading import Trading
    from mm_exchange.user_events import FillReport


@dataclasses.dataclass(frozen=True, slots=True)
class OffBookTrade:
    """A trade that never met the book: signed quantity units at a price."""

    symbol: str
    quantity: int
    price: int


def execute(floor: Floor, executions: Iterable[Execution], *, now_ns: int) -> int:
    """Book executions in order; the quantity that was really filled."""
    filled = 0
    for execution in executions:
        # An earlier fill of this very batch may have ended an order (a reduce-only one whose position is gone).
        if execution.order.live:
            filled += _fill(floor, execution, now_ns=now_ns)
    return filled


def _fill(floor: Floor, execution: Execution, *, now_ns: int) -> int:
    order = execution.order
    trading = floor.trading[order.api_key]
    quantity = min(execution.quantity, order.remaining, _reducible(trading, order))
    if quantity <= 0:
        life.expire(floor, order, by="reduce-only", now_ns=now_ns)
        return 0
    now_ms = now_ns // 1_000_000
    _advance(trading, order, quantity=quantity, price=execution.price, now_ms=now_ms)
    realized, commission = trading.account.book_trade(
        order.rules, quantity=quantity if order.is_buy else -quantity, price=execution.price,
        maker=execution.maker, now_ms=now_ms,
    )  # fmt: skip
    report = user_events.FillReport(
        quantity, execution.price, execution.maker, commission, realized, floor.next_trade_id()
    )
    if order.status in FINAL:
        floor.listings[order.symbol].resting.remove(order)
        trading.retire(order)
    _report(floor, trading, order=order, report=report, now_ns=now_ns)
    expire_pointless(floor, trading, rules=order.rules, now_ns=now_ns)
    return quantity


def _advance(trading: Trading, order: Order, *, quantity: int, price: int, now_ms: int) -> None:
    life.expose(trading, order, sign=-1)
    order.filled += quantity
    order.cum_quote += order.rules.notional(price, quantity)
    order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
    order.updated_ms = now_ms
    life.expose(trading, order, sign=1)


def _reducible(trading: Trading, order: Order) -> int:
    """How much of a reduce-only order may fill now: never past flat. Unlimited for other orders."""
    if not order.request.reduce_only:
        return order.remaining
    position = trading.account.position(order.rules).quantity
    return max(0, -position if order.is_buy else position)


def expire_pointless(floor: Floor, trading: Trading, *, rules: SymbolRules, now_ns: int) -> None:
    """Reduce-only orders that can reduce nothing any more leave the book."""
    for order in [order for order in trading.live.values() if order.request.reduce_only]:
        if order.symbol == rules.symbol and not _reducible(trading, order):
            life.expire(floor, order, by="reduce-only", now_ns=now_ns)


def _report(floor: Floor, trading: Trading, *, order: Order, report: FillReport, now_ns: int) -> None:
    now_ms = now_ns // 1_000_000
    account, rules = trading.account, order.rules
    position = account.position(rules)
    trading.trades.append(
        AccountTrade(report.trade_id, order, report.price, report.quantity, report.maker, report.commission,
                     report.realized, now_ms)
    )  # fmt: skip
    _record_income(trading, order, report=report, now_ms=now_ms)
    floor.ledger.add_order(
        "fill", now_ns, order=order, last_quantity=rules.quantities.text(report.quantity),
        last_price=rules.prices.text(report.price), maker=report.maker,
        commission=MONEY.text(report.commission), realized_pnl=MONEY.text(report.realized),
        trade_id=report.trade_id, position_after=rules.quantities.text(position.quantity),
    )  # fmt: skip
    floor.outbox.append(user_events.trade_lite(order, report, now_ms=now_ms))
    mark = floor.listings[order.symbol].market.mark()
    floor.outbox.append(user_events.account_update(account, position, reason="ORDER", mark=mark, now_ms=now_ms))
    life.tell(floor, trading, order=order, execution="TRADE", fill=report)


def _record_income(trading: Trading, order: Order, *, report: FillReport, now_ms: int) -> None:
    asset = order.rules.quote
    for kind, amount in (("COMMISSION", -report.commission), ("REALIZED_PNL", report.realized)):
        if amount:
            transaction = report.trade_id * 2 + (kind == "REALIZED_PNL")
            trading.income.append(Income(kind, order.symbol, asset, amount, now_ms, transaction, report.trade_id))


def adjust_position(floor: Floor, trading: Trading, *, trade: OffBookTrade, now_ns: int) -> Position:
    """An off-book fill without fee (a test's manual trade): position, ledger entry and ACCOUNT_UPDATE."""
    listing, quantity, price = floor.listing(trade.symbol), trade.quantity, trade.price
    account, rules, now_ms = trading.account, listing.rules, now_ns // 1_000_000
    position = account.position(rules)
    realized = position.trade(quantity, price)
    position.updated_ms = account.updated_ms = now_ms
    account.realized += realized
    account.wallets[rules.quote] = account.wallets.get(rules.quote, 0) + realized
    floor.ledger.add(
        "adjustment", now_ns, symbol=trade.symbol, api_key=account.api_key, side="BUY" if quantity > 0 else "SELL",
        quantity=rules.quantities.text(abs(quantity)), price=rules.prices.text(price), by="admin",
        realized_pnl=MONEY.text(realized), position_after=rules.quantities.text(position.quantity),
    )  # fmt: skip
    mark = listing.market.mark()
    floor.outbox.append(user_events.account_update(account, position, reason="ADJUSTMENT", mark=mark, now_ms=now_ms))
    expire_pointless(floor, trading, rules=rules, now_ns=now_ns)
    return position
