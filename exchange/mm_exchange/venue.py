"""The exchange itself, as one sans-I/O object: the face of the modules that hold its rules.

Every call carries the time in nanoseconds; nothing here reads a clock. What accounts are to hear collects in an
outbox that the caller drains; what happened is in the ledger. Called by `api` (clients), `admin`, the feed, and by
backtests, which need no API: `add_symbol`, `add_account`, then `on_market`, `tick`, `place`, `amend`, `cancel` …, `drain`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange import algos, entry, fills, funding, life, margins, modes, settings, timers, wallets
from mm_exchange.accounts import Account, Fees
from mm_exchange.entry import Origin
from mm_exchange.floor import Floor, Listing
from mm_exchange.funding import INTERVAL_MS
from mm_exchange.matching import MatchingModel
from mm_exchange.scales import MONEY
from mm_exchange.trading import AccountTrade, Income, OrderName, Trading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from mm_exchange.accounts import Margin, Position
    from mm_exchange.algo_orders import Algo, AlgoRequest
    from mm_exchange.ledger import Ledger
    from mm_exchange.listen_keys import ListenKeys
    from mm_exchange.market import MarketEvent
    from mm_exchange.orders import Order, OrderRequest
    from mm_exchange.public_events import ForceOrder
    from mm_exchange.rules import SymbolRules
    from mm_exchange.user_events import UserEvent

__all__ = ["AccountTrade", "Income", "Listing", "OrderName", "Trading", "Venue"]


class Venue:
    """All symbols and accounts under one matching rule."""

    def __init__(self, *, fees: Fees | None = None, matching: MatchingModel | None = None) -> None:
        self.floor = Floor(fees or Fees())
        self._matching = matching or MatchingModel()

    @property
    def listings(self) -> dict[str, Listing]:
        """Symbols by name."""
        return self.floor.listings

    @property
    def trading(self) -> dict[str, Trading]:
        """Accounts by API key."""
        return self.floor.trading

    @property
    def ledger(self) -> Ledger:
        """The record of everything that happened."""
        return self.floor.ledger

    @property
    def listen_keys(self) -> ListenKeys:
        """The keys of the user streams."""
        return self.floor.listen_keys

    # -- set-up ------------------------------------------------------------------------------------------------

    def add_symbol(self, rules: SymbolRules, *, funding_interval_ms: int = INTERVAL_MS) -> Listing:
        """List a symbol; listing it twice is a mistake of the caller. Funding settles at multiples of its interval."""
        if rules.symbol in self.listings:
            raise ValueError(f"{rules.symbol} is listed already: name each symbol in one source only")
        listing = self.listings[rules.symbol] = Listing(rules, self._matching)
        listing.funding.interval_ms = funding_interval_ms
        return listing

    def add_account(
        self, api_key: str, secret: str, *, balances: Mapping[str, int], now_ns: int, fees: Fees | None = None
    ) -> Account:
        """Open an account: one-way, cross margin, single asset. Balances in money atoms; `fees` where not the venue's."""
        if api_key in self.trading:
            raise ValueError(f"an account with the apiKey {api_key!r} exists already")
        account = Account(api_key, secret.encode(), balances=balances, fees=fees or self.floor.fees)
        self.trading[api_key] = Trading(account)
        detail = {"balances": {asset: MONEY.text(amount) for asset, amount in balances.items()}}
        self.ledger.add("account", now_ns, api_key=api_key, status="CREATED", detail=detail)
        return account

    def listing(self, symbol: str | None) -> Listing:
        """The listing of a symbol; -1121 when there is none."""
        return self.floor.listing(symbol)

    def drain(self) -> list[UserEvent]:
        """User events since the last call, in order."""
        events, self.floor.outbox = self.floor.outbox, []
        return events

    def drain_public(self) -> list[ForceOrder]:
        """Liquidations since the last call, for the public streams."""
        events, self.floor.public = self.floor.public, []
        return events

    @property
    def next_due_ns(self) -> int:
        """Before this time `tick` has nothing to do. Earlier deadlines may still be set by calls."""
        return self.floor.due_ns

    # -- the public market -------------------------------------------------------------------------------------

    def on_market(self, event: MarketEvent, now_ns: int) -> None:
        """Take a public event over and fill whom it fills."""
        listing = self.floor.listings[event.symbol]
        market, resting = listing.market, listing.resting
        market.apply(event)
        if resting:
            executions = resting.on_event(event, market)
            if executions:
                fills.execute(self.floor, executions, now_ns=now_ns)
        if listing.algos:
            algos.on_market(self.floor, listing, now_ns=now_ns)

    def outsider_trades(
        self, symbol: str, quantity: int, *, buys: bool, limit: int | None, now_ns: int
    ) -> tuple[int, int]:
        """An outside taker meets our resting orders only; (quantity filled, fills)."""
        executions = self.listing(symbol).resting.on_outsider(quantity, buys=buys, limit=limit)
        before = self.floor.trade_id
        filled = fills.execute(self.floor, executions, now_ns=now_ns)
        return filled, self.floor.trade_id - before

    def tick(self, now_ns: int) -> None:
        """Everything that happens by the clock: countdowns, good-till dates, listenKeys, funding, margin."""
        timers.tick(self.floor, now_ns)

    # -- orders ------------------------------------------------------------------------------------------------

    def place(
        self,
        trading: Trading,
        request: OrderRequest,
        *,
        now_ns: int,
        address: str | None = None,
        request_ms: int | None = None,
    ) -> Order:
        """Accept an order and match it, or refuse it with the venue's code."""
        return entry.place(self.floor, trading, request=request, origin=Origin(address, request_ms), now_ns=now_ns)

    def amend(self, _trading: Trading, order: Order, *, price: int, quantity: int, now_ns: int) -> Order:
        """Change price or quantity of a resting LIMIT order; -5027, -5022, -2019."""
        return entry.amend(self.floor, order, price=price, quantity=quantity, now_ns=now_ns)

    def find(self, trading: Trading, symbol: str, *, name: OrderName) -> Order:
        """An order of the account; -2013 when there is none."""
        return life.find(trading, symbol, name=name)

    def cancel(self, trading: Trading, symbol: str, *, name: OrderName, by: str, now_ns: int) -> Order:
        """Take one resting order off; -2011 when it does not rest."""
        order = life.find_live(trading, symbol, name=name)
        life.cancel(self.floor, order, by=by, now_ns=now_ns)
        return order

    def cancel_all(self, trading: Trading, symbol: str, *, by: str, now_ns: int) -> list[Order]:
        """Take every resting order of an account and symbol off, a person's manual ones too."""
        return life.cancel_all(self.floor, trading, symbol=symbol, by=by, now_ns=now_ns)

    # -- conditional orders ------------------------------------------------------------------------------------

    def place_algo(self, trading: Trading, request: AlgoRequest, *, now_ns: int) -> Algo:
        """Take a conditional order in; -2021 when it would trigger at once, -4116, -4045, -4130."""
        return algos.place(self.floor, trading, request=request, now_ns=now_ns)

    def find_algo(self, trading: Trading, *, algo_id: int | None = None, client_algo_id: str | None = None) -> Algo:
        """A conditional order of the account; -2013 when there is none."""
        return algos.find(trading, algo_id=algo_id, client_algo_id=client_algo_id)

    def cancel_algo(self, algo: Algo, *, by: str, now_ns: int) -> None:
        """Take a waiting conditional order off; -2011 when it does not wait any more."""
        algos.cancel(self.floor, algo, by=by, now_ns=now_ns)

    def cancel_all_algos(self, trading: Trading, symbol: str, *, by: str, now_ns: int) -> None:
        """Take every waiting conditional order of an account and symbol off."""
        algos.cancel_all(self.floor, trading, symbol=symbol, by=by, now_ns=now_ns)

    # -- accounts ----------------------------------------------------------------------------------------------

    def margin(self, trading: Trading, position: Position) -> Margin:
        """Margin figures of one symbol of an account at the mark price of now."""
        return margins.margin(self.floor, trading, position)

    def available(self, trading: Trading, asset: str) -> int:
        """Balance free for new positions, in money atoms."""
        return margins.available(self.floor, trading, asset)

    def liquidation_price(self, trading: Trading, position: Position) -> Decimal:
        """Mark price at which a position is taken over, the rest of the account unmoved; 0: none."""
        return margins.liquidation_price(self.floor, trading, position)

    def set_leverage(self, trading: Trading, symbol: str, *, leverage: int, now_ns: int) -> Position:
        """Change a symbol's leverage; -4028, -2028."""
        return settings.set_leverage(self.floor, trading, symbol=symbol, leverage=leverage, now_ns=now_ns)

    def set_margin_type(self, trading: Trading, symbol: str, *, isolated: bool, now_ns: int) -> None:
        """Change a symbol's margin type; -4046, -4047, -4048."""
        settings.set_margin_type(self.floor, trading, symbol=symbol, isolated=isolated, now_ns=now_ns)

    def set_hedged(self, trading: Trading, *, hedged: bool, now_ns: int) -> None:
        """Change between one-way and hedge mode; -4059, -4067, -4068."""
        modes.set_hedged(self.floor, trading, hedged=hedged, now_ns=now_ns)

    def set_multi_assets(self, trading: Trading, *, on: bool, now_ns: int) -> None:
        """Change between single-asset and multi-assets mode; -4167 to -4172."""
        modes.set_multi_assets(self.floor, trading, on=on, now_ns=now_ns)

    def move_margin(self, trading: Trading, position: Position, *, amount: int, now_ns: int) -> None:
        """Add to (positive) or take from an isolated position's margin; -4049, -4050, -4051, -4054."""
        wallets.move_margin(self.floor, trading, position=position, amount=amount, now_ns=now_ns)

    def set_countdown(self, trading: Trading, symbol: str, *, countdown_ms: int, now_ns: int) -> None:
        """Arm, refresh or (0) disarm the dead-man switch of an account and symbol."""
        settings.set_countdown(self.floor, trading, symbol=symbol, countdown_ms=countdown_ms, now_ns=now_ns)

    def settle_funding(self, symbol: str, *, now_ns: int) -> None:
        """Settle a symbol's funding now, once, beside its times (for tests)."""
        funding.settle(self.floor, self.listing(symbol), time_ms=now_ns // 1_000_000, now_ns=now_ns)

    def transfer(self, trading: Trading, asset: str, *, amount: int, now_ns: int) -> None:
        """Deposit (positive) or withdraw money atoms; -2018."""
        wallets.transfer(self.floor, trading, asset=asset, amount=amount, now_ns=now_ns)

    def adjust_position(self, trading: Trading, symbol: str, *, quantity: int, price: int, now_ns: int) -> Position:
        """An off-book fill without fee (a test's manual trade)."""
        trade = fills.OffBookTrade(symbol, quantity, price)
        return fills.adjust_position(self.floor, trading, trade=trade, now_ns=now_ns)

    def expire_listen_key(self, api_key: str, *, now_ns: int) -> None:
        """End an account's listenKey and tell its streams."""
        timers.expire_listen_key(self.floor, api_key, now_ns=now_ns)
