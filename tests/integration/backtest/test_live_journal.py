"""A real engine beside a real exchange writes a journal; `mm-backtest replay` must reach the decisions that were really taken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from support.backtests import SPEC, merged

BIN = Path(sys.executable).parent


def admin(base: str, path: str, body: object | None = None):
    request = urllib.request.Request(  # noqa: S310 - our own loopback
        base + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own loopback
        return json.loads(answer.read())


def until(condition, what: str, seconds: float = 90.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


@pytest.fixture
def exchange(tmp_path):
    log = (tmp_path / "exchange.log").open("wb")
    process = subprocess.Popen(
        [str(BIN / "mm-exchange"), "serve", "--port", "0", "--synthetic", "ETHUSDT"], stdout=subprocess.PIPE, stderr=log
    )
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
        log.close()


def test_the_journal_of_a_live_engine_replays_to_its_decisions(exchange, tmp_path):
    keys = admin(exchange["admin"], "/admin/accounts", {"balances": {"USDT": "10000"}})
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "apiKey").write_text(keys["apiKey"])
    (folder / "apiSecret").write_text(keys["apiSecret"])
    spec, journal = tmp_path / "mm.yaml", tmp_path / "engine.mmj"
    spec.write_text(yaml.safe_dump(merged(SPEC, {"spec": {"risk": {"maxLatencyMs": 0, "shock": {"moveBps": 5000}}}})))
    env = {
        **os.environ, "MM_SIMULATED_REST": exchange["rest"], "MM_SIMULATED_WS": exchange["ws"], "MM_STATE_DIR": str(tmp_path / "state"),
        "MM_CREDENTIALS_DIR": str(folder), "MM_TERMINATION_LOG": str(tmp_path / "last.json"), "MM_LOG_FILE": str(tmp_path / "runner.log"),
    }  # fmt: skip
    with (tmp_path / "out.log").open("wb") as log:
        engine = subprocess.Popen(
            [str(BIN / "mm-runner"), "run", "--spec", str(spec), "--metrics-port", "0", "--status-port", "0", "--journal", str(journal)],
            stdout=log, stderr=log, env=env,
        )  # fmt: skip
        try:
            until(
                lambda: admin(exchange["admin"], f"/admin/open-orders?apiKey={keys['apiKey']}")["orders"], "orders rest"
            )
            admin(exchange["admin"], "/admin/trade", {"symbol": "ETHUSDT", "side": "BUY", "quantity": "0.03"})
            until(
                lambda: len([one for one in admin(exchange["admin"], f"/admin/ledger?apiKey={keys['apiKey']}")["entries"] if one["kind"] == "order"]) > 8,
                "orders were moved",
            )  # fmt: skip
        finally:
            engine.send_signal(signal.SIGTERM)
            code = engine.wait(60)
    assert code == 0, (tmp_path / "out.log").read_text()[-2000:]
    done = subprocess.run(
        [str(BIN / "mm-backtest"), "replay", str(journal)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["identical"] is True
    assert said["complete"] is True
    assert said["records"] > 100
    assert said["actions"] > 50
