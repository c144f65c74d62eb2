"""A WebSocket as the engine needs it, behind a port of two methods: picows on the hot path, plain websockets as the tested fallback.

Frames are handed over inside the callback of the loop's read, without a task switch in between. Errors never carry a URL: the user stream's holds
a credential (invariant 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import picows
import websockets
from websockets.asyncio.client import ClientConnection

from mm_runner.venue.http import bound_unacknowledged, source_address, transport_text

_CLOSE_SECONDS: Final = 1.0

OnFrame = Callable[[bytes], None]


class SocketError(Exception):
    """A connection that could not be made."""


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Bounds of one connection, in seconds and bytes."""

    connect_seconds: float = 5.0
    max_message_bytes: int = 4 * 1024 * 1024
    ping_idle_seconds: float = 10.0
    ping_reply_seconds: float = 10.0


class Connection(Protocol):
    """An open socket."""

    @property
    def ended(self) -> asyncio.Future[str]:
        """Done when it has ended: holds why, or the exception that `on_frame` raised."""

    def close(self) -> None:
        """Begin to close; `ended` is done soon after."""


class Opener(Protocol):
    """Opens a socket; both implementations below are one."""

    async def __call__(self, url: str, on_frame: OnFrame, settings: SocketSettings) -> Connection:
        """Connect within the bound, else raise SocketError."""
        ...


# -- picows ------------------------------------------------------------------------------------------------------------


class _Listener(picows.WSListener):
    """Assembles messages and hands them over."""

    def __init__(self, on_frame: OnFrame, max_bytes: int) -> None:
        super().__init__()
        self._on_frame = on_frame
        self._max_bytes = max_bytes
        self._parts = bytearray()
        self.reason = "connection lost"
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if frame.payload_size + len(self._parts) > self._max_bytes:
            self.reason = f"a message beyond {self._max_bytes} bytes"
            transport.disconnect()
        elif kind in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY) and frame.fin and not self._parts:
            self._hand_over(transport, frame.get_payload_as_bytes())
        elif kind in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION):
            self._assemble(transport, frame)
        elif kind == picows.WSMsgType.CLOSE:
            self.reason = f"closed by the venue with {int(frame.get_close_code().value)}"
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002 - the library's signature
        if not self.ended.done():
            self.ended.set_result(self.reason)

    def _assemble(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self._parts += frame.get_payload_as_bytes()
        if frame.fin:
            whole = bytes(self._parts)
            self._parts.clear()
            self._hand_over(transport, whole)

    def _hand_over(self, transport: picows.WSTransport, payload: bytes) -> None:
        try:
            self._on_frame(payload)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this connection, not to the library's log
            if not self.ended.done():
                self.ended.set_exception(error)
            transport.disconnect()


class _PicowsConnection:
    def __init__(self, transport: picows.WSTransport, listener: _Listener) -> None:
        self._transport = transport
        self._listener = listener

    @property
    def ended(self) -> asyncio.Future[str]:
        return self._listener.ended

    def close(self) -> None:
        self._listener.reason = "closed by us"
        self._transport.send_close(picows.WSCloseCode.OK)
        self._transport.disconnect(graceful=False)


async def open_picows(url: str, on_frame: OnFrame, settings: SocketSettings) -> Connection:
    """Open with picows."""
    listener = _Listener(on_frame, settings.max_message_bytes)
    try:
        async with asyncio.timeout(settings.connect_seconds):
            transport, _ = await picows.ws_connect(
                lambda: listener,
                url,
                websocket_handshake_timeout=settings.connect_seconds,
                enable_auto_ping=True,
                auto_ping_idle_timeout=settings.ping_idle_seconds,
                auto_ping_reply_timeout=min(settings.ping_reply_seconds, settings.ping_idle_seconds),  # its own rule
                max_frame_size=settings.max_message_bytes,
                max_redirects=0,
                local_addr=source_address(),
            )
    except TimeoutError as error:
        raise SocketError(f"not connected within {settings.connect_seconds:.0f} s") from error
    except (picows.WSError, OSError) as error:
        raise SocketError(transport_text(error)) from None
    _bound(transport.underlying_transport)
    return _PicowsConnection(transport, listener)


# -- websockets --------------------------------------------------------------------------------------------------------


class _WebsocketsConnection:
    """Reads in a task of its own, which ends with the connection."""

    def __init__(self, connection: ClientConnection, on_frame: OnFrame) -> None:
        self._connection = connection
        self._on_frame = on_frame
        self._reader: asyncio.Future[str] = asyncio.create_task(self._read(), name="websocket reader")

    @property
    def ended(self) -> asyncio.Future[str]:
        return self._reader

    def close(self) -> None:
        self._reader.cancel()
        self._connection.transport.abort()

    async def _read(self) -> str:
        try:
            while True:
                message = await self._connection.recv(decode=False)
                self._on_frame(message)
        except websockets.ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else None
            return f"closed by the venue with {code}" if code else "connection lost"
        except asyncio.CancelledError:
            return "closed by us"
        finally:
            self._connection.transport.abort()


async def open_websockets(url: str, on_frame: OnFrame, settings: SocketSettings) -> Connection:
    """Open with websockets."""
    try:
        connection = await websockets.connect(
            url,
            open_timeout=settings.connect_seconds,
            ping_interval=settings.ping_idle_seconds,
            ping_timeout=settings.ping_reply_seconds,
            close_timeout=_CLOSE_SECONDS,
            max_size=settings.max_message_bytes,
            compression=None,
            proxy=None,
            local_addr=source_address(),
        )
    except TimeoutError as error:
        raise SocketError(f"not connected within {settings.connect_seconds:.0f} s") from error
    except (websockets.WebSocketException, OSError) as error:
        raise SocketError(transport_text(error)) from None
    _bound(connection.transport)
    return _WebsocketsConnection(connection, on_frame)


def _bound(transport: asyncio.BaseTransport) -> None:
    tcp = transport.get_extra_info("socket")
    if tcp is not None:
        with suppress(OSError):  # it may have ended already
            bound_unacknowledged(tcp)


OPENERS: Final[dict[str, Opener]] = {"picows": open_picows, "websockets": open_websockets}
