"""The venue's silent failures, row by row: each was somebody's outage, and the double has to fail in the same way."""

import asyncio
import json

import pytest
import websockets

MARKET_STREAMS = {
    "ethusdt@depth@100ms": "public",
    "ethusdt@depth10": "public",
    "ethusdt@rpiDepth@500ms": "public",
    "ethusdt@bookTicker": "public",
    "ethusdt@trade": "public",
    "!bookTicker": "public",
    "ethusdt@aggTrade": "market",
    "ethusdt@markPrice@1s": "market",
    "ethusdt@kline_1m": "market",
    "ethusdt_perpetual@continuousKline_1m": "market",
    "ethusdt@ticker": "market",
    "ethusdt@miniTicker": "market",
    "!ticker@arr": "market",
    "!miniTicker@arr": "market",
    "!markPrice@arr@1s": "market",
}
IDLE_STREAMS = {"ethusdt@forceOrder": "market", "!forceOrder@arr": "market", "!contractInfo": "market"}


async def subscribed(socket, name, receive):
    await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [name], "id": 1}))
    assert await receive(socket, lambda frame: "result" in frame) == {"result": None, "id": 1}


async def test_row_unrouted_urls_subscribe_and_then_deliver_nothing(trader, serve, receive, silent):
    """Since 2026-04-23 the unrouted URLs are retired: subscribing succeeds, and nothing comes."""
    dead = serve("--synthetic", "ETHUSDT", "--old-paths", "dead")
    async with websockets.connect(f"{dead.ws}/stream") as socket:
        await subscribed(socket, "ethusdt@bookTicker", receive)
        assert await silent(socket) is None
    async with websockets.connect(f"{dead.ws}/public/stream") as socket:
        await subscribed(socket, "ethusdt@bookTicker", receive)
        assert (await receive(socket))["stream"] == "ethusdt@bookTicker"


@pytest.mark.parametrize(("stream", "base"), MARKET_STREAMS.items())
async def test_row_each_stream_is_delivered_on_its_own_base(trader, receive, stream, base):
    """`/public` carries depth, rpiDepth, bookTicker and trade; `/market` everything else."""
    async with websockets.connect(f"{trader.exchange.ws}/{base}/stream?streams={stream}") as socket:
        assert (await receive(socket, seconds=10))["stream"] == stream


async def test_row_a_stream_on_the_wrong_base_stays_silent(trader, silent):
    """All of them at once, each asked for on the other base and on the private one: nothing may come."""
    other = {"public": "market", "market": "public"}
    urls = {base: [name for name, home in MARKET_STREAMS.items() if other[home] == base] for base in other}
    for base, names in (*urls.items(), ("private", list(MARKET_STREAMS))):
        async with websockets.connect(f"{trader.exchange.ws}/{base}/stream?streams={'/'.join(names)}") as socket:
            assert await silent(socket, 2.5) is None, base


async def test_row_streams_of_rare_events_are_up_and_idle(trader, receive, silent):
    for name, base in IDLE_STREAMS.items():
        async with websockets.connect(f"{trader.exchange.ws}/{base}/ws") as socket:
            await subscribed(socket, name, receive)
            assert await silent(socket, 0.3) is None


@pytest.mark.parametrize(("base", "stream"), [("public", "ethusdt@bookTicker"), ("market", "ethusdt@markPrice@1s")])
async def test_row_both_shapes_on_each_base(trader, receive, base, stream):
    """`/ws/<stream>` has raw frames, `/stream?streams=` wraps them; the content is the same."""
    async with websockets.connect(f"{trader.exchange.ws}/{base}/ws/{stream}") as raw:
        plain = await receive(raw)
    async with websockets.connect(f"{trader.exchange.ws}/{base}/stream?streams={stream}") as combined:
        wrapped = await receive(combined)
    assert set(wrapped) == {"stream", "data"}
    assert set(wrapped["data"]) == set(plain)


async def test_row_user_data_needs_the_key_as_a_parameter_and_events(trader, receive, silent):
    """As a path segment production fails silently; without `events=` it delivers no payload."""
    key = await trader.listen_key()
    base = f"{trader.exchange.ws}/private/ws"
    async with (
        websockets.connect(f"{base}?listenKey={key}&events=ORDER_TRADE_UPDATE") as right,
        websockets.connect(f"{base}/{key}") as in_path,
        websockets.connect(f"{base}?listenKey={key}") as without_events,
    ):
        await trader.limit("BUY", "98.00")
        assert (await receive(right))["e"] == "ORDER_TRADE_UPDATE"
        assert await silent(in_path, 0.3) is None
        assert await silent(without_events, 0.3) is None


async def test_row_the_testnet_accepts_what_production_does_not(serve, session, receive):
    """The form of a URL is a property of the environment: the double has a switch for each."""
    testnet = serve("--synthetic", "ETHUSDT", "--key-in-path", "--user-events", "optional")
    async with session.post(f"{testnet.admin}/admin/accounts", json={}) as reply:
        headers = {"X-MBX-APIKEY": (await reply.json())["apiKey"]}
    async with session.post(f"{testnet.rest}/fapi/v1/listenKey", headers=headers) as reply:
        key = json.loads(await reply.text())["listenKey"]
    for url in (f"/private/ws/{key}", f"/ws/{key}", f"/private/ws?listenKey={key}"):
        async with websockets.connect(testnet.ws + url) as socket:
            position = {"apiKey": headers["X-MBX-APIKEY"], "symbol": "ETHUSDT", "quantity": "1"}
            async with session.post(f"{testnet.admin}/admin/positions", json=position) as reply:
                assert reply.status == 200
            assert (await receive(socket))["e"] == "ACCOUNT_UPDATE", url


async def test_row_user_events_are_chosen_by_name(trader, receive):
    """ORDER_TRADE_UPDATE, ACCOUNT_UPDATE, ACCOUNT_CONFIG_UPDATE, TRADE_LITE, …: only what `events=` names arrives."""
    async with await trader.user_stream("TRADE_LITE/ACCOUNT_CONFIG_UPDATE") as socket:
        await trader.call("POST", "/fapi/v1/leverage", symbol="QUIETUSDT", leverage=3)
        await trader.market("BUY")
        assert [(await receive(socket))["e"] for _ in range(2)] == ["ACCOUNT_CONFIG_UPDATE", "TRADE_LITE"]


async def test_row_a_listen_key_belongs_to_the_account(trader, receive, silent):
    """POST returns the live one, DELETE ends it for everybody, PUT on a dead one is -1125: make a new one."""
    first = await trader.listen_key()
    assert await trader.listen_key() == first
    events = "events=ORDER_TRADE_UPDATE"
    async with (
        websockets.connect(f"{trader.exchange.ws}/private/ws?listenKey={first}&{events}") as one,
        websockets.connect(f"{trader.exchange.ws}/private/ws?listenKey={first}&{events}") as other,
    ):
        await trader.limit("BUY", "98.00")
        assert (await receive(one))["e"] == (await receive(other))["e"] == "ORDER_TRADE_UPDATE"
        await trader.send("DELETE", "/fapi/v1/listenKey")
        await trader.limit("BUY", "97.00")
        assert await silent(one, 0.3) is None
        assert await silent(other, 0.3) is None
    assert (await trader.send("PUT", "/fapi/v1/listenKey"))[1]["code"] == -1125
    assert await trader.listen_key() != first


async def test_row_300_orders_in_ten_seconds_and_an_account_is_stopped(trader):
    """300 orders per 10 s and 1,200 a minute per account; -1015 with 429 beyond it, and the counts in headers."""
    batch = json.dumps(
        [{"symbol": "QUIETUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "1", "price": "101"}]
        * 5
    )
    async with asyncio.timeout(60):
        while True:
            reply = await trader.call("POST", "/fapi/v1/batchOrders", batchOrders=batch)
            if isinstance(reply, dict):
                break
    assert reply["code"] == -1015
    assert len(await trader.ledger("reject")) >= 300


async def test_row_a_gap_in_the_diff_stream_is_a_broken_pu(trader, faults, receive):
    """Gaps happen (2.5 in a million messages): a lost frame shows only in the next one's `pu`."""
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@depth@100ms") as socket:
        before = await receive(socket)
        await faults("gap", "market-stream", symbol="ETHUSDT", count=1, params={"stream": "ethusdt@depth@100ms"})
        while (frame := await receive(socket))["pu"] == before["u"]:
            before = frame
        assert frame["pu"] > before["u"]
