"""Promise P2 outside Kubernetes: a halt, whoever asks for it, lets no order leave after 1 s and none rest after 2 s."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

TIMEOUT = 120  # the file's processes start in seconds, but the machine is shared
pytestmark = pytest.mark.timeout(TIMEOUT)

HALT: dict[str, Any] = {
    "apiVersion": "marketmaker.io/v1alpha1",
    "kind": "TradingHalt",
    "metadata": {"name": "desk", "namespace": "trading"},
    "spec": {"selector": {"matchLabels": {"desk": "a"}}, "state": "Halted", "reason": "a test"},
}


def assert_halted_since(engine: Any, asked: float) -> None:
    """By the ledger's own times, and with patience enough that an order which should not come would have come."""
    engine.wait(lambda: time.time() > asked + 3.0, 5.0, "time to sin")
    assert engine.open_orders() == []
    assert engine.orders_after(asked + 1.0) == []
    assert engine.last_end_of_an_order() - asked <= 2.0


def test_an_engine_quotes_both_sides_within_its_cap_and_is_filled(engine: Any, exchange: Any) -> None:
    engine.quoting()
    engine.wait(lambda: engine.probe("/readyz") == 200, 10, "ready")
    assert engine.probe("/healthz") == 200
    exchange.trade("BUY", "0.02")
    fill = engine.event("fill", 10)
    assert fill["side"] == "SELL"
    assert all(order["timeInForce"] == "GTX" for order in engine.open_orders())
    assert [entry for entry in engine.ledger("reject") if entry.get("code") != -5022] == []


def test_an_edited_desired_state_halts_and_resumes(engine: Any) -> None:
    engine.quoting()
    asked = engine.edit(lambda spec: spec.update(desiredState="Halted"))
    assert_halted_since(engine, asked)
    assert engine.probe("/readyz") == 200  # a wanted halt is ready
    engine.edit(lambda spec: spec.update(desiredState="Running"))
    engine.wait(engine.both_sides, 10, "quotes are back")


def test_a_trading_halt_beside_the_spec_halts_while_it_is_there(engine: Any) -> None:
    engine.quoting()
    halt: Path = engine.folder / "mm.halt-desk.yaml"
    asked = time.time()
    halt.write_text(yaml.safe_dump(HALT))
    assert_halted_since(engine, asked)
    engine.event("effective_state", 5, state="Halted", ruledBy="TradingHalt/desk")
    halt.unlink()
    engine.wait(engine.both_sides, 10, "quotes are back")


def test_a_trading_halt_that_is_there_at_the_start_is_obeyed_before_the_first_quote(engine: Any) -> None:
    engine.write_spec(HALT)
    engine.start()
    engine.event("effective_state", 60, ruledBy="TradingHalt/desk")
    assert engine.end() == 0
    assert engine.ledger("order") == []


def test_the_local_latch_halts_without_any_control_plane_and_is_cleared_by_hand(engine: Any) -> None:
    engine.quoting()
    asked = time.time()
    (engine.state / "halt.json").write_text("{}")
    assert_halted_since(engine, asked)
    done = engine.command("halt", "--clear")
    assert done.returncode == 0, done.stderr
    engine.wait(engine.both_sides, 10, "quotes are back")


def test_a_dry_run_sends_nothing_and_can_be_switched_on_while_quoting(engine: Any) -> None:
    engine.quoting()
    asked = engine.edit(lambda spec: spec.update(dryRun=True))
    assert_halted_since(engine, asked)
    assert engine.end() == 0


def test_a_dry_run_from_the_start_touches_nothing(engine: Any) -> None:
    engine.edit(lambda spec: spec.update(dryRun=True))
    engine.start()
    engine.event("strategy_adjust", 60)
    assert engine.end(signal.SIGTERM) == 0
    assert engine.ledger("order", "config", "countdown") == []


def test_an_ended_dry_run_sets_the_account_up_before_the_first_order(engine: Any) -> None:
    engine.edit(lambda spec: spec.update(dryRun=True))
    engine.start()
    engine.event("strategy_adjust", 60)
    engine.edit(lambda spec: spec.update(dryRun=False))
    engine.wait(engine.both_sides, 20, "both sides rest")
    configured = max(entry["seq"] for entry in engine.ledger("config"))
    assert configured < min(entry["seq"] for entry in engine.ledger("order"))
