"""The WebSocket API at `/ws-fapi/v1`: order entry and queries as `{"id","method","params"}` frames.

Its signature differs from REST's: all other parameters sorted by name, `k=v` joined with `&`. Session logon is not
here yet.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from mm_exchange.api.core import Call, Security
from mm_exchange.api.params import Params
from mm_exchange.api.public import rate_limits
from mm_exchange.api.table import ENDPOINTS
from mm_exchange.errors import VenueError, mandatory
from mm_exchange.server.faulty_sockets import FaultyWsApi
from mm_exchange.signing import check_signature, check_time

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from mm_exchange.api.core import Endpoint
    from mm_exchange.server.exchange import Exchange
    from mm_exchange.server.faulty_sockets import FaultyLine

# Methods, and the REST endpoint that does the same.
METHODS: dict[str, tuple[str, str]] = {
    "ping": ("GET", "/fapi/v1/ping"),
    "time": ("GET", "/fapi/v1/time"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
    "ticker.price": ("GET", "/fapi/v2/ticker/price"),
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
}


class WsApi:
    """Answers WebSocket API frames."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._faulty = FaultyWsApi(exchange, self.answer)

    async def serve(self, connection: ServerConnection, line: FaultyLine) -> None:
        """Answer one socket until it closes; `line` is its way out."""
        peer = connection.remote_address
        address = str(peer[0]) if peer else ""
        async for message in connection:
            if self._exchange.faults or not line.idle:
                await self._faulty.answer(message, address, line=line)
            else:
                await connection.send(orjson.dumps(self.answer(message, address)), text=True)

    def answer(self, message: str | bytes, address: str) -> dict[str, Any]:
        """One reply to one frame."""
        frame = _frame(message)
        number, method = frame.get("id"), str(frame.get("method"))
        raw = frame.get("params") or {}
        if not isinstance(raw, dict):
            return self._refused(number, VenueError(-1102, "params must be an object."))
        with_limits = raw.pop("returnRateLimits", True) is not False
        params = Params({str(name): _text(value) for name, value in raw.items()})
        api, now_ns = self._exchange.api, self._exchange.now_ns()
        endpoint = ENDPOINTS.get(METHODS.get(method, ("", "")))
        if endpoint is None:
            return self._refused(number, VenueError(-1000, f"Unknown method '{method}'."), with_limits=with_limits)
        try:
            weight = endpoint.weight if isinstance(endpoint.weight, int) else endpoint.weight(params)
            api.requests.charge(address, weight, now_ns=now_ns)
            call = self._admit(endpoint, params, raw, address=address, now_ns=now_ns)
            result = api.run(endpoint, call, headers={})
        except VenueError as error:
            if endpoint.enters:
                api.record_refusal(params, error, api_key=params.get("apiKey"), address=address, now_ns=now_ns)
            return self._refused(number, error, address=address, with_limits=with_limits)
        self._exchange.flush()
        reply = {"id": number, "status": 200, "result": result}
        return reply | ({"rateLimits": self._limits(address, params.get("apiKey"))} if with_limits else {})

    def _admit(self, endpoint: Endpoint, params: Params, raw: dict[str, Any], *, address: str, now_ns: int) -> Call:
        api = self._exchange.api
        call = Call(self._exchange.venue, api, params, now_ns, address)
        if endpoint.security is Security.PUBLIC:
            return call
        trading = api.account_of(params.get("apiKey"))
        if endpoint.security is Security.KEY:
            return dataclasses.replace(call, trading_or_none=trading)
        request_ms = check_time(
            params.get("timestamp"), params.get("recvWindow"), now_ms=now_ns // 1_000_000 + api.skew_ms
        )
        _check_sorted(trading.account.secret, raw)
        return dataclasses.replace(call, trading_or_none=trading, request_ms=request_ms)

    def _limits(self, address: str, api_key: str | None) -> list[dict[str, Any]]:
        api, now_ns = self._exchange.api, self._exchange.now_ns()
        short, long = api.orders.counts(api_key or "", now_ns=now_ns)
        counts = (api.requests.used(address, now_ns=now_ns), long, short)
        return [row | {"count": count} for row, count in zip(rate_limits(api.limits), counts, strict=True)]

    def _refused(
        self, number: object, error: VenueError, *, address: str = "", with_limits: bool = True
    ) -> dict[str, Any]:
        reply = {"id": number, "status": error.status, "error": {"code": error.code, "msg": error.msg}}
        return reply | ({"rateLimits": self._limits(address, None)} if with_limits else {})


def _frame(message: str | bytes) -> dict[str, Any]:
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return frame if isinstance(frame, dict) else {}


def _text(value: object) -> str:
    """A parameter as its JSON text, which is also what is signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _check_sorted(secret: bytes, raw: dict[str, Any]) -> None:
    """The signature over all other parameters, sorted; clients join them as they are or url-encoded."""
    signature = raw.get("signature")
    if not isinstance(signature, str) or not signature:
        raise mandatory("signature")
    pairs = sorted((str(name), _text(value)) for name, value in raw.items() if name != "signature")
    plain = "&".join(f"{name}={value}" for name, value in pairs)
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    try:
        check_signature(secret, plain, signature=signature)
    except VenueError:
        check_signature(secret, encoded, signature=signature)
