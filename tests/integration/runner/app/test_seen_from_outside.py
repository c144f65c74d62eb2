"""What people and machines see of a running engine: status stream, metrics, preflight, and `make try`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

pytestmark = pytest.mark.timeout(200)
ROOT = Path(__file__).resolve().parents[4]


def test_the_status_stream_tells_what_the_exchange_sees_and_no_secret(engine: Any, exchange: Any) -> None:
    engine.quoting()
    address = engine.event("listening")["status"]
    frames: list[str] = []
    with connect(f"ws://{address}/v1/status", proxy=None) as stream:
        frames.append(str(stream.recv(timeout=5)))
        first = json.loads(frames[0])
        assert first["type"] == "snapshot"
        report = first["report"]
        assert report["engine"]["symbol"] == "ETHUSDT"
        assert report["engine"]["epoch"] == 1
        assert report["lease"]["held"] is True
        assert report["listenKey"]["state"] == "Active"
        exchange.trade("BUY", "0.02")
        engine.event("fill", 10)
        sequence = first["sequence"]
        position = report["figures"]["position"]
        while float(position) == 0:
            frames.append(str(stream.recv(timeout=10)))
            delta = json.loads(frames[-1])
            assert delta["type"] == "delta"
            assert delta["sequence"] == sequence + 1
            sequence = delta["sequence"]
            position = (delta.get("figures") or {}).get("position", position)
    held = exchange.positions(apiKey=engine.keys["apiKey"])
    assert float(held[0]["position"]) != 0
    shown = "".join(frames) + "".join(engine.raw)
    assert engine.keys["apiKey"] not in shown
    assert engine.keys["apiSecret"] not in shown


def test_the_metrics_follow_the_engine(engine: Any) -> None:
    engine.quoting()

    def scrape() -> dict[str, float]:
        address = engine.event("listening")["metrics"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    symbol = '{symbol="ETHUSDT"}'
    # Gauges are copied twice a second.
    engine.wait(lambda: scrape()[f"runner_deadman_remaining_seconds{symbol}"] > 0, 10, "the switch is armed")
    engine.wait(lambda: scrape()[f"runner_quoting_both_sides{symbol}"] == 1, 10, "the gauge says so")
    seen = scrape()
    assert seen[f"runner_risk_state{symbol}"] == 0
    assert seen[f"runner_lease_held{symbol}"] == 1
    assert seen[f"runner_epoch{symbol}"] == 1
    assert seen[f"runner_applied_generation{symbol}"] == 1
    assert seen[f"runner_orders_placed_total{symbol}"] >= 2


def test_check_says_each_finding_and_its_exit_code_follows(engine: Any) -> None:
    done = engine.command("check", "--spec", str(engine.spec_file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    credentials" in done.stdout
    assert "fees: maker" in done.stdout
    (engine.folder / "keys" / "apiSecret").write_text("wrong")
    done = engine.command("check", "--spec", str(engine.spec_file))
    assert done.returncode == 3
    assert "FAIL  credentials" in done.stdout
    engine.edit(lambda spec: spec["quoting"].update(levels=99))
    done = engine.command("check", "--spec", str(engine.spec_file))
    assert done.returncode == 2
    assert "levels" in done.stderr


def test_make_try_shows_quotes_and_ends_clean(tmp_path: Path) -> None:
    """Half a minute of it, on a synthetic market; a fill is not promised in so short a time, a clean end is."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "try.py"), "--seconds", "15"],
        env={**os.environ, "MM_TAPE": "", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "both sides quoted: yes" in done.stdout, done.stdout + done.stderr
    assert "the engine ended with exit code 0; orders that still rest: 0" in done.stdout
    assert list(tmp_path.iterdir()) == []
