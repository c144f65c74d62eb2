"""Port 8080: `/healthz`, `/readyz`, and the read-only status stream `/v1/status` behind a bearer token.

The stream's WebSocket library answers the two probes too, so that a runner has one listener for people and machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from mm_contract.names import HEALTH_PATH, READY_PATH, STATUS_PATH
from mm_contract.status_token import token_matches
from mm_runner.control.status_feed import StatusFeed

_SEND_SECONDS: Final = 10.0
_MAX_TOKEN_BYTES: Final = 4096
_MAX_CONSUMERS: Final = 32


@dataclass(frozen=True, slots=True)
class Health:
    """The answers to the two probes; a reason is a sentence for a person, empty when all is well."""

    unhealthy: str = ""
    unready: str = ""


class TokenFolder:
    """The bearer tokens: every file of a folder holds one, so that two keys are accepted while rotating.

    Read at each connection: a rotated token needs no restart. Names that begin with a dot are the kubelet's.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def accepts(self, authorization: str | None) -> bool:
        """Whether the header carries one of the tokens; every token is compared, in constant time each."""
        matches = [token_matches(token, authorization) for token in self._tokens()]
        return any(matches)

    def _tokens(self) -> list[str]:
        tokens = []
        for place in sorted(self._directory.glob("*")) + sorted(self._directory.glob("*/*")):
            if any(part.startswith(".") for part in place.relative_to(self._directory).parts) or not place.is_file():
                continue
            with contextlib.suppress(OSError, UnicodeDecodeError):
                token = place.read_text(encoding="ascii")[:_MAX_TOKEN_BYTES].strip()
                if token:
                    tokens.append(token)
        return tokens


class StatusServer:
    """Serves probes and stream.

    Args:
        feed: the messages.
        health: asked at each probe.
        tokens: None serves the stream without a token, for loopback only; `start` refuses anything else.
    """

    def __init__(self, feed: StatusFeed, *, health: Callable[[], Health], tokens: TokenFolder | None) -> None:
        self._feed = feed
        self.health = health
        """May be replaced while serving."""
        self.port = 0
        """Where it listens, once started."""
        self._tokens = tokens
        self._server: Server | None = None
        self._consumers = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chose where 0 was asked for.

        Raises:
            OSError: the address is in use or not ours.
            ValueError: no token, and an address that others can reach.
        """
        if self._tokens is None and host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(
                f"the status stream has no token, so it may only listen on loopback, not on {host}; set MM_STATUS_TOKEN_DIR"
            )
        self._server = await serve(
            self._stream,
            host,
            port,
            process_request=self._answer,
            compression=None,
            max_size=4096,
            open_timeout=5,
            ping_interval=10,
            ping_timeout=10,
            close_timeout=1,
            server_header=None,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Close the listener and every stream."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == HEALTH_PATH:
            return _probe(connection, self.health().unhealthy)
        if path == READY_PATH:
            return _probe(connection, self.health().unready)
        if path != STATUS_PATH:
            return connection.respond(
                http.HTTPStatus.NOT_FOUND, f"no such path; there are {HEALTH_PATH}, {READY_PATH} and {STATUS_PATH}\n"
            )
        if self._tokens is not None and not self._tokens.accepts(request.headers.get("Authorization")):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "a bearer token is needed\n")
        if self._consumers >= _MAX_CONSUMERS:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "too many readers\n")
        return None

    async def _stream(self, connection: ServerConnection) -> None:
        consumer = self._feed.join()
        self._consumers += 1
        sender = asyncio.create_task(self._send_all(connection, consumer.next_message))
        try:
            async for _ in connection:
                pass  # the stream is read-only; what a reader says is passed over
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            self._consumers -= 1
            self._feed.leave(consumer)
            with contextlib.suppress(asyncio.CancelledError):
                await sender

    async def _send_all(self, connection: ServerConnection, next_message: Callable[[], Awaitable[bytes]]) -> None:
        try:
            while True:
                frame = await next_message()
                async with asyncio.timeout(_SEND_SECONDS):
                    await connection.send(frame.decode())
        except ConnectionClosed:
            return
        except TimeoutError:
            await connection.close(code=1013, reason="too slow")


def _probe(connection: ServerConnection, reason: str) -> Response:
    if reason:
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
    return connection.respond(http.HTTPStatus.OK, "ok\n")
