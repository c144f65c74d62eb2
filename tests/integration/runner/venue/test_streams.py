"""Streams against the exchange: data in, silence noticed, drops healed, renewal without a gap, the listenKey's life."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from mm_contract.redaction import fingerprint
from mm_contract.states import ListenKeyState
from mm_runner.core.messages import (
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    FetchDepthSnapshot,
    InstrumentLoaded,
    ListenKey,
    MarkPrice,
    OrderAccepted,
    OrderReport,
    Stream,
    StreamDown,
    StreamUp,
    Trade,
)
from mm_runner.venue.gateway import GatewaySettings
from mm_runner.venue.keeper import KeeperSettings
from mm_runner.venue.listen_key import KeySettings
from mm_runner.venue.sockets import open_websockets

QUICK_KEY = KeySettings(interval_seconds=0.5, retry_seconds=0.2)


async def test_the_instrument_comes_before_any_market_data(open_desk, eventually):
    async with open_desk() as desk:
        await eventually(lambda: desk.of(DepthDiff), within=10, what="depth")
        assert isinstance(desk.events[0], InstrumentLoaded)
        assert str(desk.events[0].instrument.tick_size) == "0.01"
        assert desk.events[0].maker_fee < desk.events[0].taker_fee


@pytest.mark.parametrize("more", [{}, {"opener": open_websockets}], ids=["picows", "websockets"])
async def test_every_kind_of_market_data_arrives_and_a_snapshot_joins_the_diffs(more, open_desk, eventually):
    async with open_desk(**more) as desk:
        for kind in (DepthDiff, BookTicker, MarkPrice, Trade):
            await eventually(lambda kind=kind: desk.of(kind), within=10, what=kind.__name__)
        desk.gateway.execute([FetchDepthSnapshot(reason="start")])
        snapshot = (await eventually(lambda: desk.of(DepthSnapshot), within=10, what="snapshot"))[0]
        await eventually(
            lambda: desk.of(DepthDiff)[-1].last_update_id > snapshot.last_update_id, within=10, what="later diffs"
        )
        diffs = desk.of(DepthDiff)
        assert all(later.previous_update_id == earlier.last_update_id for earlier, later in itertools.pairwise(diffs))
        assert diffs[0].first_update_id <= snapshot.last_update_id
        assert snapshot.bids[0][0] < snapshot.asks[0][0]


async def test_a_stream_that_is_up_but_mute_is_found_within_its_bound(open_desk, exchange, eventually, loop_lateness):
    async with open_desk() as desk, loop_lateness() as lateness:
        await eventually(lambda: desk.of(DepthDiff), within=10, what="depth")
        exchange.fault("stall", "market-stream")
        down = await eventually(lambda: of_stream(desk.of(StreamDown), Stream.PUBLIC), within=20, what="found mute")
        mute_seconds = float(down[0].error.removeprefix("mute for ").removesuffix(" s"))
        # 2 s, seen at the next look (every 0.1 s), told to a tenth; a busy machine's loop looks that much later.
        assert 2.0 <= mute_seconds <= 2.2 + lateness.worst_seconds
        assert desk.metric("runner_ws_failures_total", stream="public") == 1
        exchange.clear_faults()
        seen = len(desk.of(DepthDiff))
        await eventually(lambda: len(of_stream(desk.of(StreamUp), Stream.PUBLIC)) >= 2, within=10, what="up again")
        await eventually(lambda: len(desk.of(DepthDiff)) > seen, within=10, what="data again once the venue speaks")


def of_stream(events, stream: Stream):
    return [event for event in events if event.stream is stream]


async def test_dropped_streams_come_back_by_themselves(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("drop", "market-stream")
        exchange.fault("drop", "user-stream")
        await eventually(
            lambda: {d.stream for d in desk.of(StreamDown)} == set(Stream), within=10, what="all three down"
        )
        await eventually(lambda: len(desk.of(StreamUp)) >= 6, within=10, what="all three up again")
        downs = {line["stream"] for line in desk.said("ws_disconnect")}
        assert downs == {"public", "market", "user"}
        desk.gateway.execute([desk.order()])
        await eventually(lambda: desk.of(OrderReport), within=10, what="the new user stream reports")


async def test_malformed_frames_are_counted_and_never_delivered(open_desk, exchange, eventually):
    async with open_desk() as desk:
        exchange.fault("malformed", "market-stream")
        await eventually(lambda: desk.said("malformed_input"), within=10, what="said")
        kinds = {line["kind"] for line in desk.said("malformed_input")}
        assert kinds <= {"not_json", "not_an_event", "unknown_event", "bad_field", "absurd_value", "foreign_symbol"}
        assert sum(desk.metric("runner_malformed_total", kind=kind) for kind in kinds) >= 1
        exchange.clear_faults()
        seen = len(desk.of(DepthDiff))
        await eventually(lambda: len(desk.of(DepthDiff)) > seen, within=10, what="good data again")


async def test_the_renewal_before_24_hours_leaves_no_gap_and_delivers_nothing_twice(open_desk, exchange, eventually):
    young = KeeperSettings(max_age_seconds=1.0, overlap_seconds=0.3)
    async with open_desk(settings=GatewaySettings(market=young)) as desk:
        connects = desk.metric("runner_ws_connects_total", stream="public")
        await eventually(
            lambda: desk.metric("runner_ws_connects_total", stream="public") >= connects + 3,
            within=30,
            what="renewed three times",
        )
        diffs = desk.of(DepthDiff)
        assert all(later.previous_update_id == earlier.last_update_id for earlier, later in itertools.pairwise(diffs))
        assert desk.of(StreamDown) == []
        await eventually(
            lambda: len([c for c in exchange.connections() if c["target"] == "market-stream"]) <= 4,
            within=10,
            what="old connections closed",
        )


async def test_the_user_streams_renewal_reports_each_fill_once(open_desk, exchange, eventually):
    young = KeeperSettings(mute_seconds=None, max_age_seconds=0.5, overlap_seconds=0.5)
    async with open_desk(settings=GatewaySettings(user=young)) as desk:

        def connects() -> float:
            return desk.metric("runner_ws_connects_total", stream="user")

        placed = []
        async with asyncio.timeout(60):
            while len(placed) < 8 or connects() < 3:
                placed.append(desk.order(away=0.01 + len(placed) % 8 / 1000))
                desk.gateway.execute(placed[-1:])
                await eventually(lambda: len(desk.of(OrderAccepted)) == len(placed), within=10, what="accepted")
                await asyncio.sleep(0.2)  # orders at every stage of a renewal
        # Two renewals on, every connection that may have heard of them has been read to its end.
        last = connects()
        await eventually(lambda: connects() >= last + 2, within=30, what="renewed twice more")
        reported = [report.client_order_id for report in desk.of(OrderReport)]
        assert sorted(reported) == sorted(order.client_order_id for order in placed)


async def test_keepalives_extend_the_key_and_say_so(open_desk, eventually):
    async with open_desk(settings=GatewaySettings(key=QUICK_KEY)) as desk:
        await eventually(lambda: len(desk.said("listenkey_keepalive_ok")) >= 2, within=10, what="two keepalives")
        kept = [e for e in desk.ledger() if e["kind"] == "listen-key"]
        assert [e["status"] for e in kept][:3] == ["CREATED", "KEPT", "KEPT"]
        shown = desk.said("listenkey_created")[0]["listenKey"]
        assert shown == fingerprint(desk.gateway._user.cycle.key)
        assert desk.gateway.listen_key_section().fingerprint == shown


async def test_a_failing_keepalive_follows_the_seeds_sequence(open_desk, exchange, eventually):
    async with open_desk(settings=GatewaySettings(key=QUICK_KEY)) as desk:
        exchange.fault(
            "http-status", "rest", count=2, params={"status": 500, "method": "PUT", "path": "/fapi/v1/listenKey"}
        )
        await eventually(lambda: len(desk.said("listenkey_created")) == 2, within=10, what="created anew")
        names = [line["event"] for line in desk.said() if line["event"].startswith("listenkey")]
        start = names.index("listenkey_keepalive_error")
        assert names[start : start + 3] == [
            "listenkey_keepalive_error",
            "listenkey_keepalive_retry_failed",
            "listenkey_created",
        ]
        states = [event.state for event in desk.of(ListenKey)]
        assert states.count(ListenKeyState.RETRYING) == 2
        assert states[-1] is ListenKeyState.ACTIVE
        assert desk.metric("runner_listenkey_failures_total") == 2


async def test_an_expired_key_is_replaced_and_the_stream_reconnected_with_the_new_one(open_desk, exchange, eventually):
    async with open_desk() as desk:
        old = desk.gateway.listen_key_section().fingerprint
        exchange.fault("listen-key-expired", "user-stream")
        await eventually(lambda: desk.said("listenkey_expired"), within=10, what="expired")
        await eventually(lambda: len(desk.said("listenkey_created")) == 2, within=10, what="created anew")
        await eventually(
            lambda: len([u for u in desk.of(StreamUp) if u.stream is Stream.USER]) == 2,
            within=10,
            what="user stream up again",
        )
        assert desk.gateway.listen_key_section().fingerprint not in ("", old)
        assert desk.of(ListenKey)[-1].state is ListenKeyState.ACTIVE
        desk.gateway.execute([desk.order()])
        await eventually(lambda: desk.of(OrderReport), within=10, what="reported on the new stream")


async def test_the_key_is_never_deleted_when_the_engine_goes(open_desk, exchange):
    async with open_desk() as desk:
        key = desk.api_key
    statuses = [e["status"] for e in exchange.ledger(apiKey=key, limit=100000) if e["kind"] == "listen-key"]
    assert statuses == ["CREATED"]
