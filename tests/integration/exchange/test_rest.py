"""The REST port as a client meets it."""

import asyncio
import time
from urllib.parse import quote

import pytest


async def test_time_and_ping_need_no_key(trader):
    assert await trader.public("/fapi/v1/ping") == {}
    assert abs((await trader.public("/fapi/v1/time"))["serverTime"] - time.time() * 1000) < 2000


async def test_exchange_info_has_the_filters_that_clients_read(trader):
    info = await trader.public("/fapi/v1/exchangeInfo")
    symbol = next(row for row in info["symbols"] if row["symbol"] == "ETHUSDT")
    filters = {row["filterType"]: row for row in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01"
    assert filters["LOT_SIZE"]["stepSize"] == "0.001"
    assert filters["MIN_NOTIONAL"]["notional"] == "20"
    assert filters["MAX_NUM_ORDERS"]["limit"] == 200
    assert {row["rateLimitType"]: row["limit"] for row in info["rateLimits"] if row["interval"] == "MINUTE"} == {
        "REQUEST_WEIGHT": 2400,
        "ORDERS": 1200,
    }


async def test_depth_is_sorted_and_never_crossed(trader):
    book = await trader.public("/fapi/v1/depth", symbol="ETHUSDT", limit=1000)
    bids, asks = ([float(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert len(bids) >= 20
    assert len(asks) >= 20
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


async def test_depth_of_an_odd_size_is_refused(trader):
    assert (await trader.public("/fapi/v1/depth", symbol="ETHUSDT", limit=7))["code"] == -4021


async def test_a_limit_order_rests_is_found_and_is_cancelled(trader):
    placed = await trader.limit("BUY", "99.00", newClientOrderId="mm-a-1")
    assert placed["status"] == "NEW"
    by_client_id = await trader.call("GET", "/fapi/v1/order", symbol="QUIETUSDT", origClientOrderId="mm-a-1")
    assert by_client_id["orderId"] == placed["orderId"]
    assert [row["orderId"] for row in await trader.call("GET", "/fapi/v1/openOrders", symbol="QUIETUSDT")] == [
        placed["orderId"]
    ]
    cancelled = await trader.call("DELETE", "/fapi/v1/order", symbol="QUIETUSDT", orderId=placed["orderId"])
    assert cancelled["status"] == "CANCELED"
    again = await trader.call("DELETE", "/fapi/v1/order", symbol="QUIETUSDT", orderId=placed["orderId"])
    assert again["code"] == -2011
    assert (await trader.call("GET", "/fapi/v1/order", symbol="QUIETUSDT", orderId=placed["orderId"]))[
        "status"
    ] == "CANCELED"


async def test_an_order_nobody_sent_does_not_exist(trader):
    assert (await trader.call("GET", "/fapi/v1/order", symbol="QUIETUSDT", origClientOrderId="none"))["code"] == -2013


async def test_the_default_reply_tells_of_no_fill(trader):
    reply = await trader.call("POST", "/fapi/v1/order", symbol="QUIETUSDT", side="BUY", type="MARKET", quantity="1")
    assert (reply["status"], reply["executedQty"]) == ("NEW", "0.00")
    assert await trader.position() == "1.00"


async def test_a_post_only_order_that_would_take_is_refused_and_recorded(trader):
    refused = await trader.limit("BUY", "101.00", tif="GTX", newClientOrderId="mm-x")
    assert refused["code"] == -5022
    (entry,) = await trader.ledger("reject")
    assert (entry["code"], entry["clientOrderId"], entry["price"], entry["side"]) == (-5022, "mm-x", "101.00", "BUY")
    assert await trader.ledger("order") == []


async def test_a_live_client_id_cannot_be_used_twice_but_a_finished_one_can(trader):
    first = await trader.limit("BUY", "99.00", newClientOrderId="same")
    assert (await trader.limit("BUY", "98.90", newClientOrderId="same"))["code"] == -4116
    await trader.call("DELETE", "/fapi/v1/order", symbol="QUIETUSDT", orderId=first["orderId"])
    assert (await trader.limit("BUY", "98.90", newClientOrderId="same"))["status"] == "NEW"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity": "0.001"}, -1111),
        ({"quantity": "0"}, -4003),
        ({"quantity": "-1"}, -4003),
        ({"quantity": "0.01"}, -4164),
        ({"quantity": "1e9"}, -4005),
        ({"quantity": "nan"}, -1102),
        ({"price": "99.001"}, -1111),
        ({"price": "0"}, -4001),
        ({"price": "200"}, -4016),
        ({"price": ""}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"timeInForce": "EVER"}, -1115),
        ({"symbol": "NOPE"}, -1121),
        ({"reduceOnly": "true"}, -2022),
        ({"positionSide": "LONG"}, -4061),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -1100),
        ({"newOrderRespType": "LOUD"}, -1130),
        ({"quantity": "9000"}, -2019),
    ],
)
async def test_a_bad_order_is_refused_by_name_and_recorded(trader, change, code):
    order = {
        "symbol": "QUIETUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "1",
        "price": "99.00",
    } | change
    assert (await trader.call("POST", "/fapi/v1/order", **order))["code"] == code
    assert [entry["code"] for entry in await trader.ledger("reject")] == [code]
    assert await trader.ledger("order") == []


async def test_a_batch_places_what_it_can_and_names_what_it_cannot(trader):
    good = '{"symbol":"QUIETUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTX","quantity":"1","price":"99.00"}'
    crossing = good.replace("99.00", "101.00")
    placed, refused = await trader.call("POST", "/fapi/v1/batchOrders", batchOrders=f"[{good},{crossing}]")
    assert placed["status"] == "NEW"
    assert refused["code"] == -5022
    assert len(await trader.ledger("reject")) == 1
    gone, unknown = await trader.call(
        "DELETE",
        "/fapi/v1/batchOrders",
        symbol="QUIETUSDT",
        origClientOrderIdList=f'["{placed["clientOrderId"]}","nobody"]',
    )
    assert gone["status"] == "CANCELED"
    assert unknown["code"] == -2011


async def test_cancel_all_takes_every_order_of_the_symbol(trader):
    for price in ("99.00", "98.00"):
        await trader.limit("BUY", price)
    await trader.limit("BUY", "2600.00", "0.02", symbol="ETHUSDT")
    assert (await trader.call("DELETE", "/fapi/v1/allOpenOrders", symbol="QUIETUSDT"))["code"] == 200
    assert [row["symbol"] for row in await trader.call("GET", "/fapi/v1/openOrders")] == ["ETHUSDT"]
    assert [entry["by"] for entry in await trader.ledger("cancel")] == ["cancel-all", "cancel-all"]


async def test_the_bytes_as_sent_are_what_is_signed_in_query_and_body(trader):
    form = f"symbol=QUIETUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=99.00&timestamp={_now()}"
    status, body, _ = await trader.send("POST", "/fapi/v1/order", body=f"{form}&signature={trader.sign(form)}")
    assert (status, body["status"]) == (200, "NEW")
    batch = quote(
        '[{"symbol":"QUIETUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","quantity":"1","price":"98"}]'
    )
    query = f"batchOrders={batch}&timestamp={_now()}"
    status, rows, _ = await trader.send("POST", "/fapi/v1/batchOrders", f"{query}&signature={trader.sign(query)}")
    assert (status, rows[0]["status"]) == (200, "NEW")


async def test_strangers_are_refused(trader):
    query = f"timestamp={_now()}"
    signed = f"{query}&signature={trader.sign(query)}"
    forged = f"{query}&signature={'0' * 64}"
    path = "/fapi/v3/balance"
    assert (await trader.send("GET", path, forged))[:2] == (
        400,
        {"code": -1022, "msg": "Signature for this request is not valid."},
    )
    assert (await trader.send("GET", path, signed, headers={"X-MBX-APIKEY": "who"}))[0] == 401
    assert (await trader.send("GET", path, signed, headers={"X-MBX-APIKEY": ""}))[1]["code"] == -2014
    assert (await trader.call("GET", path, timestamp=_now() - 6000))["code"] == -1021
    assert (await trader.call("GET", path, timestamp=_now() + 3000))["code"] == -1021
    assert (await trader.call("GET", path, timestamp=_now() - 3000, recvWindow=2000))["code"] == -1021


async def test_limits_are_told_in_headers(trader):
    query = f"symbol=QUIETUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=99.00&timestamp={_now()}"
    _, _, headers = await trader.send("POST", "/fapi/v1/order", f"{query}&signature={trader.sign(query)}")
    assert headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert headers["X-MBX-ORDER-COUNT-1M"] == "1"
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) >= 0
    assert headers["Content-Type"].startswith("application/json")


async def test_a_trade_moves_position_wallet_and_histories_together(trader):
    await trader.market("BUY", "2")
    await trader.market("SELL", "2")
    trades = await trader.call("GET", "/fapi/v1/userTrades", symbol="QUIETUSDT")
    fees = sum(float(trade["commission"]) for trade in trades)
    realized = sum(float(trade["realizedPnl"]) for trade in trades)
    (balance,) = await trader.call("GET", "/fapi/v3/balance")
    assert float(balance["balance"]) == pytest.approx(10_000 + realized - fees, abs=1e-8)
    incomes = await trader.call("GET", "/fapi/v1/income", symbol="QUIETUSDT")
    assert sum(float(row["income"]) for row in incomes) == pytest.approx(realized - fees, abs=1e-8)
    assert all(not trade["maker"] for trade in trades)
    assert await trader.call("GET", "/fapi/v3/positionRisk") == []


async def test_leverage_and_margin_type_are_kept(trader):
    assert (await trader.call("POST", "/fapi/v1/leverage", symbol="QUIETUSDT", leverage=5))["leverage"] == 5
    assert (await trader.call("POST", "/fapi/v1/leverage", symbol="QUIETUSDT", leverage=500))["code"] == -4028
    switch = {"symbol": "QUIETUSDT", "marginType": "ISOLATED"}
    assert (await trader.call("POST", "/fapi/v1/marginType", **switch))["code"] == 200
    assert (await trader.call("POST", "/fapi/v1/marginType", **switch)) == {
        "code": -4046,
        "msg": "No need to change margin type.",
    }
    (row,) = await trader.call("GET", "/fapi/v2/positionRisk", symbol="QUIETUSDT")
    assert (row["leverage"], row["marginType"]) == ("5", "isolated")


async def test_a_long_position_has_a_liquidation_price_below_its_entry(trader):
    await trader.call("POST", "/fapi/v1/marginType", symbol="QUIETUSDT", marginType="ISOLATED")
    await trader.call("POST", "/fapi/v1/leverage", symbol="QUIETUSDT", leverage=10)
    await trader.market("BUY", "5")
    (row,) = await trader.call("GET", "/fapi/v3/positionRisk", symbol="QUIETUSDT")
    # Isolated at 10x: a tenth of the entry, less the maintenance margin of 1 % that a small symbol asks for.
    assert float(row["liquidationPrice"]) == pytest.approx(float(row["entryPrice"]) * 0.9 / 0.99, rel=1e-3)


async def test_hedge_mode_keeps_two_positions_of_a_symbol(trader):
    assert await trader.call("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": False}
    assert (await trader.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false"))["code"] == -4059
    assert (await trader.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true"))["code"] == 200
    for side, position_side in (("BUY", "LONG"), ("SELL", "SHORT")):
        order = {"symbol": "QUIETUSDT", "side": side, "positionSide": position_side, "type": "MARKET", "quantity": "1"}
        await trader.call("POST", "/fapi/v1/order", **order)
    rows = await trader.call("GET", "/fapi/v3/positionRisk")
    assert {row["positionSide"]: float(row["positionAmt"]) for row in rows} == {"LONG": 1.0, "SHORT": -1.0}


async def test_a_listen_key_belongs_to_the_account(trader):
    key = await trader.listen_key()
    assert await trader.listen_key() == key
    assert (await trader.send("PUT", "/fapi/v1/listenKey"))[1] == {"listenKey": key}
    assert (await trader.send("DELETE", "/fapi/v1/listenKey"))[1] == {}
    status, body, _ = await trader.send("PUT", "/fapi/v1/listenKey")
    assert (status, body["code"]) == (400, -1125)
    assert await trader.listen_key() != key


async def test_the_countdown_cancels_by_the_exchange_clock_unless_refreshed(trader):
    await trader.limit("BUY", "99.00")
    reply = await trader.call("POST", "/fapi/v1/countdownCancelAll", symbol="QUIETUSDT", countdownTime=300)
    assert reply == {"symbol": "QUIETUSDT", "countdownTime": "300"}
    await until_none_rests(trader)
    (cancel,) = await trader.ledger("cancel")
    armed, fired = await trader.ledger("countdown")
    assert cancel["by"] == "countdown"
    assert (armed["status"], fired["status"]) == ("ARMED", "FIRED")
    # Never early; that it is due to the nanosecond is held where the clock is the test's own (tests/unit/exchange/test_order_rules.py).
    assert fired["time"] - armed["time"] >= 300


async def test_a_disarmed_countdown_does_nothing(trader, open_account):
    other = await open_account()
    for one in (trader, other):
        await one.limit("BUY", "99.00")
    for one, milliseconds in ((trader, 3000), (trader, 0), (other, 3000)):
        await one.call("POST", "/fapi/v1/countdownCancelAll", symbol="QUIETUSDT", countdownTime=milliseconds)
    await until_none_rests(other)  # armed later for as long: by now the first would have fired too
    assert [entry["status"] for entry in await trader.ledger("countdown")] == ["ARMED", "DISARMED"]
    assert len(await trader.call("GET", "/fapi/v1/openOrders", symbol="QUIETUSDT")) == 1


async def test_an_amended_order_keeps_its_id(trader):
    placed = await trader.limit("BUY", "99.00")
    change = {"symbol": "QUIETUSDT", "side": "BUY", "orderId": placed["orderId"]}
    amended = await trader.call("PUT", "/fapi/v1/order", **change, price="98.50", quantity="2")
    assert (amended["orderId"], amended["price"], amended["origQty"]) == (placed["orderId"], "98.50", "2.00")
    assert (await trader.call("PUT", "/fapi/v1/order", **change, price="98.50", quantity="2"))["code"] == -5027


async def test_an_unknown_path_is_a_json_404(trader):
    status, body, _ = await trader.send("GET", "/fapi/v1/nothing")
    assert (status, body["code"]) == (404, -5000)


async def until_none_rests(trader, seconds=15):
    async with asyncio.timeout(seconds):
        while await trader.call("GET", "/fapi/v1/openOrders", symbol="QUIETUSDT"):  # noqa: ASYNC110 - it ends in another process
            await asyncio.sleep(0.05)


def _now():
    return int(time.time() * 1000)
