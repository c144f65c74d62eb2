"""What the venue does to sockets: pings, the cut after their lifetime, too many messages, too many streams."""

import asyncio
import json
import os

import pytest
import websockets


class BareClient:
    """A WebSocket client that answers nothing by itself."""

    @classmethod
    async def open(cls, url, path):
        client = cls()
        host, port = url.removeprefix("ws://").split(":")
        client.reader, client.writer = await asyncio.open_connection(host, int(port))
        client.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await client.reader.readuntil(b"\r\n\r\n")
        return client

    async def frame(self):
        """The opcode and payload of the next (short) frame; None when the connection is over."""
        try:
            head = await self.reader.readexactly(2)
            return head[0] & 0x0F, await self.reader.readexactly(head[1] & 0x7F)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def send(self, opcode, payload=b""):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.writer.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)


PING, PONG, CLOSE = 9, 10, 8


@pytest.fixture
def impatient(serve):
    return serve("--synthetic", "ETHUSDT", "--ping-seconds", "0.3", "--pong-seconds", "1.2")


@pytest.mark.parametrize("path", ["/public/ws", "/private/ws", "/ws-fapi/v1"])
async def test_a_client_that_never_answers_a_ping_is_cut(impatient, path):
    client = await BareClient.open(impatient.ws, path)
    pings = 0
    async with asyncio.timeout(5):
        while (frame := await client.frame())[0] != CLOSE:
            pings += frame[0] == PING
    assert pings >= 3
    assert int.from_bytes(frame[1][:2]) == 1008
    client.writer.close()


async def test_an_empty_pong_is_a_sign_of_life(impatient):
    client = await BareClient.open(impatient.ws, "/public/ws")
    async with asyncio.timeout(10):
        for _ in range(10):
            assert (await client.frame())[0] == PING
            client.send(PONG)
    client.writer.close()


async def test_no_socket_outlives_its_lifetime(serve):
    served = serve("--synthetic", "ETHUSDT", "--socket-seconds", "1")
    for path in ("/public/ws/ethusdt@bookTicker", "/private/ws", "/ws-fapi/v1"):
        async with websockets.connect(served.ws + path) as socket, asyncio.timeout(5):
            async for _ in socket:
                pass
            assert socket.close_code == 1001


async def test_more_than_ten_messages_a_second_end_the_connection(trader):
    listing = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    async with websockets.connect(f"{trader.exchange.ws}/public/ws") as socket:
        for _ in range(10):
            await socket.send(listing)
        for _ in range(10):
            assert json.loads(await socket.recv()) == {"result": [], "id": 1}
        await socket.send(listing)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == 1008


async def test_the_websocket_api_has_no_such_limit(trader):
    async with websockets.connect(trader.exchange.wsApi) as socket:
        for _ in range(30):
            await socket.send(json.dumps({"id": 1, "method": "ping"}))
        for _ in range(30):
            assert json.loads(await socket.recv())["status"] == 200


async def test_a_connection_carries_1024_streams_and_no_more(trader, receive):
    names = [f"a{number}usdt@bookTicker" for number in range(1025)]
    async with websockets.connect(f"{trader.exchange.ws}/public/ws") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": names[:1024], "id": 1}))
        assert await receive(socket) == {"result": None, "id": 1}
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 2}))
        refused = await receive(socket)
        assert (refused["error"]["code"], refused["id"]) == (2, 2)
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        assert len((await receive(socket))["result"]) == 1024


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("{", 3, "Invalid JSON"),
        ("[]", 2, "expected an object"),
        ('{"id": 7}', 2, "missing field `method`"),
        ('{"method": "SHOUT", "id": 7}', 2, "unknown variant SHOUT"),
        ('{"method": "SUBSCRIBE", "params": "a@trade", "id": 7}', 2, "params must be a list"),
        ('{"method": "SET_PROPERTY", "params": ["colour", true], "id": 7}', 0, "Unknown property"),
        ('{"method": "SET_PROPERTY", "params": ["combined", 1], "id": 7}', 1, "expected Boolean"),
        ('{"method": "SET_PROPERTY", "params": ["combined", true, 1], "id": 7}', 2, "too many parameters"),
        ('{"method": "GET_PROPERTY", "params": [1], "id": 7}', 2, "property name must be a string"),
    ],
)
async def test_control_messages_that_make_no_sense_get_the_venues_error(trader, receive, message, code, words):
    async with websockets.connect(f"{trader.exchange.ws}/market/stream") as socket:
        await socket.send(message)
        reply = await receive(socket)
    assert reply["error"]["code"] == code
    assert words in reply["error"]["msg"]
    assert reply.get("id") == (7 if '"id": 7' in message else None)


async def test_a_socket_switches_between_raw_and_combined_frames(trader, receive):
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@bookTicker") as socket:
        assert "e" in await receive(socket)
        await socket.send(json.dumps({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}))
        assert await receive(socket, lambda frame: "result" in frame) == {"result": None, "id": 1}
        assert (await receive(socket))["stream"] == "ethusdt@bookTicker"
        await socket.send(json.dumps({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}))
        assert await receive(socket, lambda frame: "result" in frame) == {"result": True, "id": 2}


async def test_big_replies_are_packed_for_those_who_ask(trader):
    url = f"{trader.exchange.rest}/fapi/v1/exchangeInfo"
    for wanted in ("gzip", "deflate"):
        async with trader.session.get(url, headers={"Accept-Encoding": wanted}) as reply:
            assert reply.headers["Content-Encoding"] == wanted
            assert len((await reply.json())["symbols"]) == 2
    async with trader.session.get(url, headers={"Accept-Encoding": "identity"}) as reply:
        assert "Content-Encoding" not in reply.headers
    async with trader.session.get(f"{trader.exchange.rest}/fapi/v1/time", headers={"Accept-Encoding": "gzip"}) as reply:
        assert "Content-Encoding" not in reply.headers
