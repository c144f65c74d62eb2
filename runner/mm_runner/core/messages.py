"""Everything that crosses the core's border: events in, actions out, and the instant that comes with each event.

The venue adapter makes the market and order events and carries out the order actions; the shell makes the control events and carries
out the rest. Amounts of orders and positions are integer ticks and lots (`core.instrument` converts); market data are the decoded floats,
which the book turns into ticks in the same pass that checks them; money is exact `Decimal` in quote units.
All `*_boot_ns` are CLOCK_BOOTTIME nanoseconds of this host, all `*_ms` without `boot` are the venue's unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from mm_contract.claim_state import ClaimState
from mm_contract.resource import MarketMakerSpec
from mm_contract.states import HaltState, ListenKeyState
from mm_runner.core.instrument import Instrument

Levels = Sequence[tuple[float, float]]
"""Price and absolute quantity, as decoded; quantity 0 removes the level."""


class Instant(msgspec.Struct, frozen=True, gc=False):
    """When something happened: CLOCK_BOOTTIME for deadlines and ages, unix milliseconds for days and logs."""

    boot_ns: int
    wall_ms: int


class Side(StrEnum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL: the direction in which a fill moves the position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """Order types in use."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """Times in force in use; GTX is post-only."""

    GTC = "GTC"
    GTX = "GTX"
    IOC = "IOC"


class VenueStatus(StrEnum):
    """Order status as the venue spells it. Anything else is decoded as UNKNOWN and leads to a query."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    UNKNOWN = "UNKNOWN"

    @property
    def final(self) -> bool:
        """Whether the venue will never change this order again."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {
        VenueStatus.FILLED,
        VenueStatus.CANCELED,
        VenueStatus.REJECTED,
        VenueStatus.EXPIRED,
        VenueStatus.EXPIRED_IN_MATCH,
    }
)


class Stream(StrEnum):
    """Streams of the venue, spelled as the label of the metrics."""

    PUBLIC = "public"  # depth, bookTicker
    MARKET = "market"  # aggTrade, markPrice
    USER = "user"


LOCAL_REFUSAL: Final = 0
"""`OrderRefused.code` where the venue layer did not send the order (deadline, budget, ban): nothing ever left."""


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event", tag=True):
    """Something that happened; `gc=False` because none can be part of a cycle. The tag is how the journal tells kinds apart."""


# -- market ------------------------------------------------------------------------------------------------------------


class InstrumentLoaded(_Event, frozen=True, kw_only=True):
    """`exchangeInfo` and the account's commission rates were read (again). Fees are ratios of the notional."""

    instrument: Instrument
    maker_fee: Decimal
    taker_fee: Decimal


class DepthSnapshot(_Event, frozen=True, kw_only=True):
    """Answer to `FetchDepthSnapshot`."""

    last_update_id: int
    bids: Levels
    asks: Levels
    sent_boot_ns: int


class DepthSnapshotFailed(_Event, frozen=True, kw_only=True):
    """The depth request failed; the core asks again after a pause."""

    error: str


class DepthDiff(_Event, frozen=True, kw_only=True):
    """`depthUpdate`: U, u and pu as first, last and previous."""

    first_update_id: int
    last_update_id: int
    previous_update_id: int
    bids: Levels
    asks: Levels
    event_ms: int = 0


class BookTicker(_Event, frozen=True, kw_only=True):
    """`bookTicker`: often ahead of depth; a sign of life and a bound for post-only prices."""

    update_id: int
    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float
    event_ms: int = 0


class Trade(_Event, frozen=True, kw_only=True):
    """`aggTrade`."""

    price: float
    quantity: float
    buyer_is_maker: bool
    event_ms: int = 0


class MarkPrice(_Event, frozen=True, kw_only=True):
    """`markPriceUpdate`; the funding rate is of the running interval."""

    mark: float
    funding_rate: float = 0.0
    next_funding_ms: int = 0
    event_ms: int = 0


class StreamUp(_Event, frozen=True, kw_only=True):
    """A socket is open and subscribed (for USER: from now on no event is missed)."""

    stream: Stream


class StreamDown(_Event, frozen=True, kw_only=True):
    """A socket ended or was found mute."""

    stream: Stream
    error: str = ""


# -- own orders --------------------------------------------------------------------------------------------------------


class OrderReport(_Event, frozen=True, kw_only=True):
    """`ORDER_TRADE_UPDATE`, of whatever order of the symbol, ours or not."""

    client_order_id: str
    order_id: int
    side: Side
    status: VenueStatus
    price: int
    quantity: int
    executed: int
    """Cumulative lots filled so far."""
    reduce_only: bool = False
    execution_type: str = ""
    last_lots: int = 0
    last_price: int = 0
    trade_id: int = 0
    commission: Decimal = Decimal(0)
    commission_asset: str = ""
    realized_pnl: Decimal = Decimal(0)
    maker: bool = False
    event_ms: int = 0
    transaction_ms: int = 0


class AccountReport(_Event, frozen=True, kw_only=True):
    """`ACCOUNT_UPDATE`; None where the event does not speak of our symbol or asset."""

    reason: str = ""
    position: int | None = None
    entry_price: Decimal | None = None
    wallet_balance: Decimal | None = None
    event_ms: int = 0
    transaction_ms: int = 0


class OrderAccepted(_Event, frozen=True, kw_only=True):
    """The venue's acknowledgement of a `PlaceOrder`."""

    client_order_id: str
    order_id: int
    status: VenueStatus = VenueStatus.NEW
    executed: int = 0
    average_price: Decimal = Decimal(0)
    update_ms: int = 0


class OrderRefused(_Event, frozen=True, kw_only=True):
    """The order certainly does not exist: the venue refused it by code, or it never left (`LOCAL_REFUSAL`)."""

    client_order_id: str
    code: int
    message: str = ""


class OrderUnknown(_Event, frozen=True, kw_only=True):
    """Timeout, -1006, -1007, 5xx, connection cut after the send: it may or may not exist."""

    client_order_id: str
    error: str = ""


class CancelAccepted(_Event, frozen=True, kw_only=True):
    """The venue cancelled the order (its answer is final)."""

    client_order_id: str
    order_id: int = 0
    status: VenueStatus = VenueStatus.CANCELED
    executed: int = 0


class CancelRefused(_Event, frozen=True, kw_only=True):
    """The venue refused the cancel (-2011: no such open order), or it was not sent (`LOCAL_REFUSAL`)."""

    client_order_id: str
    code: int
    message: str = ""


class CancelUnknown(_Event, frozen=True, kw_only=True):
    """The cancel's result is unknown."""

    client_order_id: str
    error: str = ""


class OrderState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order as a REST answer shows it (`GET order`, `GET openOrders`)."""

    client_order_id: str
    order_id: int
    side: Side
    status: VenueStatus
    price: int
    quantity: int
    executed: int = 0
    average_price: Decimal = Decimal(0)
    reduce_only: bool = False
    update_ms: int = 0


class OrderFound(_Event, frozen=True, kw_only=True):
    """Answer to `QueryOrder`: the order exists."""

    order: OrderState


class OrderMissing(_Event, frozen=True, kw_only=True):
    """Answer to `QueryOrder`: -2013. Proves death only when the query was sent late enough (invariant 7)."""

    client_order_id: str
    query_sent_boot_ns: int


class QueryFailed(_Event, frozen=True, kw_only=True):
    """The query told nothing; the core asks again with back-off."""

    client_order_id: str
    error: str = ""


class TradeRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of our fills as `GET userTrades` shows it; `client_order_id` may be empty, the venue keys by order id."""

    trade_id: int
    order_id: int
    side: Side
    price: int
    quantity: int
    commission: Decimal
    commission_asset: str
    realized_pnl: Decimal
    maker: bool
    time_ms: int


class AccountSnapshot(_Event, frozen=True, kw_only=True):
    """Answer to `Reconcile`: position, wallet and every open order of the symbol, ours or not, each read after `sent_boot_ns`.

    `position_update_ms` is the venue's updateTime of the position; `margin_ratio` is maintenance margin over margin balance.
    """

    sent_boot_ns: int
    position: int
    entry_price: Decimal
    wallet_balance: Decimal
    open_orders: tuple[OrderState, ...]
    unrealized_pnl: Decimal = Decimal(0)
    position_update_ms: int = 0
    liquidation_price: Decimal = Decimal(0)
    margin_ratio: float = 0.0
    trades: tuple[TradeRecord, ...] = ()
    hedge_mode: bool = False


class ReconcileFailed(_Event, frozen=True, kw_only=True):
    """The account could not be read; the core asks again with back-off."""

    error: str


class RateLimited(_Event, frozen=True, kw_only=True):
    """429 or 418: the venue layer sends nothing before this instant."""

    until_boot_ns: int
    code: int


class ListenKey(_Event, frozen=True, kw_only=True):
    """State of the user stream's key."""

    state: ListenKeyState


class DeadMan(_Event, frozen=True, kw_only=True):
    """A refresh of the dead-man switch was acknowledged; armed until (counted from its send, so never too late)."""

    armed_until_boot_ns: int


# -- control -----------------------------------------------------------------------------------------------------------


class SpecChanged(_Event, frozen=True, kw_only=True):
    """A spec that the contract's models accepted."""

    spec: MarketMakerSpec
    generation: int


class SpecRefused(_Event, frozen=True, kw_only=True):
    """A change that the contract's models refused; the last good spec goes on."""

    generation: int
    reason: str
    message: str


class Halt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A TradingHalt whose selector matches this resource."""

    name: str
    state: HaltState
    reason: str = ""


class HaltsChanged(_Event, frozen=True, kw_only=True):
    """The matching TradingHalts; `unreadable` (before the first list) counts as a halt."""

    halts: tuple[Halt, ...] = ()
    unreadable: bool = False


class LocalHalt(_Event, frozen=True, kw_only=True):
    """The local latch (`mm-runner halt`); `close` asks to flatten (`mm-runner flatten --close`)."""

    active: bool
    close: bool = False


class ControlPlane(_Event, frozen=True, kw_only=True):
    """Whether the CR and the halts can be read; for the message only, the Lease deadline pulls the quotes."""

    ok: bool
    error: str = ""


class LeaseState(_Event, frozen=True, kw_only=True):
    """The claim's Lease. `send_deadline_boot_ns` is two thirds of its time after the send of the last acknowledged renewal.

    `epoch` is final once `held` (1 + every witness; `Engine.highest_order_epoch` is one of them). `superseded_by` > 0: stop for good.
    """

    held: bool
    send_deadline_boot_ns: int = 0
    epoch: int = 0
    superseded_by: int = 0


class ClaimStateLoaded(_Event, frozen=True, kw_only=True):
    """The claim state as read; None: it should exist and cannot be read, which means halted (invariant 6)."""

    state: ClaimState | None


class ClaimStatePersisted(_Event, frozen=True, kw_only=True):
    """The state of `PersistClaimState(token)`, or a newer one, is durable."""

    token: int


class Tick(_Event, frozen=True, kw_only=True):
    """Time passed; the shell sends one at `Engine.next_wake_ns` at the latest."""


class ShutdownRequested(_Event, frozen=True, kw_only=True):
    """Cancel everything and prove it (`Drained`); `close` also flattens (deletion with onDelete: Flatten)."""

    reason: str
    close: bool = False


Event = (
    InstrumentLoaded
    | DepthSnapshot
    | DepthSnapshotFailed
    | DepthDiff
    | BookTicker
    | Trade
    | MarkPrice
    | StreamUp
    | StreamDown
    | OrderReport
    | AccountReport
    | OrderAccepted
    | OrderRefused
    | OrderUnknown
    | CancelAccepted
    | CancelRefused
    | CancelUnknown
    | OrderFound
    | OrderMissing
    | QueryFailed
    | AccountSnapshot
    | ReconcileFailed
    | RateLimited
    | ListenKey
    | DeadMan
    | SpecChanged
    | SpecRefused
    | HaltsChanged
    | LocalHalt
    | ControlPlane
    | LeaseState
    | ClaimStateLoaded
    | ClaimStatePersisted
    | Tick
    | ShutdownRequested
)


# -- actions -----------------------------------------------------------------------------------------------------------


class _Action(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="action", tag=True):
    """Something to do. The tag is how `journal.codec` writes its kind."""


class PlaceOrder(_Action, frozen=True, kw_only=True):
    """Send a new order; the venue layer checks `send_deadline_boot_ns` again immediately before the bytes leave.

    `price` is 0 for MARKET. Every PlaceOrder is answered by exactly one of OrderAccepted, OrderRefused, OrderUnknown.
    """

    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce | None
    price: int
    quantity: int
    reduce_only: bool
    send_deadline_boot_ns: int
    recv_window_ms: int


class CancelOrder(_Action, frozen=True, kw_only=True):
    """Cancel by order id where known (0: not yet), else by client id, on the connection of its unacknowledged order.

    Answered by exactly one of CancelAccepted, CancelRefused, CancelUnknown.
    """

    client_order_id: str
    order_id: int
    recv_window_ms: int


class QueryOrder(_Action, frozen=True, kw_only=True):
    """Answered by exactly one of OrderFound, OrderMissing, QueryFailed."""

    client_order_id: str


class FetchDepthSnapshot(_Action, frozen=True, kw_only=True):
    """Answered by DepthSnapshot or DepthSnapshotFailed. Reason: start, gap, reconnect, refresh."""

    reason: str


class Reconcile(_Action, frozen=True, kw_only=True):
    """Read position, wallet, open orders and own trades since; answered by AccountSnapshot or ReconcileFailed."""

    reason: str
    trades_since_ms: int


class PersistClaimState(_Action, frozen=True, kw_only=True):
    """Make it durable, with retry until done or replaced by a higher token; answered by ClaimStatePersisted."""

    state: ClaimState
    token: int


class SetDeadMan(_Action, frozen=True, kw_only=True):
    """Keep the dead-man switch refreshed, or let it be. Never disarms at a hand-over (invariant 3)."""

    enabled: bool
    seconds: int


class EmitEvent(_Action, frozen=True, kw_only=True):
    """A log event of the contract's registry. The symbol is among the fields; the writer adds `event` and `ts`."""

    name: str
    fields: Mapping[str, object]


class ReportChanged(_Action, frozen=True, kw_only=True):
    """One of the report's sections may read differently now; ask `Engine.report`."""


class Drained(_Action, frozen=True, kw_only=True):
    """The shutdown is done. `zero_own_orders`: none open or unresolved, seen twice with a recvWindow between (invariant 7)."""

    zero_own_orders: bool
    reason: str


Action = (
    PlaceOrder
    | CancelOrder
    | QueryOrder
    | FetchDepthSnapshot
    | Reconcile
    | PersistClaimState
    | SetDeadMan
    | EmitEvent
    | ReportChanged
    | Drained
)
