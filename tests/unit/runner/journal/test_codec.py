"""The journal's bytes: what goes in comes out, and what is broken is said."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from core_world import INSTRUMENT, make_spec

from mm_contract.claim import Claim
from mm_contract.claim_state import ClaimState, HaltLatch
from mm_contract.states import HaltState, ListenKeyState
from mm_runner.core import messages as m
from mm_runner.journal.codec import (
    DecisionDigest,
    End,
    Frames,
    Header,
    JournalError,
    Record,
    decode_entry,
    decode_header,
    encode_action,
    encode_entry,
    frame,
)

ORDER = m.OrderState(
    client_order_id="mm1", order_id=7, side=m.Side.BUY, status=m.VenueStatus.NEW, price=268_000, quantity=20,
    average_price=Decimal("2680.10"),
)  # fmt: skip
TRADE = m.TradeRecord(
    trade_id=1, order_id=7, side=m.Side.SELL, price=1, quantity=2, commission=Decimal("0.10"), commission_asset="BNB",
    realized_pnl=Decimal("-1.00"), maker=True, time_ms=5,
)  # fmt: skip
LATCH = HaltLatch(halt_id="x", reason="stop_loss", since="2026-01-01T00:00:00Z")
EVENTS: list[m.Event] = [
    m.InstrumentLoaded(instrument=INSTRUMENT, maker_fee=Decimal("0.00020"), taker_fee=Decimal("0.0005")),
    m.DepthSnapshot(last_update_id=2**53, bids=[(0.1 + 0.2, 5e-324)], asks=[], sent_boot_ns=2**62),
    m.DepthSnapshotFailed(error="timeout"),
    m.DepthDiff(first_update_id=1, last_update_id=2, previous_update_id=0, bids=[(math.inf, -1.0)], asks=[(1e308, 0.0)]),
    m.BookTicker(update_id=1, bid=2680.01, bid_quantity=1.5, ask=2680.02, ask_quantity=0.001, event_ms=9),
    m.Trade(price=2680.01, quantity=0.25, buyer_is_maker=True),
    m.MarkPrice(mark=2680.123456, funding_rate=-0.0001, next_funding_ms=1),
    m.StreamUp(stream=m.Stream.USER),
    m.StreamDown(stream=m.Stream.PUBLIC, error="mute"),
    m.OrderReport(
        client_order_id="mm1", order_id=1, side=m.Side.SELL, status=m.VenueStatus.EXPIRED_IN_MATCH, price=1, quantity=2,
        executed=0, commission=Decimal("1E-8"),
    ),
    m.AccountReport(reason="ORDER", position=-5, entry_price=Decimal("2680.1000")),
    m.OrderAccepted(client_order_id="mm1", order_id=1),
    m.OrderRefused(client_order_id="mm1", code=-5022, message="post only"),
    m.OrderUnknown(client_order_id="mm1", error="timeout"),
    m.CancelAccepted(client_order_id="mm1"),
    m.CancelRefused(client_order_id="mm1", code=-2011),
    m.CancelUnknown(client_order_id="mm1"),
    m.OrderFound(order=ORDER),
    m.OrderMissing(client_order_id="mm1", query_sent_boot_ns=3),
    m.QueryFailed(client_order_id="mm1", error="x"),
    m.AccountSnapshot(
        sent_boot_ns=1, position=3, entry_price=Decimal(1), wallet_balance=Decimal("10000.00"), open_orders=(ORDER,), trades=(TRADE,),
    ),
    m.ReconcileFailed(error="x"),
    m.RateLimited(until_boot_ns=1, code=418),
    m.ListenKey(state=ListenKeyState.ACTIVE),
    m.DeadMan(armed_until_boot_ns=1),
    m.SpecChanged(spec=make_spec(quoting={"levels": 3}, risk={"maxPosition": "0.50"}), generation=4),
    m.SpecRefused(generation=5, reason="Unsupported", message="no"),
    m.HaltsChanged(halts=(m.Halt(name="stop", state=HaltState.REDUCE_ONLY, reason="news"),)),
    m.LocalHalt(active=True, close=True),
    m.ControlPlane(ok=False, error="away"),
    m.LeaseState(held=True, send_deadline_boot_ns=1, epoch=2),
    m.ClaimStateLoaded(state=ClaimState(epoch=3, latch=LATCH, consumed_acknowledgements=("a", "b"))),
    m.ClaimStateLoaded(state=None),
    m.ClaimStatePersisted(token=1),
    m.Tick(),
    m.ShutdownRequested(reason="SIGTERM"),
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_went_in(event: m.Event) -> None:
    record = Record(1, 2, event, (b"{}",), "")
    assert decode_entry(encode_entry(record)) == record


def test_the_list_above_leaves_no_event_out() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(m.Event))


def test_an_absurd_price_keeps_its_nature() -> None:
    event = m.MarkPrice(mark=math.nan)
    back = decode_entry(encode_entry(Record(1, 2, event)))
    assert isinstance(back, Record)
    assert math.isnan(back.event.mark)


def test_decimals_keep_their_trailing_zeros() -> None:
    """`str` of a Decimal is part of decisions (log fields), so 1.00 must not come back as 1."""
    back = decode_entry(encode_entry(Record(1, 2, m.AccountReport(entry_price=Decimal("2680.1000")))))
    assert str(back.event.entry_price) == "2680.1000"


def test_what_may_hide_a_password_in_a_spec_stays_out() -> None:
    spec = make_spec(
        pod={"env": [{"name": "TOKEN", "value": "hunter2-in-the-env"}]},
        exchange={"endpoints": {"rest": "https://me:hunter2-in-the-url@localhost"}},
        telemetry={"logSidecar": "promtail", "lokiUrl": "https://me:hunter2-of-loki@localhost"},
    )
    payload = encode_entry(Record(1, 2, m.SpecChanged(spec=spec, generation=1)))
    assert b"hunter2" not in payload
    back = decode_entry(payload)
    assert back.event.spec.quoting == spec.quoting
    assert back.event.spec.risk == spec.risk


def test_an_action_is_the_same_bytes_whatever_order_its_fields_were_given_in() -> None:
    one = m.EmitEvent(name="fill", fields={"symbol": "X", "price": "1", "maker": True, "net": 0.1})
    two = m.EmitEvent(name="fill", fields={"net": 0.1, "maker": True, "price": "1", "symbol": "X"})
    assert encode_action(one) == encode_action(two)
    assert encode_action(one) == (
        b'{"action":"EmitEvent","name":"fill","fields":{"maker":true,"net":0.1,"price":"1","symbol":"X"}}'
    )


def test_an_order_is_written_with_everything_that_the_venue_would_see() -> None:
    action = m.PlaceOrder(
        client_order_id="mm1-1-1", side=m.Side.BUY, type=m.OrderType.LIMIT, time_in_force=m.TimeInForce.GTX, price=267_946,
        quantity=20, reduce_only=False, send_deadline_boot_ns=5, recv_window_ms=2000,
    )  # fmt: skip
    assert encode_action(action) == (
        b'{"action":"PlaceOrder","client_order_id":"mm1-1-1","side":"BUY","type":"LIMIT","time_in_force":"GTX","price":267946,'
        b'"quantity":20,"reduce_only":false,"send_deadline_boot_ns":5,"recv_window_ms":2000}'
    )


def test_the_digest_depends_on_the_order_and_the_borders_of_actions() -> None:
    a, b = m.QueryOrder(client_order_id="a"), m.QueryOrder(client_order_id="b")
    forth, back = DecisionDigest(), DecisionDigest()
    forth.add([a, b])
    back.add([b])
    back.add([a])
    assert forth.hex != back.hex
    split = DecisionDigest()
    split.add([a])
    split.add([b])
    assert split.hex == forth.hex


def test_the_header_names_claim_and_version() -> None:
    header = Header(claim=Claim("binance-usdm", "simulated", "desk-a", "ETHUSDT"), engine="9.9")
    assert decode_header(msgspec.json.encode(header)) == header


def test_a_header_of_another_format_is_refused_with_both_numbers() -> None:
    header = Header(claim=Claim("binance-usdm", "simulated", "desk-a", "ETHUSDT"), format=7)
    with pytest.raises(JournalError, match=r"its format is 7.* reads 1"):
        decode_header(msgspec.json.encode(header))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_come_out_whole_however_the_bytes_are_cut(size: int) -> None:
    payloads = [b"", b"x", b"y" * 300]
    whole = b"".join(frame(payload) for payload in payloads)
    frames, found = Frames(), []
    for start in range(0, len(whole), size):
        frames.feed(whole[start : start + size])
        while (payload := frames.take()) is not None:
            found.append(payload)
    assert found == payloads
    assert frames.left == 0
    assert frames.offset == len(whole)


@pytest.mark.parametrize("position", range(8, 58))
def test_a_flipped_byte_is_told_with_its_place(position: int) -> None:
    bad = bytearray(frame(b"a" * 50))
    bad[position] ^= 0x10
    frames = Frames()
    frames.feed(bytes(bad))
    with pytest.raises(JournalError, match="byte 0 is damaged"):
        frames.take()


def test_an_absurd_length_is_damage_and_not_a_reason_to_wait_for_gigabytes() -> None:
    frames = Frames()
    frames.feed(b"\xff\xff\xff\xff" + b"a" * 50)
    with pytest.raises(JournalError, match="announces a record of"):
        frames.take()


def test_an_event_of_another_engine_is_refused_with_a_sentence() -> None:
    payload = msgspec.msgpack.encode(["record", 1, 2, {"event": "Telepathy"}, [], ""])
    with pytest.raises(JournalError, match="cannot be understood by this engine"):
        decode_entry(payload)


def test_the_last_word_comes_back() -> None:
    end = End("drained", complete=True, records=3, decisions_sha256="ab")
    assert decode_entry(encode_entry(end)) == end
