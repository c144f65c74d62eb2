"""The WebSocket port: market streams, user streams and the WebSocket API, at the routed paths and the old ones."""

from __future__ import annotations

import contextlib
import http
import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

from mm_exchange.faults import Subject
from mm_exchange.server.delays import delayed_write
from mm_exchange.server.faulty import cut
from mm_exchange.server.faulty_sockets import FaultyLine, refused_handshake
from mm_exchange.server.keepalive import Keeper, SocketRules, WatchedConnection
from mm_exchange.server.stream_socket import LISTEN_KEY_LENGTH, StreamSocket, parse_address
from mm_exchange.server.ws_api import WsApi

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

    from mm_exchange.server.exchange import Exchange
    from mm_exchange.server.stream_socket import Address
    from mm_exchange.user_events import UserEvent

_MAX_MESSAGE = 64 * 1024
# A whole fleet may come at once; a refused handshake costs it a second.
_BACKLOG = 1024
_CUT_KINDS = frozenset({"drop", "reset"})
_DEAD_KINDS = frozenset({"dead-url"})
_PRESENT_KINDS = _CUT_KINDS | _DEAD_KINDS | {"maintenance"}
_WS_API_PATH = "/ws-fapi/v1"
_API = Subject("ws-api", path=_WS_API_PATH)


class SocketServer:
    """All sockets of the WebSocket port."""

    def __init__(self, exchange: Exchange, rules: SocketRules | None = None) -> None:
        self._keeper = Keeper(rules or SocketRules())
        self._exchange = exchange
        self._numbers = itertools.count(1)
        self._sockets: dict[int, StreamSocket] = {}
        # Who listens to which listenKey: with hundreds of accounts an event must not ask every socket.
        self._listening: dict[str, dict[int, StreamSocket]] = {}
        self._api_sockets: dict[int, tuple[ServerConnection, FaultyLine, int]] = {}
        self._ws_api = WsApi(exchange)

    async def start(self, host: str, port: int) -> Server:
        """Listen."""
        return await serve(
            self._serve, host, port, compression=None, ping_interval=None, max_size=_MAX_MESSAGE, close_timeout=1,
            process_request=self._admit, server_header=None, create_connection=WatchedConnection, backlog=_BACKLOG,
        )  # fmt: skip

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse unknown paths, and handshakes that a fault forbids."""
        address = parse_address(request.path)
        is_api = urlsplit(request.path).path.rstrip("/") == _WS_API_PATH
        if address is None and not is_api:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no such stream path\n")
        if is_api:
            refused = self._ws_api.handshake(connection)
            if refused is not None:
                return refused
        if not self._exchange.faults:
            return None
        subject = (
            _API
            if is_api or address is None
            else StreamSocket(self._exchange, connection, address=address, number=0).subject()
        )
        return refused_handshake(self._exchange, connection, subject)

    async def _serve(self, connection: ServerConnection) -> None:
        target = connection.request.path if connection.request is not None else ""
        address = parse_address(target)
        number = next(self._numbers)
        assert isinstance(connection, WatchedConnection)  # noqa: S101 - `start` says so
        self._keeper.add(connection, limited=address is not None)
        try:
            with contextlib.suppress(ConnectionClosed):
                if address is None:
                    await self._serve_api(connection, number)
                else:
                    await self._serve_streams(connection, address, number=number)
        finally:
            self._keeper.remove(connection)

    async def _serve_streams(self, connection: ServerConnection, address: Address, *, number: int) -> None:
        client = StreamSocket(
            self._exchange, connection, address=address, number=number, most_streams=self._keeper.rules.streams
        )
        self._sockets[number] = client
        heard: set[str] = set()
        try:
            client.open()
            heard = self._listen(client, heard)
            self._strike_new(client.subject(), connection, line=client.line)
            async for message in connection:
                client.on_message(message)
                heard = self._listen(client, heard)
        finally:
            client.keys.clear()
            self._listen(client, heard)
            client.close()
            del self._sockets[number]

    def _listen(self, client: StreamSocket, heard: set[str]) -> set[str]:
        """Bring the index of listenKeys up to date with what a socket hears; `heard` is what it did before."""
        hears = set(client.keys)
        for key in hears - heard:
            self._listening.setdefault(key, {})[client.number] = client
        for key in heard - hears:
            del self._listening[key][client.number]
            if not self._listening[key]:
                del self._listening[key]
        return hears

    async def _serve_api(self, connection: ServerConnection, number: int) -> None:
        write = delayed_write(
            lambda payload: broadcast((connection,), payload, text=True), self._exchange.latency.answer
        )
        line = FaultyLine(self._exchange, write)
        self._api_sockets[number] = (connection, line, self._exchange.now_ms())
        try:
            self._strike_new(_API, connection, line=line)
            await self._ws_api.serve(connection, line)
        finally:
            line.close()
            del self._api_sockets[number]

    def _strike_new(self, subject: Subject, connection: ServerConnection, *, line: FaultyLine) -> None:
        """A `drop` with a duration also cuts sockets that come while it lasts; on a dead URL they stay silent."""
        faults, now_ns = self._exchange.faults, self._exchange.now_ns()
        if not faults:
            return
        if faults.strike(subject, _CUT_KINDS, now_ns=now_ns) is not None:
            connection.transport.abort()
        line.dead = faults.strike(subject, _DEAD_KINDS, now_ns=now_ns) is not None

    def strike(self) -> None:
        """Let time and faults that have become active strike the present sockets. Called by the clock."""
        self._keeper.sweep()
        faults, now_ns = self._exchange.faults, self._exchange.now_ns()
        if not faults:
            return
        for fault in faults.on_present(_PRESENT_KINDS, now_ns=now_ns):
            sockets = [(client.connection, client.line, client.subject()) for client in self._sockets.values()]
            sockets += [(connection, line, _API) for connection, line, _ in self._api_sockets.values()]
            for index in faults.hit_present(fault, [subject for _, _, subject in sockets], now_ns=now_ns):
                connection, line, _ = sockets[index]
                if fault.spec.kind in _DEAD_KINDS:
                    line.dead = True
                else:
                    cut(connection.transport, reset=fault.spec.kind == "reset")
        for fault in faults.on_present(frozenset({"listen-key-expired"}), now_ns=now_ns):
            keys = self._exchange.venue.listen_keys.live()
            subjects = [Subject("user-stream", None, key.api_key) for key in keys]
            for index in faults.hit_present(fault, subjects, now_ns=now_ns):
                self._exchange.venue.expire_listen_key(keys[index].api_key, now_ns=now_ns)
            self._exchange.flush()

    def deliver_user(self, event: UserEvent) -> None:
        """A user event to every socket of its account."""
        # The key is already dead when its own expiry is told.
        told = event.name == "listenKeyExpired"
        key = event.payload["listenKey"] if told else self._exchange.venue.listen_keys.key_of(event.api_key)
        listening = self._listening.get(key) if key is not None else None
        if listening:
            payload = orjson.dumps(event.payload)
            for client in tuple(listening.values()):
                client.deliver_user(event, payload)

    def shown(self) -> list[dict[str, Any]]:
        """As `GET /admin/connections` lists them."""
        rows = [
            {"id": client.number, "target": client.target, "path": _bare_path(client.connection),
             "address": _remote(client.connection), "streams": [name for name in client.names if "@" in name],
             "apiKey": client.api_key, "since": client.since_ms}
            for client in self._sockets.values()
        ]  # fmt: skip
        return rows + [
            {"id": number, "target": "ws-api", "path": _WS_API_PATH, "address": _remote(connection), "streams": [],
             "apiKey": None, "since": since}
            for number, (connection, _, since) in self._api_sockets.items()
        ]  # fmt: skip


def _bare_path(connection: ServerConnection) -> str:
    """The route of a socket without keys: a listenKey is a credential."""
    path = connection.request.path if connection.request is not None else ""
    return "/".join(part for part in urlsplit(path).path.split("/") if len(part) != LISTEN_KEY_LENGTH)


def _remote(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if peer else ""
