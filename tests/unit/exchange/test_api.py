"""Limits, escalation, listenKeys, good-till dates and reply shapes, on a clock that tests move."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_exchange.api.core import Request
from mm_exchange.api.table import ENDPOINTS
from mm_exchange.listen_keys import LIFETIME_NS
from support.exchange_world import START_NS


def body(reply):
    return orjson.loads(reply.body)


def test_weight_beyond_the_limit_is_429_then_418_and_ends(world, make_client):
    client = make_client(weight_per_minute=100)
    for _ in range(20):
        assert client("GET", "/fapi/v3/balance").status == 200
    refused = client("GET", "/fapi/v3/balance")
    assert (refused.status, body(refused)["code"]) == (429, -1003)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    for _ in range(60):
        client("GET", "/fapi/v3/balance")
    banned = client("GET", "/fapi/v1/ping")
    assert (banned.status, int(banned.headers["Retry-After"])) == (418, 120)
    assert client("GET", "/fapi/v1/ping", address="10.0.0.2").status == 200
    world.wait(121)
    assert client("GET", "/fapi/v1/ping").status == 200


def test_a_client_that_stops_at_429_is_not_banned(world, make_client):
    client = make_client(weight_per_minute=10)
    for _ in range(3):
        last = client("GET", "/fapi/v3/balance")
    assert last.status == 429
    world.wait(60)
    assert client("GET", "/fapi/v3/balance").status == 200


def test_orders_are_counted_per_account_and_refusals_are_recorded(world, make_client):
    client = make_client(orders_per_10s=3)
    world.open("other")
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "99"}
    replies = [client("POST", "/fapi/v1/order", **order) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert body(replies[-1])["code"] == -1015
    assert replies[2].headers["X-MBX-ORDER-COUNT-10S"] == "3"
    assert client("POST", "/fapi/v1/order", api_key="other", **order).status == 200
    assert [entry.code for entry in world.entries("reject")] == [-1015]
    world.wait(10)
    assert client("POST", "/fapi/v1/order", **order).status == 200


def test_a_refused_batch_is_recorded_order_by_order(world, make_client):
    client = make_client(orders_per_10s=1)
    items = '[{"symbol":"ETHUSDT","side":"BUY","newClientOrderId":"a"},{"symbol":"ETHUSDT","newClientOrderId":"b"}]'
    assert client("POST", "/fapi/v1/batchOrders", batchOrders=items).status == 429
    assert [(entry.client_order_id, entry.code) for entry in world.entries("reject")] == [("a", -1015), ("b", -1015)]


def test_depth_weighs_by_its_size(client):
    weights, before = [], 0
    for limit in (5, 100, 500, 1000):
        after = int(client("GET", "/fapi/v1/depth", symbol="ETHUSDT", limit=limit).headers["X-MBX-USED-WEIGHT-1M"])
        weights.append(after - before)
        before = after
    assert weights == [2, 5, 10, 20]


def test_a_listen_key_lives_an_hour_from_its_last_keepalive(world, client):
    key = body(client("POST", "/fapi/v1/listenKey"))["listenKey"]
    world.wait(3000)
    client("PUT", "/fapi/v1/listenKey")
    world.wait(3000)
    assert world.venue.listen_keys.account_of(key) == "key"
    world.wait(LIFETIME_NS / 1e9 - 2999)
    assert world.venue.listen_keys.account_of(key) is None
    assert [event.name for event in world.venue.drain()] == ["listenKeyExpired"]
    assert body(client("PUT", "/fapi/v1/listenKey"))["code"] == -1125


def test_a_foreign_listen_key_cannot_be_kept(world, client):
    world.open("other")
    key = body(client("POST", "/fapi/v1/listenKey", api_key="other"))["listenKey"]
    client("POST", "/fapi/v1/listenKey")
    assert body(client("PUT", "/fapi/v1/listenKey", listenKey=key))["code"] == -1125


def test_a_good_till_date_must_be_ten_minutes_ahead_and_is_kept(world, client):
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTD", "quantity": "1", "price": "99"}
    now = world.now_ns // 10**6
    assert body(client("POST", "/fapi/v1/order", goodTillDate=now + 599_000, **order))["code"] == -5040
    assert body(client("POST", "/fapi/v1/order", **order))["code"] == -1102
    placed = body(client("POST", "/fapi/v1/order", goodTillDate=now + 700_000, **order))
    world.wait(701)
    (expired,) = world.entries("expire")
    assert (expired.order_id, expired.by) == (placed["orderId"], "good-till-date")


def test_a_countdown_is_per_account_and_symbol(world, client):
    other = world.open("other")
    mine, theirs = world.limit("BUY", 99_00), world.limit("BUY", 99_00, trading=other)
    client("POST", "/fapi/v1/countdownCancelAll", symbol="ETHUSDT", countdownTime=5000)
    world.wait(4)
    client("POST", "/fapi/v1/countdownCancelAll", symbol="ETHUSDT", countdownTime=5000)
    world.wait(4)
    assert mine.live
    world.wait(1)
    assert (mine.live, theirs.live) == (False, True)


@pytest.mark.parametrize("spelling", ["true", "TRUE", "True"])
def test_booleans_come_in_any_spelling(world, client, spelling):
    world.market("BUY")
    order = {"symbol": "ETHUSDT", "side": "SELL", "type": "MARKET", "quantity": "1", "reduceOnly": spelling}
    assert body(client("POST", "/fapi/v1/order", **order))["reduceOnly"] is True


def test_both_spellings_of_id_lists_are_taken(world, client):
    orders = [world.limit("BUY", 99_00, cid=f"id-{n}") for n in range(2)]
    reply = client("DELETE", "/fapi/v1/batchOrders", symbol="ETHUSDT", orderidlist=f"[{orders[0].order_id}]")
    assert body(reply)[0]["status"] == "CANCELED"
    reply = client("DELETE", "/fapi/v1/batchOrders", symbol="ETHUSDT", origclientorderidlist='["id-1"]')
    assert body(reply)[0]["clientOrderId"] == "id-1"


def test_histories_page_forward_from_where_they_are_asked(world, client):
    for _ in range(5):
        world.market("BUY")
    trades = body(client("GET", "/fapi/v1/userTrades", symbol="ETHUSDT", limit=2))
    assert [trade["id"] for trade in trades] == [world.trading.trades[3].trade_id, world.trading.trades[4].trade_id]
    first = world.trading.trades[1].trade_id
    trades = body(client("GET", "/fapi/v1/userTrades", symbol="ETHUSDT", limit=2, fromId=first))
    assert [trade["id"] for trade in trades] == [first, first + 1]
    orders = body(client("GET", "/fapi/v1/allOrders", symbol="ETHUSDT", limit=3))
    assert [order["orderId"] for order in orders] == sorted(world.trading.orders)[-3:]


def test_finished_orders_are_forgotten_in_the_end_but_not_by_the_ledger(world, monkeypatch):
    monkeypatch.setattr("mm_exchange.trading.FINISHED", 3)
    for _ in range(10):
        world.market("BUY")
    assert len(world.trading.orders) == 3
    assert len(world.trading.by_client_id) == 3
    assert len(world.entries("order")) == 10


PUBLIC = {
    "/fapi/v1/premiumIndex": {
        "symbol",
        "markPrice",
        "indexPrice",
        "estimatedSettlePrice",
        "lastFundingRate",
        "interestRate",
        "nextFundingTime",
        "time",
    },
    "/fapi/v1/ticker/bookTicker": {"symbol", "bidPrice", "bidQty", "askPrice", "askQty", "time"},
    "/fapi/v2/ticker/price": {"symbol", "price", "time"},
}


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_public_objects_have_their_fields_and_are_lists_without_a_symbol(client, path):
    one = body(client("GET", path, symbol="ETHUSDT"))
    assert PUBLIC[path] <= one.keys()
    assert [row["symbol"] for row in body(client("GET", path))] == ["ETHUSDT"]


ORDER = {
    "clientOrderId",
    "executedQty",
    "orderId",
    "origQty",
    "price",
    "reduceOnly",
    "side",
    "positionSide",
    "status",
    "stopPrice",
    "closePosition",
    "symbol",
    "timeInForce",
    "type",
    "origType",
    "updateTime",
    "workingType",
    "priceProtect",
    "priceMatch",
    "selfTradePreventionMode",
    "goodTillDate",
    "avgPrice",
    "cumQuote",
}


def test_orders_have_their_fields(world, client):
    order = world.limit("BUY", 99_00)
    name = {"symbol": "ETHUSDT", "orderId": order.order_id}
    assert ORDER | {"time"} <= body(client("GET", "/fapi/v1/order", **name)).keys()
    assert ORDER | {"time"} <= body(client("GET", "/fapi/v1/openOrder", **name)).keys()
    assert ORDER | {"cumQty"} <= body(client("DELETE", "/fapi/v1/order", **name)).keys()
    assert body(client("GET", "/fapi/v1/openOrder", **name))["code"] == -2013


def test_every_endpoint_of_the_table_answers(world, client):
    world.market("BUY")
    plain = {
        "symbol": "ETHUSDT",
        "leverage": 5,
        "marginType": "ISOLATED",
        "countdownTime": 0,
        "dualSidePosition": "false",
        "multiAssetsMargin": "false",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "1",
        "price": "99",
        "timeInForce": "GTC",
        "origClientOrderId": "x",
        "batchOrders": "[{}]",
        "origClientOrderIdList": '["x"]',
        "pair": "ETHUSDT",
        "contractType": "PERPETUAL",
        "interval": "1m",
        "feeBurn": "false",
    }
    others = {
        "/fapi/v1/algoOrder": {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "200", "algoId": 1},
        "/fapi/v1/positionMargin": {"type": 1, "amount": "1"},
        "/fapi/v1/positionMargin/history": {"type": 1},
    }
    for method, path in ENDPOINTS:
        reply = client(method, path, **plain | others.get(path, {}))
        assert reply.status in (200, 400), (method, path)
        assert reply.status == 200 or body(reply)["code"] in (-2011, -2013, -4048, -4049, -4059, -4171), (
            method,
            path,
            reply,
        )


NAMES = st.sampled_from(
    [
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "price",
        "newClientOrderId",
        "reduceOnly",
        "orderId",
        "origClientOrderId",
        "orderIdList",
        "origClientOrderIdList",
        "batchOrders",
        "limit",
        "leverage",
        "marginType",
        "countdownTime",
        "goodTillDate",
        "listenKey",
        "startTime",
        "fromId",
    ]
)
VALUES = (
    st.sampled_from(
        [
            "ETHUSDT",
            "BUY",
            "LIMIT",
            "MARKET",
            "GTC",
            "GTX",
            "GTD",
            "1",
            "99",
            "-1",
            "1e5",
            "[]",
            "[1]",
            '["a"]',
            "[{}]",
            '[{"symbol":"ETHUSDT","side":[]}]',
            "null",
            "{",
            "9" * 30,
            "",
        ]
    )
    | st.text()
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(ENDPOINTS)), params=st.dictionaries(NAMES, VALUES, max_size=9))
def test_no_parameters_break_an_endpoint(make_client, path, params):
    client = make_client(weight_per_minute=10**9, orders_per_10s=10**9, orders_per_minute=10**9)
    params = {name: value.encode(errors="ignore").decode() for name, value in params.items()}
    reply = client(*path, **params)
    assert reply.status in (200, 400)
    assert reply.status == 200 or body(reply)["code"] < 0


@given(query=st.text(), payload=st.text())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_break_a_signed_call(client, query, payload):
    reply = client.api.handle(Request("POST", "/fapi/v1/order", query, payload, "key", "10.0.0.9"), START_NS)
    assert reply.status in (400, 418, 429)
