"""The latency model on real sockets: later by what was asked for, in order, and on their way together."""

import json
import time

import aiohttp
import pytest
import websockets

from support.served import Served

ENTRY_S, ANSWER_S, FEED_S, USER_S = 0.04, 0.03, 0.05, 0.02


@pytest.fixture
def slow_exchange(tmp_path):
    ways = {"entryMs": [40], "answerMs": [30], "feedMs": [50], "userMs": [20]}
    (tmp_path / "latency.json").write_text(json.dumps(ways))
    served = Served("--synthetic", "AAAUSDT", "--latency", "latency.json", cwd=tmp_path)
    yield served
    assert served.stop() == 0
    assert served.stderr == ""


async def test_rest_and_the_web_socket_api_answer_later_and_in_order(slow_exchange):
    async with aiohttp.ClientSession() as session:
        began = time.monotonic()
        async with session.get(f"{slow_exchange.rest}/fapi/v1/time") as reply:
            server_ms = (await reply.json())["serverTime"]
        took = time.monotonic() - began
    assert took >= ENTRY_S + ANSWER_S
    # The request was met after its way in, and before its way out.
    assert (time.time() - ANSWER_S) * 1000 + 1 >= server_ms
    async with websockets.connect(slow_exchange.ws + "/ws-fapi/v1") as socket:
        began = time.monotonic()
        for number in range(40):
            await socket.send(json.dumps({"id": number, "method": "time"}))
        answers = [json.loads(await socket.recv())["id"] for _ in range(40)]
        took = time.monotonic() - began
    assert answers == list(range(40))
    assert ENTRY_S + ANSWER_S <= took < 40 * ENTRY_S


async def test_the_feed_comes_later_and_in_order(slow_exchange):
    async with websockets.connect(slow_exchange.ws + "/public/ws/aaausdt@depth@0ms/aaausdt@bookTicker") as socket:
        last = 0
        for _ in range(20):
            frame = json.loads(await socket.recv())
            assert time.time() * 1000 - frame["E"] >= FEED_S * 1000 - 1
            assert frame["u"] >= last
            last = frame["u"]
