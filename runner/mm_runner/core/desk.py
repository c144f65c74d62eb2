"""The desk: from permissions to orders. One quoting round, one withdrawal, one step of closing; every order goes through the gate here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from mm_contract.claim import ClientOrderId
from mm_runner.core.account import Account
from mm_runner.core.closing import Closer
from mm_runner.core.gate import Admitted, Gate, Mandate, Proposal, Refused
from mm_runner.core.instrument import Instrument
from mm_runner.core.market import Market
from mm_runner.core.messages import OrderType, PlaceOrder, Side, TimeInForce
from mm_runner.core.orders import Order
from mm_runner.core.outbox import Outbox
from mm_runner.core.permissions import Taker
from mm_runner.core.quoter import PostOnlyBackOff, difference, reducing_first
from mm_runner.core.settings import MS, QuoteSettings, Settings
from mm_runner.core.strategy import grid
from mm_runner.core.strategy.quotes import Quotes, View, Wanted

_EXPLAINED_NS: Final = 250 * MS
"""How long a difference between own and venue position may be a fill whose second report is on its way."""


class Desk:
    """Sends and withdraws orders.

    Args:
        account: own orders and position.
        market: book.
        outbox: where orders go.
    """

    def __init__(self, *, account: Account, market: Market, outbox: Outbox) -> None:
        self.account = account
        self.market = market
        self.gate = Gate(instrument=account.instrument, tracker=account.tracker, ledger=account.ledger)
        self.closer = Closer()
        self.back_off = {Side.BUY: PostOnlyBackOff(), Side.SELL: PostOnlyBackOff()}
        self.quotes: Quotes | None = None
        self.rounds = 0
        self.rejects = 0
        self.at_cap = {Side.BUY: False, Side.SELL: False}
        """Sides on which nothing more fits under maxPosition or reduces: quoting one side only is right then."""
        self._outbox = outbox
        self._sequence = 0
        self._dry: tuple[Wanted, ...] = ()
        # The ledger's exact amounts as the strategy's floats, made once per change: a Decimal of 28 digits takes microseconds to become one.
        self._entry = (Decimal(0), 0.0)
        self._maker_fee = (Decimal(0), 0.0)

    @property
    def instrument(self) -> Instrument:
        """Filters in force."""
        return self.account.instrument

    # -- withdrawing ---------------------------------------------------------------------------------------------------

    def withdraw_all(self, now_ns: int, *, reason: str) -> int:
        """Cancel every own order that is not being cancelled yet; returns how many cancels left.

        # Invariant 3: every way out ends here (tests/unit/runner/core/test_engine.py, test_engine_model.py).
        """
        return sum(self._cancel(order, now_ns, reason=reason) for order in list(self.account.tracker.live.values()))

    def repeat_cancels(self, now_ns: int) -> None:
        """Cancels that failed are repeated until the order's end is proven."""
        for order in self.account.tracker.live.values():
            if order.cancel_wanted and not order.cancel_in_flight:
                self._cancel(order, now_ns, reason="repeat")

    def _cancel(self, order: Order, now_ns: int, *, reason: str) -> bool:
        sent = self.account.cancel(order, now_ns, reason=reason)
        if sent:
            self.gate.cancels.spend(now_ns)
        return sent

    # -- quoting -------------------------------------------------------------------------------------------------------

    def round(self, mandate: Mandate) -> None:
        """One quoting round: wanted quotes, difference, cancels, orders; the reducing side first."""
        settings = mandate.settings
        quotes = self.want(settings)
        self._shed_excess(settings, mandate.now_ns)
        bounds = self.instrument.price_bounds(round(self.market.mark_ticks(mandate.now_ns)))
        for number, side in enumerate(reducing_first(self.account.ledger.position)):
            # Invariant 1: each leg for itself; what is refused on one side does not reach the other.
            wanted = quotes.bids if side is Side.BUY else quotes.asks
            self._serve(side, self._fit(wanted, side, mandate, bounds=bounds), mandate, first=number == 0)
        self.rounds += 1
        self._log_round(quotes, settings, reduce_only=not mandate.permissions.open)

    def want(self, settings: Settings) -> Quotes:
        """What the strategy wants now."""
        market, ledger = self.market, self.account.ledger
        bid, ask = market.touch
        view = View(
            best_bid=bid,
            best_ask=ask,
            position=ledger.position,
            entry=self._entry_ticks(ledger.entry),
            volatility=market.volatility.value,
            volatility_unit=settings.risk.shock_move,
            funding_rate=market.funding_rate,
            maker_fee=self._fee(ledger.maker_fee),
        )
        self.quotes = grid.quotes(view, settings.quote, settings.risk)
        return self.quotes

    def _entry_ticks(self, entry: Decimal) -> float:
        if entry is not self._entry[0]:
            self._entry = (entry, float(entry) * self.instrument.ticks_per_unit)
        return self._entry[1]

    def _fee(self, fee: Decimal) -> float:
        if fee is not self._maker_fee[0]:
            self._maker_fee = (fee, float(fee))
        return self._maker_fee[1]

    def _fit(
        self, wanted: Sequence[Wanted], side: Side, mandate: Mandate, *, bounds: tuple[int, int]
    ) -> tuple[Wanted, ...]:
        """Cut the wanted quotes to what may rest at once, so that comparing with what rests is stable."""
        instrument, ledger, risk = self.instrument, self.account.ledger, mandate.settings.risk
        opening = mandate.permissions.open
        under_cap = risk.max_lots - ledger.high if side is Side.BUY else risk.max_lots + ledger.low
        left = under_cap if opening else ledger.reducible(side)
        shift = self.back_off[side].shift * -side.sign
        low, high = bounds
        fitted: list[Wanted] = []
        for want in wanted:
            price = want.price + shift
            least = instrument.least_lots(price) if opening else instrument.min_lots
            most = instrument.most_lots(price, risk.max_order_units)
            lots = min(max(want.lots, least), most if opening else max(most, least), left)
            if lots < least or not low <= price <= high:
                continue
            fitted.append(want if price == want.price and lots == want.lots else Wanted(side, price, lots, want.static))
            left -= lots
        self.at_cap[side] = not fitted
        return tuple(fitted)

    def _serve(self, side: Side, wanted: tuple[Wanted, ...], mandate: Mandate, *, first: bool) -> None:
        now_ns, reduce_only = mandate.now_ns, not mandate.permissions.open
        quote = mandate.settings.quote
        paused = self.back_off[side].paused(now_ns)
        found = difference(wanted, self.account.tracker.of(side), quote, reduce_only=reduce_only, now_ns=now_ns)
        for order in found.withdraw:
            self._cancel(order, now_ns, reason="not_wanted")
        replaceable = self._replacements(
            quote, now_ns, first=first
        )  # asked every time: asking is what refills the budget
        if not (found.replace or found.place):
            return
        replacing = min(len(found.replace), replaceable)
        # The most aggressive one first: it is the one that the market runs over.
        if replacing:
            for order in sorted(found.replace, key=lambda order: -order.price * side.sign)[:replacing]:
                self._cancel(order, now_ns, reason="moved")
        # What is not cancelled for want of budget keeps its place; only the rest is placed.
        places = len(found.place) - (len(found.replace) - replacing)
        if paused:
            return
        tif = TimeInForce.GTX if quote.post_only else TimeInForce.GTC
        for want in found.place[:places]:
            self.send(Proposal(side, OrderType.LIMIT, tif, want.price, want.lots, want.static), mandate)

    def _replacements(self, quote: QuoteSettings, now_ns: int, *, first: bool) -> int:
        """How many quotes of a side may move now; the side that is served first leaves half to the other, so that neither starves."""
        orders = self.gate.orders.paced(quote.max_orders_per_minute, now_ns=now_ns)
        cancels = self.gate.cancels.paced(quote.max_cancels_per_minute, now_ns=now_ns)
        left = min(orders, cancels)
        return (left + self.rounds % 2) // 2 if first else left

    def _shed_excess(self, settings: Settings, now_ns: int) -> None:
        """Cancel opening orders that no longer fit: maxPosition was lowered, or the position moved without us."""
        for side in (Side.BUY, Side.SELL):
            excess = self.gate.excess(side, settings.risk.max_lots)
            if not excess or self._explained(side, now_ns):
                continue
            outermost = sorted(self.account.tracker.of(side), key=lambda order: order.price * side.sign)
            for order in outermost:
                if excess <= 0:
                    break
                excess -= order.remaining
                if not order.cancel_in_flight:
                    self._cancel(order, now_ns, reason="cap")

    def _explained(self, side: Side, now_ns: int) -> bool:
        """Whether the venue is ahead by no more than open orders of ours may just have filled."""
        ledger = self.account.ledger
        if ledger.apart_since_ns is None or now_ns - ledger.apart_since_ns > _EXPLAINED_NS:
            return False
        ahead = (ledger.venue - ledger.own) * side.sign
        return 0 < ahead <= self.account.tracker.open_lots(side)

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, proposal: Proposal, mandate: Mandate) -> bool:
        """Put one order through the gate; True where it left."""
        verdict = self.gate.admit(proposal, mandate)
        if isinstance(verdict, Refused):
            self._refused(proposal, verdict)
            return False
        if 2 * verdict.lots < proposal.lots and mandate.permissions.open:
            return False  # room is taken by orders whose cancels are on the way; a crumb now would only be replaced
        self._place(proposal, verdict, mandate)
        return True

    def _place(self, proposal: Proposal, verdict: Admitted, mandate: Mandate) -> None:
        settings, now_ns = mandate.settings, mandate.now_ns
        self._sequence += 1
        account = self.account
        cid = str(ClientOrderId(account.order_prefix, account.epoch, self._sequence))
        price = 0 if proposal.type is OrderType.MARKET else proposal.price
        account.tracker.add(
            Order(
                client_order_id=cid,
                epoch=account.epoch,
                side=proposal.side,
                type=proposal.type,
                time_in_force=proposal.time_in_force,
                price=proposal.price,
                lots=verdict.lots,
                reduce_only=verdict.reduce_only,
                sent_ns=now_ns,
                send_deadline_ns=verdict.send_deadline_ns,
                recv_window_ns=settings.recv_window_ns,
                static=proposal.static,
            )
        )
        account.proof.reset()
        self.gate.orders.spend(now_ns)
        self._outbox.put(
            PlaceOrder(
                client_order_id=cid,
                side=proposal.side,
                type=proposal.type,
                time_in_force=proposal.time_in_force,
                price=price,
                quantity=verdict.lots,
                reduce_only=verdict.reduce_only,
                send_deadline_boot_ns=verdict.send_deadline_ns,
                recv_window_ms=settings.recv_window_ms,
            )
        )
        self._outbox.log(
            "order_place",
            side=proposal.side,
            price=self.account.spelling.price(price),
            qty=self.account.spelling.quantity(verdict.lots),
            clientOrderId=cid,
            type=proposal.type,
            timeInForce=proposal.time_in_force,
            reduceOnly=verdict.reduce_only,
        )

    def _refused(self, proposal: Proposal, verdict: Refused) -> None:
        self.rejects += 1
        self._outbox.log(
            "risk_reject",
            reason=verdict.reason,
            side=proposal.side,
            qty=self.account.spelling.quantity(proposal.lots),
            price=self.account.spelling.price(proposal.price),
        )

    # -- closing -------------------------------------------------------------------------------------------------------

    def close(self, mandate: Mandate, *, whole: bool) -> None:
        """One step of closing by taking: withdraw what rests, then one reducing order at a time."""
        settings, now_ns = mandate.settings, mandate.now_ns
        for order in list(self.account.tracker.live.values()):
            if order.time_in_force is not TimeInForce.IOC and order.type is not OrderType.MARKET:
                self._cancel(order, now_ns, reason="closing")
        if mandate.permissions.reduce_taker is Taker.BOUNDED:
            most = None if whole else settings.quote.base_lots * settings.quote.levels
            proposal = self.closer.bounded(self.account, self.market, settings.risk, most_lots=most, now_ns=now_ns)
        else:
            touch = round(self.market.mark_ticks(now_ns)) or int(
                float(self.account.ledger.entry) * self.instrument.ticks_per_unit
            )
            proposal = self.closer.blind(self.account, touch=touch, now_ns=now_ns)
        if proposal is not None:
            self.send(proposal, mandate)

    # -- dry run -------------------------------------------------------------------------------------------------------

    def dry_round(self, settings: Settings) -> None:
        """The whole round but for the orders: what would be sent is logged when it changes."""
        quotes = self.want(settings)
        wanted = (*quotes.bids, *quotes.asks)
        self.rounds += 1
        self._log_round(quotes, settings, reduce_only=False)
        if wanted == self._dry:
            return
        for want in wanted:
            if want not in self._dry:
                self._outbox.log(
                    "order_place_dry_run",
                    side=want.side,
                    price=self.account.spelling.price(want.price),
                    qty=self.account.spelling.quantity(want.lots),
                )
        self._dry = wanted

    # -- telling -------------------------------------------------------------------------------------------------------

    def own_touch(self) -> tuple[int, int] | None:
        """Our best resting bid and ask in ticks, where both sides rest."""
        bids = [o.price for o in self.account.tracker.of(Side.BUY) if o.resting]
        asks = [o.price for o in self.account.tracker.of(Side.SELL) if o.resting]
        return (max(bids), min(asks)) if bids and asks else None

    def sides_as_wanted(self) -> bool:
        """Whether both sides rest, or the one that can while the other is at its cap."""
        buys = sells = False
        for order in self.account.tracker.live.values():
            if order.acknowledged:  # what is live is not final, so this is `resting`
                if order.side is Side.BUY:
                    buys = True
                else:
                    sells = True
        return (buys or sells) and (buys or self.at_cap[Side.BUY]) and (sells or self.at_cap[Side.SELL])

    def _log_round(self, quotes: Quotes, settings: Settings, *, reduce_only: bool) -> None:
        instrument = self.instrument
        mid = self.market.mid_ticks
        tick = instrument.tick
        self._outbox.log(
            "strategy_adjust",
            mid=mid * tick,
            spread=quotes.spread * mid * tick,
            spreadRatio=quotes.spread,
            intervalMs=settings.quote.interval_ns // MS,
            volFactor=quotes.volatility_factor,
            inventoryFactor=quotes.inventory_factor,
            net=self.account.spelling.number(self.account.ledger.position),
            reduceOnly=reduce_only,
            reservation=quotes.reservation * tick,
        )


def as_decimal(ticks: float, instrument: Instrument) -> Decimal:
    """A price in (fractional) ticks as money; for figures and limits, not for orders."""
    return Decimal(ticks) * instrument.tick_size


def count(orders: Iterable[Order], side: Side) -> int:
    """Resting orders of a side."""
    return sum(1 for order in orders if order.side is side and order.resting)
