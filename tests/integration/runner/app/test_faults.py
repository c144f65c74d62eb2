"""What the venue does to an engine, and what the engine does then: quotes are pulled, and come back."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)


def test_a_stalled_market_stream_pulls_the_quotes_until_data_flow_again(engine: Any, exchange: Any) -> None:
    engine.quoting()
    exchange.fault("stall", "market-stream")
    engine.wait(lambda: engine.probe("/readyz") == 503, 10, "not ready any more")
    engine.wait(engine.none_rest, 5, "quotes are pulled")
    assert engine.probe("/healthz") == 200
    exchange.clear_faults()
    engine.wait(engine.both_sides, 20, "quotes are back")


def test_a_cut_user_stream_is_reconciled_before_quotes_return(engine: Any, exchange: Any) -> None:
    engine.quoting()
    since = len(engine.lines)
    exchange.fault("drop", "user-stream")
    engine.event("ws_disconnect", 10, since=since, stream="user")
    engine.event("reconciled", 15, since=since, reason="reconnect")
    engine.wait(engine.both_sides, 15, "quotes are back")


def test_an_expired_listen_key_is_created_anew(engine: Any, exchange: Any) -> None:
    engine.quoting()
    since = len(engine.lines)
    exchange.fault("listen-key-expired", "user-stream")
    engine.event("listenkey_expired", 10, since=since)
    engine.event("listenkey_created", 10, since=since)
    engine.wait(engine.both_sides, 20, "quotes are back")
    keys = [line["listenKey"] for line in engine.lines if "listenKey" in line]
    assert all(len(key) <= 12 for key in keys), "only fingerprints are shown"


def test_a_venue_that_answers_503_leaves_nothing_behind_and_is_survived(engine: Any, exchange: Any) -> None:
    engine.quoting()
    exchange.fault("http-status", "rest", params={"status": 503}, seconds=3)
    engine.wait(lambda: engine.process.poll() is None and engine.probe("/healthz") == 200, 5, "alive")
    exchange.clear_faults()
    engine.wait(engine.both_sides, 30, "quotes are back")
    assert engine.end() == 0
    assert engine.open_orders() == []
