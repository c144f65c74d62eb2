"""Hedge mode, multi-assets mode, isolated margin, leverage: positions by side, and every refusal by its code."""

import dataclasses
import json

import pytest

from mm_exchange.errors import VenueError
from mm_exchange.orders import OrderRequest, OrderType, PositionSide, Side, TimeInForce
from mm_exchange.scales import MONEY


def body(reply):
    return json.loads(reply.body)


@pytest.fixture
def hedged(world, client):
    assert body(client("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true"))["code"] == 200
    return world


@pytest.fixture
def order(client):
    def send(side, position_side=None, quantity="1", **params):
        sent = {"symbol": "ETHUSDT", "side": side, "type": "MARKET", "quantity": quantity} | params
        if position_side:
            sent["positionSide"] = position_side
        return body(client("POST", "/fapi/v1/order", **sent))

    return send


def held(world, side):
    return world.trading.account.position(world.rules, PositionSide(side)).quantity


def test_hedge_mode_keeps_a_long_and_a_short_apart(hedged, order):
    order("BUY", "LONG", "3")
    order("SELL", "SHORT", "2")
    assert (held(hedged, "LONG"), held(hedged, "SHORT"), held(hedged, "BOTH")) == (3_000, -2_000, 0)
    order("SELL", "LONG", "1")
    order("BUY", "SHORT", "2")
    assert (held(hedged, "LONG"), held(hedged, "SHORT")) == (2_000, 0)


def test_closing_one_side_never_opens_the_other(hedged, order):
    order("BUY", "LONG", "1")
    assert order("SELL", "LONG", "2")["code"] == -2022
    assert order("BUY", "SHORT", "1")["code"] == -2022


def test_orders_must_name_a_side_of_the_mode_and_no_reduce_only_in_hedge(world, client, order):
    assert order("BUY", "LONG")["code"] == -4061
    client("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    assert order("BUY")["code"] == -4061
    assert order("BUY", "BOTH")["code"] == -4061
    assert order("BUY", "LEFT")["code"] == -4060
    assert order("SELL", "LONG", reduceOnly="true")["code"] == -1106


def test_the_mode_changes_only_while_nothing_is_open(world, client):
    def switch(to):
        return body(client("POST", "/fapi/v1/positionSide/dual", dualSidePosition=to))["code"]

    assert switch("false") == -4059
    resting = world.limit("BUY", 99_00)
    assert switch("true") == -4067
    world.venue.cancel_all(world.trading, resting.symbol, by="client", now_ns=world.now_ns)
    world.market("BUY")
    assert switch("true") == -4068
    stop = {"algoType": "CONDITIONAL", "symbol": "ETHUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "1"}
    waiting = body(client("POST", "/fapi/v1/algoOrder", triggerPrice="90", **stop))
    assert switch("true") == -4067
    client("DELETE", "/fapi/v1/algoOrder", algoId=waiting["algoId"])
    world.market("SELL")
    assert switch("true") == 200
    assert body(client("GET", "/fapi/v1/positionSide/dual")) == {"dualSidePosition": True}


def test_position_risk_account_and_events_show_both_sides(hedged, order, client):
    order("BUY", "LONG", "3")
    hedged.venue.drain()
    order("SELL", "SHORT", "2")
    risk = body(client("GET", "/fapi/v3/positionRisk"))
    assert {row["positionSide"]: row["positionAmt"] for row in risk} == {"LONG": "3.000", "SHORT": "-2.000"}
    every = body(client("GET", "/fapi/v2/positionRisk"))
    assert [row["positionSide"] for row in every] == ["BOTH", "LONG", "SHORT"]
    assert [row["positionSide"] for row in body(client("GET", "/fapi/v3/account"))["positions"]] == ["LONG", "SHORT"]
    events = {event.name: event.payload for event in hedged.venue.drain()}
    assert events["ACCOUNT_UPDATE"]["a"]["P"][0]["ps"] == "SHORT"
    assert events["ORDER_TRADE_UPDATE"]["o"]["ps"] == "SHORT"


def test_a_resting_close_leaves_when_its_side_is_flat(hedged, order):
    order("BUY", "LONG", "1")
    resting = order("SELL", "LONG", "1", type="LIMIT", price="101", timeInForce="GTC")
    order("SELL", "LONG", "1")
    assert hedged.trading.orders[resting["orderId"]].status.value == "EXPIRED"


def test_leverage_is_one_for_both_sides(hedged, order):
    order("BUY", "LONG", "1")
    hedged.venue.set_leverage(hedged.trading, "ETHUSDT", leverage=7, now_ns=hedged.now_ns)
    order("SELL", "SHORT", "1")
    assert {position.leverage for position in hedged.trading.account.sides("ETHUSDT")} == {7}


def test_multi_assets_mode_shares_the_wallets(world, client):
    usdc = dataclasses.replace(world.rules, symbol="ETHUSDC", quote="USDC")
    world.venue.add_symbol(usdc)
    trading = world.open("key2", usdt=0)
    trading.account.wallets["USDC"] = 1_000 * MONEY.one
    with pytest.raises(VenueError) as refused:
        world.market("BUY", 10_000, trading=trading)
    assert refused.value.code == -2019
    world.venue.set_multi_assets(trading, on=True, now_ns=world.now_ns)
    world.market("BUY", 10_000, trading=trading)
    assert trading.account.wallets["USDT"] < 0
    assert world.venue.available(trading, "USDT") == world.venue.available(trading, "USDC") > 0
    shown = world.venue.drain()
    assert {"j": True} in [event.payload.get("ai") for event in shown]


def test_multi_assets_mode_is_refused_by_its_codes(world, client):
    def switch(to):
        return body(client("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin=to))["code"]

    assert switch("false") == -4171
    world.limit("BUY", 99_00)
    assert switch("true") == -4170
    world.venue.cancel_all(world.trading, "ETHUSDT", by="client", now_ns=world.now_ns)
    world.venue.set_margin_type(world.trading, "ETHUSDT", isolated=True, now_ns=world.now_ns)
    assert switch("true") == -4167
    world.venue.set_margin_type(world.trading, "ETHUSDT", isolated=False, now_ns=world.now_ns)
    assert switch("true") == 200
    marginal = {"symbol": "ETHUSDT", "marginType": "ISOLATED"}
    assert body(client("POST", "/fapi/v1/marginType", **marginal))["code"] == -4168
    assert body(client("GET", "/fapi/v1/multiAssetsMargin")) == {"multiAssetsMargin": True}


def isolate(world, leverage=10, lots=10_000):
    world.venue.set_margin_type(world.trading, "ETHUSDT", isolated=True, now_ns=world.now_ns)
    world.venue.set_leverage(world.trading, "ETHUSDT", leverage=leverage, now_ns=world.now_ns)
    world.market("BUY", lots)
    return world.trading.account.position(world.rules)


def test_an_isolated_position_has_its_own_margin_from_the_wallet_and_gives_it_back(world):
    position = isolate(world)
    assert position.isolated_wallet == pytest.approx(position.cost / 10, abs=10)
    account = world.trading.account
    assert account.cross_wallet("USDT") == account.wallets["USDT"] - position.isolated_wallet
    # What stands behind the position has left the rest of the wallet, and only once.
    assert world.venue.available(world.trading, "USDT") == account.cross_wallet("USDT")
    world.market("SELL", 4_000)
    assert position.isolated_wallet == pytest.approx(position.cost / 10, abs=10)
    world.market("SELL", 6_000)
    assert position.isolated_wallet == 0
    world.market("SELL", 3_000)
    assert position.isolated_wallet == pytest.approx(-position.cost / 10, abs=10)


def test_margin_is_moved_to_and_from_an_isolated_position(world, client):
    def move(kind, amount):
        return body(client("POST", "/fapi/v1/positionMargin", symbol="ETHUSDT", type=kind, amount=amount))

    assert move(1, "5")["code"] == -4049
    position = isolate(world)
    before = position.isolated_wallet
    world.venue.drain()
    assert move(1, "5.5") == {
        "amount": 5.5, "code": 200, "msg": "Successfully modify position margin.", "type": 1,
    }  # fmt: skip
    assert position.isolated_wallet == before + MONEY.parse("5.5")
    assert world.venue.drain()[0].payload["a"]["m"] == "MARGIN_TRANSFER"
    assert move(2, "50")["code"] == -4051
    assert move(2, "1")["code"] == 200
    assert move(1, "100000000")["code"] == -4050
    assert move(1, "0")["code"] == -4055
    rows = body(client("GET", "/fapi/v1/positionMargin/history", symbol="ETHUSDT"))
    assert [(row["type"], row["amount"]) for row in rows] == [(2, "1.00000000"), (1, "5.50000000")]
    world.market("SELL", 10_000)
    assert move(1, "5")["code"] == -4054


def test_more_margin_moves_the_liquidation_price_away(world):
    position = isolate(world)
    before = world.venue.liquidation_price(world.trading, position)
    world.venue.move_margin(world.trading, position, amount=10 * MONEY.one, now_ns=world.now_ns)
    assert world.venue.liquidation_price(world.trading, position) < before


def test_leverage_is_refused_by_its_codes(world):
    def refused(leverage):
        with pytest.raises(VenueError) as error:
            world.venue.set_leverage(world.trading, "ETHUSDT", leverage=leverage, now_ns=world.now_ns)
        return error.value.code

    assert refused(126) == -4028
    isolate(world)
    assert refused(5) == -4161
    world.market("SELL", 10_000)
    world.book({99_99: 10**8}, {100_01: 10**8})
    world.market("BUY", 2_000_000)
    assert refused(125) == -2027


def test_transfers_move_the_wallet_and_never_what_is_bound(world):
    account = world.trading.account
    world.venue.transfer(world.trading, "USDT", amount=-999_000 * MONEY.one, now_ns=world.now_ns)
    assert account.wallets["USDT"] == 1_000 * MONEY.one
    request = OrderRequest("ETHUSDT", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 100_000, 99_00)
    world.venue.place(world.trading, request, now_ns=world.now_ns)
    with pytest.raises(VenueError) as refused:
        world.venue.transfer(world.trading, "USDT", amount=-600 * MONEY.one, now_ns=world.now_ns)
    assert refused.value.code == -2018
    assert [(row.kind, row.amount) for row in world.trading.income] == [("TRANSFER", -999_000 * MONEY.one)]
