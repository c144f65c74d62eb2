"""Orders over the wire: what the venue's ledger shows is what the core is told, in every way a request can end."""

from __future__ import annotations

import time

import pytest

from mm_runner.core.messages import (
    LOCAL_REFUSAL,
    CancelAccepted,
    CancelRefused,
    OrderAccepted,
    OrderFound,
    OrderMissing,
    OrderRefused,
    OrderReport,
    OrderType,
    OrderUnknown,
    QueryFailed,
    QueryOrder,
    RateLimited,
    Side,
    TimeInForce,
    VenueStatus,
)
from mm_runner.venue.gateway import GatewaySettings


def now_boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


async def test_an_order_rests_as_asked_and_its_acknowledgement_and_report_agree(open_desk, eventually):
    async with open_desk() as desk:
        order = desk.order()
        desk.gateway.execute([order])
        accepted = (await eventually(lambda: desk.of(OrderAccepted), within=10, what="acknowledged"))[0]
        report = (await eventually(lambda: desk.of(OrderReport), within=10, what="reported"))[0]
        resting = desk.resting()[0]
        assert resting["clientOrderId"] == accepted.client_order_id == report.client_order_id == order.client_order_id
        assert resting["orderId"] == accepted.order_id == report.order_id
        assert float(resting["price"]) == order.price / 100
        assert float(resting["quantity"]) == 0.02
        assert resting["timeInForce"] == "GTX"
        assert accepted.status is VenueStatus.NEW
        assert desk.metric("runner_orders_placed_total") == 1


async def test_cancels_of_one_call_share_a_request_and_each_is_answered(open_desk, eventually):
    async with open_desk() as desk:
        orders = [desk.order(away=0.01 + 0.001 * number) for number in range(5)]
        desk.gateway.execute(orders)
        await eventually(lambda: len(desk.of(OrderAccepted)) == 5, within=10, what="all acknowledged")
        before = desk.metric("runner_rest_requests_total", action="cancel")
        desk.gateway.execute([desk.cancel(order) for order in orders])
        await eventually(lambda: len(desk.of(CancelAccepted)) == 5, within=10, what="all cancelled")
        assert desk.metric("runner_rest_requests_total", action="cancel") == before + 1
        assert desk.resting() == []


async def test_a_cancel_of_an_order_that_is_gone_is_refused_by_name(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([desk.cancel(desk.order())])
        refused = (await eventually(lambda: desk.of(CancelRefused), within=10, what="refused"))[0]
        assert refused.code == -2011
        assert desk.metric("runner_rest_errors_total", action="cancel") == 0  # everyday life, no error


async def test_a_post_only_order_that_would_take_is_refused_with_5022(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([desk.order(away=-0.01)])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="refused"))[0]
        assert refused.code == -5022
        assert desk.metric("runner_order_rejects_total", code="-5022") == 1


@pytest.mark.parametrize("code", [-1111, -2019, -2022, -2025, -4164])
async def test_each_refusal_reaches_the_core_by_its_code(code, open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("reject", "rest", count=1, params={"code": code, "method": "POST", "path": "/fapi/v1/order"})
        desk.gateway.execute([desk.order()])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="refused"))[0]
        assert refused.code == code


async def test_an_ioc_order_is_told_at_once_what_it_filled(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([desk.order(away=-0.005, time_in_force=TimeInForce.IOC)])
        accepted = (await eventually(lambda: desk.of(OrderAccepted), within=10, what="acknowledged"))[0]
        assert accepted.status is VenueStatus.FILLED
        assert accepted.executed == 20
        assert accepted.average_price > 0
        fills = await eventually(
            lambda: [r for r in desk.of(OrderReport) if r.execution_type == "TRADE"], within=10, what="fill"
        )
        assert sum(fill.last_lots for fill in fills) == 20
        assert fills[0].commission > 0


async def test_a_reduce_only_market_order_closes_what_there_is(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([desk.order(away=-0.005, time_in_force=TimeInForce.IOC)])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="opened")
        close = desk.order(side=Side.SELL, type=OrderType.MARKET, time_in_force=None, price=0, reduce_only=True)
        desk.gateway.execute([close])
        await eventually(lambda: len(desk.of(OrderAccepted)) == 2, within=10, what="closed")
        assert float(desk.exchange.positions(apiKey=desk.api_key)[0]["position"]) == 0


async def test_an_order_whose_answer_is_lost_is_unknown_and_the_query_finds_it(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault(
            "timeout-after", "rest", count=1, params={"method": "POST", "path": "/fapi/v1/order", "holdSeconds": 10}
        )
        order = desk.order()
        desk.gateway.execute([order])
        unknown = (await eventually(lambda: desk.of(OrderUnknown), within=10, what="unknown"))[0]
        assert "no answer within" in unknown.error
        desk.gateway.execute([QueryOrder(client_order_id=order.client_order_id)])
        found = (await eventually(lambda: desk.of(OrderFound), within=10, what="found"))[0]
        assert found.order.status is VenueStatus.NEW
        assert len([e for e in desk.ledger() if e["kind"] == "order"]) == 1  # never sent twice


@pytest.mark.parametrize(
    ("kind", "params"),
    [("reset", {}), ("drop", {}), ("http-status", {"status": 502}), ("http-status", {"status": 503, "code": -1007})],
)
async def test_a_connection_cut_after_the_send_or_a_gateway_error_is_unknown(
    kind, params, open_desk, exchange, eventually
):
    async with open_desk() as desk:
        exchange.fault(kind, "rest", count=1, params={**params, "method": "POST", "path": "/fapi/v1/order"})
        order = desk.order()
        desk.gateway.execute([order])
        await eventually(lambda: desk.of(OrderUnknown), within=10, what="unknown")
        desk.gateway.execute([QueryOrder(client_order_id=order.client_order_id)])
        await eventually(lambda: desk.of(OrderMissing), within=10, what="missing")
        assert desk.metric("runner_orders_unknown_total") == 1
        assert desk.metric("runner_rest_errors_total", action="place") == 1


async def test_a_query_that_tells_nothing_says_so(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault(
            "http-status", "rest", count=1, params={"status": 503, "method": "GET", "path": "/fapi/v1/order"}
        )
        desk.gateway.execute([QueryOrder(client_order_id="mm0123456789-1-1")])
        await eventually(lambda: desk.of(QueryFailed), within=10, what="failed")
        assert desk.of(OrderMissing) == []


async def test_no_byte_leaves_after_the_send_deadline(open_desk, eventually):
    async with open_desk() as desk:
        late = desk.order(send_deadline_boot_ns=1)
        desk.gateway.execute([late])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="refused"))[0]
        assert (refused.code, refused.message) == (LOCAL_REFUSAL, "send deadline passed")
        assert [e for e in desk.ledger() if e["kind"] in ("order", "reject")] == []
        assert desk.metric("runner_rest_requests_total", action="place") == 0


async def test_a_deadline_that_passes_while_an_order_waits_its_turn_holds_it_back(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("delay", "rest", count=1, params={"ms": 800, "method": "POST", "path": "/fapi/v1/order"})
        first = desk.order()
        second = desk.order(send_deadline_boot_ns=first.send_deadline_boot_ns - 9_700_000_000)
        desk.gateway.execute([first, second])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="second refused"))[0]
        assert refused.client_order_id == second.client_order_id
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="first accepted")
        assert [o["clientOrderId"] for o in desk.resting()] == [first.client_order_id]


async def test_an_order_that_still_waits_is_taken_back_by_its_cancel(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("delay", "rest", count=1, params={"ms": 1500, "method": "POST", "path": "/fapi/v1/order"})
        first, second = desk.order(), desk.order(away=0.02)
        desk.gateway.execute([first, second])
        await eventually(lambda: desk.metric("runner_orders_placed_total") == 1, within=10, what="first sent")
        desk.gateway.execute([desk.cancel(second)])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="first accepted")
        # Taken back at once: while the first was still on its way.
        told = [event for event in desk.events if isinstance(event, (OrderRefused, CancelRefused, OrderAccepted))]
        assert [type(event) for event in told] == [OrderRefused, CancelRefused, OrderAccepted]
        assert [event.client_order_id for event in told[:2]] == [second.client_order_id] * 2
        assert [event.code for event in told[:2]] == [LOCAL_REFUSAL] * 2
        assert [e["clientOrderId"] for e in desk.ledger() if e["kind"] == "order"] == [first.client_order_id]


async def test_a_cancel_follows_its_unacknowledged_order_on_the_same_connection(open_desk, exchange, eventually):
    """Invariant 7: the order is delayed at the venue, the cancel is made meanwhile, and still finds it."""
    async with open_desk() as desk:
        exchange.fault("delay", "rest", count=1, params={"ms": 1500, "method": "POST", "path": "/fapi/v1/order"})
        order = desk.order()
        desk.gateway.execute([order])
        await eventually(lambda: desk.metric("runner_orders_placed_total") == 1, within=10, what="sent")
        assert desk.of(OrderAccepted) == []
        desk.gateway.execute([desk.cancel(order)])
        await eventually(lambda: desk.of(CancelAccepted), within=10, what="cancelled")
        assert desk.of(CancelRefused) == []
        assert desk.resting() == []


async def test_a_stuck_order_does_not_hold_up_cancels_of_acknowledged_ones(open_desk, exchange, eventually):
    async with open_desk() as desk:
        resting = [desk.order(), desk.order(away=0.02)]
        desk.gateway.execute(resting)
        await eventually(lambda: len(desk.of(OrderAccepted)) == 2, within=10, what="resting")
        exchange.fault(
            "timeout-before", "rest", count=1, params={"method": "POST", "path": "/fapi/v1/order", "holdSeconds": 10}
        )
        stuck = desk.order(away=0.03)
        desk.gateway.execute([stuck])
        await eventually(lambda: desk.metric("runner_orders_placed_total") == 3, within=10, what="stuck order sent")
        desk.gateway.execute([desk.cancel(order) for order in resting])
        await eventually(
            lambda: len(desk.of(CancelAccepted)) == 2, within=10, what="cancelled although an order is stuck"
        )
        await eventually(lambda: desk.of(OrderUnknown), within=10, what="the stuck order is given up")
        ends = [type(event) for event in desk.events if isinstance(event, (CancelAccepted, OrderUnknown))]
        assert ends == [CancelAccepted, CancelAccepted, OrderUnknown]
        assert desk.resting() == []


async def test_1021_stops_orders_until_the_clock_is_read_anew_and_resends_nothing(open_desk, exchange, eventually):
    async with open_desk() as desk:
        reads = desk.metric("runner_rest_requests_total", action="time")
        exchange.fault("reject", "rest", count=1, params={"code": -1021, "method": "POST", "path": "/fapi/v1/order"})
        clock_away = exchange.fault("http-status", "rest", params={"status": 503, "path": "/fapi/v1/time"})
        desk.gateway.execute([desk.order()])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="refused"))[0]
        assert refused.code == -1021
        desk.gateway.execute([desk.order(away=0.02)])
        withheld = (await eventually(lambda: desk.of(OrderRefused)[1:], within=10, what="withheld"))[0]
        assert (withheld.code, withheld.message.partition(":")[0]) == (LOCAL_REFUSAL, "the venue's clock is not known")
        await eventually(
            lambda: desk.metric("runner_rest_requests_total", action="time") > reads, within=10, what="clock asked"
        )
        exchange.call("DELETE", f"/admin/faults?id={clock_away['id']}")
        await eventually(lambda: desk.gateway._client.clock.synced, within=20, what="clock read")
        desk.gateway.execute([desk.order(away=0.03)])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="quoting again")
        assert len([e for e in desk.ledger() if e["kind"] == "reject"]) == 1


async def test_429_is_obeyed_by_the_whole_client(open_desk, exchange, eventually):
    async with open_desk(settings=GatewaySettings(clock_seconds=3600)) as desk:
        order = desk.order()
        desk.gateway.execute([order])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="resting")
        exchange.fault(
            "http-status", "rest", count=1, params={"status": 429, "retryAfter": 4, "path": "/fapi/v1/order"}
        )
        desk.gateway.execute([desk.order(away=0.02)])
        limited = (await eventually(lambda: desk.of(RateLimited), within=10, what="limited"))[0]
        assert limited.code == 429
        seen = desk.exchange.ledger(limit=100000)[-1]["seq"]
        desk.gateway.execute([desk.order(away=0.03), desk.cancel(order), QueryOrder(client_order_id="x")])
        await eventually(lambda: desk.of(QueryFailed), within=10, what="query held back")
        assert "obeying HTTP 429" in desk.of(QueryFailed)[0].error
        assert desk.of(CancelRefused)[0].code == LOCAL_REFUSAL
        assert [e for e in desk.ledger(since=seen) if e["kind"] != "fault"] == []
        assert desk.said("rate_limited")[0]["retryAfterSeconds"] == 4
        await eventually(lambda: now_boot_ns() >= limited.until_boot_ns, within=20, what="the pause is over")
        desk.gateway.execute([desk.cancel(order)])
        await eventually(lambda: desk.of(CancelAccepted), within=10, what="cancelled after the pause")


async def test_html_instead_of_json_is_counted_and_the_order_certainly_refused(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("http-status", "rest", count=1, params={"status": 403, "path": "/fapi/v1/order"})
        desk.gateway.execute([desk.order()])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="refused"))[0]
        assert refused.code == -403
        assert desk.metric("runner_malformed_total", kind="rest_not_json") == 1


async def test_without_run_every_action_is_still_answered(open_desk, eventually):
    async with open_desk(run=False) as desk:
        order = desk.order()
        desk.gateway.execute([order, desk.cancel(order), QueryOrder(client_order_id="x")])
        assert desk.events == []  # never from within the call
        await eventually(lambda: len(desk.events) == 3, within=10, what="answers")
        assert {type(event) for event in desk.events} == {OrderRefused, CancelRefused, QueryFailed}
