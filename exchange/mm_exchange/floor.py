"""The trading floor: the state that every rule of the venue reads and changes. The rules are in the modules beside it.

`entry` takes orders in, `fills` books them, `life` ends them, `margins` and `settings` rule accounts, `timers` is
what happens by the clock; `venue` is the face of it all. None of them reads a clock: each call carries its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange.errors import invalid_symbol
from mm_exchange.funding import Funding
from mm_exchange.impact import Consumed
from mm_exchange.ledger import Ledger
from mm_exchange.listen_keys import ListenKeys
from mm_exchange.market import Market
from mm_exchange.matching import MatchingModel, RestingOrders
from mm_exchange.wallets import Fund

if TYPE_CHECKING:
    from mm_exchange.accounts import Fees
    from mm_exchange.algo_orders import Algo
    from mm_exchange.public_events import ForceOrder
    from mm_exchange.rules import SymbolRules
    from mm_exchange.trading import Trading
    from mm_exchange.user_events import UserEvent

# Order and trade ids start where a venue that has run for years would be, so that nobody stores them in 32 bits.
_FIRST_ORDER_ID = 8_389_765_000_000
_FIRST_TRADE_ID = 5_400_000_000
# Fills number their two income records by the trade; everything else counts from here.
_FIRST_TRANSACTION_ID = 690_000_000_000


class Listing:
    """One symbol of the exchange: rules, public market, our resting orders."""

    def __init__(self, rules: SymbolRules, matching: MatchingModel | None = None) -> None:
        self.rules = rules
        model = matching or MatchingModel()
        half_life_ms = model.impact_half_life_ms
        self.market = Market(rules, None if half_life_ms is None else Consumed(half_life_ms))
        self.resting = RestingOrders(model)
        self.funding = Funding()
        # Conditional orders that wait for their price, of every account.
        self.algos: dict[int, Algo] = {}


class Floor:
    """Symbols, accounts, the ledger, ids, and the user events that wait to be drained."""

    def __init__(self, fees: Fees) -> None:
        self.fees = fees
        self.listings: dict[str, Listing] = {}
        self.trading: dict[str, Trading] = {}
        self.ledger = Ledger()
        self.listen_keys = ListenKeys()
        self.fund = Fund()
        self.outbox: list[UserEvent] = []
        self.public: list[ForceOrder] = []
        # The next moment at which the clock alone can change anything, and the next full second.
        self.due_ns = 0
        self.second_ns = 0
        self._order_id = _FIRST_ORDER_ID - 1
        self.trade_id = _FIRST_TRADE_ID - 1
        self._transaction_id = _FIRST_TRANSACTION_ID - 1
        self._algo_number = 0

    def listing(self, symbol: str | None) -> Listing:
        """The listing of a symbol; -1121 when there is none."""
        found = self.listings.get(symbol or "")
        if found is None:
            raise invalid_symbol()
        return found

    def next_order_id(self) -> int:
        """A fresh order id."""
        self._order_id += 1
        return self._order_id

    def next_trade_id(self) -> int:
        """A fresh trade id; `trade_id` is the last one given out."""
        self.trade_id += 1
        return self.trade_id

    def next_transaction_id(self) -> int:
        """A fresh id of an income record that no trade made."""
        self._transaction_id += 1
        return self._transaction_id

    def next_algo_number(self) -> int:
        """A fresh number of a conditional order."""
        self._algo_number += 1
        return self._algo_number

    def wake_at(self, deadline_ns: int) -> None:
        """Let the clock be looked at no later than then."""
        self.due_ns = min(self.due_ns, deadline_ns)
