"""Histories over the API: pages, times, limits, and what is refused by name."""

import json

import pytest

from support.exchange_world import Client


@pytest.fixture
def client(world):
    return Client(world)


def ask(client, method, path, **params):
    return json.loads(client(method, path, **params).body)


def trades(world, client, count=5):
    """Trades of one unit more each, a second apart, known to the API."""
    from mm_exchange.market import Trade

    for number in range(1, count + 1):
        world.wait(1)
        at = world.now_ns // 10**6
        trade = Trade("ETHUSDT", at, at, number, 100_00 + number, 1_000 * number, number % 2 == 0)
        world.venue.on_market(trade, world.now_ns)
        client.api.statistics.of("ETHUSDT").on_trade(trade, at)
    world.wait(1)
    client.api.statistics.due(world.now_ns // 10**6)
    return world.now_ns // 10**6


def test_aggregates_page_forward_from_an_id_and_show_the_latest_without(world, client):
    now_ms = trades(world, client)
    everything = ask(client, "GET", "/fapi/v1/aggTrades", symbol="ETHUSDT")
    assert [row["p"] for row in everything] == ["100.01", "100.02", "100.03", "100.04", "100.05"]
    latest = ask(client, "GET", "/fapi/v1/aggTrades", symbol="ETHUSDT", limit=2)
    assert latest == everything[-2:]
    page = ask(client, "GET", "/fapi/v1/aggTrades", symbol="ETHUSDT", fromId=everything[1]["a"], limit=2)
    assert page == everything[1:3]
    timed = ask(client, "GET", "/fapi/v1/aggTrades", symbol="ETHUSDT", startTime=now_ms - 3500, endTime=now_ms - 1500)
    assert timed == everything[2:4]


def test_aggregates_of_more_than_an_hour_are_refused(client):
    span = {"startTime": 1, "endTime": 3_600_002}
    assert ask(client, "GET", "/fapi/v1/aggTrades", symbol="ETHUSDT", **span)["code"] == -4188


def test_historical_trades_start_at_an_id(world, client):
    trades(world, client)
    rows = ask(client, "GET", "/fapi/v1/historicalTrades", symbol="ETHUSDT", fromId=3, limit=2)
    assert [row["id"] for row in rows] == [3, 4]
    assert rows[0]["quoteQty"] == "300.09000000"


def test_candles_and_the_day_agree(world, client):
    trades(world, client)
    (row,) = ask(client, "GET", "/fapi/v1/klines", symbol="ETHUSDT", interval="1d")
    assert row[1:6] == ["100.01", "100.05", "100.01", "100.05", "15.000"]
    assert row[8] == 5
    day = ask(client, "GET", "/fapi/v1/ticker/24hr", symbol="ETHUSDT")
    assert [day[name] for name in ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume")] == row[1:6]
    assert (day["priceChange"], day["count"], day["lastQty"]) == ("0.04", 5, "5.000")
    assert ask(client, "GET", "/fapi/v1/continuousKlines", pair="ETHUSDT", contractType="PERPETUAL", interval="1d") == [
        row
    ]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("klines", {"interval": "7m"}, -1120),
        ("klines", {}, -1102),
        ("klines", {"interval": "1m", "symbol": "NOPE"}, -1121),
        ("continuousKlines", {"interval": "1m", "pair": "ETHUSDT", "contractType": "CURRENT_QUARTER"}, -1130),
        ("aggTrades", {"limit": 0}, -1130),
        ("ticker/24hr", {"symbol": "NOPE"}, -1121),
        ("fundingRate", {"symbol": "NOPE"}, -1121),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(client, path, params, code):
    assert ask(client, "GET", f"/fapi/v1/{path}", **({"symbol": "ETHUSDT"} | params))["code"] == code


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("klines", {"interval": "1m", "limit": 99}, 1),
        ("klines", {"interval": "1m"}, 5),
        ("klines", {"interval": "1m", "limit": 499}, 2),
        ("klines", {"interval": "1m", "limit": 1500}, 10),
        ("aggTrades", {}, 20),
        ("historicalTrades", {}, 20),
        ("ticker/24hr", {}, 1),
        ("ticker/24hr", {"symbol": None}, 40),
        ("fundingRate", {}, 0),
        ("forceOrders", {}, 20),
        ("forceOrders", {"symbol": None}, 50),
        ("orderAmendment", {}, 1),
        ("openInterest", {}, 1),
    ],
)
def test_weights_are_the_documented_ones(client, path, params, weight):
    sent = {name: value for name, value in ({"symbol": "ETHUSDT"} | params).items() if value is not None}
    reply = client("GET", f"/fapi/v1/{path}", **sent)
    assert reply.status == 200
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_amendments_are_remembered_newest_first(world, client):
    order = world.limit("BUY", 98_00)
    for price in ("97.50", "97.00"):
        ask(client, "PUT", "/fapi/v1/order", symbol="ETHUSDT", orderId=order.order_id, side="BUY", quantity="2",
            price=price)  # fmt: skip
    rows = ask(client, "GET", "/fapi/v1/orderAmendment", symbol="ETHUSDT", orderId=order.order_id)
    assert [row["amendment"]["price"] for row in rows] == [
        {"before": "97.50", "after": "97.00"},
        {"before": "98.00", "after": "97.50"},
    ]
    assert [row["amendment"]["count"] for row in rows] == [2, 1]
    assert rows[1]["amendment"]["origQty"] == {"before": "1.000", "after": "2.000"}


def test_a_batch_of_amendments_tells_of_the_refused_one_in_its_place(world, client):
    first, second = world.limit("BUY", 98_00), world.limit("BUY", 97_00)
    change = {"symbol": "ETHUSDT", "side": "BUY", "quantity": "1", "price": "96"}
    batch = json.dumps(
        [change | {"orderId": first.order_id}, change | {"orderId": 7}, change | {"orderId": second.order_id}]
    )
    rows = ask(client, "PUT", "/fapi/v1/batchOrders", batchOrders=batch)
    assert [row.get("price", row.get("code")) for row in rows] == ["96.00", -2013, "96.00"]


def test_own_histories_look_back_a_week_and_page_from_an_id_or_a_time(world, client):
    first = world.limit("BUY", 98_00)
    world.market("BUY", 1_000)
    world.wait(8 * 24 * 3600)
    second = world.limit("BUY", 97_00)
    world.market("SELL", 1_000)
    week_ms, now_ms = 7 * 24 * 3600 * 1000, world.now_ns // 10**6

    def ids(path, name, **params):
        return [row[name] for row in ask(client, "GET", f"/fapi/v1/{path}", symbol="ETHUSDT", **params)]

    assert len(ids("userTrades", "id")) == 1
    assert ids("allOrders", "orderId")[0] == second.order_id
    assert ids("allOrders", "orderId", orderId=first.order_id, limit=1) == [first.order_id]
    assert ids("allOrders", "orderId", startTime=now_ms - 9 * 24 * 3600 * 1000, limit=1) == [first.order_id]
    old = ids("userTrades", "id", startTime=now_ms - 9 * 24 * 3600 * 1000)
    assert len(ids("userTrades", "id", fromId=old[0])) == 2
    assert len(ids("income", "tranId", startTime=1, endTime=now_ms)) >= 2
    assert (
        ids("income", "tranId", startTime=1, endTime=now_ms, limit=1, page=2)
        == ids("income", "tranId", startTime=1, endTime=now_ms)[1:2]
    )
    for path in ("userTrades", "allOrders"):
        span = {"startTime": 1, "endTime": week_ms + 2}
        assert ask(client, "GET", f"/fapi/v1/{path}", symbol="ETHUSDT", **span)["code"] == -4165
    assert ask(client, "GET", "/fapi/v1/userTrades", symbol="ETHUSDT", fromId=1, startTime=1)["code"] == -1128
