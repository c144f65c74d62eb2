"""Carries out the core's order actions: which lane each takes, and what its outcome means to the core.

A cancel of an order that is still waiting here for its turn takes the order back instead of chasing it. A cancel of an order that has left and was
not acknowledged yet goes on the same connection behind it (invariant 7). Cancels of acknowledged orders are batched, and take the spare lane while
the order lane waits for an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import (
    LOCAL_REFUSAL,
    CancelAccepted,
    CancelOrder,
    CancelRefused,
    CancelUnknown,
    Event,
    OrderAccepted,
    OrderFound,
    OrderMissing,
    OrderRefused,
    OrderUnknown,
    PlaceOrder,
    QueryFailed,
    QueryOrder,
)
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.answers import OrderAnswer, lots_of, status_of
from mm_runner.venue.api import BATCH, UsdmApi
from mm_runner.venue.errors import NotSentError, RefusedError, UnknownError, VenueError, judge_item
from mm_runner.venue.http import Lane
from mm_runner.venue.rest import RestClient


class OrderDesk:
    """Order requests of one symbol.

    Args:
        spawn: starts a task in the gateway's group; None where it is not running.
        deliver: gets each outcome.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        api: UsdmApi,
        client: RestClient,
        *,
        instrument: Callable[[], Instrument],
        spawn: Callable[..., asyncio.Task[None]],
        deliver: Callable[[Event], None],
        telemetry: Telemetry,
        boot_ns: Callable[[], int],
    ) -> None:
        self._api = api
        self._client = client
        self._instrument = instrument
        self._spawn = spawn
        self._deliver = deliver
        self._telemetry = telemetry
        self._boot_ns = boot_ns
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._unacknowledged: set[str] = set()
        metrics = telemetry.metrics
        self._placed = metrics.cell("runner_orders_placed_total")
        self._cancelled = metrics.cell("runner_orders_cancelled_total")
        self._unknown = metrics.cell("runner_orders_unknown_total")
        self._latency = metrics.histogram("runner_order_latency_seconds")

    # -- new orders ----------------------------------------------------------------------------------------------------

    def place(self, order: PlaceOrder) -> None:
        """Queue a new order behind those before it."""
        cid = order.client_order_id
        self._waiting[cid] = self._spawn(self._place(order), name=f"place {cid}")

    async def _place(self, order: PlaceOrder) -> None:
        cid = order.client_order_id
        sent_at = 0

        def sent() -> None:
            nonlocal sent_at
            sent_at = self._boot_ns()
            self._waiting.pop(cid, None)
            self._unacknowledged.add(cid)
            self._placed.value += 1

        try:
            answer = await self._api.place(order, self._instrument(), on_sent=sent)
        except VenueError as error:
            outcome = self._failed_place(cid, error)
        else:
            self._latency.observe((self._boot_ns() - sent_at) / 1e9)
            outcome = self._accepted(cid, answer)
        finally:
            self._waiting.pop(cid, None)
            self._unacknowledged.discard(cid)
        self._deliver(outcome)

    def _accepted(self, cid: str, answer: OrderAnswer) -> Event:
        if answer.clientOrderId != cid or not answer.orderId:
            self._unknown.value += 1
            return OrderUnknown(client_order_id=cid, error="the answer names another order")
        return OrderAccepted(
            client_order_id=cid,
            order_id=answer.orderId,
            status=status_of(answer.status),
            executed=lots_of(self._instrument(), answer.executedQty),
            average_price=answer.avgPrice,
            update_ms=answer.updateTime,
        )

    def _failed_place(self, cid: str, error: VenueError) -> Event:
        match error:
            case UnknownError():
                self._unknown.value += 1
                return OrderUnknown(client_order_id=cid, error=str(error))
            case RefusedError():
                self._telemetry.metrics.cell("runner_order_rejects_total", code=str(error.code)).value += 1
                return OrderRefused(client_order_id=cid, code=error.code, message=str(error))
            case _:
                return OrderRefused(client_order_id=cid, code=LOCAL_REFUSAL, message=str(error))

    # -- cancels -------------------------------------------------------------------------------------------------------

    def cancel(self, cancels: Sequence[CancelOrder]) -> None:
        """Cancel these; those that may share a request do."""
        single, together = [], []
        for cancel in cancels:
            if cancel.client_order_id in self._waiting:
                self._take_back(cancel)
            elif cancel.client_order_id in self._unacknowledged:
                single.append(cancel)
            else:
                together.append(cancel)
        for cancel in single:
            # Invariant 7: behind its own order, on the same connection.
            self._spawn(self._cancel(cancel, self._client.order_lane), name=f"cancel {cancel.client_order_id}")
        lane = self._client.spare_lane if self._client.order_lane.busy or single else self._client.order_lane
        for start in range(0, len(together), BATCH):
            batch = together[start : start + BATCH]
            if len(batch) == 1:
                self._spawn(self._cancel(batch[0], lane), name=f"cancel {batch[0].client_order_id}")
            else:
                self._spawn(self._cancel_batch(batch, lane), name=f"cancel {len(batch)} orders")

    def _take_back(self, cancel: CancelOrder) -> None:
        """The order has not left: it never will."""
        cid = cancel.client_order_id
        self._waiting.pop(cid).cancel()
        loop = asyncio.get_running_loop()  # not from within the core's own call
        loop.call_soon(self._deliver, OrderRefused(client_order_id=cid, code=LOCAL_REFUSAL, message="taken back"))
        loop.call_soon(self._deliver, CancelRefused(client_order_id=cid, code=LOCAL_REFUSAL, message="never sent"))

    async def _cancel(self, cancel: CancelOrder, lane: Lane) -> None:
        cid = cancel.client_order_id
        self._cancelled.value += 1
        try:
            answer = await self._api.cancel(cid, order_id=cancel.order_id, lane=lane)
        except VenueError as error:
            self._deliver(_failed_cancel(cid, error))
        else:
            self._deliver(self._cancel_answer(cid, answer))

    async def _cancel_batch(self, cancels: Sequence[CancelOrder], lane: Lane) -> None:
        self._cancelled.value += len(cancels)
        ids = [cancel.client_order_id for cancel in cancels]
        try:
            items = await self._api.cancel_batch(ids, lane=lane)
        except VenueError as error:
            for cid in ids:
                self._deliver(_failed_cancel(cid, error))
            return
        for cid, item in zip(ids, items, strict=True):
            self._deliver(self._cancel_answer(cid, item))

    def _cancel_answer(self, cid: str, answer: OrderAnswer) -> Event:
        if answer.code and not answer.orderId:
            return _failed_cancel(cid, judge_item(answer.code, answer.msg))
        if answer.clientOrderId and answer.clientOrderId != cid:
            return CancelUnknown(client_order_id=cid, error="the answer names another order")
        return CancelAccepted(
            client_order_id=cid,
            order_id=answer.orderId,
            status=status_of(answer.status),
            executed=lots_of(self._instrument(), answer.executedQty),
        )

    # -- proofs --------------------------------------------------------------------------------------------------------

    def query(self, action: QueryOrder) -> None:
        """Ask for one order."""
        self._spawn(self._query(action.client_order_id), name=f"query {action.client_order_id}")

    async def _query(self, cid: str) -> None:
        asked = self._boot_ns()
        try:
            found = await self._api.query(cid, self._instrument())
        except RefusedError as error:
            if error.code == -2013:
                self._deliver(OrderMissing(client_order_id=cid, query_sent_boot_ns=asked))
            else:
                self._deliver(QueryFailed(client_order_id=cid, error=str(error)))
        except VenueError as error:
            self._deliver(QueryFailed(client_order_id=cid, error=str(error)))
        else:
            self._deliver(OrderFound(order=found))


def _failed_cancel(cid: str, error: VenueError) -> Event:
    match error:
        case UnknownError():
            return CancelUnknown(client_order_id=cid, error=str(error))
        case NotSentError():
            return CancelRefused(client_order_id=cid, code=LOCAL_REFUSAL, message=str(error))
        case _:
            return CancelRefused(client_order_id=cid, code=error.code, message=str(error))
