"""The recorder: fills a `Recording` for the report while the run goes on, from the exchange's ledger and the engine's announcements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mm_backtest.counter import Counter
from mm_backtest.recording import MARKOUT_SECONDS, Band, FillRecord, OrderRecord, Recording, Sample
from mm_backtest.schedule import Schedule
from mm_exchange.ledger import Entry
from mm_exchange.market import Touch
from mm_exchange.scales import MONEY
from mm_runner.core import messages as m

_MS: Final = 1_000_000
_SECOND: Final = 1_000_000_000
_FIRST_INTERVAL_NS: Final = 250 * _MS
_MOST_SAMPLES: Final = 4_000
_ENDS: Final = {"cancel": "CANCELED", "expire": "EXPIRED"}


class Bands:
    """Stretches of time in one state, from announcements of changes."""

    def __init__(self, state: str, reason: str, start_ms: int) -> None:
        self._open = Band(start_ms, start_ms, state, reason)
        self._closed: list[Band] = []

    def change(self, state: str, reason: str, time_ms: int) -> None:
        """Another state from now on."""
        if (state, reason) == (self._open.state, self._open.reason):
            return
        self._open.end_ms = time_ms
        if self._open.end_ms > self._open.start_ms:
            self._closed.append(self._open)
        self._open = Band(time_ms, time_ms, state, reason)

    def until(self, end_ms: int) -> list[Band]:
        """All of them, the last one ending now."""
        self._open.end_ms = end_ms
        return [*self._closed, self._open]


class Recorder:
    """Samples, fills, order lives and bands of one run.

    Args:
        counter: the account and its symbol.
        schedule: for samples and markouts.
    """

    def __init__(self, counter: Counter, schedule: Schedule, *, start_ns: int) -> None:
        self._counter = counter
        self._schedule = schedule
        self._prices = counter.rules.prices.one
        self._quantities = counter.rules.quantities.one
        self._samples: list[Sample] = []
        self._interval_ns = _FIRST_INTERVAL_NS
        self._fills: list[FillRecord] = []
        self._orders: dict[str, OrderRecord] = {}
        self._latencies: list[float] = []
        self._risk = Bands("normal", "", start_ns // _MS)
        self._effective = Bands("Halted", "lease", start_ns // _MS)
        self._touch: Touch | None = None
        self.volume = 0.0
        """Quote units traded."""
        schedule.at(start_ns + self._interval_ns, self._sample)

    # -- the engine's side -------------------------------------------------------------------------------------------------------------

    def decided(self, actions: Sequence[m.Action], time_ns: int) -> None:
        """Orders as they are decided, and announcements."""
        time_ms = time_ns // _MS
        for action in actions:
            match action:
                case m.PlaceOrder():
                    self._orders[action.client_order_id] = OrderRecord(
                        action.client_order_id, action.side.value,
                        action.price * self._counter.rules.tick / self._prices,
                        action.quantity * self._counter.rules.step / self._quantities, time_ns / _MS,
                    )  # fmt: skip
                case m.EmitEvent(name="risk_event"):
                    self._risk.change(str(action.fields["state"]), str(action.fields["reason"]), time_ms)
                case m.EmitEvent(name="effective_state"):
                    self._effective.change(str(action.fields["state"]), str(action.fields["ruledBy"]), time_ms)
                case _:
                    pass

    def delivered(self, event: m.Event, time_ns: int) -> None:
        """Acknowledgements and local refusals."""
        if isinstance(event, m.OrderAccepted | m.OrderRefused):
            order = self._orders.get(event.client_order_id)
            if order is None:
                return
            if isinstance(event, m.OrderRefused):
                order.end, order.ended_ms = order.end or "REJECTED", order.ended_ms or time_ns / _MS
            elif order.acknowledged_ms is None:
                order.acknowledged_ms = time_ns / _MS
                self._latencies.append(order.acknowledged_ms - order.sent_ms)

    # -- the venue's side --------------------------------------------------------------------------------------------------------------

    def before(self, touch: Touch | None) -> None:
        """The touch as it was just before what the ledger tells next; None: as it is now."""
        self._touch = touch

    def recorded(self, entry: Entry) -> None:
        """One entry of the exchange's ledger, in order."""
        order = self._orders.get(entry.client_order_id or "")
        if order is None:
            return
        if entry.kind == "order":
            order.queue_ahead = self._queue_ahead(entry)
        elif entry.kind == "fill":
            self._filled(entry, order)
        elif entry.kind in _ENDS:
            order.end, order.ended_ms = _ENDS[entry.kind], entry.time_ns / _MS
            order.queue_ahead_at_end = self._queue_ahead(entry) if order.queue_ahead is not None else None

    def _queue_ahead(self, entry: Entry) -> float | None:
        """What stands before an order that rests; None for one that never did."""
        order = self._counter.trading.orders.get(entry.order_id or 0)
        if order is None or entry.type != "LIMIT" or entry.time_in_force in ("IOC", "FOK"):
            return None
        return float(order.queue_ahead) / self._quantities

    def _filled(self, entry: Entry, order: OrderRecord) -> None:
        quantity = float(entry.last_quantity or 0)
        order.filled += quantity
        self.volume += quantity * float(entry.last_price or 0)
        if entry.status == "FILLED":
            order.end, order.ended_ms = "FILLED", entry.time_ns / _MS
            order.queue_ahead_at_end = 0.0 if order.queue_ahead is not None else None
        fill = FillRecord(
            entry.time, entry.order_id or 0, entry.client_order_id or "", entry.side or "", float(entry.last_price or 0), quantity,
            bool(entry.maker), float(entry.commission or 0), float(entry.realized_pnl or 0), self._mid_before(),
            [None] * len(MARKOUT_SECONDS),
        )  # fmt: skip
        self._fills.append(fill)
        for place, seconds in enumerate(MARKOUT_SECONDS):
            self._schedule.at(entry.time_ns + seconds * _SECOND, self._markout, fill, place)

    def _markout(self, fill: FillRecord, place: int, _time_ns: int) -> None:
        fill.markouts[place] = self._mid()

    def _mid_before(self) -> float:
        touch = self._touch
        return (touch.bid + touch.ask) / 2 / self._prices if touch is not None else self._mid() or 0.0

    def _mid(self) -> float | None:
        mid = self._counter.listing.market.mid()
        return float(mid) / self._prices if mid is not None else None

    # -- samples -----------------------------------------------------------------------------------------------------------------------

    def _sample(self, time_ns: int) -> None:
        self._take(time_ns)
        if len(self._samples) >= _MOST_SAMPLES:
            # Long runs are drawn more coarsely; memory stays bounded.
            del self._samples[1::2]
            self._interval_ns *= 2
        self._schedule.at(time_ns + self._interval_ns, self._sample)

    def _take(self, time_ns: int) -> None:
        counter = self._counter
        market, position = counter.listing.market, counter.trading.account.position(counter.rules)
        bid, ask = market.best_bid(), market.best_ask()
        if bid is None or ask is None:
            return
        money = Money.of(counter)
        live = counter.trading.live.values()
        own_bids = [order.price for order in live if order.is_buy]
        own_asks = [order.price for order in live if not order.is_buy]
        one = self._prices
        self._samples.append(
            Sample(
                time_ns // _MS, bid[0] / one, ask[0] / one, max(own_bids) / one if own_bids else None,
                min(own_asks) / one if own_asks else None, position.quantity / self._quantities,
                (money.gross - money.fees + money.funding) / MONEY.one, money.gross / MONEY.one, money.fees / MONEY.one,
                money.funding / MONEY.one,
            )
        )  # fmt: skip

    # -- the end -----------------------------------------------------------------------------------------------------------------------

    def max_drawdown(self) -> float:
        """The deepest fall of the equity below its highest point so far, over the samples; quote units."""
        deepest, highest = 0.0, 0.0
        for sample in self._samples:
            highest = max(highest, sample.equity)
            deepest = max(deepest, highest - sample.equity)
        return deepest

    def finish(self, tape: str, summary: dict[str, Any], end_ns: int) -> Recording:
        """Everything that was seen."""
        end_ms = end_ns // _MS
        return Recording(
            symbol=self._counter.rules.symbol,
            tape=tape,
            samples=self._samples,
            fills=self._fills,
            orders=list(self._orders.values()),
            risk_bands=self._risk.until(end_ms),
            effective_bands=self._effective.until(end_ms),
            entry_latencies_ms=self._latencies,
            summary=summary,
        )


class Money:
    """The account's figures in money atoms: `gross` is realised and unrealised PnL, `fees` paid, `funding` received."""

    __slots__ = ("fees", "funding", "gross", "realized", "unrealized", "wallet")

    def __init__(self, *, realized: int, unrealized: int, fees: int, wallet: int, start: int) -> None:
        self.realized = realized
        self.unrealized = unrealized
        self.gross = realized + unrealized
        self.fees = fees
        self.wallet = wallet
        # Whatever else moved the wallet: funding is the only thing that does.
        self.funding = wallet - start - realized + fees

    @classmethod
    def of(cls, counter: Counter) -> Money:
        """As the exchange's books have it now."""
        account = counter.trading.account
        mark = counter.listing.market.mark()
        return cls(
            realized=account.realized,
            unrealized=account.position(counter.rules).unrealized(mark),
            fees=account.commission,
            wallet=account.wallets.get(counter.rules.quote, 0),
            start=counter.start_balance,
        )
