"""The REST port: HTTP in and out of `api.Api`, and the faults that act on requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from mm_exchange.api.core import Reply, Request
from mm_exchange.server.faulty import FaultyRest

if TYPE_CHECKING:
    from mm_exchange.server.exchange import Exchange


# Bytes of a body from which on it is packed for clients that ask for it.
_PACKED_FROM = 2048


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
            response = await self._faulty.answer(http, request)
        else:
            response = self._respond(self._answer(request))
        if isinstance(response, web.Response) and _worth_packing(response):
            # gzip or deflate, whatever the client's Accept-Encoding names; neither for one that names none.
            response.enable_compression()
        return response

    def _answer(self, request: Request) -> Reply:
        reply = self._exchange.api.handle(request, self._exchange.now_ns())
        self._exchange.flush()
        return reply

    def _respond(self, reply: Reply) -> web.Response:
        return web.Response(
            status=reply.status, body=reply.body, headers=reply.headers, content_type="application/json"
        )


def _worth_packing(response: web.Response) -> bool:
    """Small replies, such as those to orders, are sent as they are: packing them would only cost time."""
    return isinstance(response.body, bytes) and len(response.body) >= _PACKED_FROM
