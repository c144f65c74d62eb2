"""What an account hears on its user stream, as typed events; `payload` is the venue's JSON object, field for field.

Made by the venue as things happen and collected for `Venue.drain()`. An event holds plain numbers (units and money
atoms) as they were at that moment and costs little; its payload is built only when somebody asks for it, which a
socket does and a backtest does not. A backtest reads fills so::

    for event in venue.drain():
        match event:
            case OrderUpdate(order=order, fill=FillReport(quantity=quantity, price=price, maker=maker)):
                ...  # fill.commission and fill.realized are money atoms, event.now_ms is the venue's time
            case OrderUpdate(order=order, execution="NEW" | "CANCELED" | "EXPIRED" | "AMENDMENT"):
                ...
            case AccountUpdate(reason="FUNDING_FEE"):
                ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mm_exchange.orders import Order, Status
from mm_exchange.rules import SymbolRules
from mm_exchange.scales import MONEY, divide_half_even

if TYPE_CHECKING:
    from mm_exchange.accounts import Account, Position


class UserEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of one account at a time in milliseconds. `name` is the event's name on the wire (`e`)."""

    api_key: str
    now_ms: int
    symbol: str | None

    name: ClassVar[str] = ""

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON object as sent."""
        return {"e": self.name, "E": self.now_ms, **self.content()}

    def content(self) -> dict[str, Any]:
        """What follows the name and the event time."""
        raise NotImplementedError


class FillReport(msgspec.Struct, frozen=True, gc=False):
    """What one execution adds to an order's event: units, money atoms, the trade's id."""

    quantity: int
    price: int
    maker: bool
    commission: int
    realized: int
    trade_id: int


class OrderUpdate(UserEvent, frozen=True, gc=False):
    """ORDER_TRADE_UPDATE. `execution` is NEW, TRADE, CANCELED, EXPIRED, AMENDMENT, EXPIRED_IN_MATCH or CALCULATED.

    `order` is the live object; what it was at the time is in `status`, `price`, `quantity`, `filled` and `cum_quote`.
    `bids` and `asks` are the notional of the account's resting orders of the symbol in money atoms.
    """

    order: Order
    execution: str
    status: Status
    price: int
    quantity: int
    filled: int
    cum_quote: int
    bids: int
    asks: int
    fill: FillReport | None = None

    name: ClassVar[str] = "ORDER_TRADE_UPDATE"

    def content(self) -> dict[str, Any]:
        """The `o` object of an ORDER_TRADE_UPDATE."""
        order, fill, request = self.order, self.fill, self.order.request
        prices, quantities = order.rules.prices, order.rules.quantities
        detail = {
            "s": order.symbol, "c": order.client_order_id, "S": request.side.value, "o": order.shown_type,
            "f": request.time_in_force.value, "q": quantities.text(self.quantity), "p": prices.text(self.price),
            "ap": _average(self.cum_quote, self.filled, rules=order.rules) or "0.00", "sp": prices.text(0),
            "x": self.execution, "X": self.status.value, "i": order.order_id,
            "l": quantities.text(fill.quantity if fill else 0), "z": quantities.text(self.filled),
            "L": prices.text(fill.price if fill else 0), "n": MONEY.text(fill.commission) if fill else "0",
            "N": order.rules.quote, "T": self.now_ms, "t": fill.trade_id if fill else 0,
            "b": MONEY.text(self.bids), "a": MONEY.text(self.asks), "m": fill.maker if fill else False,
            "R": request.reduce_only, "wt": "CONTRACT_PRICE", "ot": order.original_type,
            "ps": request.position_side.value, "cp": request.close_position,
            "rp": MONEY.text(fill.realized) if fill else "0", "pP": False, "si": 0, "ss": 0,
            "V": request.stp_mode.value, "pm": request.price_match, "gtd": request.good_till_ms, "er": "0",
        }  # fmt: skip
        return {"T": self.now_ms, "o": detail}


class TradeLite(UserEvent, frozen=True, gc=False):
    """TRADE_LITE: the fast, small form of a fill."""

    order: Order
    price: int
    quantity: int
    fill: FillReport

    name: ClassVar[str] = "TRADE_LITE"

    def content(self) -> dict[str, Any]:
        """The fields of a TRADE_LITE."""
        order, fill = self.order, self.fill
        prices, quantities = order.rules.prices, order.rules.quantities
        return {
            "T": self.now_ms, "s": order.symbol, "q": quantities.text(self.quantity),
            "p": prices.text(self.price), "m": fill.maker, "c": order.client_order_id,
            "S": order.request.side.value, "L": prices.text(fill.price), "l": quantities.text(fill.quantity),
            "t": fill.trade_id, "i": order.order_id,
        }  # fmt: skip


class PositionState(msgspec.Struct, frozen=True, gc=False):
    """A position as it was when an event happened: quantity units, money atoms."""

    rules: SymbolRules
    side: str
    isolated: bool
    quantity: int
    cost: int
    realized: int
    isolated_wallet: int
    mark: int

    @property
    def unrealized(self) -> int:
        """Its unrealised PnL in money atoms."""
        return self.rules.notional(self.mark, self.quantity) - self.cost if self.quantity else 0


class AccountUpdate(UserEvent, frozen=True, gc=False):
    """ACCOUNT_UPDATE with one wallet and the positions concerned. `change` is the balance change but PnL and commission.

    `reason` is ORDER, FUNDING_FEE, MARGIN_TYPE_CHANGE, MARGIN_TRANSFER, INSURANCE_CLEAR, ADJUSTMENT, DEPOSIT …
    """

    reason: str
    asset: str
    wallet: int
    cross_wallet: int
    change: int
    positions: tuple[PositionState, ...]

    name: ClassVar[str] = "ACCOUNT_UPDATE"

    def content(self) -> dict[str, Any]:
        """The `a` object of an ACCOUNT_UPDATE."""
        body: dict[str, Any] = {
            "m": self.reason,
            "B": [{"a": self.asset, "wb": MONEY.text(self.wallet), "cw": MONEY.text(self.cross_wallet),
                   "bc": MONEY.text(self.change) if self.change else "0"}],
            "P": [_position_row(state) for state in self.positions],
        }  # fmt: skip
        return {"T": self.now_ms, "a": body}


def _position_row(state: PositionState) -> dict[str, Any]:
    rules = state.rules
    entry = _average(state.cost, state.quantity, rules=rules) or "0.0"
    return {
        "s": rules.symbol, "pa": rules.quantities.text(state.quantity), "ep": entry, "bep": entry,
        "cr": MONEY.text(state.realized), "up": MONEY.text(state.unrealized),
        "mt": "isolated" if state.isolated else "cross", "iw": MONEY.text(state.isolated_wallet),
        "ps": state.side, "ma": rules.quote,
    }  # fmt: skip


class MarginCall(UserEvent, frozen=True, gc=False):
    """MARGIN_CALL: positions whose margin is nearly used up, each with its maintenance margin in money atoms.

    `cross_wallet` is None for an isolated position.
    """

    cross_wallet: int | None
    positions: tuple[tuple[PositionState, int], ...]

    name: ClassVar[str] = "MARGIN_CALL"

    def content(self) -> dict[str, Any]:
        """Cross wallet balance and positions."""
        rows = [
            {
                "s": state.rules.symbol, "ps": state.side, "pa": state.rules.quantities.text(state.quantity),
                "mt": "ISOLATED" if state.isolated else "CROSSED", "iw": MONEY.text(state.isolated_wallet),
                "mp": state.rules.prices.text(state.mark), "up": MONEY.text(state.unrealized), "mm": MONEY.text(needed),
            }
            for state, needed in self.positions
        ]  # fmt: skip
        wallet = {} if self.cross_wallet is None else {"cw": MONEY.text(self.cross_wallet)}
        return wallet | {"p": rows}


class LeverageUpdate(UserEvent, frozen=True, gc=False):
    """ACCOUNT_CONFIG_UPDATE of a symbol's leverage."""

    leverage: int

    name: ClassVar[str] = "ACCOUNT_CONFIG_UPDATE"

    def content(self) -> dict[str, Any]:
        """The `ac` object."""
        return {"T": self.now_ms, "ac": {"s": self.symbol, "l": self.leverage}}


class MultiAssetsUpdate(UserEvent, frozen=True, gc=False):
    """ACCOUNT_CONFIG_UPDATE of the multi-assets mode."""

    on: bool

    name: ClassVar[str] = "ACCOUNT_CONFIG_UPDATE"

    def content(self) -> dict[str, Any]:
        """The `ai` object."""
        return {"T": self.now_ms, "ai": {"j": self.on}}


class ListenKeyExpired(UserEvent, frozen=True, gc=False):
    """listenKeyExpired: nothing follows it on this key."""

    key: str

    name: ClassVar[str] = "listenKeyExpired"

    def content(self) -> dict[str, Any]:
        """The key that ended."""
        return {"listenKey": self.key}


def _average(value: int, quantity: int, *, rules: SymbolRules) -> str | None:
    """Value over quantity as text with eight decimals; None for a quantity of zero."""
    return MONEY.text(divide_half_even(value * rules.quantities.one, quantity)) if quantity else None


def average_price(order: Order) -> str:
    """Average fill price of an order as text; "0.00" before the first fill."""
    return _average(order.cum_quote, order.filled, rules=order.rules) or "0.00"


def entry_price(position: Position) -> str:
    """Average entry price as text; "0.0" when flat."""
    return _average(position.cost, position.quantity, rules=position.rules) or "0.0"


def position_state(position: Position, mark: int) -> PositionState:
    """A position as it is now."""
    return PositionState(
        position.rules, position.side.value, position.isolated, position.quantity, position.cost, position.realized,
        position.isolated_wallet, mark,
    )  # fmt: skip


def account_update(account: Account, position: Position, *, reason: str, mark: int, now_ms: int) -> AccountUpdate:
    """ACCOUNT_UPDATE of one position and its wallet."""
    asset = position.rules.quote
    return AccountUpdate(
        account.api_key, now_ms, position.rules.symbol, reason, asset, account.wallets.get(asset, 0),
        account.cross_wallet(asset), 0, (position_state(position, mark),),
    )  # fmt: skip
