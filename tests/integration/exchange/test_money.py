"""Funding, liquidation, transfers and fees over real sockets."""

import json

import pytest
import websockets

FLOW = {"QUIETUSDT": {"price": "100", "volatilityBps": 0, "tradesPerSecond": 0, "spreadTicks": 10}}


@pytest.fixture
async def lone(trader, serve, session, tmp_path):
    """A trader alone on an exchange whose market stands still until it is pushed."""
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(FLOW))
    exchange = serve("--synthetic", "QUIETUSDT", "--flow", str(flow))
    async with session.post(f"{exchange.admin}/admin/accounts", json={"balances": {"USDT": "60"}}) as reply:
        return type(trader)(exchange, session, await reply.json())


async def test_a_liquidation_is_told_on_every_stream_and_leaves_nothing_below_zero(lone, receive):
    names = "ORDER_TRADE_UPDATE/ACCOUNT_UPDATE/MARGIN_CALL"
    async with (
        await lone.user_stream(names) as user,
        websockets.connect(f"{lone.exchange.ws}/market/ws/quietusdt@forceOrder") as public,
    ):
        await lone.market("BUY", "10")
        before = float((await lone.call("GET", "/fapi/v3/positionRisk"))[0]["liquidationPrice"])
        assert 94 < before < 96
        await lone.admin("POST", "/admin/price", {"symbol": "QUIETUSDT", "moveBps": -1000})
        order = await receive(user, lambda event: event.get("o", {}).get("o") == "LIQUIDATION")
        assert order["o"]["c"].startswith("autoclose-")
        cleared = await receive(user, lambda event: event.get("a", {}).get("m") == "INSURANCE_CLEAR")
        assert cleared["a"]["B"][0]["wb"] == "0.00000000"
        forced = await receive(public)
        assert (forced["e"], forced["o"]["S"], forced["o"]["z"]) == ("forceOrder", "SELL", order["o"]["q"])
    assert await lone.call("GET", "/fapi/v3/positionRisk") == []
    assert await lone.position() in ("0", "0.000", "0.0000", "0.00")
    rows = await lone.call("GET", "/fapi/v1/income", limit=1000)
    assert sum(float(row["income"]) for row in rows) == pytest.approx(-60, abs=1e-6)
    assert [row["orderId"] for row in await lone.call("GET", "/fapi/v1/forceOrders")] == [order["o"]["i"]]
    status, fund = await lone.admin("GET", "/admin/fund")
    assert status == 200
    assert "USDT" in fund["balances"]


async def test_funding_can_be_settled_on_order_and_is_told(lone, receive):
    async with await lone.user_stream() as user:
        await lone.market("SELL", "5")
        status, body = await lone.admin(
            "POST", "/admin/funding", {"symbol": "QUIETUSDT", "rate": "0.001", "settle": True}
        )
        assert (status, body["rate"]) == (200, "0.00100000")
        told = await receive(user, lambda event: event.get("a", {}).get("m") == "FUNDING_FEE")
    shown = await lone.public("/fapi/v1/premiumIndex", symbol="QUIETUSDT")
    assert shown["lastFundingRate"] == "0.00100000"
    (fee,) = await lone.call("GET", "/fapi/v1/income", incomeType="FUNDING_FEE")
    assert fee["income"] == told["a"]["B"][0]["bc"]
    assert float(fee["income"]) == pytest.approx(0.5, rel=0.01)
    assert (await lone.admin("POST", "/admin/funding", {"symbol": "QUIETUSDT", "rate": "0.5"}))[0] == 400


async def test_a_stop_over_the_wire_closes_the_position(lone, receive):
    async with await lone.user_stream("ALGO_UPDATE") as user:
        await lone.market("BUY", "1")
        stop = {"algoType": "CONDITIONAL", "symbol": "QUIETUSDT", "side": "SELL", "type": "STOP_MARKET",
                "triggerPrice": "98", "workingType": "MARK_PRICE", "closePosition": "true"}  # fmt: skip
        placed = await lone.call("POST", "/fapi/v1/algoOrder", **stop)
        assert (await receive(user))["o"]["X"] == "NEW"
        await lone.admin("POST", "/admin/price", {"symbol": "QUIETUSDT", "moveBps": -400})
        done = await receive(user, lambda event: event["o"]["X"] == "FINISHED")
    assert done["o"]["aid"] == placed["algoId"]
    assert await lone.call("GET", "/fapi/v3/positionRisk") == []


async def test_a_transfer_and_fees_of_an_accounts_own(lone, session):
    status, body = await lone.admin("POST", "/admin/transfer", {"apiKey": lone.key, "amount": "40.5"})
    assert (status, body["walletBalance"]) == (200, "100.50000000")
    assert (await lone.admin("POST", "/admin/transfer", {"apiKey": lone.key, "amount": "-200"}))[0] == 400
    assert (await lone.admin("POST", "/admin/transfer", {"apiKey": "nobody", "amount": "1"}))[0] == 404
    fees = {"maker": "-0.0001", "taker": "0.0003"}
    async with session.post(f"{lone.exchange.admin}/admin/accounts", json={"fees": fees}) as reply:
        keys = await reply.json()
    vip = type(lone)(lone.exchange, session, keys)
    rate = await vip.call("GET", "/fapi/v1/commissionRate", symbol="QUIETUSDT")
    assert (rate["makerCommissionRate"], rate["takerCommissionRate"]) == ("-0.000100", "0.000300")
