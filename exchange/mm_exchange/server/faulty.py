"""Carries out on real REST requests what `strikes` decided: waits, refuses, hangs up, cuts."""

from __future__ import annotations

import asyncio
import http as http_names
import socket
import struct
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mm_exchange.api.core import Reply, refusal
from mm_exchange.api.params import Params
from mm_exchange.errors import VenueError
from mm_exchange.faults import Subject
from mm_exchange.strikes import REST_KINDS, strike_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.api.core import Request
    from mm_exchange.faults import Fault
    from mm_exchange.server.exchange import Exchange
    from mm_exchange.strikes import RequestStrike

_HOLD_S = 60.0
_POLL_S = 0.05
_HTML = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)


class FaultyRest:
    """Requests while faults are planned. `run` executes a request and gives its answer."""

    def __init__(self, exchange: Exchange, run: Callable[[Request], Reply]) -> None:
        self._exchange = exchange
        self._run = run
        self._turns = Turns()

    @property
    def waiting(self) -> bool:
        """Does a request wait to be overtaken? (Its fault may be over by now.)."""
        return self._turns.waiting

    async def answer(self, http: web.BaseRequest, request: Request) -> web.StreamResponse:
        """One request, with whatever strikes it."""
        params = Params.parse(request.query, request.body)
        subject = Subject("rest", params.get("symbol"), request.api_key, request.method, request.path)
        strike = strike_request(
            self._exchange.faults, subject, REST_KINDS, now_ns=self._exchange.now_ns(), may_swap=not self.waiting
        )
        if strike is None:
            return self._passed(_response(self._run(request)))
        if strike.delay_s:
            await asyncio.sleep(strike.delay_s)
        if strike.overtaken_s is not None:
            await self._turns.overtaken(strike.overtaken_s)
        if strike.ending is not None:
            return await self._end(http, request, params=params, fault=strike.ending)
        return self._passed(await self._execute(http, request, strike=strike))

    def _passed(self, response: web.StreamResponse) -> web.StreamResponse:
        self._turns.passed()
        return response

    async def _execute(self, http: web.BaseRequest, request: Request, *, strike: RequestStrike) -> web.StreamResponse:
        api = self._exchange.api
        api.skew_ms = strike.skew_ms
        try:
            reply = self._run(request)
        finally:
            api.skew_ms = 0
        if strike.lost is not None:
            await self._hold(http, None, seconds=hold_seconds(strike.lost))
            return _hang_up(http, reset=False)
        if strike.cut:
            reply = Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers)
        return _response(reply)

    async def _end(
        self, http: web.BaseRequest, request: Request, *, params: Params, fault: Fault
    ) -> web.StreamResponse:
        kind = fault.spec.kind
        if kind in ("http-status", "maintenance"):
            return status_response(fault)
        if kind == "reject":
            error = rejection(fault)
            if (request.method, request.path) == ("POST", "/fapi/v1/order"):
                self._exchange.api.record_refusal(
                    params, error, api_key=request.api_key, address=request.address, now_ns=self._exchange.now_ns()
                )
            return _response(refusal(error, {}))
        if kind == "stall":
            await self._hold(http, fault, seconds=None)
        elif kind == "timeout-before":
            await self._hold(http, None, seconds=hold_seconds(fault))
        return _hang_up(http, reset=kind == "reset")

    async def _hold(self, http: web.BaseRequest, fault: Fault | None, *, seconds: float | None) -> None:
        """Keep the client waiting: for a time, or while the fault lives; no longer than the client does."""
        waited = 0.0
        while http.transport is not None and not http.transport.is_closing():
            if seconds is not None and waited >= seconds:
                return
            if fault is not None and not self._exchange.faults.lives(fault, now_ns=self._exchange.now_ns()):
                return
            await asyncio.sleep(_POLL_S)
            waited += _POLL_S


class Turns:
    """Lets one request be overtaken by the next that is answered."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> bool:
        """Does one wait?"""
        return self._next is not None and not self._next.done()

    async def overtaken(self, seconds: float) -> None:
        """Wait until another request has been answered, or for so long at most."""
        if not self.waiting:
            self._next = asyncio.get_running_loop().create_future()
        turn = self._next
        if turn is not None:
            await asyncio.wait((turn,), timeout=seconds)
            self.passed()

    def passed(self) -> None:
        """A request was answered."""
        if self._next is not None and not self._next.done():
            self._next.set_result(None)


def hold_seconds(fault: Fault) -> float:
    """How long a request without an answer is held."""
    return float(fault.spec.params.get("holdSeconds", _HOLD_S))


def rejection(fault: Fault) -> VenueError:
    """The refusal that a `reject`, `http-status` or `maintenance` fault makes."""
    params = fault.spec.params
    default = {
        "reject": (400, -1000, "An unknown error occurred while processing the request."),
        "maintenance": (503, -1008, "Request throttled by system-level protection. Please try again."),
    }.get(fault.spec.kind) or _status_default(params.get("status", 503))
    status = params.get("status", default[0])
    retry_after = params.get("retryAfter", 60 if status in (418, 429) and fault.spec.kind != "reject" else None)
    return VenueError(
        params.get("code", default[1]), params.get("msg", default[2]), status=status, retry_after=retry_after
    )


def _status_default(status: int) -> tuple[int, int, str]:
    code, msg = {
        418: (-1003, "Way too many requests; IP banned. Please use the websocket for live updates to avoid bans."),
        429: (-1003, "Too many requests. Please use the websocket for live updates to avoid polling the API."),
        503: (-1008, "Request throttled by system-level protection. Please try again."),
    }.get(status, (-1001, "Internal error; unable to process your request. Please try again."))
    return status, code, msg


def status_response(fault: Fault) -> web.Response:
    """An error answer. 403 comes from the web application firewall in front of the venue, in HTML."""
    error = rejection(fault)
    if error.status == 403 or fault.spec.params.get("body") == "html":
        title = f"{error.status} {reason(error.status)}"
        return web.Response(status=error.status, text=_HTML.format(title=title), content_type="text/html")
    return _response(refusal(error, {}))


def reason(status: int) -> str:
    """The words that go with an HTTP status."""
    known = status in http_names.HTTPStatus.__members__.values()
    return http_names.HTTPStatus(status).phrase if known else "Error"


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers, content_type="application/json")


def _hang_up(http: web.BaseRequest, *, reset: bool) -> web.StreamResponse:
    if http.transport is not None:
        cut(http.transport, reset=reset)
    return web.Response(status=500)


def cut(transport: Any, *, reset: bool) -> None:
    """Close a connection without a word; `reset` sends RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if reset and sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
