"""The REST port: HTTP in and out of `api.Api`, and the faults that act on requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from mm_exchange.api.core import Reply, Request
from mm_exchange.server.faulty import FaultyRest

if TYPE_CHECKING:
    from mm_exchange.server.exchange import Exchange


class RestServer:
    """Answers REST requests."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._faulty = FaultyRest(exchange, self._answer)

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request."""
        path, _, query = http.raw_path.partition("?")
        # Bytes that are no UTF-8 stay what they are for the signature, and become an error for their parameter.
        body = (await http.read()).decode(errors="surrogateescape") if http.can_read_body else ""
        address = http.remote or ""
        request = Request(http.method, path, query, body, http.headers.get("X-MBX-APIKEY") or None, address)
        if self._exchange.faults or self._faulty.waiting:
            return await self._faulty.answer(http, request)
        return self._respond(self._answer(request))

    def _answer(self, request: Request) -> Reply:
        reply = self._exchange.api.handle(request, self._exchange.now_ns())
        self._exchange.flush()
        return reply

    def _respond(self, reply: Reply) -> web.Response:
        return web.Response(
            status=reply.status, body=reply.body, headers=reply.headers, content_type="application/json"
        )
