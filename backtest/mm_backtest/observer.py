"""The observer: looks over the engine's shoulder from the venue's side and counts what must never happen.

It believes the exchange's ledger, the frames that were delivered and the spec, not what the engine says of itself; the one exception is named
(`effective state`: only the engine knows why its risk machine moved, so its announcements can only add violations, never excuse one).
Every check and its definition is listed in `CHECKS`; each can fire (tests/unit/backtest/test_observer.py).
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from mm_backtest.book_watch import BookWatch
from mm_contract.resource import MarketMakerSpec
from mm_contract.states import DesiredState, EffectiveState
from mm_exchange.ledger import Entry
from mm_exchange.rules import SymbolRules
from mm_runner.core import messages as m

CHECKS: Final = {
    "position": "position and resting orders of one side together, or the position alone, beyond maxPosition at the venue",
    "notional": "an opening order larger than maxOrderNotional at its price",
    "opening": "an order that is not reduceOnly while the state in force is not Running, or while the position stays beyond reduceOnlyEnter",
    "halted": "any order but an asked close while Halted, or after the engine was told to stop",
    "blind": "any order but a reduceOnly market order while the delivered book was unsynced or older than staleAfterMs",
    "grid": "an order whose price, quantity or notional the venue's filters refuse",
    "post_only": "postOnly is set and an opening order came without GTX, or a GTX order took liquidity",
    "levels": "more opening orders resting on a side than levels (and the static leg), not counting those whose cancel was sent",
    "rate": "more than maxOrdersPerMinute orders in a minute, where the last one opens by its quantity",
    "lease": "an order that left at or after the Lease's send deadline",
    "dead_man": "an order that rests while the dead-man switch is wanted and not armed at the venue",
    "duplicate": "a client order id that was used before",
    "left_over": "an own order that rests after the engine said that it had withdrawn everything, or after the grace time",
}
_MINUTE_NS: Final = 60_000_000_000
_MS: Final = 1_000_000
_SHOWN: Final = 100
_FILTER_CODES: Final = frozenset(
    {-1111, -1013, -4001, -4002, -4003, -4004, -4005, -4013, -4014, -4016, -4023, -4024, -4164, -1102}
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One. `text` says what was seen."""

    check: str
    time_ms: int
    client_order_id: str
    text: str


@dataclass(slots=True)
class _Resting:
    buy: bool
    price: Decimal
    left: Decimal
    opens: bool
    pulled: bool = False


@dataclass(slots=True)
class Limits:
    """The spec's bounds, exact."""

    max_position: Decimal
    max_notional: Decimal
    enter: Decimal
    exit: Decimal
    stale_ns: int
    levels: int
    per_minute: int
    post_only: bool
    dead_man: bool

    @classmethod
    def of(cls, spec: MarketMakerSpec) -> Limits:
        """Read them from a spec."""
        risk, quoting = spec.risk, spec.quoting
        return cls(
            max_position=risk.max_position,
            max_notional=risk.max_order_notional,
            enter=risk.max_position * Decimal(str(risk.reduce_only_enter)),
            exit=risk.max_position * Decimal(str(risk.reduce_only_exit)),
            stale_ns=risk.stale_after_ms * _MS,
            levels=quoting.levels + (1 if quoting.static_leg.fraction > 0 else 0),
            per_minute=quoting.max_orders_per_minute,
            post_only=quoting.post_only,
            dead_man=spec.failover.dead_man_switch and not spec.dry_run,
        )


@dataclass(slots=True)
class Observer:
    """Counts violations.

    Args:
        spec: the bounds.
        rules: scales of the venue's numbers.
    """

    spec: MarketMakerSpec
    rules: SymbolRules
    book: BookWatch = field(default_factory=BookWatch)
    counts: Tally[str] = field(default_factory=Tally)
    shown: list[Violation] = field(default_factory=list)
    kinds: Tally[str] = field(default_factory=Tally)
    """Entries of the ledger by kind."""
    position: Decimal = Decimal(0)
    max_abs_position: Decimal = Decimal(0)
    _limits: Limits = field(init=False)
    _heard: Decimal = Decimal(0)
    _reducing: bool = False
    _lease_ns: int = 0
    _armed_ns: int = 0
    _stopping: bool = False
    _drained: bool = False
    _effective: EffectiveState = EffectiveState.HALTED
    _resting: dict[str, _Resting] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _sent: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Compile the bounds."""
        self._limits = Limits.of(self.spec)

    @property
    def total(self) -> int:
        """All violations."""
        return sum(self.counts.values())

    # -- what the engine hears (but market data, which the loop hands to `book`) ----------------------------------------------------

    def delivered(self, event: m.Event, time_ns: int) -> None:
        """An event on its way into the engine."""
        match event:
            case m.DepthSnapshot():
                self.book.on_snapshot(event, time_ns)
            case m.DepthDiff():
                self.book.on_diff(event, time_ns)
            case m.BookTicker():
                self.book.fresh_ns = time_ns
            case m.OrderReport():
                self._heard += event.side.sign * event.last_lots * self._lot if event.execution_type == "TRADE" else 0
            case m.LeaseState():
                self._lease_ns = event.send_deadline_boot_ns if event.held else 0
            case m.ShutdownRequested():
                self._stopping = True
            case m.StreamDown(stream=m.Stream.PUBLIC):
                self.book.synced = False
            case _:
                pass

    @property
    def _lot(self) -> Decimal:
        return self.rules.quantities.decimal(self.rules.step)

    @property
    def _tick(self) -> Decimal:
        return self.rules.prices.decimal(self.rules.tick)

    # -- what the engine decides ---------------------------------------------------------------------------------------------------

    def decided(self, actions: Sequence[m.Action], *, boot_ns: int, time_ns: int) -> None:
        """Actions as they leave the core."""
        for action in actions:
            match action:
                case m.PlaceOrder():
                    self._placing(action, boot_ns=boot_ns, time_ns=time_ns)
                case m.CancelOrder():
                    resting = self._resting.get(action.client_order_id)
                    if resting is not None:
                        resting.pulled = True
                case m.EmitEvent(name="effective_state"):
                    self._effective = EffectiveState(str(action.fields["state"]))
                case m.Drained():
                    self._drained = True
                    self._none_left(time_ns)
                case _:
                    pass

    def _placing(self, order: m.PlaceOrder, *, boot_ns: int, time_ns: int) -> None:
        limits, cid = self._limits, order.client_order_id
        opens = not order.reduce_only
        market_close = order.type is m.OrderType.MARKET and order.reduce_only
        if cid in self._used:
            self._count("duplicate", time_ns, cid, "the id was used before")
        self._used.add(cid)
        age_ns = time_ns - self.book.fresh_ns
        if not market_close and (not self.book.synced or age_ns > limits.stale_ns):
            self._count("blind", time_ns, cid, f"book synced: {self.book.synced}, {age_ns // _MS} ms old")
        if boot_ns >= self._lease_ns:
            self._count("lease", time_ns, cid, f"{(boot_ns - self._lease_ns) // _MS} ms after the send deadline")
        self._check_state(order, opens=opens, time_ns=time_ns)
        if opens:
            notional = order.price * self._tick * order.quantity * self._lot
            if notional > limits.max_notional:
                self._count("notional", time_ns, cid, f"{notional} of {limits.max_notional}")
            if limits.post_only and order.time_in_force is not m.TimeInForce.GTX:
                self._count("post_only", time_ns, cid, "an opening order without GTX")
        # Reducing is a quantity, not a flag: what only takes a position back is never held up by a budget.
        beyond = opens and order.quantity * self._lot > self._reducible(order.side)
        self._check_rate(cid, opens=beyond, time_ns=time_ns)

    def _reducible(self, side: m.Side) -> Decimal:
        """What an order of a side could take back of the position, less what rests there already; as heard or as it is, whichever is more."""
        resting = sum((one.left for one in self._resting.values() if one.buy is (side is m.Side.BUY)), start=Decimal(0))
        return max(-side.sign * self._heard, -side.sign * self.position) - resting

    def _check_state(self, order: m.PlaceOrder, *, opens: bool, time_ns: int) -> None:
        cid, effective = order.client_order_id, self._effective
        closing_asked = effective is EffectiveState.FLAT or self.spec.desired_state is DesiredState.FLAT
        flattens = self.spec.risk.on_halt.value == "Flatten"
        may_close = order.reduce_only and (closing_asked or flattens)
        if (self._stopping or self._drained or effective is EffectiveState.HALTED) and not may_close:
            self._count("halted", time_ns, cid, "told to stop" if self._stopping else "the state in force is Halted")
        if not opens:
            return
        bound = self._limits.exit if self._reducing else self._limits.enter
        # Only where the fill was heard and the venue agrees: an engine cannot know what is still on its way.
        self._reducing = abs(self._heard) >= bound and abs(self.position) >= bound
        if effective is not EffectiveState.RUNNING:
            self._count("opening", time_ns, cid, f"the state in force is {effective.value}")
        elif self._reducing:
            self._count("opening", time_ns, cid, f"a position of {self.position} is beyond {bound}")

    def _check_rate(self, cid: str, *, opens: bool, time_ns: int) -> None:
        sent = self._sent
        sent.append(time_ns)
        while sent[0] <= time_ns - _MINUTE_NS:
            sent.popleft()
        if opens and len(sent) > self._limits.per_minute:
            self._count("rate", time_ns, cid, f"{len(sent)} orders within a minute")

    # -- what the venue records -----------------------------------------------------------------------------------------------------

    def recorded(self, entry: Entry) -> None:
        """One entry of the exchange's ledger, in order."""
        self.kinds[entry.kind] += 1
        match entry.kind:
            case "order":
                self._accepted(entry)
            case "fill":
                self._filled(entry)
            case "cancel" | "expire":
                self._resting.pop(entry.client_order_id or "", None)
            case "reject" if entry.code in _FILTER_CODES:
                self._count("grid", entry.time_ns, entry.client_order_id or "", f"{entry.code}: {entry.msg}")
            case "countdown":
                armed = entry.status == "ARMED" and entry.countdown_time
                self._armed_ns = entry.time_ns + (entry.countdown_time or 0) * _MS if armed else 0
            case _:
                pass

    def _accepted(self, entry: Entry) -> None:
        cid, time_ns, rules = entry.client_order_id or "", entry.time_ns, self.rules
        price, quantity = Decimal(entry.price or 0), Decimal(entry.quantity or 0)
        opens = not entry.reduce_only
        buy = entry.side == "BUY"
        if price % rules.prices.decimal(rules.tick) or quantity % rules.quantities.decimal(rules.step) or quantity <= 0:
            self._count("grid", time_ns, cid, f"{quantity} at {price}")
        if self._limits.dead_man and time_ns >= self._armed_ns:
            self._count("dead_man", time_ns, cid, "accepted while the switch was not armed")
        self._resting[cid] = _Resting(buy, price, quantity, opens)
        self._check_worst(cid, time_ns, buy=buy)
        same = [one for one in self._resting.values() if one.buy is buy and one.opens and not one.pulled]
        if opens and len(same) > self._limits.levels:
            self._count("levels", time_ns, cid, f"{len(same)} orders of {self._limits.levels} levels on a side")

    def _filled(self, entry: Entry) -> None:
        cid, time_ns = entry.client_order_id or "", entry.time_ns
        quantity = Decimal(entry.last_quantity or 0)
        self.position += quantity if entry.side == "BUY" else -quantity
        self.max_abs_position = max(self.max_abs_position, abs(self.position))
        resting = self._resting.get(cid)
        if resting is not None:
            resting.left -= quantity
            if entry.status == "FILLED":
                del self._resting[cid]
        if entry.time_in_force == "GTX" and entry.maker is False:
            self._count("post_only", time_ns, cid, "a GTX order took liquidity")
        if abs(self.position) > self._limits.max_position:
            self._count("position", time_ns, cid, f"a position of {self.position}")

    def _check_worst(self, cid: str, time_ns: int, *, buy: bool) -> None:
        """Reducing quantities are in the sum too: what rests may fill, whatever it was meant for (reduceOnly stops at flat by itself)."""
        sign = 1 if buy else -1
        open_side = sum((one.left for one in self._resting.values() if one.buy is buy and one.opens), start=Decimal(0))
        worst = self.position * sign + open_side
        if worst > self._limits.max_position and self._resting[cid].opens:
            self._count("position", time_ns, cid, f"{worst} in the worst case of {self._limits.max_position}")

    # -- the end ---------------------------------------------------------------------------------------------------------------------

    def ended(self, time_ns: int) -> None:
        """The run is over and the grace time used up."""
        if not self._drained:
            self._none_left(time_ns)

    def _none_left(self, time_ns: int) -> None:
        for cid in self._resting:
            self._count("left_over", time_ns, cid, "still rests")

    def _count(self, check: str, time_ns: int, cid: str, text: str) -> None:
        self.counts[check] += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(Violation(check, time_ns // _MS, cid, text))
