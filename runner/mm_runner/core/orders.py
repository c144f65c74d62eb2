r"""The order tracker: every own order from the moment it is decided until the venue proves its end.

Three sources speak of an order (REST answers, the user stream, queries), in any order and any number of times; each is folded in by the
cumulative executed quantity and by the rule that a final state is final. An unknown result is proven by query, never sent again blind, never dropped.

    PENDING_NEW --ack/report--> NEW --> PARTIALLY_FILLED --> FILLED
         |  \--unknown--> UNKNOWN --query--> any               |
         \--refused--> REJECTED         cancel: PENDING_CANCEL --> CANCELED | EXPIRED | FILLED
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec

from mm_runner.core.messages import OrderType, Side, TimeInForce, VenueStatus
from mm_runner.core.settings import NEVER_NS

_RECENT: Final = 2_048
PROOF_MARGIN_NS: Final = 1_000_000_000
"""Beyond recvWindow: the venue's clock may differ from ours by as much before it refuses with -1021."""
_ANSWER_BOUND_NS: Final = 10_000_000_000
"""A send that was never answered at all counts as unknown after this long."""
_RETRY_NS: Final = 250_000_000
_MAX_RETRY_NS: Final = 5_000_000_000


class OrderStatus(Enum):
    """State of an own order as far as the engine knows."""

    PENDING_NEW = "PendingNew"
    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    PENDING_CANCEL = "PendingCancel"
    UNKNOWN = "Unknown"
    FILLED = "Filled"
    CANCELED = "Canceled"
    REJECTED = "Rejected"
    EXPIRED = "Expired"


_FINAL: Final = {
    VenueStatus.FILLED: OrderStatus.FILLED,
    VenueStatus.CANCELED: OrderStatus.CANCELED,
    VenueStatus.REJECTED: OrderStatus.REJECTED,
    VenueStatus.EXPIRED: OrderStatus.EXPIRED,
    VenueStatus.EXPIRED_IN_MATCH: OrderStatus.EXPIRED,
}


class Order(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One own order. Lots and ticks; `*_ns` on CLOCK_BOOTTIME."""

    client_order_id: str
    epoch: int
    side: Side
    type: OrderType
    time_in_force: TimeInForce | None
    price: int
    lots: int
    reduce_only: bool
    sent_ns: int
    send_deadline_ns: int
    recv_window_ns: int
    static: bool = False
    """Whether it belongs to the static leg."""
    order_id: int = 0
    executed: int = 0
    traded: int = 0
    """Lots whose trade (price, commission) is known; behind `executed` until the user stream or userTrades told."""
    acknowledged: bool = False
    unknown: bool = False
    unknown_ns: int = 0
    final: OrderStatus | None = None
    done_ns: int = 0
    cancel_wanted: bool = False
    cancel_in_flight: bool = False
    cancel_ns: int = 0
    query_in_flight: bool = False
    query_wanted: bool = False
    query_ns: int = 0
    """Not before this instant the next query."""
    cancel_after_ns: int = 0
    """Not before this instant the next repetition of a failed cancel."""
    failures: int = 0

    @property
    def status(self) -> OrderStatus:
        """The state's name."""
        if self.final is not None:
            return self.final
        if self.unknown:
            return OrderStatus.UNKNOWN
        if self.cancel_in_flight:
            return OrderStatus.PENDING_CANCEL
        if not self.acknowledged:
            return OrderStatus.PENDING_NEW
        return OrderStatus.PARTIALLY_FILLED if self.executed else OrderStatus.NEW

    @property
    def remaining(self) -> int:
        """Lots that may still fill; 0 once final."""
        return 0 if self.final is not None else self.lots - self.executed

    @property
    def resting(self) -> bool:
        """Known to be on the venue's book (perhaps with a cancel under way)."""
        return self.final is None and self.acknowledged

    @property
    def provable_ns(self) -> int:
        """From when on a query that finds nothing proves that the order never will exist (invariant 7).

        It may have left until its deadline, or until the venue layer gave up waiting for the answer, and land a recvWindow later.
        """
        left = min(self.send_deadline_ns, self.unknown_ns) if self.unknown_ns else self.send_deadline_ns
        return max(left, self.sent_ns) + self.recv_window_ns + PROOF_MARGIN_NS


class Tracker:
    """All own orders: the live ones, and the recently finished ones for late reports."""

    def __init__(self) -> None:
        self.live: dict[str, Order] = {}
        self.recent: OrderedDict[str, Order] = OrderedDict()

    def add(self, order: Order) -> None:
        """Track an order from before it is sent, so that it is never unknown to us."""
        self.live[order.client_order_id] = order

    def get(self, client_order_id: str) -> Order | None:
        """A live or recently finished order."""
        return self.live.get(client_order_id) or self.recent.get(client_order_id)

    def open_lots(self, side: Side) -> int:
        """Lots of one side that may still fill: resting, in flight and unknown alike."""
        total = 0
        for order in self.live.values():
            if order.side is side:
                total += order.lots - order.executed
        return total

    def of(self, side: Side) -> Iterator[Order]:
        """Live orders of one side."""
        return (order for order in self.live.values() if order.side is side)

    @property
    def unresolved(self) -> int:
        """Own orders that are open or whose end is not proven."""
        return len(self.live)

    # -- what the venue says -------------------------------------------------------------------------------------------

    def observe(self, order: Order, status: VenueStatus, *, executed: int, order_id: int, now_ns: int) -> int:
        """Fold in what any source says of an order; returns the lots that are newly known to be filled.

        Duplicates and stale reports change nothing: the executed quantity only grows, a final state stays.
        """
        if order_id and not order.order_id:
            order.order_id = order_id
        executed = order.lots if status is VenueStatus.FILLED else min(executed, order.lots)
        filled = max(0, executed - order.executed)
        order.executed += filled
        if status is VenueStatus.UNKNOWN and order.executed < order.lots:
            self.ask(order, now_ns=now_ns)
            return filled
        order.acknowledged, order.unknown = True, False
        if order.executed >= order.lots:
            self.finish(order, OrderStatus.FILLED, now_ns=now_ns)
        elif status.final:
            self.finish(order, _FINAL[status], now_ns=now_ns)
        else:
            order.failures = 0
        return filled

    def refused(self, order: Order, *, now_ns: int) -> None:
        """The venue refused it or it never left; unless something else already proved that it lives."""
        if order.final is None and not order.acknowledged:
            self.finish(order, OrderStatus.REJECTED, now_ns=now_ns)

    def doubted(self, order: Order, *, now_ns: int) -> None:
        """The send's result is unknown: prove it by query."""
        if order.final is None and not order.acknowledged:
            order.unknown = True
            order.unknown_ns = now_ns
            self.ask(order, now_ns=now_ns)

    def missing(self, order: Order, *, query_sent_ns: int, now_ns: int) -> bool:
        """A query found nothing (-2013); True where that proves the order's end, else it is asked again."""
        order.query_in_flight = False
        if order.final is not None:
            return False
        # Invariant 7: dead only by -2013 later than send + recvWindow + margin (tests/unit/runner/core/test_orders.py).
        if query_sent_ns > order.provable_ns:
            self.finish(order, OrderStatus.REJECTED if not order.acknowledged else OrderStatus.CANCELED, now_ns=now_ns)
            return True
        order.query_wanted = True
        order.query_ns = max(order.provable_ns + 1, now_ns + _RETRY_NS)
        return False

    def answered(self, order: Order) -> None:
        """A query was answered with a state; `observe` folds it in."""
        order.query_in_flight = order.query_wanted = False

    def cancel_answered(self, order: Order, *, now_ns: int) -> None:
        """The cancel's answer came, but not as an end: repeat it after a pause."""
        order.cancel_in_flight = False
        order.cancel_after_ns = now_ns + self._pause(order)

    def query_failed(self, order: Order, *, now_ns: int) -> None:
        """The query told nothing: again, later."""
        order.query_in_flight = False
        order.query_wanted = order.final is None
        order.query_ns = now_ns + self._pause(order)

    def ask(self, order: Order, *, now_ns: int) -> None:
        """Want a query, after a pause that may be running."""
        if order.final is None and not order.query_in_flight:
            order.query_wanted = True
            order.query_ns = max(order.query_ns, now_ns)

    def ask_now(self, order: Order, *, now_ns: int) -> None:
        """Want a query at once."""
        if order.final is None and not order.query_in_flight:
            order.query_wanted, order.query_ns = True, now_ns

    def finish(self, order: Order, final: OrderStatus, *, now_ns: int) -> None:
        """Move an order to the recently finished ones; a second end is no end."""
        if order.final is not None:
            return
        order.final, order.done_ns = final, now_ns
        order.unknown = order.cancel_in_flight = order.cancel_wanted = order.query_wanted = False
        self.live.pop(order.client_order_id, None)
        self.recent[order.client_order_id] = order
        if len(self.recent) > _RECENT:
            self.recent.popitem(last=False)

    def revive(self, order: Order) -> None:
        """The venue shows an order as open that we held for finished: the venue is right."""
        self.recent.pop(order.client_order_id, None)
        order.final, order.done_ns, order.acknowledged = None, 0, True
        self.live[order.client_order_id] = order

    # -- what to ask ---------------------------------------------------------------------------------------------------

    def overdue(self, now_ns: int) -> list[Order]:
        """Orders whose send or cancel was never answered at all: their results count as unknown from now on."""
        late = now_ns - _ANSWER_BOUND_NS
        found = []
        for order in self.live.values():
            if not order.acknowledged and not order.unknown and order.sent_ns < late:
                found.append(order)
            elif order.cancel_in_flight and order.cancel_ns < late:
                order.cancel_in_flight = False
                self.ask(order, now_ns=now_ns)
        for order in found:
            self.doubted(order, now_ns=now_ns)
        return found

    def queries(self, now_ns: int) -> list[Order]:
        """Orders to be queried now; marks them as asked."""
        due = [o for o in self.live.values() if o.query_wanted and not o.query_in_flight and o.query_ns <= now_ns]
        for order in due:
            order.query_in_flight, order.query_wanted = True, False
        return due

    def next_due_ns(self) -> int:
        """The instant at which an order may want to be asked for, given up on, or cancelled again."""
        due = NEVER_NS
        for order in self.live.values():
            if order.query_wanted and not order.query_in_flight and order.query_ns < due:
                due = order.query_ns
            if not order.acknowledged and not order.unknown and order.sent_ns + _ANSWER_BOUND_NS < due:
                due = order.sent_ns + _ANSWER_BOUND_NS
            if order.cancel_in_flight:
                due = min(due, order.cancel_ns + _ANSWER_BOUND_NS)
            elif order.cancel_wanted and order.cancel_after_ns < due:
                due = order.cancel_after_ns
        return due

    def cancellable(self, order: Order, now_ns: int) -> bool:
        """Whether a cancel may be sent now: none under way, and the pause after a failed one is over."""
        return order.final is None and not order.cancel_in_flight and order.cancel_after_ns <= now_ns

    def cancel_sent(self, order: Order, now_ns: int) -> None:
        """Note that a cancel leaves."""
        order.cancel_wanted, order.cancel_in_flight, order.cancel_ns = True, True, now_ns

    def _pause(self, order: Order) -> int:
        order.failures += 1
        return min(_RETRY_NS << min(order.failures - 1, 8), _MAX_RETRY_NS)
