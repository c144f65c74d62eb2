"""Requests, replies and the dispatch between them: limits, authentication, then the endpoint.

Sans-I/O: `Api.handle` gets the raw request and the time. Used by the REST server, by the WebSocket API (which
brings its own signature rule) and by backtests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson

from mm_exchange.amended import Amendments
from mm_exchange.api.params import Params
from mm_exchange.errors import VenueError
from mm_exchange.limits import LimitValues, OrderLimits, RequestLimits
from mm_exchange.signing import check_signature, check_time, signed_payload
from mm_exchange.statistics import Statistics

if TYPE_CHECKING:
    from random import Random

    from mm_exchange.accounts import Account
    from mm_exchange.venue import Trading, Venue


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `query` and `body` are raw: the signature covers them byte for byte."""

    method: str
    path: str
    query: str
    body: str
    api_key: str | None
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """HTTP status, JSON body, and the venue's headers."""

    status: int
    body: bytes
    headers: dict[str, str]


class Security(Enum):
    """What a call must carry."""

    PUBLIC = 0
    KEY = 1
    SIGNED = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call on its way through an endpoint: who, what, when."""

    venue: Venue
    api: Api
    params: Params
    now_ns: int
    address: str
    request_ms: int | None = None
    trading_or_none: Trading | None = None

    @property
    def now_ms(self) -> int:
        """Server time in milliseconds."""
        return self.now_ns // 1_000_000

    @property
    def trading(self) -> Trading:
        """The caller's account; only endpoints behind a key ask for it."""
        if self.trading_or_none is None:
            raise VenueError(-2014, "API-key format invalid.", status=401)
        return self.trading_or_none

    @property
    def account(self) -> Account:
        """The caller's wallet and positions."""
        return self.trading.account


Handler = Callable[[Call], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """One path and method: its handler, its price, who may call it.

    `weight` is request weight, or a function of the parameters; `orders` is what it counts as in the order limits
    (per ten seconds, per minute). `enters` marks what enters new orders: their refusals go to the ledger.
    """

    handler: Handler
    security: Security = Security.PUBLIC
    weight: int | Callable[[Params], int] = 1
    orders: tuple[int, int] = (0, 0)
    enters: bool = False


class Api:
    """All endpoints over one venue.

    Args:
        venue: what the calls act on.
        limits: the venue's published limits, or smaller ones for tests.
        rng: makes listenKeys.
        statistics: derived figures of the public market; somebody else feeds them.
    """

    def __init__(self, venue: Venue, *, limits: LimitValues, rng: Random, statistics: Statistics | None = None) -> None:
        # Endpoint modules need the types above; the table is put together here, once.
        from mm_exchange.api.table import ENDPOINTS  # noqa: PLC0415

        self.venue = venue
        self.limits = limits
        self.rng = rng
        # How far the clock that clients see is off (a `clock-skew` fault); the venue's own time never is.
        self.skew_ms = 0
        self.requests = RequestLimits(limits)
        self.orders = OrderLimits(limits)
        self.amendments = Amendments()
        self.statistics = statistics or Statistics(venue)
        self._endpoints = ENDPOINTS

    def handle(self, request: Request, now_ns: int) -> Reply:
        """Answer one REST request."""
        reply = self._answer(request, now_ns)
        reply.headers["X-MBX-USED-WEIGHT-1M"] = str(self.requests.used(request.address, now_ns=now_ns))
        return reply

    def _answer(self, request: Request, now_ns: int) -> Reply:
        headers: dict[str, str] = {}
        endpoint = self._endpoints.get((request.method, request.path))
        params = Params.parse(request.query, request.body)
        if endpoint is None:
            error = VenueError(-5000, f"Path {request.path}, Method {request.method} is invalid", status=404)
            return refusal(error, headers)
        try:
            weight = endpoint.weight if isinstance(endpoint.weight, int) else endpoint.weight(params)
            self.requests.charge(request.address, weight, now_ns=now_ns)
            call = self._admit(endpoint, request, params=params, now_ns=now_ns)
            result = self.run(endpoint, call, headers=headers)
        except VenueError as error:
            if endpoint.enters:
                self.record_refusal(params, error, api_key=request.api_key, address=request.address, now_ns=now_ns)
            return refusal(error, headers)
        return Reply(200, orjson.dumps(result), headers)

    def run(self, endpoint: Endpoint, call: Call, *, headers: dict[str, str]) -> Any:
        """Count the orders of an admitted call and run its handler."""
        if endpoint.orders != (0, 0):
            api_key = call.account.api_key
            try:
                self.orders.charge(
                    api_key, per_10s=endpoint.orders[0], per_minute=endpoint.orders[1], now_ns=call.now_ns
                )
            finally:
                short, long = self.orders.counts(api_key, now_ns=call.now_ns)
                headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1M"] = str(short), str(long)
        return endpoint.handler(call)

    def _admit(self, endpoint: Endpoint, request: Request, *, params: Params, now_ns: int) -> Call:
        call = Call(self.venue, self, params, now_ns, request.address)
        if endpoint.security is Security.PUBLIC:
            return call
        trading = self.account_of(request.api_key)
        if endpoint.security is Security.KEY:
            return dataclasses.replace(call, trading_or_none=trading)
        request_ms = check_time(
            params.get("timestamp"), params.get("recvWindow"), now_ms=now_ns // 1_000_000 + self.skew_ms
        )
        payload, signature = signed_payload(request.query, request.body)
        check_signature(trading.account.secret, payload, signature=signature)
        return dataclasses.replace(call, trading_or_none=trading, request_ms=request_ms)

    def account_of(self, api_key: str | None) -> Trading:
        """The account of a key; -2014 without one, -2015 for one nobody knows."""
        if not api_key:
            raise VenueError(-2014, "API-key format invalid.", status=401)
        trading = self.venue.trading.get(api_key)
        if trading is None:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
        return trading

    def record_refusal(
        self, params: Params, error: VenueError, *, api_key: str | None, address: str, now_ns: int
    ) -> None:
        """A refused new order is always in the ledger, as the client sent it; a refused batch as each of its orders."""
        if params.get("batchOrders") is not None:
            for item in _batch(params):
                self.record_refusal(item, error, api_key=api_key, address=address, now_ns=now_ns)
            return
        timestamp = params.get("timestamp") or ""
        self.venue.ledger.add(
            "reject", now_ns, symbol=params.get("symbol"), api_key=api_key, code=error.code, msg=error.msg,
            client_order_id=params.get("newClientOrderId"), side=params.get("side"), type=params.get("type"),
            time_in_force=params.get("timeInForce"), price=params.get("price"), quantity=params.get("quantity"),
            reduce_only=(params.get("reduceOnly") or "").lower() == "true", status="REJECTED", address=address,
            request_time=int(timestamp) if timestamp.isdecimal() and len(timestamp) < 16 else None,
        )  # fmt: skip


def _batch(params: Params) -> list[Params]:
    try:
        return params.items("batchOrders", longest=100)
    except VenueError:
        # Not even readable: recorded as one refusal without an order's fields.
        return [Params({})]


def refusal(error: VenueError, headers: dict[str, str]) -> Reply:
    """The venue's error body with its status and headers."""
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Reply(error.status, orjson.dumps({"code": error.code, "msg": error.msg}), headers)
