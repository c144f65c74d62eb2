"""What an account hears on its user stream: payloads of the venue's user-data events, field for field.

Built by the venue as things happen, delivered by the shell to the sockets of the account's listenKey.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mm_exchange.scales import MONEY, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm_exchange.accounts import Account, Position
    from mm_exchange.orders import Order


@dataclasses.dataclass(frozen=True, slots=True)
class UserEvent:
    """One event of one account. `payload` is the JSON object as sent, with its name in `e`."""

    api_key: str
    name: str
    payload: dict[str, Any]
    symbol: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FillReport:
    """What one execution adds to an order's event: units, money atoms, the trade's id."""

    quantity: int
    price: int
    maker: bool
    commission: int
    realized: int
    trade_id: int


def average_price(order: Order) -> str:
    """Average fill price of an order as text; "0" before the first fill."""
    if not order.filled:
        return "0.00"
    average = MONEY.decimal(order.cum_quote) / order.rules.quantities.decimal(order.filled)
    return plain(round(average, 8))


def order_trade_update(
    order: Order, execution: str, *, now_ms: int, fill: FillReport | None = None, exposure: Mapping[str, int]
) -> UserEvent:
    """ORDER_TRADE_UPDATE with execution type NEW, TRADE, CANCELED, EXPIRED or AMENDMENT.

    `exposure` has the notional of the account's resting `bids` and `asks` of the symbol, in money atoms.
    """
    request, prices, quantities = order.request, order.rules.prices, order.rules.quantities
    detail: dict[str, Any] = {
        "s": order.symbol, "c": order.client_order_id, "S": request.side.value, "o": request.type.value,
        "f": request.time_in_force.value, "q": quantities.text(order.quantity), "p": prices.text(order.price),
        "ap": average_price(order), "sp": prices.text(0), "x": execution, "X": order.status.value,
        "i": order.order_id, "l": quantities.text(fill.quantity if fill else 0),
        "z": quantities.text(order.filled), "L": prices.text(fill.price if fill else 0),
        "n": MONEY.text(fill.commission) if fill else "0", "N": order.rules.quote,
        "T": now_ms, "t": fill.trade_id if fill else 0, "b": MONEY.text(exposure["bids"]),
        "a": MONEY.text(exposure["asks"]), "m": fill.maker if fill else False, "R": request.reduce_only,
        "wt": "CONTRACT_PRICE", "ot": request.type.value, "ps": "BOTH", "cp": False,
        "rp": MONEY.text(fill.realized) if fill else "0", "pP": False, "si": 0, "ss": 0,
        "V": request.stp_mode, "pm": "NONE", "gtd": request.good_till_ms, "er": "0",
    }  # fmt: skip
    payload = {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": now_ms, "o": detail}
    return UserEvent(order.api_key, "ORDER_TRADE_UPDATE", payload, order.symbol)


def trade_lite(order: Order, fill: FillReport, *, now_ms: int) -> UserEvent:
    """TRADE_LITE: the fast, small form of a fill."""
    prices, quantities = order.rules.prices, order.rules.quantities
    payload = {
        "e": "TRADE_LITE", "E": now_ms, "T": now_ms, "s": order.symbol, "q": quantities.text(order.quantity),
        "p": prices.text(order.price), "m": fill.maker, "c": order.client_order_id,
        "S": order.request.side.value, "L": prices.text(fill.price), "l": quantities.text(fill.quantity),
        "t": fill.trade_id, "i": order.order_id,
    }  # fmt: skip
    return UserEvent(order.api_key, "TRADE_LITE", payload, order.symbol)


def account_update(account: Account, position: Position, *, reason: str, mark: int, now_ms: int) -> UserEvent:
    """ACCOUNT_UPDATE of one position and its wallet; `reason` is ORDER, MARGIN_TYPE_CHANGE or ADJUSTMENT."""
    rules = position.rules
    wallet = account.wallets.get(rules.quote, 0)
    isolated = abs(position.cost) // position.leverage if position.isolated else 0
    body = {
        "m": reason,
        "B": [{"a": rules.quote, "wb": MONEY.text(wallet), "cw": MONEY.text(wallet - isolated), "bc": "0"}],
        "P": [{
            "s": rules.symbol, "pa": rules.quantities.text(position.quantity),
            "ep": entry_price(position), "bep": entry_price(position), "cr": MONEY.text(position.realized),
            "up": MONEY.text(position.unrealized(mark)), "mt": "isolated" if position.isolated else "cross",
            "iw": MONEY.text(isolated), "ps": "BOTH", "ma": rules.quote,
        }],
    }  # fmt: skip
    payload = {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": body}
    return UserEvent(account.api_key, "ACCOUNT_UPDATE", payload, rules.symbol)


def entry_price(position: Position) -> str:
    """Average entry price as text; "0.0" when flat."""
    return plain(round(position.entry_price, 8)) if position.quantity else "0.0"


def leverage_update(account: Account, symbol: str, *, leverage: int, now_ms: int) -> UserEvent:
    """ACCOUNT_CONFIG_UPDATE of a symbol's leverage."""
    payload = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}
    return UserEvent(account.api_key, "ACCOUNT_CONFIG_UPDATE", payload, symbol)


def listen_key_expired(api_key: str, key: str, *, now_ms: int) -> UserEvent:
    """The listenKeyExpired event: nothing follows it on this key."""
    payload = {"e": "listenKeyExpired", "E": now_ms, "listenKey": key}
    return UserEvent(api_key, "listenKeyExpired", payload)
