"""Fills as the live market brings them, and the admin helpers that bring them on order."""

import asyncio


async def test_quotes_two_bps_from_the_touch_fill_within_seconds(trader):
    async with asyncio.timeout(30):
        while not await trader.ledger("fill"):
            ticker = await trader.public("/fapi/v1/ticker/bookTicker", symbol="ETHUSDT")
            await trader.call("DELETE", "/fapi/v1/allOpenOrders", symbol="ETHUSDT")
            bid, ask = float(ticker["bidPrice"]) * 0.9998, float(ticker["askPrice"]) * 1.0002
            await trader.limit("BUY", f"{bid:.2f}", "0.02", symbol="ETHUSDT", tif="GTX")
            await trader.limit("SELL", f"{ask:.2f}", "0.02", symbol="ETHUSDT", tif="GTX")
            await asyncio.sleep(2)
    fill = (await trader.ledger("fill"))[0]
    assert fill["maker"] is True
    assert fill["lastPrice"] == fill["price"]
    notional = float(fill["lastPrice"]) * float(fill["lastQuantity"])
    assert abs(float(fill["commission"]) - notional * 0.0002) < 1e-7


async def test_a_pushed_market_fills_what_it_crosses(trader):
    before = float((await trader.public("/fapi/v1/ticker/bookTicker", symbol="ETHUSDT"))["bidPrice"])
    await trader.limit("BUY", f"{before * 0.995:.2f}", "0.02", symbol="ETHUSDT", tif="GTX")
    status, _ = await trader.admin("POST", "/admin/price", {"symbol": "ETHUSDT", "moveBps": -100})
    assert status == 200
    assert [entry["maker"] for entry in await trader.ledger("fill")] == [True]
    await trader.admin("POST", "/admin/price", {"symbol": "ETHUSDT", "moveBps": 100})


async def test_an_outsider_meets_the_best_price_first_then_time(trader, open_account):
    late = await open_account()
    await trader.limit("BUY", "99.00", newClientOrderId="worse")
    await trader.limit("BUY", "99.10", newClientOrderId="first")
    await late.limit("BUY", "99.10", newClientOrderId="second")
    outsider = {"symbol": "QUIETUSDT", "side": "SELL", "quantity": "2.5"}
    _, body = await trader.admin("POST", "/admin/trade", outsider)
    assert body == {"filled": "2.50", "fills": 3}
    assert [entry["clientOrderId"] for entry in await trader.ledger("fill")] == ["first", "worse"]
    assert [entry["clientOrderId"] for entry in await late.ledger("fill")] == ["second"]
    assert await trader.position() == "1.50"


async def test_an_immediate_order_takes_what_is_shown_and_expires_with_the_rest(trader):
    book = await trader.public("/fapi/v1/depth", symbol="QUIETUSDT", limit=5)
    price, shown = book["asks"][0]
    got = await trader.limit("BUY", price, f"{float(shown) + 1:.2f}", tif="IOC")
    assert (got["status"], got["executedQty"]) == ("EXPIRED", shown)
    assert (await trader.limit("BUY", price, f"{float(shown) + 9:.2f}", tif="FOK"))["code"] == -5021


async def test_reduce_only_never_goes_past_flat(trader):
    await trader.market("BUY", "2")
    sold = await trader.market("SELL", "5", reduceOnly="true")
    assert (sold["status"], sold["executedQty"]) == ("EXPIRED", "2.00")
    assert await trader.position() == "0.00"
    assert (await trader.market("SELL", "1", reduceOnly="true"))["code"] == -2022


async def test_a_resting_reduce_only_order_leaves_when_nothing_is_left_to_reduce(trader):
    await trader.market("BUY", "2")
    await trader.limit("SELL", "102.00", "2", reduceOnly="true", newClientOrderId="close")
    await trader.market("SELL", "2")
    (expired,) = await trader.ledger("expire")
    assert (expired["clientOrderId"], expired["by"]) == ("close", "reduce-only")


async def test_a_position_can_be_moved_from_outside(trader, receive):
    async with await trader.user_stream("ACCOUNT_UPDATE") as socket:
        status, row = await trader.admin(
            "POST", "/admin/positions", {"apiKey": trader.key, "symbol": "QUIETUSDT", "quantity": "-3", "price": "100"}
        )
        assert (status, row["position"]) == (200, "-3.00")
        assert (await receive(socket))["a"]["m"] == "ADJUSTMENT"
    assert await trader.position() == "-3.00"


async def test_the_ledger_filters_by_account_symbol_and_place(trader):
    await trader.limit("BUY", "99.00")
    await trader.limit("BUY", "2600.00", "0.02", symbol="ETHUSDT")
    entries = await trader.ledger()
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    assert [entry["symbol"] for entry in await trader.ledger("order", symbol="ETHUSDT")] == ["ETHUSDT"]
    after = await trader.ledger("order", since=entries[-2]["seq"])
    assert [entry["symbol"] for entry in after] == ["ETHUSDT"]
    assert len(await trader.ledger("order", since=entries[-1]["time"])) >= 1
    assert await trader.ledger("order", since=entries[-1]["time"] + 60_000) == []


async def test_open_orders_and_positions_are_shown(trader):
    await trader.limit("SELL", "101.00", "2")
    _, orders = await trader.admin("GET", f"/admin/open-orders?apiKey={trader.key}")
    assert [(row["side"], row["quantity"], row["status"]) for row in orders["orders"]] == [("SELL", "2.00", "NEW")]
    _, positions = await trader.admin("GET", f"/admin/positions?apiKey={trader.key}&symbol=QUIETUSDT")
    assert positions["positions"][0]["position"] == "0.00"


async def test_accounts_keep_the_keys_they_were_given(trader, open_account):
    kept = await open_account(apiKey="given-key", apiSecret="given-secret", balances={"USDT": "5"})
    assert (await kept.call("GET", "/fapi/v3/balance"))[0]["balance"] == "5.00000000"
    status, body = await trader.admin("POST", "/admin/accounts", {"apiKey": "given-key"})
    assert status == 409
    assert "given-key" in body["error"]
