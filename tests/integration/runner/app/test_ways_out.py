"""Invariant 3: every way out cancels; what cannot act any more is bounded by the dead-man switch. And one writer per claim (invariant 4)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(150)
DEAD_MAN_SECONDS = 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_proves_zero_and_says_so(engine: Any, number: int) -> None:
    engine.quoting()
    assert engine.end(number) == 0
    assert engine.open_orders() == []
    word = engine.last_word()
    assert word["zeroOwnOrders"] is True
    assert word["epoch"] == 1
    assert engine.event("runner_exit")["zeroOwnOrders"] is True


def test_a_second_signal_does_not_skip_the_cancelling(engine: Any) -> None:
    engine.quoting()
    engine.process.send_signal(signal.SIGTERM)
    engine.process.send_signal(signal.SIGTERM)
    engine.process.send_signal(signal.SIGINT)
    assert engine.process.wait(30) == 0
    assert engine.open_orders() == []
    assert engine.last_word()["zeroOwnOrders"] is True


def test_a_killed_engine_leaves_nothing_after_the_dead_man_time(engine: Any) -> None:
    engine.quoting()
    engine.process.kill()
    killed = time.time()
    engine.process.wait(5)
    engine.wait(engine.none_rest, DEAD_MAN_SECONDS + 3, "the dead-man switch fires")
    assert engine.last_end_of_an_order() - killed <= DEAD_MAN_SECONDS + 1
    assert [entry for entry in engine.ledger("countdown") if entry["status"] == "DISARMED"] == []


def test_a_restart_after_a_kill_uses_a_higher_epoch_and_cancels_the_orphans_first(engine: Any) -> None:
    engine.quoting()
    engine.process.kill()
    engine.process.wait(5)
    orphans = {order["clientOrderId"] for order in engine.open_orders()}
    engine.lines.clear()
    engine.start()
    engine.event("lease_acquired", 60, epoch=2)
    engine.wait(
        lambda: engine.both_sides() and not orphans & {o["clientOrderId"] for o in engine.open_orders()},
        30,
        "new quotes",
    )
    first_new = min(e["timeNs"] for e in engine.ledger("order") if "-2-" in e["clientOrderId"])
    ends = [e["timeNs"] for e in engine.ledger("cancel", "fill") if e["clientOrderId"] in orphans]
    assert len(ends) >= len(orphans)
    assert max(ends) < first_new
    assert engine.end() == 0


def test_a_frozen_engine_sends_nothing_when_it_wakes_after_its_deadline(engine: Any) -> None:
    engine.quoting()
    os.kill(engine.process.pid, signal.SIGSTOP)
    frozen = time.time()
    engine.wait(engine.none_rest, DEAD_MAN_SECONDS + 3, "the dead-man switch fires")
    # Past the Lease's send deadline (two thirds of 10 s) too.
    engine.wait(lambda: time.time() > frozen + 8, 15, "time passes")
    os.kill(engine.process.pid, signal.SIGCONT)
    woken = time.time()
    engine.wait(engine.both_sides, 30, "quotes are back, freshly decided")
    renewed = [
        e["timeNs"] / 1e9 for e in engine.ledger("countdown") if e["status"] == "ARMED" and e["timeNs"] / 1e9 > woken
    ]
    first = min(e["timeNs"] / 1e9 for e in engine.ledger("order") if e["timeNs"] / 1e9 > woken)
    assert renewed
    assert min(renewed) <= first


def test_of_two_engines_on_one_claim_the_second_waits_and_takes_over_when_the_first_ends(
    make_engine: Callable[..., Any],
) -> None:
    first = make_engine()
    second = make_engine()
    second.spec, second.folder = first.spec, first.folder
    second.keys = first.keys
    first.quoting()
    second.start()
    second.event("lease_waiting", 60)
    orders = {order["clientOrderId"].split("-")[1] for order in first.ledger("order")}
    assert orders == {"1"}
    assert first.end() == 0
    second.wait(second.both_sides, 30, "the second quotes")
    assert {o["clientOrderId"].split("-")[1] for o in second.open_orders()} == {"2"}
    assert second.end() == 0


def test_a_removed_claim_file_ends_the_engine_by_cancelling(engine: Any) -> None:
    engine.quoting()
    for path in engine.state.glob("mm-*.json"):
        path.unlink()
    assert engine.process.wait(40) == 5
    assert engine.open_orders() == []


def test_flatten_where_no_engine_runs_cancels_and_closes(engine: Any, exchange: Any) -> None:
    engine.quoting()
    exchange.trade("BUY", "0.02")
    engine.event("fill", 10)
    engine.process.kill()
    engine.process.wait(5)
    done = engine.command("flatten", "--spec", str(engine.spec_file), "--close")
    assert done.returncode == 0, done.stdout + done.stderr
    assert engine.open_orders() == []
    held = exchange.positions(apiKey=engine.keys["apiKey"])
    assert all(float(position["position"]) == 0 for position in held)


def test_flatten_close_lets_a_running_engine_do_it(engine: Any, exchange: Any) -> None:
    engine.quoting()
    exchange.trade("SELL", "0.02")
    engine.event("fill", 10)
    done = engine.command("flatten", "--spec", str(engine.spec_file), "--close")
    assert "an engine runs" in done.stdout
    engine.wait(
        lambda: (
            engine.none_rest()
            and all(float(p["position"]) == 0 for p in exchange.positions(apiKey=engine.keys["apiKey"]))
        ),
        15,
        "flat",
    )
    assert engine.end() == 0


def test_a_spec_or_key_that_is_missing_is_said_with_what_to_do(engine: Any) -> None:
    (engine.folder / "keys" / "apiSecret").unlink()
    done = engine.command("run", "--spec", str(engine.spec_file), "--status-port", "0", "--metrics-port", "0")
    assert done.returncode == 2
    assert "apiSecret is missing" in done.stdout + done.stderr
    done = engine.command("run", "--spec", str(engine.folder / "none.yaml"), "--status-port", "0")
    assert done.returncode == 2
    assert "cannot be read" in done.stdout + done.stderr
