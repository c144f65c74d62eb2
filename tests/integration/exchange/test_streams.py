"""Market and user streams over real sockets, with the venue's silences."""

import json
import time

import pytest
import websockets


def _follow(levels, frame):
    for name in ("b", "a"):
        for price, quantity in frame[name]:
            if float(quantity):
                levels[name][price] = quantity
            else:
                levels[name].pop(price, None)


@pytest.mark.parametrize("speed", ["0ms", "100ms", "250ms", "500ms"])
async def test_a_client_that_follows_the_sync_rules_has_the_served_book(trader, receive, speed):
    stream = f"{trader.exchange.ws}/public/ws/ethusdt@depth@{speed}"
    async with websockets.connect(stream) as socket:
        await receive(socket)
        book = await trader.public("/fapi/v1/depth", symbol="ETHUSDT", limit=1000)
        levels = {"b": dict(book["bids"]), "a": dict(book["asks"])}
        frame = await receive(socket, lambda frame: frame["u"] >= book["lastUpdateId"])
        if frame["U"] > book["lastUpdateId"]:
            assert frame["pu"] == book["lastUpdateId"]
        for _ in range(6):
            _follow(levels, frame)
            last = frame["u"]
            frame = await receive(socket)
            assert frame["pu"] == last
        async with websockets.connect(stream):
            # The served book moves on; compare where both stand at the same update id.
            for _ in range(200):
                now = await trader.public("/fapi/v1/depth", symbol="ETHUSDT", limit=1000)
                while frame["u"] <= now["lastUpdateId"]:
                    _follow(levels, frame)
                    last = frame["u"]
                    frame = await receive(socket)
                if last == now["lastUpdateId"]:
                    break
    assert last == now["lastUpdateId"]
    assert levels == {"b": dict(now["bids"]), "a": dict(now["asks"])}


async def test_both_shapes_and_all_public_streams(trader, receive):
    names = "ethusdt@depth/ethusdt@bookTicker/ethusdt@trade/ethusdt@depth5@100ms"
    async with websockets.connect(f"{trader.exchange.ws}/public/stream?streams={names}") as socket:
        seen = {}
        while len(seen) < 4:
            frame = await receive(socket)
            seen[frame["stream"]] = frame["data"]
    assert set(seen) == set(names.split("/"))
    assert {seen["ethusdt@trade"]["e"], seen["ethusdt@bookTicker"]["e"]} == {"trade", "bookTicker"}
    assert len(seen["ethusdt@depth5@100ms"]["b"]) == 5
    ticker = seen["ethusdt@bookTicker"]
    assert float(ticker["b"]) < float(ticker["a"])
    async with websockets.connect(f"{trader.exchange.ws}/market/ws/ethusdt@aggTrade/ethusdt@markPrice@1s") as socket:
        kinds = {(await receive(socket))["e"] for _ in range(20)}
    assert kinds == {"aggTrade", "markPriceUpdate"}


async def test_event_times_are_those_of_the_serving_clock(trader, receive):
    asked_ms = time.time() * 1000
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/ethusdt@bookTicker") as socket:
        frame = await receive(socket)
    assert asked_ms - 2000 < frame["E"] < time.time() * 1000 + 50


@pytest.mark.parametrize(
    "path",
    [
        "/market/ws/ethusdt@bookTicker",
        "/public/ws/ethusdt@markPrice@1s",
        "/public/ws/nothing@bookTicker",
        "/private/ws/ethusdt@trade",
    ],
)
async def test_a_stream_on_the_wrong_base_stays_silent(trader, silent, path):
    async with websockets.connect(trader.exchange.ws + path) as socket:
        assert await silent(socket) is None


async def test_a_socket_subscribes_lists_and_unsubscribes(trader, receive, silent):
    async with websockets.connect(f"{trader.exchange.ws}/public/ws/0") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": "a-uuid"}))
        assert await receive(socket, lambda frame: "result" in frame) == {"result": None, "id": "a-uuid"}
        assert (await receive(socket))["e"] == "bookTicker"
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 2}))
        assert "ethusdt@bookTicker" in (await receive(socket, lambda frame: frame.get("id") == 2))["result"]
        await socket.send(json.dumps({"method": "UNSUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 3}))
        await receive(socket, lambda frame: frame.get("id") == 3)
        assert await silent(socket) is None
        await socket.send("not json")
        assert (await receive(socket))["error"]["code"] == 3


async def test_unknown_paths_are_refused(trader):
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{trader.exchange.ws}/nowhere")
    assert refused.value.response.status_code == 404


async def test_old_paths_deliver_or_are_dead_by_a_switch(trader, serve, receive, silent):
    async with websockets.connect(f"{trader.exchange.ws}/ws/ethusdt@bookTicker") as socket:
        assert (await receive(socket))["e"] == "bookTicker"
    dead = serve("--synthetic", "ETHUSDT", "--old-paths", "dead")
    async with websockets.connect(f"{dead.ws}/ws") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 1}))
        assert await receive(socket) == {"result": None, "id": 1}
        assert await silent(socket) is None


async def test_the_user_stream_tells_the_life_of_an_order(trader, receive):
    async with await trader.user_stream("ORDER_TRADE_UPDATE/ACCOUNT_UPDATE") as socket:
        await trader.limit("BUY", "99.00", "3", newClientOrderId="mm-life")
        new = (await receive(socket))["o"]
        assert (new["x"], new["X"], new["c"], new["q"]) == ("NEW", "NEW", "mm-life", "3.00")
        status, body = await trader.admin(
            "POST", "/admin/trade", {"symbol": "QUIETUSDT", "side": "SELL", "quantity": "1", "price": "98"}
        )
        assert (status, body) == (200, {"filled": "1.00", "fills": 1})
        account = (await receive(socket))["a"]
        assert (account["m"], account["P"][0]["pa"]) == ("ORDER", "1.00")
        fill = (await receive(socket))["o"]
        assert (fill["x"], fill["X"], fill["l"], fill["L"], fill["m"]) == (
            "TRADE",
            "PARTIALLY_FILLED",
            "1.00",
            "99.00",
            True,
        )
        assert fill["n"] == "0.01980000"
        await trader.call("DELETE", "/fapi/v1/order", symbol="QUIETUSDT", origClientOrderId="mm-life")
        assert (await receive(socket))["o"]["X"] == "CANCELED"


async def test_a_user_stream_without_events_or_on_the_wrong_base_hears_nothing(trader, silent):
    key = await trader.listen_key()
    events = "events=ORDER_TRADE_UPDATE"
    for url in (
        f"/private/ws?listenKey={key}",
        f"/public/ws?listenKey={key}&{events}",
        f"/private/ws/{key}",
        f"/private/ws?listenKey={'x' * 64}&{events}",
    ):
        async with websockets.connect(trader.exchange.ws + url) as socket:
            await trader.limit("BUY", "98.00")
            assert await silent(socket, 0.3) is None, url


async def test_only_the_asked_events_of_the_own_account_arrive(trader, open_account, receive, silent):
    other = await open_account()
    async with await trader.user_stream("ACCOUNT_UPDATE") as socket:
        await other.market("BUY")
        await trader.limit("BUY", "98.00")
        assert await silent(socket, 0.3) is None
        await trader.market("BUY")
        assert (await receive(socket))["e"] == "ACCOUNT_UPDATE"


async def test_configuration_changes_are_told(trader, receive):
    async with await trader.user_stream("ACCOUNT_CONFIG_UPDATE") as socket:
        await trader.call("POST", "/fapi/v1/leverage", symbol="QUIETUSDT", leverage=7)
        assert (await receive(socket))["ac"] == {"s": "QUIETUSDT", "l": 7}


async def test_the_sdk_form_subscribes_the_key_and_gets_wrapped_events(trader, receive):
    key = await trader.listen_key()
    async with websockets.connect(f"{trader.exchange.ws}/private/stream") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 1}))
        await receive(socket)
        await trader.limit("BUY", "98.00")
        frame = await receive(socket)
    assert (frame["stream"], frame["data"]["e"]) == (key, "ORDER_TRADE_UPDATE")


async def test_the_ws_api_places_queries_and_cancels(trader, receive):
    async with websockets.connect(trader.exchange.wsApi) as socket:

        async def ask(method, **params):
            params |= {"apiKey": trader.key, "timestamp": int(time.time() * 1000)}
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
            await socket.send(
                json.dumps({"id": method, "method": method, "params": params | {"signature": trader.sign(payload)}})
            )
            return await receive(socket)

        order = {"symbol": "QUIETUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "1"}
        placed = await ask("order.place", price="99.00", **order)
        assert (placed["id"], placed["status"], placed["result"]["status"]) == ("order.place", 200, "NEW")
        assert {row["rateLimitType"] for row in placed["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}
        refused = await ask("order.place", price="101.00", **order)
        assert (refused["status"], refused["error"]["code"]) == (400, -5022)
        name = {"symbol": "QUIETUSDT", "orderId": placed["result"]["orderId"]}
        assert (await ask("order.status", **name))["result"]["status"] == "NEW"
        assert (await ask("order.cancel", **name))["result"]["status"] == "CANCELED"
        assert (await ask("v2/account.balance"))["result"][0]["asset"] == "USDT"
    assert [entry["kind"] for entry in await trader.ledger("order", "reject", "cancel")] == [
        "order",
        "reject",
        "cancel",
    ]
