"""Log lines: schema, seed's pipeline, redaction, bounds, and that the hot path never waits."""

from __future__ import annotations

import json
import logging
import re
import threading
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_contract.events import EVENTS, SEED_EVENTS
from mm_contract.redaction import fingerprint
from mm_runner.telemetry.events_log import EventsLog, LibraryHandler

KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


class Memory:
    """A sink that keeps what it got."""

    def __init__(self) -> None:
        self.bytes = b""

    def write(self, lines: bytes) -> None:
        self.bytes += lines

    def close(self) -> None:
        pass

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.bytes.splitlines()]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def log(memory) -> EventsLog:
    return EventsLog([memory], context={"symbol": "ETHUSDT"}, now_ns=lambda: 1_790_000_000_123_456_789)


def test_a_line_is_one_bare_json_object_with_event_and_time_first(log, memory):
    log.emit("strategy_adjust", mid=2680.1, spread=0.5, spreadRatio=0.0002, intervalMs=500)
    log.flush()
    assert memory.bytes.startswith(b'{"event":"strategy_adjust","ts":"2026-09-21T14:13:20.123456789Z"')
    assert memory.bytes.count(b"\n") == 1
    assert memory.lines()[0]["symbol"] == "ETHUSDT"
    assert "_schema_error" not in memory.lines()[0]


def test_the_seeds_promtail_expressions_find_every_label(log, memory):
    """pipeline_stages.json of the seed: event, ts, symbol, state, listenKey, _schema_error, spread; the time as RFC3339Nano."""
    log.emit("risk_event", state="reduce_only", reason="stopLoss")
    log.emit("listenkey_keepalive_ok", listenKey=fingerprint(KEY))
    log.emit("strategy_adjust", mid=1.0, spread=0.5)
    log.flush()
    risk, kept, adjust = memory.lines()
    assert (risk["event"], risk["symbol"], risk["state"]) == ("risk_event", "ETHUSDT", "reduce_only")
    assert kept["listenKey"] == fingerprint(KEY)
    assert adjust["spread"] == 0.5
    assert adjust["_schema_error"] == "missing fields: spreadRatio, intervalMs"
    for line in (risk, kept, adjust):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", str(line["ts"]))
        assert datetime.fromisoformat(str(line["ts"])[:26] + "+00:00").year == 2026


@pytest.mark.parametrize("event", sorted(SEED_EVENTS))
def test_each_seed_event_lacks_its_fields_visibly_and_is_counted(event, log, memory):
    log.set_context(symbol=None)
    log.emit(event)
    log.flush()
    for name in EVENTS[event].required:
        assert name in str(memory.lines()[0]["_schema_error"])
    assert log.schema_errors == 1


def test_an_unregistered_event_is_written_and_marked(log, memory):
    log.emit("made_up")
    log.flush()
    assert memory.lines()[0]["_schema_error"] == "unregistered event: made_up"


def test_the_level_is_hot(log, memory):
    log.emit("order_place", side="BUY", price="1", qty="1", clientOrderId="x")
    log.set_level("debug")
    log.emit("order_place", side="BUY", price="1", qty="1", clientOrderId="y")
    log.set_level("error")
    log.emit("ws_connect", stream="user")
    log.flush()
    assert [line["clientOrderId"] for line in memory.lines()] == ["y"]


def test_a_whole_listen_key_given_by_mistake_leaves_as_its_fingerprint(log, memory):
    log.emit("listenkey_created", listenKey=KEY)
    log.flush()
    assert memory.lines()[0]["listenKey"] == fingerprint(KEY)
    assert KEY.encode() not in memory.bytes


def test_known_secrets_and_anything_like_a_signature_are_struck_out(log, memory):
    log.redactor.add("my-api-key-0123", "my-secret-9876", KEY)
    log.emit(
        "rest_error",
        action="place",
        error=f"GET /x?apiKey=zzzzzz&signature={'ab' * 32}&timestamp=1 my-api-key-0123 my-secret-9876 {KEY}",
    )
    log.emit("ws_disconnect", stream="user", error="wss://host/private/ws?listenKey=never-seen-before&events=A")
    log.flush()
    for secret in (b"my-api-key-0123", b"my-secret-9876", KEY.encode(), b"ab" * 32, b"never-seen-before", b"zzzzzz"):
        assert secret not in memory.bytes
    assert "timestamp=1" in str(memory.lines()[0]["error"])


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(
            st.text(max_size=30), st.floats(), st.integers(-(2**62), 2**62), st.decimals(allow_nan=False), st.none()
        ),
        max_size=5,
    )
)
def test_whatever_the_fields_hold_a_line_is_json_and_keeps_its_event(fields):
    memory = Memory()
    log = EventsLog([memory], context={"symbol": "ETHUSDT"})
    log.emit_fields("internal_error", {**fields, "error": "x"})
    log.flush()
    assert memory.lines()[0]["event"] == "internal_error"


def test_exact_amounts_leave_as_text(log, memory):
    log.emit("fill", side="BUY", price=Decimal("2680.10"), qty=Decimal("0.020"))
    log.flush()
    assert memory.lines()[0]["price"] == "2680.10"


def test_a_stuck_sink_costs_lines_not_time():
    released = threading.Event()

    class Stuck(Memory):
        def write(self, lines: bytes) -> None:
            released.wait(10)
            super().write(lines)

    stuck = Stuck()
    log = EventsLog([stuck], capacity=100)
    log.start()
    for number in range(1000):
        log.emit("ws_connect", stream=str(number))
    assert log.dropped >= 1000 - 100 - 256
    assert not log.flush(timeout_seconds=0.05)
    released.set()
    assert log.flush(timeout_seconds=5)
    log.close()
    assert len(stuck.lines()) == 1000 - log.dropped


def test_a_full_disk_does_not_silence_the_other_sink(memory):
    class Full(Memory):
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    log = EventsLog([Full(), memory])
    log.emit("ws_connect", stream="user")
    log.flush()
    log.emit("ws_connect", stream="market")
    log.flush()
    assert [line["stream"] for line in memory.lines()] == ["user", "market"]


def test_closing_writes_what_is_left(memory):
    log = EventsLog([memory])
    log.start()
    for number in range(5000):
        log.emit("ws_connect", stream=str(number))
    log.close()
    assert [line["stream"] for line in memory.lines()] == [str(number) for number in range(5000)]


def test_library_warnings_become_lines_of_ours(log, memory):
    logger = logging.getLogger("some.library")
    handler = LibraryHandler(log)
    logger.addHandler(handler)
    try:
        logger.debug("chatter")
        try:
            raise ValueError("wss://x?listenKey=abc")  # noqa: TRY301 - the point is its traceback
        except ValueError:
            logger.exception("it broke")
    finally:
        logger.removeHandler(handler)
    log.flush()
    assert [(line["event"], line["logger"], line["message"], line["error"]) for line in memory.lines()] == [
        ("library_log", "some.library", "it broke", "ValueError")
    ]
