"""Faults over real sockets: each does what its name says, where it was told to, and no longer."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
import websockets

from mm_exchange.faults import TARGETS

TARGET_NAMES = {"rest", "market-stream", "user-stream", "ws-api"}


async def test_drop_cuts_the_sockets_there_are_once(trader, faults, receive):
    url = f"{trader.exchange.ws}/public/ws/ethusdt@bookTicker"
    async with websockets.connect(url) as socket, await trader.user_stream() as user:
        await receive(socket)
        await faults("drop", "market-stream")
        with pytest.raises(websockets.ConnectionClosed):
            await receive(socket, lambda _frame: False)
        async with websockets.connect(url) as again:
            await receive(again)
        await trader.limit("BUY", "98.00")
        assert (await receive(user))["e"] == "ORDER_TRADE_UPDATE"


async def test_drop_with_a_duration_also_cuts_new_sockets(trader, faults, receive):
    url = f"{trader.exchange.ws}/public/ws/ethusdt@bookTicker"
    await faults("drop", "market-stream", seconds=60)
    with pytest.raises(websockets.ConnectionClosed):
        async with websockets.connect(url) as socket:
            await receive(socket, lambda _frame: False)
    await trader.admin("DELETE", "/admin/faults")
    async with websockets.connect(url) as socket:
        await receive(socket)


async def test_a_stalled_stream_is_up_and_mute_and_comes_back_with_a_gap(trader, faults, receive, silent, struck):
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@depth@0ms") as socket:
        last = (await receive(socket))["u"]
        planned = await faults("stall", "market-stream", symbol="ETHUSDT")
        await struck(planned)
        while (frame := await silent(socket, 0.5)) is not None:
            assert frame["pu"] == last
            last = frame["u"]
        await trader.admin("DELETE", "/admin/faults")
        await until_broken(receive, socket, last)


async def until_broken(receive, socket, last):
    """The update id of the first frame that does not follow the one before it."""
    async with asyncio.timeout(10):
        while (frame := await receive(socket))["pu"] == last:
            last = frame["u"]
    return frame["u"]


async def test_a_gap_takes_one_frame_out(trader, faults, receive):
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@depth@0ms") as socket:
        last = (await receive(socket))["u"]
        await faults("gap", "market-stream", count=1)
        last = await until_broken(receive, socket, last)
        for _ in range(15):
            frame = await receive(socket)
            assert frame["pu"] == last
            last = frame["u"]


async def test_http_status_answers_for_the_venue_and_executes_nothing(trader, faults):
    await faults("http-status", "rest", count=1, params={"status": 503, "path": "/fapi/v1/order"})
    assert (await trader.limit("BUY", "99.00"))["code"] == -1008
    assert await trader.ledger("order") == []
    assert (await trader.limit("BUY", "99.00"))["status"] == "NEW"
    await faults("http-status", "rest", count=1, params={"status": 418, "retryAfter": 7})
    status, body, headers = await trader.send("GET", "/fapi/v1/time")
    assert (status, body["code"], headers["Retry-After"]) == (418, -1003, "7")


async def test_a_403_is_html_and_a_stream_handshake_can_be_refused(trader, faults, session):
    await faults("http-status", "rest", count=1, params={"status": 403})
    async with session.get(f"{trader.exchange.rest}/fapi/v1/time") as reply:
        assert (reply.status, reply.content_type) == (403, "text/html")
    await faults("http-status", "market-stream", count=1, params={"status": 502})
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@trade")


async def test_an_expired_listen_key_is_told_and_then_dead(trader, open_account, faults, receive, silent):
    other = await open_account()
    async with await trader.user_stream() as socket, await other.user_stream() as untouched:
        await faults("listen-key-expired", "user-stream", params={"apiKey": trader.key})
        assert (await receive(socket))["e"] == "listenKeyExpired"
        await trader.limit("BUY", "98.00")
        assert await silent(socket, 0.3) is None
        assert (await trader.send("PUT", "/fapi/v1/listenKey"))[1]["code"] == -1125
        await other.limit("BUY", "98.00")
        assert (await receive(untouched))["e"] == "ORDER_TRADE_UPDATE"


@pytest.mark.parametrize("kind", ["drop", "reset"])
async def test_a_request_can_be_hung_up_on_before_anything_happened(trader, faults, kind):
    await faults(kind, "rest", count=1, params={"method": "POST"})
    with pytest.raises(aiohttp.ClientError):
        await trader.limit("BUY", "99.00")
    assert await trader.ledger("order") == []


async def test_timeout_after_executes_and_does_not_say_so(trader, faults):
    await faults("timeout-after", "rest", count=1, params={"holdSeconds": 1, "path": "/fapi/v1/order"})
    with pytest.raises(aiohttp.ClientError):
        await trader.limit("BUY", "99.00", newClientOrderId="lost")
    found = await trader.call("GET", "/fapi/v1/order", symbol="QUIETUSDT", origClientOrderId="lost")
    assert found["status"] == "NEW"


async def test_reject_and_delay(trader, faults):
    await faults("reject", "rest", count=1, params={"code": -1007, "msg": "Timeout", "path": "/fapi/v1/order"})
    assert (await trader.limit("BUY", "99.00"))["code"] == -1007
    assert [entry["code"] for entry in await trader.ledger("reject")] == [-1007]
    await faults("delay", "rest", count=1, params={"ms": 300})
    start = time.perf_counter()
    await trader.public("/fapi/v1/time")
    assert time.perf_counter() - start >= 0.3


async def test_a_fault_is_listed_counted_and_in_the_ledger(trader, faults):
    planned = await faults("http-status", "rest", afterSeconds=60)
    assert planned["state"] == "pending"
    _, body = await trader.admin("GET", "/admin/faults")
    assert [row["id"] for row in body["faults"]] == [planned["id"]]
    status, body = await trader.admin("DELETE", f"/admin/faults?id={planned['id']}")
    assert (status, body) == (200, {"removed": 1})
    assert (await trader.admin("DELETE", f"/admin/faults?id={planned['id']}"))[0] == 404
    async with trader.session.get(f"{trader.exchange.admin}/admin/ledger") as reply:
        states = [
            row["status"]
            for row in (await reply.json())["entries"]
            if row["kind"] == "fault" and row["detail"]["id"] == planned["id"]
        ]
    assert states == ["ADDED", "REMOVED"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [(kind, target) for kind in sorted(TARGETS) for target in sorted(TARGET_NAMES - TARGETS[kind])],
)
async def test_a_pair_that_makes_no_sense_is_refused_with_a_sentence(trader, kind, target):
    status, body = await trader.admin("POST", "/admin/faults", {"kind": kind, "target": target})
    assert status == 400
    assert kind in body["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "stall"},
        {"kind": "stall", "target": "rest", "wat": 1},
        {"kind": "stall", "target": "rest", "probability": 2},
        {"kind": "stall", "target": "rest", "count": 0},
        {"kind": "stall", "target": "rest", "seconds": 0},
        {"kind": "stall", "target": "rest", "params": {"code": 1}},
        {"kind": "http-status", "target": "rest", "params": {"status": 200}},
        {"kind": "http-status", "target": "rest", "params": {"status": "503"}},
        {"kind": "reorder", "target": "market-stream", "params": {"ms": -1}},
        {"kind": "filters-changed", "target": "rest", "symbol": "NOUSDT"},
        {"kind": "filters-changed", "target": "rest", "params": {"tickSize": "0.0000000001"}},
        {"kind": "maintenance", "target": "rest", "params": {"body": "xml"}},
        {"kind": "explode", "target": "rest"},
        [],
    ],
)
async def test_a_malformed_fault_is_refused_with_a_sentence(trader, body):
    status, answer = await trader.admin("POST", "/admin/faults", body)
    assert status == 400
    assert len(answer["error"]) > 20


async def test_the_command_line_orders_lists_and_clears(exchange):
    command = [str(Path(sys.executable).with_name("mm-exchange")), "fault", "--admin", exchange.admin]

    def run(*arguments):
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=60)

    added = await asyncio.to_thread(
        run, "add", "http-status", "rest", "--param", "status=503", "--count", "1", "--after-seconds", "60"
    )
    assert '"state":"pending"' in added.stdout
    assert '"http-status"' in (await asyncio.to_thread(run, "list")).stdout
    assert '"removed":1' in (await asyncio.to_thread(run, "clear")).stdout
    refused = await asyncio.to_thread(run, "add", "gap", "rest")
    assert refused.returncode == 1
    assert "cannot act on target" in refused.stderr


async def test_frames_can_come_twice_broken_or_late(trader, faults, receive):
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@depth@0ms") as socket:
        await receive(socket)
        await faults("duplicate", "market-stream", count=1, params={"stream": "ethusdt@depth@0ms"})
        ids = []
        async with asyncio.timeout(10):
            while len(ids) == len(set(ids)):
                ids.append((await receive(socket))["u"])
        ids += [(await receive(socket))["u"] for _ in range(8)]
        assert len(ids) - len(set(ids)) == 1
        await faults("malformed", "market-stream", count=1)
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
            await receive(socket, lambda _frame: False)
        await faults("delay", "market-stream", params={"ms": 700})
        planned_ms = time.time() * 1000
        frame = await receive(socket, lambda frame: frame["E"] >= planned_ms)
        assert time.time() * 1000 - frame["E"] >= 700


async def test_a_user_event_can_be_lost(trader, faults, receive):
    async with await trader.user_stream("ORDER_TRADE_UPDATE") as socket:
        await faults("gap", "user-stream", count=1, params={"apiKey": trader.key})
        await trader.limit("BUY", "98.00", newClientOrderId="unheard")
        await trader.limit("BUY", "98.00", newClientOrderId="heard")
        assert (await receive(socket))["o"]["c"] == "heard"


async def test_a_ws_api_request_can_stay_unanswered_or_be_refused(trader, faults, receive, silent):
    async with websockets.connect(trader.exchange.wsApi) as socket:
        await faults("stall", "ws-api", count=1)
        await socket.send('{"id": 1, "method": "time"}')
        assert await silent(socket, 0.3) is None
        await faults("reject", "ws-api", count=1, params={"code": -1007, "msg": "Timeout"})
        await socket.send('{"id": 2, "method": "time"}')
        assert (await receive(socket))["error"]["code"] == -1007
        await faults("drop", "ws-api")
        with pytest.raises(websockets.ConnectionClosed):
            await receive(socket)


async def test_a_stalled_request_hangs_until_the_fault_goes(trader, faults, struck):
    planned = await faults("stall", "rest", params={"path": "/fapi/v1/order"})
    order = asyncio.create_task(trader.limit("BUY", "99.00"))
    await struck(planned)
    done, _ = await asyncio.wait({order}, timeout=0.5)
    assert done == set()
    await trader.admin("DELETE", "/admin/faults")
    with pytest.raises(aiohttp.ClientError):
        await order
    assert await trader.ledger("order") == []
