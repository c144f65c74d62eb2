"""One client socket of a market or user stream: what its URL says, what it subscribes, what reaches it.

The venue's silences are kept: a stream asked for on the wrong base, an unknown stream, a user stream without
`events=`, a dead listenKey or the retired paths all connect, subscribe and then deliver nothing.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from websockets.asyncio.server import broadcast

from mm_exchange.faults import Subject
from mm_exchange.server.delays import delayed_write
from mm_exchange.server.faulty_sockets import FaultyLine
from mm_exchange.stream_names import route_of

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from mm_exchange.frames import Frame
    from mm_exchange.server.exchange import Exchange
    from mm_exchange.user_events import UserEvent

# A consumer that lets this much pile up is closed: buffering without bound would take everybody down.
_SLOW_BYTES = 4 * 1024 * 1024
_MOST_STREAMS = 1024
_ROUTES = ("public", "market", "private")
LISTEN_KEY_LENGTH = 64
_METHODS = "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY"


class _InvalidError(Exception):
    """A control message that cannot be served: the venue's code (0 to 3) and sentence."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


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

    def __init__(
        self, exchange: Exchange, connection: ServerConnection, *, address: Address, number: int,
        most_streams: int = _MOST_STREAMS,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._most_streams = most_streams
        self.connection = connection
        self.address = address
        self.combined = address.combined
        self.number = number
        self.since_ms = exchange.now_ms()
        self.names: list[str] = []
        self.keys: dict[str, frozenset[str] | None] = {}
        self._dead = not address.route and not exchange.quirks.old_paths_live
        way = exchange.latency.user if address.route == "private" else exchange.latency.feed
        self._write = delayed_write(self._put, way)
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
        return len(name) == LISTEN_KEY_LENGTH and "@" not in name

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
        """A control message; what cannot be served is answered with the venue's code and sentence."""
        number: Any = None
        try:
            request = _request(message)
            number = request.get("id")
            self._reply({"result": self._obey(request), "id": number})
        except _InvalidError as error:
            reply: dict[str, Any] = {"error": {"code": error.code, "msg": error.msg}}
            self._reply(reply if number is None else reply | {"id": number})

    def _obey(self, request: dict[str, Any]) -> Any:
        """Carry out a control message; its result."""
        match request.get("method"):
            case "SUBSCRIBE":
                names = _names(request)
                if len({*self.names, *names}) > self._most_streams:
                    raise _InvalidError(2, f"Invalid request: more than {self._most_streams} streams on a connection")
                for name in names:
                    self.subscribe(name)
                return None
            case "UNSUBSCRIBE":
                for name in _names(request):
                    self.unsubscribe(name)
                return None
            case "LIST_SUBSCRIPTIONS":
                return self.names
            case "SET_PROPERTY":
                self.combined = _combined(request)
                return None
            case "GET_PROPERTY":
                _property(request)
                return self.combined
            case None:
                raise _InvalidError(2, "Invalid request: missing field `method`")
            case other:
                raise _InvalidError(2, f"Invalid request: unknown variant {other}, expected one of {_METHODS}")

    def _reply(self, reply: dict[str, Any]) -> None:
        self._write(orjson.dumps(reply))

    def deliver(self, frame: Frame) -> None:
        """A public frame."""
        payload = frame.wrapped if self.combined else frame.payload
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
                if self.combined:
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

    def _put(self, payload: bytes) -> None:
        if self.connection.transport.get_write_buffer_size() > _SLOW_BYTES:
            self.connection.transport.abort()
            return
        broadcast((self.connection,), payload, text=True)


def _request(message: str | bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise _InvalidError(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}") from error
    if not isinstance(request, dict):
        raise _InvalidError(2, "Invalid request: expected an object")
    return request


def _params(request: dict[str, Any]) -> list[Any]:
    params = request.get("params") or []
    if not isinstance(params, list):
        raise _InvalidError(2, "Invalid request: params must be a list")
    return params


def _names(request: dict[str, Any]) -> list[str]:
    # Whatever a client takes for a stream name is listed and stays silent; an SDK sends the names of its enums.
    return [str(name) for name in _params(request)]


def _property(request: dict[str, Any]) -> list[Any]:
    params = _params(request)
    if not params or not isinstance(params[0], str):
        raise _InvalidError(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise _InvalidError(0, "Unknown property")
    return params


def _combined(request: dict[str, Any]) -> bool:
    params = _property(request)
    if len(params) > 2:
        raise _InvalidError(2, "Invalid request: too many parameters")
    if len(params) < 2 or not isinstance(params[1], bool):
        raise _InvalidError(1, "Invalid value type: expected Boolean")
    return params[1]
