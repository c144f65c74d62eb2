"""Bookkeeping of fills: from what matching found to positions, wallets, trades, the ledger and the user stream."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mm_exchange import algo_life, life
from mm_exchange.matching import Execution
from mm_exchange.orders import FINAL, Order, PositionSide, Status
from mm_exchange.scales import MONEY
from mm_exchange.trading import AccountTrade, Income
from mm_exchange.user_events import FillReport, TradeLite, account_update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor
    from mm_exchange.trading import Trading


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
        if execution.order.status not in FINAL:
            filled += _fill(floor, execution, now_ns=now_ns)
    return filled


def _fill(floor: Floor, execution: Execution, *, now_ns: int) -> int:
    order = execution.order
    quantity = min(execution.quantity, fillable(order))
    if quantity <= 0:
        life.expire(floor, order, by="reduce-only", now_ns=now_ns)
        return 0
    if quantity != execution.quantity:
        execution = Execution(order, execution.price, quantity, execution.maker)
    if not execution.maker:
        floor.listings[order.symbol].market.consume(execution.price, quantity, buy=order.is_buy)
    settle(floor, execution, now_ns=now_ns)
    return quantity


def settle(floor: Floor, execution: Execution, *, now_ns: int, by: str | None = None) -> None:
    """Book one execution whole. `by` names who stood in where the book did not: the insurance fund."""
    order = execution.order
    trading = floor.trading[order.api_key]
    report = _book(floor, trading, execution=execution, now_ms=now_ns // 1_000_000)
    if order.status is Status.FILLED:
        floor.listings[order.symbol].resting.remove(order)
        trading.retire(order)
    _report(floor, order, report=report, by=by, now_ns=now_ns)
    if order.request.sent_type and order.status is Status.FILLED:
        algo_life.finish(floor, order, now_ns=now_ns)
    expire_pointless(floor, trading, symbol=order.symbol, now_ns=now_ns)


def _book(floor: Floor, trading: Trading, *, execution: Execution, now_ms: int) -> FillReport:
    """Move order, position and wallet by a fill."""
    order, price, quantity = execution.order, execution.price, execution.quantity
    value = order.rules.notional(price, quantity)
    # Whoever is liquidated pays the liquidation fee instead.
    liquidation = order.request.liquidation
    commission = 0 if liquidation else trading.account.fees.of(value, maker=execution.maker)
    life.expose(order, sign=-1)
    order.filled += quantity
    order.cum_quote += value
    order.status = Status.PARTIALLY_FILLED if order.quantity > order.filled else Status.FILLED
    order.updated_ms = now_ms
    life.expose(order, sign=1)
    realized = trading.account.book_trade(
        order.position, quantity=quantity if order.is_buy else -quantity, price=price, commission=commission,
        now_ms=now_ms,
    )  # fmt: skip
    return FillReport(quantity, price, execution.maker, commission, realized, floor.next_trade_id())


def fillable(order: Order) -> int:
    """How much of a live order may fill now."""
    remaining = order.quantity - order.filled
    return min(remaining, _reducible(order)) if order.reduces else remaining


def _reducible(order: Order) -> int:
    """How much a closing order may fill now: never past flat."""
    position = order.position.quantity
    return max(0, -position if order.is_buy else position)


def expire_pointless(floor: Floor, trading: Trading, *, symbol: str, now_ns: int) -> None:
    """Closing orders that can close nothing any more leave the book."""
    if not trading.reducing:
        return
    for order in [order for order in trading.live.values() if order.reduces]:
        if order.symbol == symbol and not _reducible(order):
            life.expire(floor, order, by="reduce-only", now_ns=now_ns)


def _report(floor: Floor, order: Order, *, report: FillReport, by: str | None, now_ns: int) -> None:
    trading = floor.trading[order.api_key]
    now_ms, position = order.updated_ms, order.position
    trading.trades.append(
        AccountTrade(report.trade_id, order, report.price, report.quantity, report.maker, report.commission,
                     report.realized, now_ms)
    )  # fmt: skip
    _record_income(trading, order, report=report, now_ms=now_ms)
    floor.ledger.add_fill(now_ns, order=order, report=report, position=position.quantity, by=by)
    mark = floor.listings[order.symbol].market.mark()
    floor.outbox += (
        TradeLite(order.api_key, now_ms, order.symbol, order, order.price, order.quantity, report),
        account_update(trading.account, position, reason="ORDER", mark=mark, now_ms=now_ms),
    )
    life.tell(floor, order, "CALCULATED" if by else "TRADE", fill=report)


def _record_income(trading: Trading, order: Order, *, report: FillReport, now_ms: int) -> None:
    asset = order.rules.quote
    if report.commission:
        trading.income.append(
            Income("COMMISSION", order.symbol, asset, -report.commission, now_ms, report.trade_id * 2, report.trade_id)
        )
    if report.realized:
        transaction = report.trade_id * 2 + 1
        trading.income.append(
            Income("REALIZED_PNL", order.symbol, asset, report.realized, now_ms, transaction, report.trade_id)
        )


def adjust_position(floor: Floor, trading: Trading, *, trade: OffBookTrade, now_ns: int) -> Position:
    """An off-book fill without fee (a test's manual trade): position, ledger entry and ACCOUNT_UPDATE.

    In hedge mode a purchase goes to the long and a sale to the short position.
    """
    listing, quantity, price = floor.listing(trade.symbol), trade.quantity, trade.price
    account, rules, now_ms = trading.account, listing.rules, now_ns // 1_000_000
    side = PositionSide.BOTH
    if account.hedged:
        side = PositionSide.LONG if quantity > 0 else PositionSide.SHORT
    position = account.position(rules, side)
    realized = account.book_trade(position, quantity=quantity, price=price, commission=0, now_ms=now_ms)
    floor.ledger.add(
        "adjustment", now_ns, symbol=trade.symbol, api_key=account.api_key, side="BUY" if quantity > 0 else "SELL",
        quantity=rules.quantities.text(abs(quantity)), price=rules.prices.text(price), by="admin",
        realized_pnl=MONEY.text(realized), position_after=rules.quantities.text(position.quantity),
    )  # fmt: skip
    mark = listing.market.mark()
    floor.outbox.append(account_update(account, position, reason="ADJUSTMENT", mark=mark, now_ms=now_ms))
    expire_pointless(floor, trading, symbol=rules.symbol, now_ns=now_ns)
    return position
