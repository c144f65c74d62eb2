"""The REST port: HTTP in and out of `api.Api`, and the faults that act on requests."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

from mm_exchange.api.core import Reply, Request, refusal
from mm_exchange.api.params import Params
from mm_exchange.errors import VenueError
from mm_exchange.faults import Subject

if TYPE_CHECKING:
    from mm_exchange.faults import Fault
    from mm_exchange.server.exchange import Exchange

_REQUEST_KINDS = frozenset(
    {"drop", "reset", "stall", "http-status", "timeout-before", "timeout-after", "reject", "delay"}
)
_HOLD_S = 60.0
_POLL_S = 0.05
_HTML_403 = (
    "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)


class RestServer:
    """Answers REST requests."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request."""
        path, _, query = http.raw_path.partition("?")
        # Bytes that are no UTF-8 stay what they are for the signature, and become an error for their parameter.
        body = (await http.read()).decode(errors="surrogateescape") if http.can_read_body else ""
        address = http.remote or ""
        request = Request(http.method, path, query, body, http.headers.get("X-MBX-APIKEY") or None, address)
        if self._exchange.faults:
            return await self._through_faults(http, request)
        return self._respond(self._answer(request))

    def _answer(self, request: Request) -> Reply:
        reply = self._exchange.api.handle(request, self._exchange.now_ns())
        self._exchange.flush()
        return reply

    def _respond(self, reply: Reply) -> web.Response:
        return web.Response(
            status=reply.status, body=reply.body, headers=reply.headers, content_type="application/json"
        )

    async def _through_faults(self, http: web.BaseRequest, request: Request) -> web.StreamResponse:
        params = Params.parse(request.query, request.body)
        subject = Subject("rest", params.get("symbol"), request.api_key, request.method, request.path)
        fault = self._exchange.faults.strike(subject, _REQUEST_KINDS, now_ns=self._exchange.now_ns())
        if fault is None:
            return self._respond(self._answer(request))
        spec = fault.spec
        match spec.kind:
            case "http-status":
                return self._status(fault)
            case "reject":
                error = VenueError(
                    spec.params.get("code", -1000),
                    str(spec.params.get("msg", "An unknown error occurred while processing the request.")),
                    status=spec.params.get("status", 400),
                )
                if (request.method, request.path) == ("POST", "/fapi/v1/order"):
                    self._exchange.api.record_refusal(
                        params, error, api_key=request.api_key, address=request.address,
                        now_ns=self._exchange.now_ns(),
                    )  # fmt: skip
                return self._respond(refusal(error, {}))
            case "delay":
                await asyncio.sleep(spec.params.get("ms", 1000) / 1000)
                return self._respond(self._answer(request))
            case "stall":
                await self._hold(http, fault, seconds=None)
            case "timeout-before" | "timeout-after":
                if spec.kind == "timeout-after":
                    self._answer(request)
                await self._hold(http, None, seconds=float(spec.params.get("holdSeconds", _HOLD_S)))
            case _:
                pass
        return _hang_up(http, reset=spec.kind == "reset")

    def _status(self, fault: Fault) -> web.Response:
        spec = fault.spec
        status = spec.params.get("status", 503)
        if status == 403:
            # The web application firewall in front of the venue answers in HTML.
            return web.Response(status=403, text=_HTML_403, content_type="text/html")
        code, msg = {
            418: (-1003, "Way too many requests; IP banned. Please use the websocket for live updates to avoid bans."),
            429: (-1003, "Too many requests. Please use the websocket for live updates to avoid polling the API."),
            503: (-1008, "Request throttled by system-level protection. Please try again."),
        }.get(status, (-1001, "Internal error; unable to process your request. Please try again."))
        retry_after = spec.params.get("retryAfter", 60 if status in (418, 429) else None)
        error = VenueError(
            spec.params.get("code", code), spec.params.get("msg", msg), status=status, retry_after=retry_after
        )
        return self._respond(refusal(error, {}))

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


def _hang_up(http: web.BaseRequest, *, reset: bool) -> web.StreamResponse:
    """Close the connection without an answer; `reset` sends RST instead of FIN."""
    transport = http.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if reset and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)
