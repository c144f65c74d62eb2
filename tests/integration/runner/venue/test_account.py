"""The account: snapshots, set-up, the dead-man switch, and the last way out."""

from __future__ import annotations

import asyncio
import time

import pytest

from mm_contract.claim import Claim, ClientOrderId
from mm_runner.core.messages import (
    AccountSnapshot,
    DeadMan,
    OrderAccepted,
    OrderRefused,
    Reconcile,
    ReconcileFailed,
    SetDeadMan,
    Side,
    TimeInForce,
)
from mm_runner.venue.account_setup import AccountSetupError
from mm_runner.venue.signing import Credentials

S = 1_000_000_000


async def test_a_snapshot_shows_position_wallet_orders_and_trades_as_the_ledger_does(open_desk, exchange, eventually):
    async with open_desk() as desk:
        before_ms = time.time_ns() // 1_000_000 - 1000
        await desk.gateway.configure_account(leverage=5, margin_type="Isolated")
        desk.gateway.execute([desk.order(away=-0.005, time_in_force=TimeInForce.IOC), desk.order()])
        await eventually(lambda: len(desk.of(OrderAccepted)) == 2, within=10, what="placed")
        desk.gateway.execute([Reconcile(reason="test", trades_since_ms=before_ms)])
        snapshot = (await eventually(lambda: desk.of(AccountSnapshot), within=10, what="snapshot"))[0]
        truth = exchange.positions(apiKey=desk.api_key)[0]
        assert snapshot.position == round(float(truth["position"]) * 1000) == 20
        assert float(snapshot.entry_price) == pytest.approx(float(truth["entryPrice"]))
        assert float(snapshot.wallet_balance) == pytest.approx(float(truth["walletBalance"]))
        assert [o.client_order_id for o in snapshot.open_orders] == [o["clientOrderId"] for o in desk.resting()]
        fills = [e for e in desk.ledger() if e["kind"] == "fill"]
        assert [t.trade_id for t in snapshot.trades] == [e["tradeId"] for e in fills]
        assert float(sum(t.commission for t in snapshot.trades)) == pytest.approx(
            sum(float(e["commission"]) for e in fills)
        )
        assert snapshot.liquidation_price >= 0
        assert 0 < snapshot.margin_ratio < 1
        assert not snapshot.hedge_mode


async def test_a_flat_account_reads_as_flat(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([Reconcile(reason="test", trades_since_ms=0)])
        snapshot = (await eventually(lambda: desk.of(AccountSnapshot), within=10, what="snapshot"))[0]
        assert (snapshot.position, snapshot.open_orders, snapshot.trades) == (0, (), ())


async def test_one_failed_read_fails_the_whole_reconciliation(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("http-status", "rest", count=1, params={"status": 500, "path": "/fapi/v3/account"})
        desk.gateway.execute([Reconcile(reason="test", trades_since_ms=0)])
        failed = (await eventually(lambda: desk.of(ReconcileFailed), within=10, what="failed"))[0]
        assert "-1001" in failed.error
        assert desk.of(AccountSnapshot) == []


async def test_leverage_and_margin_type_are_set_verified_and_said(open_desk, exchange):
    async with open_desk() as desk:
        await desk.gateway.configure_account(leverage=7, margin_type="Isolated")
        await desk.gateway.configure_account(leverage=7, margin_type="Isolated")  # -4046 is no error
        configured = [e for e in desk.ledger() if e["kind"] == "config"]
        assert configured
        assert desk.said("account_config")[-1]["leverage"] == 7
        desk.gateway.execute([desk.order(away=-0.005, time_in_force=TimeInForce.IOC)])


async def test_what_the_venue_refuses_is_told_with_what_to_change(open_desk, exchange):
    async with open_desk() as desk:
        exchange.fault("reject", "rest", count=1, params={"code": -4028, "path": "/fapi/v1/leverage"})
        with pytest.raises(AccountSetupError, match=r"-4028.*change spec.exchange"):
            await desk.gateway.configure_account(leverage=125, margin_type="Isolated")
        assert desk.said("account_config")[-1]["error"]


async def test_the_preflight_names_bad_credentials_and_changes_nothing(open_desk):
    async with open_desk(run=False) as desk:
        desk.gateway.rotate(Credentials("not-a-key-of-anybody", "not-a-secret"))
        checks = {check.name: check for check in await desk.gateway.preflight(desk.claim)}
        assert not checks["credentials"].ok
        assert "not-a-key-of-anybody" not in checks["credentials"].detail
        assert [e for e in desk.ledger() if e["kind"] != "account"] == []


async def test_a_rotated_key_is_used_from_the_next_request_on(open_desk, exchange, eventually):
    async with open_desk() as desk:
        other = exchange.account()
        desk.gateway.rotate(Credentials(other["apiKey"], other["apiSecret"]))
        desk.gateway.execute([desk.order()])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="accepted")
        assert len(exchange.open_orders(apiKey=other["apiKey"])) == 1
        assert len(desk.said("credentials_rotated")) == 1


async def test_a_ban_of_an_earlier_process_is_obeyed(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.obey_ban(time.time_ns() // 1_000_000 - 1000)  # over already
        desk.gateway.execute([desk.order()])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="accepted")
        desk.gateway.obey_ban(time.time_ns() // 1_000_000 + 60_000)
        desk.gateway.execute([desk.order(away=0.02)])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="held back"))[0]
        assert "obeying HTTP 418" in refused.message


# -- dead-man switch ---------------------------------------------------------------------------------------------------


async def test_the_switch_is_armed_and_refreshed_and_counted_from_the_send(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([SetDeadMan(enabled=True, seconds=5)])
        await eventually(lambda: len(desk.of(DeadMan)) >= 2, within=6, what="refreshed")
        armed = [e for e in desk.ledger() if e["kind"] == "countdown"]
        assert {e["status"] for e in armed} == {"ARMED"}
        venue_until_ms = [e["time"] + 5000 for e in armed]
        boot_offset_ms = time.time_ns() / 1e6 - time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
        for told, true_until in zip(desk.of(DeadMan), venue_until_ms, strict=False):
            # Never later than the venue's own deadline, give or take a millisecond of clocks.
            assert told.armed_until_boot_ns / 1e6 + boot_offset_ms <= true_until + 2


async def test_an_engine_that_goes_never_disarms_and_the_venue_then_cancels(open_desk, exchange, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([SetDeadMan(enabled=True, seconds=5)])
        await eventually(lambda: desk.of(DeadMan), within=10, what="armed")
        desk.gateway.execute([desk.order()])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="resting")
        key = desk.api_key
    assert exchange.open_orders(apiKey=key) != []
    await eventually(lambda: exchange.open_orders(apiKey=key) == [], within=7, what="cancelled by the countdown")
    statuses = [e["status"] for e in exchange.ledger(apiKey=key, limit=100000) if e["kind"] == "countdown"]
    assert "DISARMED" not in statuses
    assert statuses[-1] == "FIRED"


async def test_a_refresh_that_fails_moves_no_deadline_and_is_tried_again_soon(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("http-status", "rest", count=2, params={"status": 500, "path": "/fapi/v1/countdownCancelAll"})
        desk.gateway.execute([SetDeadMan(enabled=True, seconds=6)])
        await eventually(lambda: len(desk.said("deadman_error")) == 2, within=3, what="two failures")
        assert desk.of(DeadMan) == []
        await eventually(lambda: desk.of(DeadMan), within=3, what="armed at last")
        assert desk.metric("runner_deadman_errors_total") == 2


async def test_disarming_is_not_a_thing_that_can_be_sent(open_desk):
    async with open_desk(run=False) as desk:
        with pytest.raises(ValueError, match="never disarmed"):
            await desk.gateway.api.countdown(0)


# -- the last way out --------------------------------------------------------------------------------------------------


async def test_everything_of_our_epochs_is_cancelled_and_proven_and_nobody_elses_order_is_touched(
    open_desk, exchange, eventually
):
    async with open_desk() as desk:
        successor = desk.order(epoch=3)
        stranger = desk.order(client_order_id="a-person-at-the-phone", side=Side.SELL)
        other_claim = Claim("binance-usdm", "simulated", "somebody-else", "ETHUSDT")
        alien = desk.order(client_order_id=str(ClientOrderId(other_claim.order_prefix, 1, 1)), away=0.03)
        own = [
            desk.order(epoch=epoch, away=0.01 + number / 1000)
            for number, epoch in enumerate([1, 1, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2])
        ]
        desk.gateway.execute([successor, stranger, alien, *own])
        await eventually(lambda: len(desk.of(OrderAccepted)) == 15, within=10, what="all resting")
        proof = await desk.gateway.cancel_everything(desk.claim, epoch=2, time_seconds=10)
        assert proof.zero_own_orders
        assert proof.cancelled == 12
        assert proof.seconds >= 2.0  # two looks, a recvWindow apart
        left = {o["clientOrderId"] for o in desk.resting()}
        assert left == {successor.client_order_id, stranger.client_order_id, alien.client_order_id}
        assert desk.said("orders_cancelled")[-1]["zeroOwnOrders"] is True


async def test_the_way_out_works_after_run_has_ended(open_desk, exchange, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([desk.order(), desk.order(away=0.02)])
        await eventually(lambda: len(desk.of(OrderAccepted)) == 2, within=10, what="resting")
        desk.task.cancel()
        await asyncio.gather(desk.task, return_exceptions=True)
        proof = await desk.gateway.cancel_everything(desk.claim, epoch=1, time_seconds=10)
        assert proof.zero_own_orders
        assert desk.resting() == []


async def test_where_the_venue_does_not_answer_the_way_out_is_bounded_and_claims_nothing(
    open_desk, exchange, loop_lateness
):
    async with open_desk() as desk, loop_lateness() as lateness:
        exchange.fault("http-status", "rest", params={"status": 503, "path": "/fapi/v1/openOrders"})
        started = time.monotonic()
        proof = await desk.gateway.cancel_everything(desk.claim, epoch=1, time_seconds=1.0)
        assert time.monotonic() - started < 2.0 + lateness.worst_seconds
        assert not proof.zero_own_orders
        assert proof.error


async def test_passing_errors_on_the_way_out_are_outlived(open_desk, exchange, eventually):
    async with open_desk() as desk:
        desk.gateway.execute([desk.order()])
        await eventually(lambda: desk.of(OrderAccepted), within=10, what="resting")
        exchange.fault("http-status", "rest", count=2, params={"status": 502, "method": "DELETE"})
        exchange.fault("reset", "rest", count=1, params={"path": "/fapi/v1/openOrders"})
        proof = await desk.gateway.cancel_everything(desk.claim, epoch=1, time_seconds=12)
        assert proof.zero_own_orders
        assert desk.resting() == []


async def test_orders_are_refused_locally_while_the_order_budget_is_spent(open_desk, eventually):
    async with open_desk() as desk:
        desk.gateway._client.budget.set_limits(orders_10s=4)  # of which 90 % are ours: three orders in 10 s
        desk.gateway.execute([desk.order(away=0.01 + number / 1000) for number in range(6)])
        await eventually(
            lambda: len(desk.of(OrderAccepted)) + len(desk.of(OrderRefused)) == 6, within=10, what="answered"
        )
        assert 3 <= len(desk.of(OrderAccepted)) < 6  # the venue's window may turn meanwhile
        assert any("budget spent" in refused.message for refused in desk.of(OrderRefused))
        assert all(refused.code == 0 for refused in desk.of(OrderRefused))


# -- a venue that is not there -----------------------------------------------------------------------------------------


async def test_without_a_connection_an_order_is_certainly_not_sent_and_the_error_rate_shows_it(open_desk, eventually):
    async with open_desk() as desk:
        for lane in (desk.gateway._client.order_lane, desk.gateway._client.spare_lane):
            lane._base = lane._base.with_port(9)  # nobody listens there
        desk.gateway.execute([desk.order()])
        refused = (await eventually(lambda: desk.of(OrderRefused), within=10, what="refused"))[0]
        assert refused.code == 0
        assert "not sent" in refused.message
        assert desk.metric("runner_rest_requests_total", action="place") == 1
        assert desk.metric("runner_rest_errors_total", action="place") == 1
        assert desk.said("rest_error")[0]["action"] == "place"


async def test_a_failing_error_text_never_carries_the_signed_query(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("reset", "rest")
        desk.gateway.execute([Reconcile(reason="test", trades_since_ms=0)])
        failed = (await eventually(lambda: desk.of(ReconcileFailed), within=10, what="failed"))[0]
        text = failed.error + desk.lines.raw.decode()
        assert "signature" not in text
        assert "timestamp=" not in text
