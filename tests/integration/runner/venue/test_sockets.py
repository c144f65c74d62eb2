"""Both WebSocket implementations behind the port behave alike against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from mm_runner.venue.sockets import OPENERS, Opener, SocketError, SocketSettings

CALM = SocketSettings()
PINGING = SocketSettings(ping_idle_seconds=1.0, ping_reply_seconds=1.0)
FAST = SocketSettings(ping_idle_seconds=0.3, ping_reply_seconds=0.2)
"""Only for a peer that never answers: a busy machine may answer later than this."""


@pytest.fixture(params=sorted(OPENERS))
def opener(request) -> Opener:
    return OPENERS[request.param]


@asynccontextmanager
async def server(handler, **more) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, **more) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/ws/x"


@asynccontextmanager
async def tcp_server(handler) -> AsyncIterator[int]:
    """A bare TCP server; its handlers are ended and their sockets closed before the test ends."""
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):
            await handler(reader, writer)
        writer.transport.abort()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running)
        await asyncio.sleep(0)


async def bounded(future: asyncio.Future[str], seconds: float = 10.0) -> str:
    async with asyncio.timeout(seconds):
        return await asyncio.shield(future)


async def test_frames_arrive_whole_and_in_order(opener):
    async def talk(ws: ServerConnection) -> None:
        for number in range(500):
            await ws.send(f'{{"n":{number}}}')
        await ws.send(["a" * 1000, "b" * 1000, "c"])  # one message in three fragments
        await ws.send(b"binary")
        await ws.wait_closed()

    got: list[bytes] = []
    done = asyncio.Event()

    def take(payload: bytes) -> None:
        got.append(payload)
        if payload == b"binary":
            done.set()

    async with server(talk) as url:
        connection = await opener(url, take, CALM)
        await asyncio.wait_for(done.wait(), 20)
        connection.close()
        assert await bounded(connection.ended) in ("closed by us", "connection lost")
    assert got[:500] == [b'{"n":%d}' % number for number in range(500)]
    assert got[500:] == [b"a" * 1000 + b"b" * 1000 + b"c", b"binary"]


async def test_the_venues_close_code_is_told(opener):
    async def leave(ws: ServerConnection) -> None:
        await ws.close(1008, "policy")

    async with server(leave) as url:
        connection = await opener(url, lambda _: None, CALM)
        assert await bounded(connection.ended) == "closed by the venue with 1008"


async def test_a_cut_connection_ends(opener):
    async def cut(ws: ServerConnection) -> None:
        await ws.send("x")
        ws.transport.abort()

    async with server(cut) as url:
        connection = await opener(url, lambda _: None, CALM)
        assert await bounded(connection.ended)


async def test_pings_are_answered_and_an_idle_connection_stays(opener):
    ponged, pinged = asyncio.Event(), asyncio.Semaphore(0)

    class Watched(ServerConnection):
        def process_event(self, event: object) -> None:
            if isinstance(event, Frame) and event.opcode is Opcode.PING:
                pinged.release()
            super().process_event(event)

    async def ping(ws: ServerConnection) -> None:
        waiter = await ws.ping()
        await waiter
        ponged.set()
        await ws.wait_closed()

    async with server(ping, create_connection=Watched) as url:
        connection = await opener(url, lambda _: None, PINGING)
        await asyncio.wait_for(ponged.wait(), 10)
        for _ in range(2):  # our own idle pings; the second shows that the first one's answer was taken
            await asyncio.wait_for(pinged.acquire(), 10)
        assert not connection.ended.done()
        connection.close()
        await bounded(connection.ended)


async def test_a_peer_that_answers_no_ping_is_found(opener):
    """The server's socket is up but nobody reads it: a half-open connection."""

    async def handshake_then_silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import base64
        import hashlib

        request = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        await writer.drain()
        await reader.read()  # takes bytes, never answers

    async with tcp_server(handshake_then_silence) as port:
        connection = await opener(f"ws://127.0.0.1:{port}/", lambda _: None, FAST)
        assert await bounded(connection.ended)


async def test_a_message_beyond_the_bound_ends_the_connection(opener):
    async def shout(ws: ServerConnection) -> None:
        await ws.send("x" * 200_000)
        await ws.wait_closed()

    got: list[bytes] = []
    async with server(shout) as url:
        connection = await opener(url, got.append, SocketSettings(max_message_bytes=100_000))
        assert await bounded(connection.ended)
    assert got == []


async def test_a_defect_of_the_receiver_belongs_to_the_connections_owner(opener):
    async def talk(ws: ServerConnection) -> None:
        await ws.send("x")
        await ws.wait_closed()

    def broken(_: bytes) -> None:
        raise ZeroDivisionError("a defect")

    async with server(talk) as url:
        connection = await opener(url, broken, CALM)
        with pytest.raises(ZeroDivisionError):
            await bounded(connection.ended)


async def test_nobody_listening_is_a_socket_error_without_the_url(opener):
    with pytest.raises(SocketError) as caught:
        await opener("ws://127.0.0.1:9/private/ws?listenKey=very-secret-key", lambda _: None, CALM)
    assert "very-secret-key" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_http_page_instead_of_a_handshake_is_a_socket_error(opener):
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>"
        )
        await writer.drain()

    async with tcp_server(page) as port:
        with pytest.raises(SocketError):
            await opener(f"ws://127.0.0.1:{port}/ws?listenKey=very-secret-key", lambda _: None, CALM)


async def test_a_server_that_never_answers_the_handshake_is_given_up(opener):
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp_server(mute) as port:
        with pytest.raises(SocketError, match=r"not connected within|Handshake|Timeout"):
            await opener(f"ws://127.0.0.1:{port}/", lambda _: None, SocketSettings(connect_seconds=0.3))


async def test_connections_leave_from_the_address_that_was_asked_for(opener, monkeypatch):
    monkeypatch.setenv("MM_SOURCE_ADDRESS", "127.8.9.10")
    peers: list[str] = []

    async def note(ws: ServerConnection) -> None:
        peers.append(ws.remote_address[0])
        await ws.close()

    async with server(note) as url:
        connection = await opener(url, lambda _: None, SocketSettings())
        await bounded(connection.ended)
    assert peers == ["127.8.9.10"]
