"""The WebSocket port: market streams, user streams and the WebSocket API, at the routed paths and the old ones.

The venue's silences are kept: a stream asked for on the wrong base, an unknown stream, a user stream without
`events=`, a dead listenKey or the retired paths all connect, subscribe and then deliver nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http
import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

from mm_exchange.faults import Subject
from mm_exchange.frames import Frame
from mm_exchange.server.faulty import cut
from mm_exchange.server.faulty_sockets import FaultyLine, refused_handshake
from mm_exchange.server.ws_api import WsApi
from mm_exchange.stream_names import route_of

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

    from mm_exchange.server.exchange import Exchange
    from mm_exchange.user_events import UserEvent

# A consumer that lets this much pile up is closed: buffering without bound would take everybody down.
_SLOW_BYTES = 4 * 1024 * 1024
_MAX_MESSAGE = 64 * 1024
_CUT_KINDS = frozenset({"drop", "reset"})
_DEAD_KINDS = frozenset({"dead-url"})
_PRESENT_KINDS = _CUT_KINDS | _DEAD_KINDS | {"maintenance"}
_ROUTES = ("public", "market", "private")
_WS_API_PATH = "/ws-fapi/v1"
_API = Subject("ws-api", path=_WS_API_PATH)
_LISTEN_KEY_LENGTH = 64


@dataclasses.dataclass(frozen=True)
class Address:
    """What a socket's URL says: route ('' for the old paths), combined frames or raw, names, key and events."""

    route: str
    combined: bool
    names: tuple[str, ...]
    listen_key: str | None
    events: frozenset[str]

    @property
    def base(self) -> str:
        """The path without names and keys, as faults see it."""
        return f"/{self.route}/".replace("//", "/") + ("stream" if self.combined else "ws")


def parse_address(target: str) -> Address | None:
    """Take a request target apart; None for a path the venue does not serve."""
    parts = urlsplit(target)
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    route = segments.pop(0) if segments and segments[0] in _ROUTES else ""
    if not segments or segments[0] not in ("ws", "stream"):
        return None
    query = parse_qs(parts.query)
    combined = segments[0] == "stream"
    names = list(segments[1:]) + [name for value in query.get("streams", []) for name in value.split("/") if name]
    events = frozenset(name for value in query.get("events", []) for name in value.split("/") if name)
    return Address(route, combined, tuple(names), next(iter(query.get("listenKey", [])), None), events)


class StreamSocket:
    """One client socket of a market or user stream."""

    def __init__(self, exchange: Exchange, connection: ServerConnection, *, address: Address, number: int) -> None:
        self._exchange = exchange
        self.connection = connection
        self.address = address
        self.number = number
        self.since_ms = exchange.now_ms()
        self.names: list[str] = []
        self.keys: dict[str, frozenset[str] | None] = {}
        self._dead = not address.route and not exchange.quirks.old_paths_live
        self.line = FaultyLine(exchange, self._write)

    @property
    def target(self) -> str:
        """Which fault target this socket is."""
        return "user-stream" if self.address.route == "private" or self.keys else "market-stream"

    @property
    def api_key(self) -> str | None:
        """The account it listens to, if any."""
        key = next(iter(self.keys), None) or self.address.listen_key
        return self._exchange.venue.listen_keys.account_of(key) if key is not None else None

    def open(self) -> None:
        """Subscribe what the URL asks for."""
        listen_key = self.address.listen_key
        if listen_key is not None and self.address.route in ("private", ""):
            events = self.address.events
            if events or not self._exchange.quirks.events_required:
                self.keys[listen_key] = events or None
        for name in self.address.names:
            if self._is_listen_key(name) and not self._exchange.quirks.key_in_path:
                # Production fails silently for a key as a path segment.
                continue
            self.subscribe(name)

    def close(self) -> None:
        """Leave every stream."""
        for name in self.names:
            self._exchange.hub.unsubscribe(name, self)
        self.line.close()

    def _is_listen_key(self, name: str) -> bool:
        return len(name) == _LISTEN_KEY_LENGTH and "@" not in name

    def subscribe(self, name: str) -> None:
        """Add a stream. Names that are unknown or belong to another base are listed and stay silent."""
        if name in self.names:
            return
        self.names.append(name)
        if self._is_listen_key(name):
            if self.address.route in ("private", ""):
                self.keys[name] = None
            return
        if not self._dead and self.address.route in ("", route_of(name)):
            self._exchange.hub.subscribe(name, self, now_ms=self._exchange.now_ms())

    def unsubscribe(self, name: str) -> None:
        """Remove a stream."""
        if name in self.names:
            self.names.remove(name)
            self.keys.pop(name, None)
            self._exchange.hub.unsubscribe(name, self)

    def on_message(self, message: str | bytes) -> None:
        """SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS; everything else is the venue's error 2 or 3."""
        try:
            request = orjson.loads(message)
            method, number = str(request["method"]), request.get("id")
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            self._reply({"error": {"code": 3, "msg": "Invalid JSON: expected an object with a method"}})
            return
        params = request.get("params") or []
        if not isinstance(params, list):
            self._reply({"error": {"code": 2, "msg": "Invalid request: params must be a list"}, "id": number})
            return
        match method:
            case "SUBSCRIBE":
                for name in params:
                    self.subscribe(str(name))
                self._reply({"result": None, "id": number})
            case "UNSUBSCRIBE":
                for name in params:
                    self.unsubscribe(str(name))
                self._reply({"result": None, "id": number})
            case "LIST_SUBSCRIPTIONS":
                self._reply({"result": self.names, "id": number})
            case _:
                self._reply({"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": number})

    def _reply(self, reply: dict[str, Any]) -> None:
        self._write(orjson.dumps(reply))

    def deliver(self, frame: Frame) -> None:
        """A public frame."""
        payload = frame.wrapped if self.address.combined else frame.payload
        if self._exchange.faults or not self.line.idle:
            self.line.send(payload, self.subject(symbol=frame.symbol, stream=frame.stream))
        else:
            self._write(payload)

    def deliver_user(self, event: UserEvent, payload: bytes) -> None:
        """A user event of the account behind one of this socket's keys, if it asked for events of that name."""
        if self._dead:
            return
        for key, events in self.keys.items():
            if self._hears(key, event) and (events is None or event.name in events):
                wrapped = payload
                if self.address.combined:
                    wrapped = b'{"stream":' + orjson.dumps(key) + b',"data":' + payload + b"}"
                if self._exchange.faults or not self.line.idle:
                    self.line.send(wrapped, self.subject(symbol=event.symbol, stream=event.name))
                else:
                    self._write(wrapped)

    def _hears(self, key: str, event: UserEvent) -> bool:
        # The key is already dead when its own expiry is told.
        if event.name == "listenKeyExpired":
            return bool(event.payload["listenKey"] == key)
        return self._exchange.venue.listen_keys.account_of(key) == event.api_key

    def subject(self, *, symbol: str | None = None, stream: str | None = None) -> Subject:
        """This socket as faults see it."""
        if symbol is None and stream is None:
            symbols = {name.partition("@")[0].upper() for name in self.names if "@" in name}
            symbol = next(iter(symbols)) if len(symbols) == 1 else None
        return Subject(self.target, symbol, self.api_key, path=self.address.base, stream=stream)

    def _write(self, payload: bytes) -> None:
        if self.connection.transport.get_write_buffer_size() > _SLOW_BYTES:
            self.connection.transport.abort()
            return
        broadcast((self.connection,), payload, text=True)


class SocketServer:
    """All sockets of the WebSocket port."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._numbers = itertools.count(1)
        self._sockets: dict[int, StreamSocket] = {}
        self._api_sockets: dict[int, tuple[ServerConnection, FaultyLine, int]] = {}
        self._ws_api = WsApi(exchange)

    async def start(self, host: str, port: int) -> Server:
        """Listen."""
        return await serve(
            self._serve, host, port, compression=None, ping_interval=180, ping_timeout=600, max_size=_MAX_MESSAGE,
            close_timeout=1, process_request=self._admit, server_header=None,
        )  # fmt: skip

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse unknown paths, and handshakes that a fault forbids."""
        address = parse_address(request.path)
        is_api = urlsplit(request.path).path.rstrip("/") == _WS_API_PATH
        if address is None and not is_api:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no such stream path\n")
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
        with contextlib.suppress(ConnectionClosed):
            if address is None:
                await self._serve_api(connection, number)
            else:
                await self._serve_streams(connection, address, number=number)

    async def _serve_streams(self, connection: ServerConnection, address: Address, *, number: int) -> None:
        client = StreamSocket(self._exchange, connection, address=address, number=number)
        self._sockets[number] = client
        try:
            client.open()
            self._strike_new(client.subject(), connection, line=client.line)
            async for message in connection:
                client.on_message(message)
        finally:
            client.close()
            del self._sockets[number]

    async def _serve_api(self, connection: ServerConnection, number: int) -> None:
        line = FaultyLine(self._exchange, lambda payload: broadcast((connection,), payload, text=True))
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
        """Let faults that have become active strike the present sockets. Called by the clock."""
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
        payload = b""
        for client in tuple(self._sockets.values()):
            if client.keys:
                payload = payload or orjson.dumps(event.payload)
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
    return "/".join(part for part in urlsplit(path).path.split("/") if len(part) != _LISTEN_KEY_LENGTH)


def _remote(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if peer else ""
