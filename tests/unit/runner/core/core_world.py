"""A fake venue and a world around one engine: every message is a value that a test may delay, drop, double or reorder.

The simulated exchange cannot be asked to answer in an order of the test's choosing; this can. It keeps the venue's rules that matter to the core:
one-way position, reduceOnly, post-only, cumulative fills, final states, -2011 and -2013.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from mm_contract.claim import Claim
from mm_contract.claim_state import ClaimState
from mm_contract.resource import MarketMakerSpec
from mm_contract.states import DesiredState, HaltState, RiskState
from mm_runner.core import messages as m
from mm_runner.core.calm import Calm
from mm_runner.core.engine import Engine
from mm_runner.core.instrument import Instrument
from mm_runner.core.permissions import Situation

MS = 1_000_000
SECOND = 1_000_000_000
CLAIM = Claim("binance-usdm", "simulated", "desk-a", "ETHUSDT")
INSTRUMENT = Instrument.from_filters(
    "ETHUSDT",
    tick_size=Decimal("0.01"),
    step_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(1000),
    min_notional=Decimal(20),
    base_asset="ETH",
)
MID = 268_000  # ticks: 2,680.00


def merged(base: dict, changes: dict) -> dict:
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def make_spec(**changes: object) -> MarketMakerSpec:
    """The defaults of mm.yaml with changes by wire name, such as `risk={"maxPosition": "1"}`."""
    base = {
        "symbol": "ETHUSDT",
        "exchange": {"account": "desk-a", "credentials": {"secretName": "mm-desk-a"}},
        "strategy": {"grid": {}},
    }
    return MarketMakerSpec.model_validate_json(msgspec.json.encode(merged(base, changes)))


@dataclass
class VenueOrder:
    cid: str
    order_id: int
    side: m.Side
    type: m.OrderType
    tif: m.TimeInForce | None
    price: int
    lots: int
    reduce_only: bool
    executed: int = 0
    status: m.VenueStatus = m.VenueStatus.NEW
    update_ms: int = 0

    @property
    def open(self) -> bool:
        return not self.status.final

    def state(self) -> m.OrderState:
        return m.OrderState(
            client_order_id=self.cid,
            order_id=self.order_id,
            side=self.side,
            status=self.status,
            price=self.price,
            quantity=self.lots,
            executed=self.executed,
            average_price=INSTRUMENT.price(self.price),
            reduce_only=self.reduce_only,
            update_ms=self.update_ms,
        )


@dataclass
class FakeVenue:
    """The truth: what really rests and what was really filled."""

    bid: int = MID - 1
    ask: int = MID + 1
    position: int = 0
    position_ms: int = 0
    entry: Decimal = Decimal(0)
    wallet: Decimal = Decimal(10_000)
    orders: dict[str, VenueOrder] = field(default_factory=dict)
    trades: list[m.TradeRecord] = field(default_factory=list)
    now_ms: int = 0
    next_id: int = 1

    def place(self, action: m.PlaceOrder) -> tuple[m.Event, list[m.Event]]:
        """The answer, and the user events that follow."""
        if action.client_order_id in self.orders:
            raise AssertionError(f"{action.client_order_id} was sent twice")
        taker = action.type is m.OrderType.MARKET or action.time_in_force is m.TimeInForce.IOC
        touch = self.ask if action.side is m.Side.BUY else self.bid
        crosses = action.type is m.OrderType.MARKET or (action.price - touch) * action.side.sign >= 0
        if action.time_in_force is m.TimeInForce.GTX and crosses:
            return m.OrderRefused(client_order_id=action.client_order_id, code=-5022, message="post only"), []
        if action.reduce_only and self.position * action.side.sign >= 0:
            return m.OrderRefused(client_order_id=action.client_order_id, code=-2022, message="reduce only"), []
        self.next_id += 1
        order = VenueOrder(
            action.client_order_id, self.next_id, action.side, action.type, action.time_in_force,
            action.price or touch, action.quantity, action.reduce_only, update_ms=self.now_ms,
        )  # fmt: skip
        self.orders[order.cid] = order
        events: list[m.Event] = [self._report(order, "NEW")]
        if crosses:
            events += self.fill(order, order.lots, price=touch)
        if taker and order.open:
            order.status = m.VenueStatus.EXPIRED
            events.append(self._report(order, "EXPIRED"))
        return (
            m.OrderAccepted(
                client_order_id=order.cid, order_id=order.order_id, status=order.status, executed=order.executed,
                average_price=INSTRUMENT.price(order.price), update_ms=self.now_ms,
            ),
            events,
        )  # fmt: skip

    def cancel(self, action: m.CancelOrder) -> tuple[m.Event, list[m.Event]]:
        order = self.orders.get(action.client_order_id)
        if order is None or not order.open:
            return m.CancelRefused(client_order_id=action.client_order_id, code=-2011, message="unknown order"), []
        order.status, order.update_ms = m.VenueStatus.CANCELED, self.now_ms
        answer = m.CancelAccepted(client_order_id=order.cid, order_id=order.order_id, executed=order.executed)
        return answer, [self._report(order, "CANCELED")]

    def query(self, action: m.QueryOrder, now_ns: int) -> m.Event:
        order = self.orders.get(action.client_order_id)
        if order is None:
            return m.OrderMissing(client_order_id=action.client_order_id, query_sent_boot_ns=now_ns)
        return m.OrderFound(order=order.state())

    def fill(self, order: VenueOrder, lots: int, *, price: int | None = None, maker: bool = True) -> list[m.Event]:
        """Fill some of an open order; account event first, as the venue does."""
        lots = min(lots, order.lots - order.executed)
        if order.reduce_only:
            lots = min(lots, max(0, -self.position * order.side.sign))
        if lots <= 0 or not order.open:
            return []
        price = order.price if price is None else price
        order.executed += lots
        order.update_ms = self.now_ms
        order.status = m.VenueStatus.FILLED if order.executed == order.lots else m.VenueStatus.PARTIALLY_FILLED
        realized = self._move(order.side.sign * lots, price)
        commission = INSTRUMENT.notional(price, lots) * Decimal("0.0002")
        self.wallet += realized - commission
        self.next_id += 1
        self.trades.append(
            m.TradeRecord(
                trade_id=self.next_id, order_id=order.order_id, side=order.side, price=price, quantity=lots, commission=commission,
                commission_asset="USDT", realized_pnl=realized, maker=maker, time_ms=self.now_ms,
            )
        )  # fmt: skip
        report = self._report(order, "TRADE", lots=lots, price=price, trade=self.trades[-1])
        return [self.account_report("ORDER"), report]

    def move_by_hand(self, lots: int, price: int | None = None) -> list[m.Event]:
        """Somebody else's trade on the same account."""
        self._move(lots, price or MID)
        return [self.account_report("ORDER")]

    def account_report(self, reason: str) -> m.AccountReport:
        return m.AccountReport(
            reason=reason, position=self.position, entry_price=self.entry, wallet_balance=self.wallet,
            event_ms=self.now_ms, transaction_ms=self.now_ms,
        )  # fmt: skip

    def snapshot(self, sent_ns: int, **changes: object) -> m.AccountSnapshot:
        values: dict = {
            "sent_boot_ns": sent_ns,
            "position": self.position,
            "entry_price": self.entry,
            "wallet_balance": self.wallet,
            "open_orders": tuple(order.state() for order in self.orders.values() if order.open),
            "position_update_ms": self.position_ms,
            "trades": tuple(self.trades),
        }
        return m.AccountSnapshot(**(values | changes))

    def open_lots(self, side: m.Side) -> int:
        return sum(o.lots - o.executed for o in self.orders.values() if o.open and o.side is side)

    def _move(self, lots: int, price: int) -> Decimal:
        before, after = self.position, self.position + lots
        money = INSTRUMENT.price(price)
        realized = Decimal(0)
        if before and (before > 0) != (lots > 0):
            closed = min(abs(before), abs(lots))
            realized = INSTRUMENT.quantity(closed) * (money - self.entry) * (1 if before > 0 else -1)
        if after == 0:
            self.entry = Decimal(0)
        elif before == 0 or (before > 0) != (after > 0):
            self.entry = money
        elif abs(after) > abs(before):
            self.entry = (self.entry * abs(before) + money * abs(lots)) / abs(after)
        self.position, self.position_ms = after, self.now_ms
        return realized

    def _report(
        self, order: VenueOrder, kind: str, *, lots: int = 0, price: int = 0, trade: m.TradeRecord | None = None
    ) -> m.Event:
        return m.OrderReport(
            client_order_id=order.cid, order_id=order.order_id, side=order.side, status=order.status, price=order.price,
            quantity=order.lots, executed=order.executed, reduce_only=order.reduce_only, execution_type=kind, last_lots=lots,
            last_price=price, trade_id=trade.trade_id if trade else 0, commission=trade.commission if trade else Decimal(0),
            commission_asset="USDT", realized_pnl=trade.realized_pnl if trade else Decimal(0), maker=True,
            event_ms=self.now_ms, transaction_ms=self.now_ms,
        )  # fmt: skip


class NeverCalm(Calm):
    """An engine with this reviews everything at every event."""

    def holds(self, *_: object) -> bool:
        return False


def restless(engine: Engine) -> Engine:
    engine._calm = NeverCalm()
    return engine


class World:
    """One engine and its venue on a virtual clock. By default everything answers at once and in order."""

    def __init__(
        self,
        spec: MarketMakerSpec | None = None,
        *,
        start: bool = True,
        claim_state: ClaimState | None = None,
        with_twin: bool = False,
    ) -> None:
        self.engine = Engine(claim=CLAIM)
        self.twin = restless(Engine(claim=CLAIM)) if with_twin else None
        """Given the same events, and reviewing everything at each: it must decide the same."""
        self.venue = FakeVenue()
        self.now_ns = 1_000 * SECOND
        self.wall_ms = 1_790_000_000_000
        self.actions: list[m.Action] = []
        self.auto = True
        """Carry out actions as they come; a test that wants to choose turns it off and uses `pending`."""
        self.pending: list[m.Action] = []
        self.lose_next_ack = 0
        self.update_id = 100
        self.claim_state = claim_state or ClaimState()
        self.random = random.Random(1)
        self.keep_alive = True
        self.spec = spec or make_spec()
        self.generation = 1
        self.data = True
        """Whether market data and the account answer."""
        if start:
            self.start()

    # -- clock ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> m.Instant:
        return m.Instant(self.now_ns, self.wall_ms)

    def send(self, event: m.Event) -> list[m.Action]:
        self.venue.now_ms = self.wall_ms
        actions = list(self.engine.handle(event, self.now))
        if self.twin is not None:
            assert actions == list(self.twin.handle(event, self.now)), f"calm changed a decision at {event}"
        self.actions += actions
        for action in actions:
            if self.auto:
                self.carry_out(action)
            else:
                self.pending.append(action)
        return actions

    def advance(self, milliseconds: int, *, step: int = 50) -> None:
        """Let time pass with Ticks, lease renewals and a living book."""
        left = milliseconds
        while left > 0:
            part = min(step, left)
            self.now_ns += part * MS
            self.wall_ms += part
            left -= part
            if self.keep_alive:
                self.renew()
            if self.data:
                self.tick_book()
            self.send(m.Tick())

    def renew(self, *, seconds: float = 10) -> None:
        deadline = self.now_ns + int(seconds * SECOND)
        self.send(m.LeaseState(held=True, send_deadline_boot_ns=deadline, epoch=1))
        self.send(m.DeadMan(armed_until_boot_ns=deadline))

    # -- market --------------------------------------------------------------------------------------------------------

    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        bids = [((self.venue.bid - i) / 100, 5.0 + i) for i in range(5)]
        asks = [((self.venue.ask + i) / 100, 5.0 + i) for i in range(5)]
        return bids, asks

    def tick_book(self) -> None:
        """A diff that repeats what is there: a sign of life."""
        bids, asks = self.levels()
        self.diff(bids, asks)

    def diff(self, bids: list[tuple[float, float]], asks: list[tuple[float, float]], *, skip: int = 0) -> None:
        self.update_id += skip
        previous, self.update_id = self.update_id, self.update_id + 10
        self.send(
            m.DepthDiff(
                first_update_id=previous + 1,
                last_update_id=self.update_id,
                previous_update_id=previous,
                bids=bids,
                asks=asks,
            )
        )

    def move_market(self, ticks: int) -> None:
        """Shift the whole book."""
        old_bids, old_asks = self.levels()
        self.venue.bid += ticks
        self.venue.ask += ticks
        bids, asks = self.levels()
        gone_bids = [(price, 0.0) for price, _ in old_bids if price not in dict(bids)]
        gone_asks = [(price, 0.0) for price, _ in old_asks if price not in dict(asks)]
        self.diff(gone_bids + bids, gone_asks + asks)

    # -- carrying out --------------------------------------------------------------------------------------------------

    def carry_out(self, action: m.Action) -> None:
        match action:
            case m.PlaceOrder():
                self._place(action)
            case m.CancelOrder():
                answer, events = self.venue.cancel(action)
                for event in (answer, *events):
                    self.send(event)
            case m.QueryOrder():
                self.send(self.venue.query(action, self.now_ns))
            case m.FetchDepthSnapshot():
                if self.data:
                    bids, asks = self.levels()
                    self.send(
                        m.DepthSnapshot(last_update_id=self.update_id, bids=bids, asks=asks, sent_boot_ns=self.now_ns)
                    )
            case m.Reconcile():
                self.send(self.venue.snapshot(self.now_ns))
            case m.PersistClaimState():
                self.claim_state = action.state
                self.send(m.ClaimStatePersisted(token=action.token))
            case _:
                pass

    def _place(self, action: m.PlaceOrder) -> None:
        if self.now_ns >= action.send_deadline_boot_ns:
            self.send(m.OrderRefused(client_order_id=action.client_order_id, code=m.LOCAL_REFUSAL))
            return
        answer, events = self.venue.place(action)
        if self.lose_next_ack:
            self.lose_next_ack -= 1
            self.send(m.OrderUnknown(client_order_id=action.client_order_id, error="timeout"))
            return
        for event in (answer, *events):
            self.send(event)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def start(
        self, *, lease: bool = True, dead_man: bool = True, halts: bool = True, user: bool = True, spec: bool = True
    ) -> None:
        self.send(m.InstrumentLoaded(instrument=INSTRUMENT, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005")))
        self.send(m.ClaimStateLoaded(state=self.claim_state))
        if spec:
            self.send(m.SpecChanged(spec=self.spec, generation=self.generation))
        if halts:
            self.send(m.HaltsChanged())
        if lease:
            self.send(m.LeaseState(held=True, send_deadline_boot_ns=self.now_ns + 10 * SECOND, epoch=1))
        if dead_man:
            self.send(m.DeadMan(armed_until_boot_ns=self.now_ns + 10 * SECOND))
        if user:
            self.send(m.StreamUp(stream=m.Stream.USER))
        self.send(m.StreamUp(stream=m.Stream.PUBLIC))
        self.send(m.Tick())

    def respec(self, **changes: object) -> None:
        self.generation += 1
        self.spec = make_spec(**changes)
        self.send(m.SpecChanged(spec=self.spec, generation=self.generation))

    def deliver(self, events: list[m.Event]) -> None:
        for event in events:
            self.send(event)

    def fill(self, side: m.Side, lots: int) -> None:
        """A taker hits our best quote of a side."""
        mine = sorted(self.resting(side), key=lambda order: -order.price * side.sign)
        for order in mine:
            if lots <= 0:
                return
            part = min(lots, order.lots - order.executed)
            lots -= part
            self.deliver(self.venue.fill(order, part))

    def resting(self, side: m.Side) -> list[VenueOrder]:
        return [o for o in self.venue.orders.values() if o.open and o.side is side]

    def of(self, kind: type) -> list:
        """Actions of one kind so far."""
        return [action for action in self.actions if isinstance(action, kind)]

    def logged(self, name: str) -> list[dict]:
        return [dict(a.fields) for a in self.actions if isinstance(a, m.EmitEvent) and a.name == name]

    def forget(self) -> None:
        self.actions.clear()


def written_table(s: Situation) -> tuple[bool, bool, str, bool]:
    """The table as design section 3 writes it, row by row from below, kept apart from the code under test on purpose."""
    if s.dry_run:
        return (
            False,
            False,
            "no",
            not s.dry_run_proven,
        )  # first it cancels its own and proves zero, then the row holds
    if not s.reconciled or not s.lease_held or s.superseded or not s.dead_man_ready:
        return (False, False, "no", True)
    asked = s.close_asked_locally
    if not s.stopping:  # every stop but deletion only cancels
        asked = asked or s.desired is DesiredState.FLAT or (s.risk is RiskState.HALTED and s.flatten_on_halt)
    if not s.book_usable:
        return (False, False, "market" if asked else "no", True)
    if asked:
        return (False, True, "bounded", True)
    halted = (
        s.stopping
        or s.desired in (DesiredState.HALTED, DesiredState.FLAT)
        or any(h.state is HaltState.HALTED for h in s.halts)
        or not s.halts_readable
        or s.local_halt
        or s.risk is RiskState.HALTED
    )
    if halted:
        return (False, False, "no", True)
    reducing = (
        s.desired is DesiredState.REDUCE_ONLY
        or any(h.state is HaltState.REDUCE_ONLY for h in s.halts)
        or s.risk is RiskState.REDUCE_ONLY
    )
    return (not reducing, True, "bounded" if s.stop_rule else "no", True)
