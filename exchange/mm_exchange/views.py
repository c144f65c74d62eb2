"""How the venue prints orders, positions, wallets and trades: the JSON objects of REST replies, field for field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange import brackets
from mm_exchange.scales import MONEY, plain
from mm_exchange.user_events import average_price, entry_price

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.orders import Order
    from mm_exchange.rules import SymbolRules
    from mm_exchange.venue import AccountTrade, Income, Trading, Venue

# Conditional types are listed by the venue too, and taken by `algoOrder` only.
ORDER_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")


def order_result(order: Order) -> dict[str, Any]:
    """Reply to a new order (RESULT), an amendment or a cancel."""
    request, prices, quantities = order.request, order.rules.prices, order.rules.quantities
    executed = quantities.text(order.filled)
    return {
        "orderId": order.order_id, "symbol": order.symbol, "status": order.status.value,
        "clientOrderId": order.client_order_id, "price": prices.text(order.price),
        "avgPrice": average_price(order), "origQty": quantities.text(order.quantity), "executedQty": executed,
        "cumQty": executed, "cumQuote": plain(MONEY.decimal(order.cum_quote)),
        "timeInForce": request.time_in_force.value, "type": order.shown_type,
        "reduceOnly": order.reduces, "closePosition": request.close_position, "side": request.side.value,
        "positionSide": request.position_side.value, "stopPrice": prices.text(0), "workingType": "CONTRACT_PRICE",
        "priceProtect": False, "origType": order.original_type, "priceMatch": request.price_match,
        "selfTradePreventionMode": request.stp_mode.value, "goodTillDate": request.good_till_ms,
        "updateTime": order.updated_ms,
    }  # fmt: skip


def order_ack(order: Order) -> dict[str, Any]:
    """Reply to a new order with ACK: accepted, nothing said of fills."""
    zero = order.rules.quantities.text(0)
    return order_result(order) | {
        "status": "NEW", "executedQty": zero, "cumQty": zero, "cumQuote": "0", "avgPrice": "0.00",
    }  # fmt: skip


def order_query(order: Order) -> dict[str, Any]:
    """An order as queried: with its time, without `cumQty`."""
    shown = order_result(order) | {"time": order.created_ms}
    del shown["cumQty"]
    return shown


def trade_row(trade: AccountTrade) -> dict[str, Any]:
    """One item of `userTrades`."""
    order = trade.order
    rules = order.rules
    return {
        "symbol": order.symbol, "id": trade.trade_id, "orderId": order.order_id,
        "side": order.request.side.value, "price": rules.prices.text(trade.price),
        "qty": rules.quantities.text(trade.quantity), "realizedPnl": MONEY.text(trade.realized),
        "quoteQty": plain(MONEY.decimal(rules.notional(trade.price, trade.quantity))),
        "commission": MONEY.text(trade.commission), "commissionAsset": rules.quote, "time": trade.time_ms,
        "positionSide": order.request.position_side.value, "buyer": order.is_buy, "maker": trade.maker, "marginAsset": rules.quote,
    }  # fmt: skip


def income_row(income: Income) -> dict[str, Any]:
    """One item of `income`; what no trade made says its kind where the trade's id would be."""
    trade = str(income.trade_id) if income.trade_id else ""
    return {
        "symbol": income.symbol, "incomeType": income.kind, "income": MONEY.text(income.amount),
        "asset": income.asset, "info": trade or income.kind, "time": income.time_ms,
        "tranId": income.transaction_id, "tradeId": trade,
    }  # fmt: skip


def max_notional(rules: SymbolRules, leverage: int) -> str:
    """Largest notional, in quote units, that a leverage allows."""
    return str(brackets.max_notional(rules.brackets, leverage))


def _liquidation(venue: Venue, trading: Trading, position: Position) -> str:
    price = venue.liquidation_price(trading, position)
    return plain(round(price, 8)) if price else "0"


def position_v3(venue: Venue, trading: Trading, position: Position) -> dict[str, Any]:
    """One item of `v3/positionRisk`."""
    rules, margin = position.rules, venue.margin(trading, position)
    isolated = margin.isolated_wallet + margin.unrealized if position.isolated else 0
    return {
        "symbol": rules.symbol, "positionSide": position.side.value, "positionAmt": rules.quantities.text(position.quantity),
        "entryPrice": entry_price(position), "breakEvenPrice": entry_price(position),
        "markPrice": _mark_text(venue, rules), "unRealizedProfit": MONEY.text(margin.unrealized),
        "liquidationPrice": _liquidation(venue, trading, position),
        "isolatedMargin": MONEY.text(isolated), "notional": MONEY.text(margin.notional),
        "marginAsset": rules.quote, "isolatedWallet": MONEY.text(margin.isolated_wallet),
        "initialMargin": MONEY.text(margin.initial), "maintMargin": MONEY.text(margin.maintenance),
        "positionInitialMargin": MONEY.text(margin.position_initial),
        "openOrderInitialMargin": MONEY.text(margin.open_order_initial), "adl": 0,
        "bidNotional": MONEY.text(margin.bid_notional), "askNotional": MONEY.text(margin.ask_notional),
        "updateTime": position.updated_ms,
    }  # fmt: skip


def position_v2(venue: Venue, trading: Trading, position: Position) -> dict[str, Any]:
    """One item of `v2/positionRisk`."""
    full = position_v3(venue, trading, position)
    names = ("symbol", "positionAmt", "entryPrice", "breakEvenPrice", "markPrice", "unRealizedProfit",
             "liquidationPrice", "isolatedMargin", "positionSide", "notional", "isolatedWallet",
             "updateTime")  # fmt: skip
    return {name: full[name] for name in names} | {
        "marginType": "isolated" if position.isolated else "cross", "isAutoAddMargin": "false",
        "leverage": str(position.leverage), "maxNotionalValue": max_notional(position.rules, position.leverage),
    }  # fmt: skip


def _mark_text(venue: Venue, rules: SymbolRules) -> str:
    return plain(round(rules.prices.decimal(venue.listings[rules.symbol].market.mark()), 8))


def account_position(venue: Venue, trading: Trading, position: Position) -> dict[str, Any]:
    """One item of `v3/account`'s positions."""
    full = position_v3(venue, trading, position)
    names = ("symbol", "positionSide", "positionAmt", "isolatedMargin", "notional", "isolatedWallet",
             "initialMargin", "maintMargin", "updateTime")  # fmt: skip
    return {name: full[name] for name in names} | {"unrealizedProfit": full["unRealizedProfit"]}


def account_position_v2(venue: Venue, trading: Trading, position: Position) -> dict[str, Any]:
    """One item of `v2/account`'s positions."""
    full = position_v3(venue, trading, position)
    return account_position(venue, trading, position) | {
        "positionInitialMargin": full["positionInitialMargin"],
        "openOrderInitialMargin": full["openOrderInitialMargin"], "leverage": str(position.leverage),
        "isolated": position.isolated, "entryPrice": full["entryPrice"],
        "breakEvenPrice": full["breakEvenPrice"], "maxNotional": max_notional(position.rules, position.leverage),
        "bidNotional": full["bidNotional"], "askNotional": full["askNotional"],
    }  # fmt: skip


def asset_rows(venue: Venue, trading: Trading) -> list[dict[str, int | str]]:
    """Every wallet with its margins, in money atoms (integers; printed by the callers)."""
    rows: list[dict[str, int | str]] = []
    for asset, wallet in trading.account.wallets.items():
        margins = [
            (position, venue.margin(trading, position))
            for position in trading.account.positions.values()
            if position.rules.quote == asset
        ]
        unrealized = sum(margin.unrealized for _, margin in margins)
        available = venue.available(trading, asset)
        rows.append({
            "asset": asset, "walletBalance": wallet, "unrealizedProfit": unrealized,
            "marginBalance": wallet + unrealized, "maintMargin": sum(m.maintenance for _, m in margins),
            "initialMargin": sum(m.initial for _, m in margins),
            "positionInitialMargin": sum(m.position_initial for _, m in margins),
            "openOrderInitialMargin": sum(m.open_order_initial for _, m in margins),
            "crossWalletBalance": trading.account.cross_wallet(asset),
            "crossUnPnl": sum(m.unrealized for position, m in margins if not position.isolated),
            "availableBalance": available, "maxWithdrawAmount": max(0, min(available, wallet)),
        })  # fmt: skip
    return rows
