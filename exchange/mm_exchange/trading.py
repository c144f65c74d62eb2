"""What the exchange keeps for one account beside its wallet: orders, trades, income, countdowns."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mm_exchange.accounts import Account
    from mm_exchange.algo_orders import Algo
    from mm_exchange.orders import Order

# Trades and income records that can still be queried, per account (the ledger keeps all).
HISTORY = 20_000
# Finished orders likewise: about a kilobyte each, which counts where hundreds of accounts trade for days.
FINISHED = 5_000


class AccountTrade(msgspec.Struct, frozen=True, gc=False):
    """One fill as `userTrades` shows it; amounts in units and money atoms."""

    trade_id: int
    order: Order
    price: int
    quantity: int
    maker: bool
    commission: int
    realized: int
    time_ms: int


class Income(msgspec.Struct, frozen=True, gc=False):
    """One wallet movement as `income` shows it; amount in money atoms."""

    kind: str
    symbol: str
    asset: str
    amount: int
    time_ms: int
    transaction_id: int
    trade_id: int = 0


class MarginChange(msgspec.Struct, frozen=True, gc=False):
    """Margin that a person moved to (positive) or from an isolated position, in money atoms."""

    symbol: str
    side: str
    asset: str
    amount: int
    time_ms: int


class OrderName(msgspec.Struct, frozen=True, gc=False):
    """How a client names an order: by the venue's id, which wins, or by its own."""

    order_id: int | None = None
    client_order_id: str | None = None


class AlgoBook:
    """The conditional orders of one account, by id and by the client's id; the latest of them, finished or not."""

    def __init__(self) -> None:
        self.by_id: dict[int, Algo] = {}
        self.by_client_id: dict[str, Algo] = {}

    def add(self, algo: Algo) -> None:
        """Index one; beyond the bound the oldest is forgotten."""
        self.by_id[algo.algo_id] = algo
        self.by_client_id[algo.request.client_algo_id] = algo
        if len(self.by_id) > FINISHED:
            old = self.by_id.pop(next(iter(self.by_id)))
            if self.by_client_id.get(old.request.client_algo_id) is old:
                del self.by_client_id[old.request.client_algo_id]


class Trading:
    """One account's orders and histories. `live` are the orders that can still fill, `dated` those that end by a date."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.orders: dict[int, Order] = {}
        self.by_client_id: dict[tuple[str, str], Order] = {}
        self.live: dict[int, Order] = {}
        self.dated: dict[int, Order] = {}
        self.trades: deque[AccountTrade] = deque(maxlen=HISTORY)
        self.income: deque[Income] = deque(maxlen=HISTORY)
        self.margin_changes: deque[MarginChange] = deque(maxlen=HISTORY)
        self.countdowns: dict[str, int] = {}
        # Live orders by symbol, and how many of all live orders may only close.
        self.open_count: dict[str, int] = {}
        self.reducing = 0
        # What a MARGIN_CALL was sent for and has not recovered: a symbol (isolated) or an asset (cross).
        self.margin_called: set[str] = set()
        self.algos = AlgoBook()
        # Conditional orders that have become an order which still lives, by its id.
        self.triggered: dict[int, Algo] = {}
        self._finished: deque[Order] = deque()

    def remember(self, order: Order) -> None:
        """Index an accepted order."""
        self.orders[order.order_id] = self.live[order.order_id] = order
        symbol = order.symbol
        self.by_client_id[symbol, order.client_order_id] = order
        self.open_count[symbol] = self.open_count.get(symbol, 0) + 1
        self.reducing += order.reduces
        if order.request.good_till_ms:
            self.dated[order.order_id] = order

    def retire(self, order: Order) -> None:
        """Move an order from live to history, which is bounded."""
        if self.live.pop(order.order_id, None) is None:
            return
        self.open_count[order.symbol] -= 1
        self.reducing -= order.reduces
        self.dated.pop(order.order_id, None)
        self._finished.append(order)
        if len(self._finished) > FINISHED:
            old = self._finished.popleft()
            del self.orders[old.order_id]
            key = (old.symbol, old.client_order_id)
            if self.by_client_id.get(key) is old:
                del self.by_client_id[key]
