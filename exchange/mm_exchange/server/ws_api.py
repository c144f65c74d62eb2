"""The WebSocket API at `/ws-fapi/v1`: order entry and queries as `{"id","method","params"}` frames.

Its signature differs from REST's: all other parameters sorted by name, `k=v` joined with `&`. An Ed25519 key can log a
connection on instead, which saves key and signature from then on.
"""

from __future__ import annotations

import dataclasses
import http
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from mm_exchange.api.core import Call, Security
from mm_exchange.api.params import Params
from mm_exchange.api.public import rate_limits
from mm_exchange.api.table import ENDPOINTS
from mm_exchange.errors import VenueError, mandatory
from mm_exchange.server.delays import delayed_messages
from mm_exchange.server.faulty_sockets import FaultyWsApi
from mm_exchange.signing import KeyType, check_signature, check_time, key_type

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Response

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
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
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


_SESSION_METHODS = ("session.logon", "session.status", "session.logout")
_SESSION_WEIGHT = 2
# Each connection costs this much request weight.
_HANDSHAKE_WEIGHT = 5


@dataclasses.dataclass(slots=True)
class Session:
    """One connection: since when it stands, who logged on, and whether replies tell of limits."""

    address: str
    connected_ms: int
    with_limits: bool = True
    api_key: str | None = None
    authorized_ms: int | None = None

    def shown(self, now_ms: int) -> dict[str, Any]:
        """As `session.status` tells it."""
        return {
            "apiKey": self.api_key, "authorizedSince": self.authorized_ms, "connectedSince": self.connected_ms,
            "returnRateLimits": self.with_limits, "serverTime": now_ms,
        }  # fmt: skip


class WsApi:
    """Answers WebSocket API frames."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def handshake(self, connection: ServerConnection) -> Response | None:
        """Count a new connection; the refusal, where the address has used up its weight."""
        try:
            self._exchange.api.requests.charge(_address(connection), _HANDSHAKE_WEIGHT, now_ns=self._exchange.now_ns())
        except VenueError as error:
            response = connection.respond(http.HTTPStatus(error.status), f"{error.msg}\n")
            response.headers["Retry-After"] = str(error.retry_after)
            return response
        return None

    async def serve(self, connection: ServerConnection, line: FaultyLine) -> None:
        """Answer one socket until it closes; `line` is its way out."""
        query = parse_qs(urlsplit(connection.request.path if connection.request is not None else "").query)
        with_limits = query.get("returnRateLimits", ["true"])[0].lower() != "false"
        session = Session(_address(connection), self._exchange.now_ms(), with_limits)
        run = partial(self._run, session)
        faulty = FaultyWsApi(self._exchange, run)
        latency = self._exchange.latency
        async for message in delayed_messages(connection, latency.entry):
            if self._exchange.faults or not line.idle:
                await faulty.answer(message, session.address, line=line)
            elif latency:
                line.pass_on((orjson.dumps(self.answer(message, session)),))
            else:
                await connection.send(orjson.dumps(self.answer(message, session)), text=True)

    def _run(self, session: Session, message: str | bytes, _address: str) -> dict[str, Any]:
        return self.answer(message, session)

    def answer(self, message: str | bytes, session: Session) -> dict[str, Any]:
        """One reply to one frame."""
        frame = _frame(message)
        if frame is None:
            return self._refused(None, VenueError(-1135, "Invalid JSON Request"), session)
        number, raw = frame.get("id"), frame.get("params") or {}
        if not isinstance(raw, dict):
            return self._refused(number, VenueError(-1102, "params must be an object."), session)
        params = Params({str(name): _text(value) for name, value in raw.items()})
        with_limits = session.with_limits and raw.get("returnRateLimits", True) is not False
        try:
            result = self._execute(str(frame.get("method")), params, raw, session=session)
        except VenueError as error:
            return self._refused(number, error, session, with_limits=with_limits)
        self._exchange.flush()
        reply = {"id": number, "status": 200, "result": result}
        return reply | (self._limits(session, params.get("apiKey") or session.api_key) if with_limits else {})

    def _execute(self, method: str, params: Params, raw: dict[str, Any], *, session: Session) -> Any:
        """Run a method; its result, or the venue's refusal."""
        api, now_ns = self._exchange.api, self._exchange.now_ns()
        if method in _SESSION_METHODS:
            api.requests.charge(session.address, _SESSION_WEIGHT, now_ns=now_ns)
            return self._session(method, params, raw, session=session)
        endpoint = ENDPOINTS.get(METHODS.get(method, ("", "")))
        if endpoint is None:
            raise VenueError(-1000, f"Unknown method '{method}'.")
        try:
            weight = endpoint.weight if isinstance(endpoint.weight, int) else endpoint.weight(params)
            api.requests.charge(session.address, weight, now_ns=now_ns)
            return api.run(endpoint, self._admit(endpoint, params, raw, session=session), headers={})
        except VenueError as error:
            if endpoint.enters:
                api_key = params.get("apiKey") or session.api_key
                api.record_refusal(params, error, api_key=api_key, address=session.address, now_ns=now_ns)
            raise

    def _session(self, method: str, params: Params, raw: dict[str, Any], *, session: Session) -> dict[str, Any]:
        """Log on, say who is logged on, log off. Only Ed25519 keys can log on; again means another key."""
        now_ms = self._exchange.now_ms()
        if method == "session.logon":
            trading = self._exchange.api.account_of(params.get("apiKey"))
            if key_type(trading.account.secret) is not KeyType.ED25519:
                raise VenueError(-4056, "Only Ed25519 keys can log on to a session; sign each request instead.")
            self._check(trading.account.secret, params, raw)
            session.api_key, session.authorized_ms = trading.account.api_key, now_ms
        elif method == "session.logout":
            session.api_key = session.authorized_ms = None
        return session.shown(now_ms)

    def _check(self, secret: bytes, params: Params, raw: dict[str, Any]) -> int:
        """The client's time, once time and signature are good."""
        request_ms = self._check_time(params)
        _check_sorted(secret, raw)
        return request_ms

    def _check_time(self, params: Params) -> int:
        now_ms = self._exchange.now_ms() + self._exchange.api.skew_ms
        return check_time(params.get("timestamp"), params.get("recvWindow"), now_ms=now_ms)

    def _admit(self, endpoint: Endpoint, params: Params, raw: dict[str, Any], *, session: Session) -> Call:
        api = self._exchange.api
        call = Call(self._exchange.venue, api, params, self._exchange.now_ns(), session.address)
        if endpoint.security is Security.PUBLIC:
            return call
        trading = api.account_of(params.get("apiKey") or session.api_key)
        if endpoint.security is Security.KEY:
            return dataclasses.replace(call, trading_or_none=trading)
        # After a logon key and signature may be left out; who sends them is checked as before.
        logged_on = session.api_key == trading.account.api_key and params.get("signature") is None
        request_ms = self._check_time(params) if logged_on else self._check(trading.account.secret, params, raw)
        return dataclasses.replace(call, trading_or_none=trading, request_ms=request_ms)

    def _limits(self, session: Session, api_key: str | None) -> dict[str, Any]:
        api, now_ns = self._exchange.api, self._exchange.now_ns()
        short, long = api.orders.counts(api_key or "", now_ns=now_ns)
        counts = (api.requests.used(session.address, now_ns=now_ns), long, short)
        return {"rateLimits": [
            row | {"count": count} for row, count in zip(rate_limits(api.limits), counts, strict=True)
        ]}  # fmt: skip

    def _refused(
        self, number: object, error: VenueError, session: Session, *, with_limits: bool = True
    ) -> dict[str, Any]:
        reply = {"id": number, "status": error.status, "error": {"code": error.code, "msg": error.msg}}
        return reply | (self._limits(session, session.api_key) if with_limits else {})


def _address(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if peer else ""


def _frame(message: str | bytes) -> dict[str, Any] | None:
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) else None


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
