"""The exchange itself: symbols, accounts and the life of every order, as one sans-I/O object.

Every call carries the time in nanoseconds; nothing here reads a clock. What accounts are to hear collects in an
outbox that the shell drains; what happened is in the ledger. Called by `api` (clients), `admin` and the feed.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING

from mm_exchange import user_events
from mm_exchange.accounts import Account, Exposure, Fees, Margin, Position
from mm_exchange.errors import VenueError, invalid_symbol, no_such_order, unknown_order
from mm_exchange.ledger import Ledger
from mm_exchange.listen_keys import ListenKeys
from mm_exchange.market import Market, Trade
from mm_exchange.matching import Execution, RestingOrders, crosses, take
from mm_exchange.orders import FINAL, Order, OrderRequest, OrderType, Status, TimeInForce
from mm_exchange.scales import MONEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mm_exchange.market import MarketEvent
    from mm_exchange.rules import SymbolRules
    from mm_exchange.user_events import FillReport, UserEvent

# Finished orders, trades and income records that can still be queried, per account (the ledger keeps all).
_HISTORY = 20_000
# Order and trade ids start where a venue that has run for years would be, so that nobody stores them in 32 bits.
_FIRST_ORDER_ID = 8_389_765_000_000
_FIRST_TRADE_ID = 5_400_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class AccountTrade:
    """One fill as `userTrades` shows it; amounts in units and money atoms."""

    trade_id: int
    order: Order
    price: int
    quantity: int
    maker: bool
    commission: int
    realized: int
    time_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class Income:
    """One wallet movement as `income` shows it; amount in money atoms."""

    kind: str
    symbol: str
    asset: str
    amount: int
    time_ms: int
    transaction_id: int
    trade_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class OrderName:
    """How a client names an order: by the venue's id, which wins, or by its own."""

    order_id: int | None = None
    client_order_id: str | None = None


class Listing:
    """One symbol of the exchange: rules, public market, our resting orders."""

    def __init__(self, rules: SymbolRules) -> None:
        self.rules = rules
        self.market = Market(rules)
        self.resting = RestingOrders()


class Trading:
    """What the exchange keeps for one account beside its wallet: orders, trades, income, exposures, countdowns."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.orders: dict[int, Order] = {}
        self.by_client_id: dict[tuple[str, str], Order] = {}
        self.live: dict[int, Order] = {}
        self.dated: dict[int, Order] = {}
        self.trades: deque[AccountTrade] = deque(maxlen=_HISTORY)
        self.income: deque[Income] = deque(maxlen=_HISTORY)
        self.exposures: dict[str, Exposure] = {}
        self.countdowns: dict[str, int] = {}
        self._finished: deque[Order] = deque()

    def exposure(self, symbol: str) -> Exposure:
        """Notional of its resting opening orders of a symbol."""
        return self.exposures.setdefault(symbol, Exposure())

    def remember(self, order: Order) -> None:
        """Index an accepted order."""
        self.orders[order.order_id] = self.live[order.order_id] = order
        self.by_client_id[order.symbol, order.client_order_id] = order
        if order.request.good_till_ms:
            self.dated[order.order_id] = order

    def retire(self, order: Order) -> None:
        """Move an order from live to history, which is bounded."""
        if self.live.pop(order.order_id, None) is None:
            return
        self.dated.pop(order.order_id, None)
        self._finished.append(order)
        if len(self._finished) > _HISTORY:
            old = self._finished.popleft()
            del self.orders[old.order_id]
            key = (old.symbol, old.client_order_id)
            if self.by_client_id.get(key) is old:
                del self.by_client_id[key]


class Venue:
    """All symbols and accounts under one matching rule."""

    def __init__(self, *, fees: Fees | None = None) -> None:
        self.fees = fees or Fees()
        self.listings: dict[str, Listing] = {}
        self.trading: dict[str, Trading] = {}
        self.ledger = Ledger()
        self.listen_keys = ListenKeys()
        self._outbox: list[UserEvent] = []
        self._next_order_id = _FIRST_ORDER_ID
        self._next_trade_id = _FIRST_TRADE_ID

    # -- set-up ------------------------------------------------------------------------------------------------

    def add_symbol(self, rules: SymbolRules) -> Listing:
        """List a symbol; listing it twice is a mistake of the caller."""
        if rules.symbol in self.listings:
            raise ValueError(f"{rules.symbol} is listed already: name each symbol in one source only")
        listing = self.listings[rules.symbol] = Listing(rules)
        return listing

    def add_account(self, api_key: str, secret: str, *, balances: Mapping[str, int], now_ns: int) -> Account:
        """Open an account: one-way, cross margin, single asset. Balances in money atoms by asset."""
        if api_key in self.trading:
            raise ValueError(f"an account with the apiKey {api_key!r} exists already")
        account = Account(api_key, secret.encode(), balances=balances, fees=self.fees)
        self.trading[api_key] = Trading(account)
        detail = {"balances": {asset: MONEY.text(amount) for asset, amount in balances.items()}}
        self.ledger.add("account", now_ns, api_key=api_key, status="CREATED", detail=detail)
        return account

    def listing(self, symbol: str | None) -> Listing:
        """The listing of a symbol; -1121 when there is none."""
        found = self.listings.get(symbol or "")
        if found is None:
            raise invalid_symbol()
        return found

    def drain(self) -> list[UserEvent]:
        """User events since the last call, in order."""
        events, self._outbox = self._outbox, []
        return events

    def emit(self, event: UserEvent) -> None:
        """Queue a user event."""
        self._outbox.append(event)

    # -- the public market -------------------------------------------------------------------------------------

    def on_market(self, event: MarketEvent, now_ns: int) -> None:
        """Take a public event over and fill whom it fills."""
        listing = self.listings[event.symbol]
        market, resting = listing.market, listing.resting
        market.apply(event)
        if not resting:
            return
        if isinstance(event, Trade):
            if not event.market:
                return
            executions = resting.on_trade(event.price, event.quantity, buyer_is_maker=event.buyer_is_maker)
        else:
            executions = resting.on_market(market)
        self._execute(executions, now_ns)

    def outsider_trades(
        self, symbol: str, quantity: int, *, buys: bool, limit: int | None, now_ns: int
    ) -> tuple[int, int]:
        """An outside taker meets our resting orders only; (quantity filled, fills)."""
        executions = self.listing(symbol).resting.on_outsider(quantity, buys=buys, limit=limit)
        before = self._next_trade_id
        filled = self._execute(executions, now_ns)
        return filled, self._next_trade_id - before

    def tick(self, now_ns: int) -> None:
        """Everything that happens by the clock: countdowns, good-till dates, listenKeys."""
        for trading in self.trading.values():
            for symbol, deadline in list(trading.countdowns.items()):
                if deadline <= now_ns:
                    self._fire_countdown(trading, symbol, now_ns=now_ns)
            for order in list(trading.dated.values()):
                if order.request.good_till_ms * 1_000_000 <= now_ns:
                    self._expire(order, now_ns, by="good-till-date")
        for key in self.listen_keys.due(now_ns):
            self.expire_listen_key(key.api_key, now_ns=now_ns)

    def _fire_countdown(self, trading: Trading, symbol: str, *, now_ns: int) -> None:
        del trading.countdowns[symbol]
        self.ledger.add("countdown", now_ns, symbol=symbol, api_key=trading.account.api_key, status="FIRED")
        self.cancel_all(trading, symbol, by="countdown", now_ns=now_ns)

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
        """Accept an order and match it, or refuse it with the venue's code. Refusals leave no trace here."""
        listing = self.listing(request.symbol)
        self._check(trading, request, listing=listing)
        now_ms = now_ns // 1_000_000
        if not request.client_order_id:
            request = dataclasses.replace(request, client_order_id=f"auto{self._next_order_id}")
        order = Order(
            self._next_order_id, request, trading.account.api_key, listing.rules, now_ms, price=request.price,
            quantity=request.quantity, arrival=self._next_order_id, updated_ms=now_ms,
        )  # fmt: skip
        self._next_order_id += 1
        executions = take(order, listing.market)
        trading.remember(order)
        self._expose(trading, order, sign=1)
        self.ledger.add_order("order", now_ns, order=order, address=address, request_time=request_ms)
        self._tell(trading, order, "NEW", now_ms=now_ms)
        self._execute(executions, now_ns)
        if order.live:
            self._rest_or_expire(order, listing, now_ns=now_ns)
        return order

    def _rest_or_expire(self, order: Order, listing: Listing, *, now_ns: int) -> None:
        immediate = order.request.type is OrderType.MARKET or order.request.time_in_force in (
            TimeInForce.IOC,
            TimeInForce.FOK,
        )
        if immediate:
            self._expire(order, now_ns, by="venue")
        else:
            listing.resting.add(order, listing.market.displayed(order.price, buy=order.is_buy))

    def _check(self, trading: Trading, request: OrderRequest, *, listing: Listing) -> None:
        rules, market = listing.rules, listing.market
        buy = request.side.value == "BUY"
        known = trading.by_client_id.get((request.symbol, request.client_order_id))
        if known is not None and known.live:
            raise VenueError(-4116, "ClientOrderId is duplicated.")
        mark = market.mark()
        price = request.price
        if request.type is OrderType.LIMIT:
            if mark:
                rules.check_percent_price(price, mark, buy=buy)
            if sum(order.symbol == request.symbol for order in trading.live.values()) >= rules.max_orders:
                raise VenueError(-2025, "Reach max open order limit.")
        else:
            touch = market.best_ask() if buy else market.best_bid()
            price = touch[0] if touch is not None else mark
        rules.check_notional(price, request.quantity, reduce_only=request.reduce_only)
        if request.reduce_only:
            self._check_reduces(trading, listing, buy=buy)
        else:
            self._check_margin(trading, listing, price=price, quantity=request.quantity if buy else -request.quantity)
        if request.time_in_force is TimeInForce.GTX and crosses(market, request.price, buy=buy):
            raise VenueError(
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be rejected. "
                "The order will not be recorded in the order history",
            )
        if request.time_in_force is TimeInForce.FOK and not _fills_at_once(request, listing, buy=buy):
            raise VenueError(
                -5021,
                "Due to the order could not be filled immediately, the FOK order has been rejected. "
                "The order will not be recorded in the order history",
            )

    def _check_reduces(self, trading: Trading, listing: Listing, *, buy: bool) -> None:
        position = trading.account.position(listing.rules).quantity
        if position == 0 or (position > 0) == buy:
            raise VenueError(-2022, "ReduceOnly Order is rejected.")

    def _check_margin(self, trading: Trading, listing: Listing, *, price: int, quantity: int) -> None:
        value = listing.rules.notional(price, quantity)
        exposure = trading.exposure(listing.rules.symbol)
        wanted = Exposure(exposure.bids + max(0, value), exposure.asks + max(0, -value))
        position = trading.account.position(listing.rules)
        mark = listing.market.mark()
        now = trading.account.margin(position, mark, exposure=exposure).initial
        then = trading.account.margin(position, mark, exposure=wanted).initial
        if then > now and then - now > self.available(trading, listing.rules.quote):
            raise VenueError(-2019, "Margin is insufficient.")

    def amend(self, trading: Trading, order: Order, *, price: int, quantity: int, now_ns: int) -> Order:
        """Change price or quantity of a resting LIMIT order. Only a smaller quantity at the same price keeps its place.

        Raises -5027 when nothing changes, -5022 when a post-only order would cross, -2019 without margin.
        """
        listing = self.listing(order.symbol)
        if price == order.price and quantity == order.quantity:
            raise VenueError(-5027, "No need to modify the order.")
        if quantity <= order.filled:
            self._cancel(order, now_ns, by="amend")
            return order
        listing.rules.check_notional(price, quantity, reduce_only=order.request.reduce_only)
        if order.request.time_in_force is TimeInForce.GTX and crosses(listing.market, price, buy=order.is_buy):
            raise VenueError(
                -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."
            )
        self._expose(trading, order, sign=-1)
        if not order.request.reduce_only:
            try:
                rest = quantity - order.filled
                self._check_margin(trading, listing, price=price, quantity=rest if order.is_buy else -rest)
            except VenueError:
                self._expose(trading, order, sign=1)
                raise
        self._move(order, listing, price=price, quantity=quantity)
        order.updated_ms = now_ns // 1_000_000
        self._expose(trading, order, sign=1)
        self.ledger.add_order("amend", now_ns, order=order)
        self._tell(trading, order, "AMENDMENT", now_ms=order.updated_ms)
        self._execute(take(order, listing.market), now_ns)
        return order

    def _move(self, order: Order, listing: Listing, *, price: int, quantity: int) -> None:
        keeps_place = price == order.price and quantity < order.quantity
        if keeps_place:
            order.quantity = quantity
            return
        listing.resting.remove(order)
        order.price, order.quantity = price, quantity
        listing.resting.add(order, listing.market.displayed(price, buy=order.is_buy))

    def find(self, trading: Trading, symbol: str, *, name: OrderName) -> Order:
        """An order of the account; -2013 when there is none."""
        by_client = trading.by_client_id.get((symbol, name.client_order_id or ""))
        order = trading.orders.get(name.order_id) if name.order_id is not None else by_client
        if order is None or order.symbol != symbol:
            raise no_such_order()
        return order

    def cancel(self, trading: Trading, symbol: str, *, name: OrderName, by: str, now_ns: int) -> Order:
        """Take one resting order off; -2011 when it does not rest."""
        try:
            order = self.find(trading, symbol, name=name)
        except VenueError as error:
            raise unknown_order() from error
        if not order.live:
            raise unknown_order()
        self._cancel(order, now_ns, by=by)
        return order

    def cancel_all(self, trading: Trading, symbol: str, *, by: str, now_ns: int) -> list[Order]:
        """Take every resting order of an account and symbol off, a person's manual ones too."""
        orders = [order for order in trading.live.values() if order.symbol == symbol]
        for order in orders:
            self._cancel(order, now_ns, by=by)
        return orders

    def _cancel(self, order: Order, now_ns: int, *, by: str) -> None:
        self._finish(order, Status.CANCELED, kind="cancel", now_ns=now_ns, by=by)

    def _expire(self, order: Order, now_ns: int, *, by: str) -> None:
        self._finish(order, Status.EXPIRED, kind="expire", now_ns=now_ns, by=by)

    def _finish(self, order: Order, status: Status, *, kind: str, now_ns: int, by: str) -> None:
        trading = self.trading[order.api_key]
        self._expose(trading, order, sign=-1)
        order.status = status
        order.updated_ms = now_ns // 1_000_000
        self.listings[order.symbol].resting.remove(order)
        trading.retire(order)
        self.ledger.add_order(kind, now_ns, order=order, by=by)
        self._tell(trading, order, status.value, now_ms=order.updated_ms)

    # -- fills -------------------------------------------------------------------------------------------------

    def _execute(self, executions: Iterable[Execution], now_ns: int) -> int:
        filled = 0
        for execution in executions:
            # An earlier fill of this very batch may have ended an order (a reduce-only one whose position is gone).
            if execution.order.live:
                filled += self._fill(execution, now_ns)
        return filled

    def _fill(self, execution: Execution, now_ns: int) -> int:
        order = execution.order
        trading = self.trading[order.api_key]
        quantity = min(execution.quantity, order.remaining, self._reducible(trading, order))
        if quantity <= 0:
            self._expire(order, now_ns, by="reduce-only")
            return 0
        now_ms = now_ns // 1_000_000
        self._expose(trading, order, sign=-1)
        order.filled += quantity
        order.cum_quote += order.rules.notional(execution.price, quantity)
        order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
        order.updated_ms = now_ms
        self._expose(trading, order, sign=1)
        realized, commission = trading.account.book_trade(
            order.rules, quantity=quantity if order.is_buy else -quantity, price=execution.price,
            maker=execution.maker, now_ms=now_ms,
        )  # fmt: skip
        report = user_events.FillReport(
            quantity, execution.price, execution.maker, commission, realized, self._next_trade_id
        )
        self._next_trade_id += 1
        if order.status in FINAL:
            self.listings[order.symbol].resting.remove(order)
            trading.retire(order)
        self._report_fill(trading, order, report=report, now_ns=now_ns)
        self._expire_pointless(trading, order.rules, now_ns=now_ns)
        return quantity

    def _reducible(self, trading: Trading, order: Order) -> int:
        """How much of a reduce-only order may fill now: never past flat. Unlimited for other orders."""
        if not order.request.reduce_only:
            return order.remaining
        position = trading.account.position(order.rules).quantity
        return max(0, -position if order.is_buy else position)

    def _expire_pointless(self, trading: Trading, rules: SymbolRules, *, now_ns: int) -> None:
        """Reduce-only orders that can reduce nothing any more leave the book."""
        for order in [order for order in trading.live.values() if order.request.reduce_only]:
            if order.rules is rules and not self._reducible(trading, order):
                self._expire(order, now_ns, by="reduce-only")

    def _report_fill(self, trading: Trading, order: Order, *, report: FillReport, now_ns: int) -> None:
        now_ms = now_ns // 1_000_000
        account, rules = trading.account, order.rules
        position = account.position(rules)
        trading.trades.append(
            AccountTrade(report.trade_id, order, report.price, report.quantity, report.maker, report.commission,
                         report.realized, now_ms)
        )  # fmt: skip
        self._record_income(trading, order, report=report, now_ms=now_ms)
        self.ledger.add_order(
            "fill", now_ns, order=order, last_quantity=rules.quantities.text(report.quantity),
            last_price=rules.prices.text(report.price), maker=report.maker,
            commission=MONEY.text(report.commission), realized_pnl=MONEY.text(report.realized),
            trade_id=report.trade_id, position_after=rules.quantities.text(position.quantity),
        )  # fmt: skip
        self.emit(user_events.trade_lite(order, report, now_ms=now_ms))
        mark = self.listings[order.symbol].market.mark()
        self.emit(user_events.account_update(account, position, reason="ORDER", mark=mark, now_ms=now_ms))
        self._tell(trading, order, "TRADE", now_ms=now_ms, fill=report)

    def _record_income(self, trading: Trading, order: Order, *, report: FillReport, now_ms: int) -> None:
        asset = order.rules.quote
        for kind, amount in (("COMMISSION", -report.commission), ("REALIZED_PNL", report.realized)):
            if amount:
                transaction = report.trade_id * 2 + (kind == "REALIZED_PNL")
                trading.income.append(
                    Income(kind, order.symbol, asset, amount, now_ms, transaction, report.trade_id)
                )  # fmt: skip

    def _expose(self, trading: Trading, order: Order, *, sign: int) -> None:
        if order.request.reduce_only or not order.live:
            return
        exposure = trading.exposure(order.symbol)
        value = sign * order.rules.notional(order.price, order.remaining)
        if order.is_buy:
            exposure.bids += value
        else:
            exposure.asks += value

    def _tell(
        self, trading: Trading, order: Order, execution: str, *, now_ms: int, fill: FillReport | None = None
    ) -> None:
        exposure = trading.exposure(order.symbol)
        self.emit(
            user_events.order_trade_update(
                order, execution, now_ms=now_ms, fill=fill, exposure={"bids": exposure.bids, "asks": exposure.asks}
            )
        )

    # -- account settings --------------------------------------------------------------------------------------

    def margin(self, trading: Trading, position: Position) -> Margin:
        """Margin figures of one symbol of an account at the mark price of now."""
        symbol = position.rules.symbol
        mark = self.listings[symbol].market.mark()
        return trading.account.margin(position, mark, exposure=trading.exposure(symbol))

    def available(self, trading: Trading, asset: str) -> int:
        """Balance free for new positions, in money atoms: wallet and cross PnL less every initial margin."""
        total = trading.account.wallets.get(asset, 0)
        for position in trading.account.positions.values():
            if position.rules.quote == asset:
                margin = self.margin(trading, position)
                total += (0 if position.isolated else margin.unrealized) - margin.initial
        return max(0, total)

    def set_leverage(self, trading: Trading, symbol: str, *, leverage: int, now_ns: int) -> Position:
        """Change a symbol's leverage; -4028 outside 1..125, -2028 when open positions would lack margin."""
        position = trading.account.position(self.listing(symbol).rules)
        if not 1 <= leverage <= 125:
            raise VenueError(-4028, f"Leverage {leverage} is not valid")
        before, old = self.margin(trading, position).initial, position.leverage
        free = self.available(trading, position.rules.quote)
        position.leverage = leverage
        if self.margin(trading, position).initial - before > free:
            position.leverage = old
            raise VenueError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        api_key = trading.account.api_key
        self.ledger.add("config", now_ns, symbol=symbol, api_key=api_key, detail={"leverage": leverage})
        if leverage != old:
            self.emit(
                user_events.leverage_update(trading.account, symbol, leverage=leverage, now_ms=now_ns // 1_000_000)
            )
        return position

    def set_margin_type(self, trading: Trading, symbol: str, *, isolated: bool, now_ns: int) -> None:
        """Change a symbol's margin type; -4046 when it is that already, -4047 and -4048 while something is open."""
        listing = self.listing(symbol)
        position = trading.account.position(listing.rules)
        if position.isolated == isolated:
            raise VenueError(-4046, "No need to change margin type.")
        if any(order.symbol == symbol for order in trading.live.values()):
            raise VenueError(-4047, "Margin type cannot be changed if there exists open orders.")
        if position.quantity:
            raise VenueError(-4048, "Margin type cannot be changed if there exists position.")
        position.isolated = isolated
        now_ms = now_ns // 1_000_000
        detail = {"marginType": "ISOLATED" if isolated else "CROSSED"}
        self.ledger.add("config", now_ns, symbol=symbol, api_key=trading.account.api_key, detail=detail)
        self.emit(
            user_events.account_update(
                trading.account, position, reason="MARGIN_TYPE_CHANGE", mark=listing.market.mark(), now_ms=now_ms
            )
        )

    def set_countdown(self, trading: Trading, symbol: str, *, countdown_ms: int, now_ns: int) -> None:
        """Arm, refresh or (0) disarm the dead-man switch of an account and symbol."""
        self.listing(symbol)
        if countdown_ms:
            trading.countdowns[symbol] = now_ns + countdown_ms * 1_000_000
        else:
            trading.countdowns.pop(symbol, None)
        self.ledger.add(
            "countdown", now_ns, symbol=symbol, api_key=trading.account.api_key,
            status="ARMED" if countdown_ms else "DISARMED", countdown_time=countdown_ms,
        )  # fmt: skip

    def adjust_position(self, trading: Trading, symbol: str, *, quantity: int, price: int, now_ns: int) -> Position:
        """An off-book fill without fee (a test's manual trade): position, ledger entry and ACCOUNT_UPDATE."""
        listing = self.listing(symbol)
        account, rules, now_ms = trading.account, listing.rules, now_ns // 1_000_000
        position = account.position(rules)
        realized = position.trade(quantity, price)
        position.updated_ms = account.updated_ms = now_ms
        account.realized += realized
        account.wallets[rules.quote] = account.wallets.get(rules.quote, 0) + realized
        self.ledger.add(
            "adjustment", now_ns, symbol=symbol, api_key=account.api_key, side="BUY" if quantity > 0 else "SELL",
            quantity=rules.quantities.text(abs(quantity)), price=rules.prices.text(price), by="admin",
            realized_pnl=MONEY.text(realized), position_after=rules.quantities.text(position.quantity),
        )  # fmt: skip
        mark = listing.market.mark()
        self.emit(user_events.account_update(account, position, reason="ADJUSTMENT", mark=mark, now_ms=now_ms))
        self._expire_pointless(trading, rules, now_ns=now_ns)
        return position

    def expire_listen_key(self, api_key: str, *, now_ns: int) -> None:
        """End an account's listenKey and tell its streams."""
        ended = self.listen_keys.end(api_key)
        if ended is not None:
            self.ledger.add("listen-key", now_ns, api_key=api_key, status="EXPIRED")
            self.emit(user_events.listen_key_expired(api_key, ended.key, now_ms=now_ns // 1_000_000))


def _fills_at_once(request: OrderRequest, listing: Listing, *, buy: bool) -> bool:
    left = request.quantity
    for price, quantity in listing.market.opposite(buy=buy):
        if left <= 0 or (price > request.price if buy else price < request.price):
            break
        left -= quantity
    return left <= 0
