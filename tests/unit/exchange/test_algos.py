"""Conditional orders: what triggers them, what they become, and what is told."""

import json

import pytest

from mm_exchange.algo_orders import AlgoStatus
from mm_exchange.orders import Status


def body(reply):
    return json.loads(reply.body)


@pytest.fixture
def algo(client):
    """Send a conditional order; the reply."""

    def send(**params):
        sent = {"algoType": "CONDITIONAL", "symbol": "ETHUSDT", "side": "SELL", "quantity": "1"} | params
        return body(client("POST", "/fapi/v1/algoOrder", **sent))

    return send


@pytest.fixture
def waiting(world, algo):
    """Send one that is accepted; the object."""

    def send(**params):
        reply = algo(**params)
        assert "algoId" in reply, reply
        return world.trading.algos.by_id[reply["algoId"]]

    world.trade(100_00, 1, sells=True)
    return send


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "beside", "at"),
    [
        ("SELL", "STOP_MARKET", "99", 99_01, 99_00),
        ("BUY", "STOP_MARKET", "101", 100_99, 101_00),
        ("SELL", "TAKE_PROFIT_MARKET", "101", 100_99, 101_00),
        ("BUY", "TAKE_PROFIT_MARKET", "99", 99_01, 99_00),
    ],
)
def test_stops_and_take_profits_trigger_at_their_price(world, waiting, side, kind, *, trigger, beside, at):
    algo = waiting(side=side, type=kind, triggerPrice=trigger)
    world.trade(beside, 1, sells=True)
    assert algo.status is AlgoStatus.NEW
    world.trade(at, 1, sells=True)
    assert (algo.status, algo.order.status) == (AlgoStatus.FINISHED, Status.FILLED)
    assert world.position() == (1_000 if side == "BUY" else -1_000)


def test_a_limit_stop_rests_and_finishes_with_its_order(world, waiting):
    algo = waiting(type="STOP", side="BUY", triggerPrice="100.50", price="99.95", timeInForce="GTC")
    world.trade(100_50, 1, sells=False)
    assert algo.status is AlgoStatus.TRIGGERED
    assert (algo.order.price, algo.order.live) == (99_95, True)
    world.venue.cancel_all(world.trading, "ETHUSDT", by="client", now_ns=world.now_ns)
    assert algo.status is AlgoStatus.FINISHED


def test_the_mark_price_is_another_trigger_than_the_last_trade(world, waiting):
    algo = waiting(type="STOP_MARKET", triggerPrice="99", workingType="MARK_PRICE")
    world.trade(98_00, 1, sells=True)
    assert algo.status is AlgoStatus.NEW
    world.book({98_98: 5_000}, {99_00: 5_000})
    assert algo.status is AlgoStatus.FINISHED


def test_price_protection_holds_a_trigger_back_while_the_last_price_is_far_from_the_mark(world, waiting):
    algo = waiting(type="STOP_MARKET", triggerPrice="99", priceProtect="true")
    world.trade(90_00, 1, sells=True)
    assert algo.status is AlgoStatus.NEW
    world.trade(98_50, 1, sells=True)
    assert algo.status is AlgoStatus.FINISHED


@pytest.mark.parametrize(
    ("side", "path"), [("SELL", [101_00, 102_00, 101_00, 100_98]), ("BUY", [99_00, 98_00, 98_90, 98_98])]
)
def test_a_trailing_stop_turns_by_its_rate_from_the_best_price(world, waiting, side, path):
    algo = waiting(type="TRAILING_STOP_MARKET", side=side, callbackRate="1")
    for price in path[:-1]:
        world.trade(price, 1, sells=True)
    assert algo.status is AlgoStatus.NEW
    world.trade(path[-1], 1, sells=True)
    assert algo.status is AlgoStatus.FINISHED


def test_a_trailing_stop_waits_for_its_activation(world, waiting):
    algo = waiting(type="TRAILING_STOP_MARKET", callbackRate="1", activatePrice="103")
    for price in (102_00, 100_00, 103_00, 102_50):
        world.trade(price, 1, sells=True)
        assert algo.status is AlgoStatus.NEW
    world.trade(101_90, 1, sells=True)
    assert algo.status is AlgoStatus.FINISHED


@pytest.mark.parametrize(
    "params",
    [
        {"type": "STOP_MARKET", "triggerPrice": "100.50"},
        {"type": "TAKE_PROFIT_MARKET", "triggerPrice": "99.50"},
        {"type": "STOP_MARKET", "side": "BUY", "triggerPrice": "99.50"},
        {"type": "TRAILING_STOP_MARKET", "callbackRate": "1", "activatePrice": "99"},
    ],
)
def test_what_would_trigger_at_once_is_refused(world, algo, params):
    world.trade(100_00, 1, sells=True)
    assert algo(**params)["code"] == -2021
    assert not world.listing.algos


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"type": "LIMIT"}, -1116),
        ({"type": "STOP_MARKET"}, -1102),
        ({"type": "STOP_MARKET", "triggerPrice": "-1"}, -4006),
        ({"type": "STOP_MARKET", "triggerPrice": "99", "workingType": "LAST"}, -4031),
        ({"type": "STOP", "triggerPrice": "99"}, -1102),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "11"}, -2007),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1", "activatePrice": "0"}, -4135),
        ({"type": "STOP_MARKET", "triggerPrice": "99", "closePosition": "true"}, -4137),
        ({"type": "STOP", "triggerPrice": "99", "price": "99", "closePosition": "true"}, -4136),
        ({"type": "STOP_MARKET", "triggerPrice": "99", "algoType": "VP"}, -1102),
        ({"type": "STOP_MARKET", "triggerPrice": "99", "positionSide": "LONG"}, -4061),
    ],
)
def test_what_cannot_be_is_refused_by_its_code(algo, params, code):
    assert algo(**params)["code"] == code


def test_one_order_that_closes_the_position_a_side_and_it_closes_all_there_is(world, waiting, client):
    world.market("BUY", 3_000)
    closing = {"type": "STOP_MARKET", "triggerPrice": "99", "closePosition": "true"}
    sent = {"algoType": "CONDITIONAL", "symbol": "ETHUSDT", "side": "SELL"} | closing
    placed = body(client("POST", "/fapi/v1/algoOrder", **sent))
    assert body(client("POST", "/fapi/v1/algoOrder", **sent))["code"] == -4130
    world.market("BUY", 1_000)
    world.trade(99_00, 1, sells=True)
    assert world.position() == 0
    shown = body(client("GET", "/fapi/v1/algoOrder", algoId=placed["algoId"]))
    assert (shown["algoStatus"], shown["actualQty"], shown["closePosition"]) == ("FINISHED", "4.000", True)


def test_a_triggered_order_that_is_refused_is_told_with_the_reason(world, waiting):
    algo = waiting(type="STOP_MARKET", triggerPrice="99", reduceOnly="true")
    world.venue.drain()
    world.trade(99_00, 1, sells=True)
    assert algo.status is AlgoStatus.REJECTED
    shown = [event.payload for event in world.venue.drain()]
    assert [row["e"] for row in shown] == ["ALGO_UPDATE", "ALGO_UPDATE", "CONDITIONAL_ORDER_TRIGGER_REJECT"]
    assert shown[1]["o"]["rm"] == "ReduceOnly Order is rejected."
    assert shown[2]["or"] == {"s": "ETHUSDT", "i": algo.algo_id, "r": "ReduceOnly Order is rejected."}


def test_the_order_that_it_becomes_remembers_where_it_came_from(world, waiting):
    algo = waiting(type="STOP_MARKET", triggerPrice="99", clientAlgoId="mine")
    world.venue.drain()
    world.trade(99_00, 1, sells=True)
    events = [event.payload for event in world.venue.drain()]
    order = next(event["o"] for event in events if event["e"] == "ORDER_TRADE_UPDATE")
    assert (order["c"], order["o"], order["ot"]) == ("mine", "MARKET", "STOP_MARKET")
    states = [event["o"]["X"] for event in events if event["e"] == "ALGO_UPDATE"]
    assert states == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    assert events[-1]["o"]["ai"] == str(algo.order.order_id)


def test_lists_queries_and_cancels(world, waiting, client):
    first = waiting(type="STOP_MARKET", triggerPrice="99", clientAlgoId="first")
    second = waiting(type="STOP_MARKET", triggerPrice="98")
    listed = body(client("GET", "/fapi/v1/openAlgoOrders", symbol="ETHUSDT"))
    assert [row["algoId"] for row in listed] == [first.algo_id, second.algo_id]
    gone = body(client("DELETE", "/fapi/v1/algoOrder", clientAlgoId="first"))
    assert gone == {"algoId": first.algo_id, "clientAlgoId": "first", "code": "200", "msg": "success"}
    assert body(client("DELETE", "/fapi/v1/algoOrder", clientAlgoId="first"))["code"] == -2011
    assert body(client("GET", "/fapi/v1/algoOrder", algoId=1))["code"] == -2013
    assert body(client("DELETE", "/fapi/v1/algoOpenOrders", symbol="ETHUSDT"))["code"] == 200
    assert body(client("GET", "/fapi/v1/openAlgoOrders")) == []
    every = body(client("GET", "/fapi/v1/allAlgoOrders", symbol="ETHUSDT"))
    assert [row["algoStatus"] for row in every] == ["CANCELED", "CANCELED"]
    assert [entry.status for entry in world.entries("algo")] == ["NEW", "NEW", "CANCELED", "CANCELED"]


def test_a_waiting_order_takes_no_margin_and_ends_at_its_date(world, waiting):
    free = world.venue.available(world.trading, "USDT")
    date = world.now_ns // 10**6 + 700_000
    algo = waiting(type="STOP", triggerPrice="99", price="98", timeInForce="GTD", goodTillDate=date)
    assert world.venue.available(world.trading, "USDT") == free
    world.wait(701)
    assert algo.status is AlgoStatus.EXPIRED


def test_the_order_endpoint_sends_conditional_types_away(client):
    order = {"symbol": "ETHUSDT", "side": "SELL", "quantity": "1", "stopPrice": "99"}
    assert body(client("POST", "/fapi/v1/order", type="STOP_MARKET", **order))["code"] == -4120
