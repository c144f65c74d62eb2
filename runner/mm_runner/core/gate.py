"""The gate: the one place through which every order leaves, and where the caps are kept.

It looks at each order alone: the refusal of one leg says nothing about the other.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mm_runner.core.instrument import Instrument
from mm_runner.core.ledger import Ledger
from mm_runner.core.messages import OrderType, Side, TimeInForce
from mm_runner.core.orders import Tracker
from mm_runner.core.permissions import Permissions, Taker
from mm_runner.core.settings import NEVER_NS, Settings
from mm_runner.core.windows import MinuteBudget

_DEAD_MAN_MARGIN_NS: Final = 250_000_000


class Deadlines(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Until when orders may leave; 0: not at all."""

    lease_ns: int
    dead_man_ns: int | None
    """Armed until; None: the switch is not wanted."""

    def send_deadline(self, *, recv_window_ns: int) -> int:
        """The last instant at which an order may leave.

        # Invariants 3 and 4: none leaves after the Lease's send deadline, none that could land after the dead-man switch has fired
        # (tests/unit/runner/core/test_gate.py). The Lease's deadline already leaves room for a recvWindow (CEL on leaseSeconds).
        """
        if self.dead_man_ns is None:
            return self.lease_ns
        return min(self.lease_ns, self.dead_man_ns - recv_window_ns - _DEAD_MAN_MARGIN_NS)

    def ready_until_ns(self, *, recv_window_ns: int) -> int:
        """Until when the switch is armed for long enough, or not wanted."""
        return NEVER_NS if self.dead_man_ns is None else self.dead_man_ns - recv_window_ns - _DEAD_MAN_MARGIN_NS


class Mandate(msgspec.Struct, frozen=True, gc=False):
    """Under what an order may be sent now; decided anew at every review."""

    permissions: Permissions
    settings: Settings
    deadlines: Deadlines
    now_ns: int


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An order that somebody wants."""

    side: Side
    type: OrderType
    time_in_force: TimeInForce | None
    price: int
    """Ticks; for MARKET the touch, for the notional only."""
    lots: int
    static: bool = False


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """What of a proposal may leave."""

    lots: int
    reduce_only: bool
    send_deadline_ns: int


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Why nothing of it may leave; a word of this module."""

    reason: str


class Gate:
    """Caps, budgets and deadlines of one engine.

    Args:
        instrument: filters.
        tracker: what is open and in flight.
        ledger: the position, with its uncertainty.
    """

    def __init__(self, *, instrument: Instrument, tracker: Tracker, ledger: Ledger) -> None:
        self.instrument = instrument
        self.tracker = tracker
        self.ledger = ledger
        self.orders = MinuteBudget()
        self.cancels = MinuteBudget()

    # -- worst case ----------------------------------------------------------------------------------------------------

    def worst_long(self) -> int:
        """The position if every open and in-flight BUY filled."""
        return self.ledger.high + self.tracker.open_lots(Side.BUY)

    def worst_short(self) -> int:
        """The (negative) position if every open and in-flight SELL filled."""
        return self.ledger.low - self.tracker.open_lots(Side.SELL)

    def room(self, side: Side, max_lots: int) -> int:
        """Lots that may still be added on a side before the worst case reaches the cap."""
        return max_lots - self.worst_long() if side is Side.BUY else max_lots + self.worst_short()

    def excess(self, side: Side, max_lots: int) -> int:
        """Opening lots of a side that must be cancelled: the cap was lowered or the position moved without us."""
        beyond = -self.room(side, max_lots)
        if beyond <= 0:
            return 0
        return min(beyond, max(0, self.tracker.open_lots(side) - self.ledger.reducible(side)))

    def reducing_left(self, side: Side) -> int:
        """Lots of a side that certainly reduce: |position| - what already rests or is in flight to reduce it."""
        return max(0, self.ledger.reducible(side) - self.tracker.open_lots(side))

    # -- admission -----------------------------------------------------------------------------------------------------

    def admit(self, proposal: Proposal, mandate: Mandate) -> Admitted | Refused:
        """How much of an order may leave now, and with which flag."""
        permissions, settings = mandate.permissions, mandate.settings
        deadline = mandate.deadlines.send_deadline(recv_window_ns=settings.recv_window_ns)
        if mandate.now_ns >= deadline:
            return Refused("deadline")
        allowed = _allowed(proposal, permissions)
        if not (permissions.open or allowed):
            return Refused("not_permitted")
        reducing = min(proposal.lots, self.reducing_left(proposal.side))
        taker = proposal.type is OrderType.MARKET or proposal.time_in_force is TimeInForce.IOC
        if not permissions.open or taker:
            # Invariant 2: whatever is not allowed to open leaves only as far as it reduces, and says so to the venue.
            return (
                self._reduce(proposal, reducing, settings, deadline=deadline) if allowed else Refused("not_permitted")
            )
        return self._open(proposal, reducing, settings, deadline=deadline, now_ns=mandate.now_ns)

    def _reduce(self, proposal: Proposal, reducing: int, settings: Settings, *, deadline: int) -> Admitted | Refused:
        most = self.instrument.market_max_lots if proposal.type is OrderType.MARKET else self.instrument.max_lots
        chunk = self.instrument.most_lots(proposal.price, settings.risk.max_order_units)
        # A cap on the notional must not keep a position from shrinking: the rest follows in the next round.
        lots = min(reducing, most, max(chunk, self.instrument.least_lots(proposal.price)))
        if lots < self.instrument.min_lots:
            return Refused("nothing_to_reduce")
        return Admitted(lots, reduce_only=True, send_deadline_ns=deadline)

    def _open(
        self, proposal: Proposal, reducing: int, settings: Settings, *, deadline: int, now_ns: int
    ) -> Admitted | Refused:
        # Invariant 1: position + open + in-flight on the opening side never beyond maxPosition (tests/unit/runner/core/test_gate.py,
        # test_engine_model.py). It never meets a purely reducing quantity: the room is larger than that by maxPosition.
        lots = min(proposal.lots, self.room(proposal.side, settings.risk.max_lots))
        lots = min(lots, self.instrument.most_lots(proposal.price, settings.risk.max_order_units))
        if lots < self.instrument.least_lots(proposal.price):
            return Refused("max_position" if lots < proposal.lots else "min_notional")
        if lots > reducing:
            if len(self.tracker.live) >= self.instrument.max_orders:
                return Refused("max_orders")
            if not self.orders.left(settings.quote.max_orders_per_minute, now_ns=now_ns):
                return Refused("order_budget")
            if not self.instrument.trading:
                return Refused("not_trading")
        return Admitted(lots, reduce_only=False, send_deadline_ns=deadline)


def _allowed(proposal: Proposal, permissions: Permissions) -> bool:
    """Whether the table lets this kind of order reduce."""
    if proposal.type is OrderType.MARKET:
        return permissions.reduce_taker is Taker.MARKET
    if proposal.time_in_force is TimeInForce.IOC:
        return permissions.reduce_taker is Taker.BOUNDED
    return permissions.reduce_maker
