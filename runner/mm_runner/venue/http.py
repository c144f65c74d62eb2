"""One keep-alive HTTP connection (a lane), or a few, with an exact answer to "did the bytes leave?".

`LaneRequest` signs and checks deadlines when a connection is in hand and nothing has been written yet: what raises before that point was certainly
not sent, what fails after it is unknown. That boundary is what tells a refused order from one that must be proven.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from mm_runner.venue.errors import NotSentError, UnknownError

TCP_USER_TIMEOUT_MS: Final = 2000
"""Unacknowledged bytes older than this kill the connection, so that a stuck order cannot land later (design, invariant 4)."""
_KEEPALIVE_SECONDS: Final = 55.0
_CONNECT_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_boot_ns: int


class Departure:
    """The moment before the bytes leave: makes the final path and query, or refuses by raising `NotSentError`."""

    __slots__ = ("_finish", "_now", "sent_boot_ns")

    def __init__(self, finish: Callable[[int], bytes], now: Callable[[], int]) -> None:
        """`finish` gets the boot clock and returns path and query, encoded; it may raise `NotSentError`."""
        self._finish = finish
        self._now = now
        self.sent_boot_ns = 0

    @property
    def sent(self) -> bool:
        """Whether bytes may have left."""
        return self.sent_boot_ns != 0

    def depart(self) -> str:
        """Called once a connection is in hand."""
        now = self._now()
        target = self._finish(now).decode("ascii")
        self.sent_boot_ns = now
        return target


_departure: ContextVar[Departure | None] = ContextVar("departure", default=None)


class LaneRequest(ClientRequest):
    """An aiohttp request whose path, query and signature are made at the last moment."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Let the departure decide, then write."""
        departure = _departure.get()
        if departure is not None:
            self.url = self.url.origin().join(URL(departure.depart(), encoded=True))
        return await super().send(conn)


class Lane:
    """Connections to one host. With `connections=1` requests leave in the order in which they were made.

    Args:
        base: scheme and host, no trailing slash.
        api_key: sent as X-MBX-APIKEY; read at each request, so that a rotated key needs no reconnect.
    """

    def __init__(self, base: str, *, connections: int, api_key: Callable[[], str]) -> None:
        self._base = URL(base)
        self._connections = connections
        self._api_key = api_key
        self._turn = asyncio.Semaphore(connections)
        self._waiting = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            ttl_dns_cache=300,
            socket_factory=tcp_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            request_class=LaneRequest,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Content-Type"),
            headers={"Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def busy(self) -> bool:
        """Whether the next request would have to wait for another."""
        return self._turn.locked()

    async def request(self, method: str, departure: Departure, *, timeout_seconds: float) -> Answer:
        """Send one request when it is its turn.

        Raises:
            NotSentError: nothing left (departure refused, no connection, or the wait for the turn used the time up).
            UnknownError: the bytes may have left and no answer came.
        """
        # A task of its own context: aiohttp hands the request to LaneRequest.send within this task.
        token = _departure.set(departure)
        try:
            async with asyncio.timeout(timeout_seconds):
                async with self._turn:
                    return await self._exchange(method, departure)
        except TimeoutError as error:
            missing = "answer" if departure.sent else "turn or connection"
            raise _failure(departure, f"no {missing} within {timeout_seconds:.1f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(
                departure, transport_text(error)
            ) from None  # aiohttp's text may hold the signed URL (invariant 8)
        finally:
            _departure.reset(token)

    async def _exchange(self, method: str, departure: Departure) -> Answer:
        if self._session is None:
            raise NotSentError("the connection is closed: the engine is going down")
        async with self._session.request(
            method,
            self._base,
            headers={"X-MBX-APIKEY": self._api_key()},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS),
        ) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body, departure.sent_boot_ns)


def _failure(departure: Departure, text: str) -> NotSentError | UnknownError:
    return UnknownError(text) if departure.sent else NotSentError(f"not sent: {text}")


def transport_text(error: BaseException) -> str:
    """A failure's name and system error, never its message: URLs in it hold signatures and listenKeys (invariant 8)."""
    cause = error if isinstance(error, OSError) else error.__cause__
    system = f" ({cause.strerror})" if isinstance(cause, OSError) and cause.strerror else ""
    return f"{type(error).__name__}{system}"


def tcp_socket(address: tuple[object, ...]) -> socket.socket:
    """A TCP socket with no delay and a bound on unacknowledged bytes.

    Args:
        address: family, type, protocol, canonical name and address, as `getaddrinfo` gives them.
    """
    family, kind, protocol = address[0], address[1], address[2]
    made = socket.socket(family=family, type=kind, proto=protocol)  # type: ignore[arg-type]
    bound_unacknowledged(made)
    source = source_address()
    if source is not None:
        made.bind(source)
    return made


def source_address() -> tuple[str, int] | None:
    """The local address that every connection to the venue leaves from: MM_SOURCE_ADDRESS, else the system's choice.

    A host with several egress addresses has a request budget for each; many engines on loopback stay as far apart as on many hosts.
    """
    address = os.environ.get("MM_SOURCE_ADDRESS")
    return (address, 0) if address else None


def bound_unacknowledged(tcp: socket.socket) -> None:
    """Set TCP_NODELAY and TCP_USER_TIMEOUT (Linux) on a socket."""
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
