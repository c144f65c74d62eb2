"""The venue's calls by name, for one symbol: core types in, core types or exact answers out.

Every method raises the errors of `rest.RestClient.call`; none retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import AccountSnapshot, DepthSnapshot, OrderState, OrderType, PlaceOrder
from mm_runner.venue import answers, routes
from mm_runner.venue.clock import ClockReading
from mm_runner.venue.errors import RefusedError, UnknownError, VenueError
from mm_runner.venue.http import Lane
from mm_runner.venue.rest import RestClient
from mm_runner.venue.signing import encoded_list

BATCH: Final = 10
"""Most ids in one batch cancel (venue rule)."""
_TRADES_PAGE: Final = 1000
_MAX_PAGES: Final = 20
_DEPTH_LIMIT: Final = 1000


class UsdmApi:
    """Calls about one symbol.

    Args:
        client: carries them.
        symbol: upper case.
    """

    def __init__(self, client: RestClient, symbol: str) -> None:
        self._client = client
        self._symbol = symbol
        self._query = f"symbol={symbol}".encode()

    # -- orders --------------------------------------------------------------------------------------------------------

    async def place(
        self, order: PlaceOrder, instrument: Instrument, *, on_sent: Callable[[], None]
    ) -> answers.OrderAnswer:
        """`POST order` on the order lane, not one byte after its deadline."""
        answer = await self._client.call(
            routes.PLACE,
            order_query(order, instrument),
            lane=self._client.order_lane,
            send_deadline_boot_ns=order.send_deadline_boot_ns,
            recv_window_ms=order.recv_window_ms,
            on_sent=on_sent,
        )
        return answers.decode(answer.body, answers.OrderAnswer)

    async def cancel(self, client_order_id: str, *, order_id: int, lane: Lane) -> answers.OrderAnswer:
        """`DELETE order` by the venue's id where it is known, else by ours."""
        key = f"orderId={order_id}" if order_id else f"origClientOrderId={client_order_id}"
        answer = await self._client.call(routes.CANCEL, b"%b&%b" % (self._query, key.encode()), lane=lane)
        return answers.decode(answer.body, answers.OrderAnswer)

    async def cancel_batch(self, client_order_ids: Sequence[str], *, lane: Lane) -> list[answers.OrderAnswer]:
        """`DELETE batchOrders`: one answer per id, in order; a refused one carries its code."""
        if not 0 < len(client_order_ids) <= BATCH:
            raise ValueError(f"a batch cancel takes 1 to {BATCH} ids, not {len(client_order_ids)}")
        ids = encoded_list(client_order_ids)
        query = b"%b&origClientOrderIdList=%b" % (self._query, ids.encode())
        answer = await self._client.call(routes.CANCEL_BATCH, query, lane=lane)
        items = answers.decode(answer.body, list[answers.OrderAnswer])
        if len(items) != len(client_order_ids):
            raise UnknownError(f"batch cancel of {len(client_order_ids)} ids answered with {len(items)} items")
        return items

    async def query(self, client_order_id: str, instrument: Instrument) -> OrderState:
        """`GET order`; -2013 comes as RefusedError."""
        query = b"%b&origClientOrderId=%b" % (self._query, client_order_id.encode())
        answer = await self._client.call(routes.QUERY, query)
        return _usable(answers.decode(answer.body, answers.OrderAnswer), instrument)

    async def open_orders(self, instrument: Instrument) -> tuple[OrderState, ...]:
        """`GET openOrders`: everybody's orders of the symbol on this account."""
        answer = await self._client.call(routes.OPEN_ORDERS, self._query)
        return tuple(_usable(one, instrument) for one in answers.decode(answer.body, list[answers.OrderAnswer]))

    async def open_order_ids(self) -> tuple[str, ...]:
        """Client ids of everybody's open orders of the symbol; needs no instrument, for the ways out."""
        answer = await self._client.call(routes.OPEN_ORDERS, self._query)
        return tuple(one.clientOrderId for one in answers.decode(answer.body, list[answers.OrderAnswer]))

    # -- account -------------------------------------------------------------------------------------------------------

    async def account_snapshot(
        self, instrument: Instrument, *, trades_since_ms: int, sent_boot_ns: int
    ) -> AccountSnapshot:
        """Position, wallet, open orders and own trades, read side by side; each no older than `sent_boot_ns`."""
        try:
            async with asyncio.TaskGroup() as group:
                position = group.create_task(self._position())
                account = group.create_task(self._account())
                orders = group.create_task(self.open_orders(instrument))
                trades = group.create_task(self._trades(trades_since_ms))
        except ExceptionGroup as failures:
            raise _first(failures) from failures
        risk, hedge = position.result()
        return AccountSnapshot(
            sent_boot_ns=sent_boot_ns,
            position=answers.lots_of(instrument, risk.positionAmt),
            entry_price=risk.entryPrice,
            wallet_balance=account.result().wallet(instrument.quote_asset),
            open_orders=orders.result(),
            unrealized_pnl=risk.unRealizedProfit,
            position_update_ms=risk.updateTime,
            liquidation_price=risk.liquidationPrice,
            margin_ratio=account.result().margin_ratio,
            trades=answers.trade_records(trades.result(), instrument),
            hedge_mode=hedge,
        )

    async def _position(self) -> tuple[answers.PositionRisk, bool]:
        """The one-way position (flat where the venue lists none), and whether the account turned out to be in hedge mode."""
        answer = await self._client.call(routes.POSITION_RISK, self._query)
        listed = [one for one in answers.decode(answer.body, list[answers.PositionRisk]) if one.symbol == self._symbol]
        flat = answers.PositionRisk(symbol=self._symbol, positionAmt=Decimal(0), entryPrice=Decimal(0))
        both = next((one for one in listed if one.positionSide == "BOTH"), flat)
        return both, any(one.positionSide != "BOTH" for one in listed)

    async def _account(self) -> answers.Account:
        answer = await self._client.call(routes.ACCOUNT)
        return answers.decode(answer.body, answers.Account)

    async def _trades(self, since_ms: int) -> list[answers.UserTrade]:
        """Own trades of the symbol since then, all pages; none where `since_ms` is 0."""
        if since_ms <= 0:
            return []
        found: dict[int, answers.UserTrade] = {}
        query = b"%b&limit=%d&startTime=%d" % (self._query, _TRADES_PAGE, since_ms)
        for _ in range(_MAX_PAGES):
            answer = await self._client.call(routes.USER_TRADES, query)
            page = answers.decode(answer.body, list[answers.UserTrade])
            found.update({one.id: one for one in page})
            if len(page) < _TRADES_PAGE:
                break
            query = b"%b&limit=%d&fromId=%d" % (self._query, _TRADES_PAGE, max(found) + 1)
        return [found[key] for key in sorted(found)]

    async def commission_rate(self) -> answers.CommissionRate:
        """`GET commissionRate`."""
        answer = await self._client.call(routes.COMMISSION_RATE, self._query)
        return answers.decode(answer.body, answers.CommissionRate)

    async def set_leverage(self, leverage: int) -> int:
        """`POST leverage`; returns what the venue says it is now."""
        answer = await self._client.call(routes.LEVERAGE, b"%b&leverage=%d" % (self._query, leverage))
        return answers.decode(answer.body, answers.LeverageAnswer).leverage

    async def set_margin_type(self, margin_type: str) -> None:
        """`POST marginType` (ISOLATED, CROSSED); -4046 means that it already is."""
        try:
            await self._client.call(routes.MARGIN_TYPE, b"%b&marginType=%b" % (self._query, margin_type.encode()))
        except RefusedError as error:
            if error.code != -4046:
                raise

    async def hedge_mode(self) -> bool:
        """`GET positionSide/dual`: True is hedge mode, which this engine does not trade in."""
        answer = await self._client.call(routes.POSITION_MODE)
        return answers.decode(answer.body, answers.PositionMode).dualSidePosition

    # -- market --------------------------------------------------------------------------------------------------------

    async def rules(self) -> answers.Rules:
        """`GET exchangeInfo` for our symbol; raises answers.SymbolError where it is not tradable."""
        return answers.read_rules((await self._client.call(routes.EXCHANGE_INFO)).body, self._symbol)

    async def depth(self) -> DepthSnapshot:
        """`GET depth` with 1000 levels a side."""
        answer = await self._client.call(routes.DEPTH, b"%b&limit=%d" % (self._query, _DEPTH_LIMIT))
        depth = answers.decode(answer.body, answers.Depth)
        return DepthSnapshot(
            last_update_id=depth.lastUpdateId, bids=depth.bids, asks=depth.asks, sent_boot_ns=answer.sent_boot_ns
        )

    # -- clock, keys, dead-man switch ----------------------------------------------------------------------------------

    async def clock_reading(self, *, lane: Lane, boot_ns: Callable[[], int]) -> ClockReading:
        """`GET time` with the boot clock at its send and receipt."""
        answer = await self._client.call(routes.TIME, lane=lane)
        return ClockReading(answer.sent_boot_ns, boot_ns(), answers.decode(answer.body, answers.ServerTime).serverTime)

    async def create_listen_key(self) -> str:
        """`POST listenKey`: a new key, or the account's living one."""
        answer = await self._client.call(routes.CREATE_LISTEN_KEY)
        key = answers.decode(answer.body, answers.ListenKeyAnswer).listenKey
        if not key:
            raise UnknownError("POST listenKey answered without a key")
        return key

    async def keep_listen_key(self) -> str:
        """`PUT listenKey`: extends the account's key to 60 min; returns it where the venue names it, else an empty string."""
        answer = await self._client.call(routes.KEEP_LISTEN_KEY)
        return answers.decode(answer.body, answers.ListenKeyAnswer).listenKey

    async def countdown(self, countdown_ms: int) -> int:
        """`POST countdownCancelAll`; returns the boot clock at its send. Never called with 0 here (invariant 3)."""
        if countdown_ms <= 0:
            raise ValueError("the dead-man switch is never disarmed: 0 would disarm a successor's too")
        answer = await self._client.call(routes.COUNTDOWN, b"%b&countdownTime=%d" % (self._query, countdown_ms))
        confirmed = answers.decode(answer.body, answers.Countdown).countdownTime
        if confirmed != countdown_ms:
            raise UnknownError(f"countdownCancelAll confirmed {confirmed} ms instead of {countdown_ms}")
        return answer.sent_boot_ns


def order_query(order: PlaceOrder, instrument: Instrument) -> bytes:
    """The parameters of a new order, exact to the tick and lot.

    `newOrderRespType=RESULT` so that an IOC or MARKET order's answer already tells what was filled.
    """
    text = (
        f"symbol={instrument.symbol}&side={order.side.value}&type={order.type.value}"
        f"&quantity={instrument.quantity(order.quantity):f}&newClientOrderId={order.client_order_id}"
    )
    if order.type is OrderType.LIMIT:
        text += f"&price={instrument.price(order.price):f}"
        if order.time_in_force is not None:
            text += f"&timeInForce={order.time_in_force.value}"
    if order.reduce_only:
        text += "&reduceOnly=true"
    return f"{text}&newOrderRespType=RESULT".encode()


def _usable(answer: answers.OrderAnswer, instrument: Instrument) -> OrderState:
    try:
        return answers.order_state(answer, instrument)
    except ValueError as error:  # an unknown side: nothing may be concluded from such an answer
        raise UnknownError("unusable order in an answer") from error


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """The venue's reason why a group of reads failed; anything else is a defect and is raised as it is."""
    flat = [error for error in failures.exceptions if not isinstance(error, ExceptionGroup)]
    defects = [error for error in flat if not isinstance(error, VenueError)]
    return defects[0] if defects else flat[0]
