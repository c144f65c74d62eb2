"""A real `mm-runner run --spec` process beside a real `mm-exchange` process; the exchange's ledger is the oracle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

DEAD_MAN_SECONDS = 5
START_SECONDS = 60.0  # imports take 2 s of CPU, and this machine is shared


def spec_of(account: str) -> dict[str, Any]:
    return {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "MarketMaker",
        "metadata": {"name": account, "namespace": "trading", "labels": {"desk": "a"}},
        "spec": {
            "symbol": "ETHUSDT",
            "desiredState": "Running",
            "exchange": {"account": account, "credentials": {"secretName": f"mm-{account}"}},
            "quoting": {"minSpreadBps": 6.0, "intervalMs": 200},
            "strategy": {"grid": {}},
            "risk": {"maxDrawdown": 0.5, "shock": {"moveBps": 5000}, "maxLatencyMs": 0},
            "failover": {"leaseSeconds": 10, "deadManSeconds": DEAD_MAN_SECONDS},
            "shutdown": {"graceSeconds": 20},
        },
    }


@dataclass
class Engine:
    """One engine's files, and its process once started."""

    exchange: Any
    name: str
    folder: Path
    keys: dict[str, Any]
    spec: dict[str, Any]
    flags: list[str] = field(default_factory=list)
    """Beside --spec and the ports."""
    process: subprocess.Popen[str] | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    @property
    def spec_file(self) -> Path:
        return self.folder / "mm.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.exchange.env,
            "MM_STATE_DIR": str(self.state),
            "MM_CREDENTIALS_DIR": str(self.folder / "keys"),
            "MM_TERMINATION_LOG": str(self.folder / "last-word.json"),
            "MM_LOG_FILE": str(self.folder / "runner.log"),
        }

    # -- files ---------------------------------------------------------------------------------------------------------

    def write_keys(self, keys: dict[str, Any]) -> None:
        self.keys = keys
        (self.folder / "keys").mkdir(exist_ok=True)
        (self.folder / "keys" / "apiKey").write_text(keys["apiKey"])
        (self.folder / "keys" / "apiSecret").write_text(keys["apiSecret"])

    def write_spec(self, *more: dict[str, Any]) -> float:
        """Write the spec as it is now, and further documents beside it; returns the wall clock just before."""
        text = yaml.safe_dump_all([self.spec, *more])
        draft = self.folder / "draft.yaml"
        draft.write_text(text)
        now = time.time()
        draft.rename(self.spec_file)
        return now

    def edit(self, change: Callable[[dict[str, Any]], None]) -> float:
        change(self.spec["spec"])
        return self.write_spec()

    # -- process -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("mm-runner")), "run", "--spec", str(self.spec_file)]
        self.process = subprocess.Popen(
            [*command, "--metrics-port", "0", "--status-port", "0", *self.flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.raw.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))
        process.stdout.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("mm-runner")), *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)

    def end(self, number: int = signal.SIGTERM, *, within: float = 30.0) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(within)

    def quoting(self) -> None:
        """Started, and both sides rest."""
        self.start()
        self.wait(self.both_sides, START_SECONDS, "both sides rest")

    # -- what is seen --------------------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], Any], within: float, what: str) -> Any:
        deadline = time.monotonic() + within
        while True:
            found = condition()
            if found:
                return found
            ended = self.process is not None and self.process.poll() is not None
            assert time.monotonic() < deadline, (
                f"not within {within} s: {what}; ended: {ended}; {''.join(self.raw[-15:])}"
            )
            time.sleep(0.02)

    def event(self, name: str, within: float = 10.0, *, since: int = 0, **fields: object) -> dict[str, Any]:
        """The first such line at or after position `since`."""

        def find() -> dict[str, Any] | None:
            for line in self.lines[since:]:
                if line["event"] == name and all(line.get(key) == value for key, value in fields.items()):
                    return line
            return None

        return self.wait(find, within, f"{name} {fields}")

    def open_orders(self) -> list[dict[str, Any]]:
        return self.exchange.open_orders(apiKey=self.keys["apiKey"])

    def both_sides(self) -> bool:
        return {order["side"] for order in self.open_orders()} == {"BUY", "SELL"}

    def none_rest(self) -> bool:
        return not self.open_orders()

    def ledger(self, *kinds: str) -> list[dict[str, Any]]:
        return [entry for entry in self.exchange.ledger(apiKey=self.keys["apiKey"]) if entry["kind"] in kinds]

    def orders_after(self, wall: float) -> list[dict[str, Any]]:
        return [entry for entry in self.ledger("order") if entry["timeNs"] / 1e9 > wall]

    def last_end_of_an_order(self) -> float:
        return max(entry["timeNs"] / 1e9 for entry in self.ledger("cancel", "fill", "expire"))

    def probe(self, path: str) -> int:
        """HTTP status of a probe on the status port."""
        port = self.event("listening", START_SECONDS)["status"]
        try:
            with urllib.request.urlopen(f"http://{port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def last_word(self) -> dict[str, Any]:
        return json.loads((self.folder / "last-word.json").read_text())


@pytest.fixture
def make_engine(exchange: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Engine]]:
    made: list[Engine] = []
    base = f"t{abs(hash(request.node.name)) % 10**9}"

    def make(suffix: str = "") -> Engine:
        folder = tmp_path / f"engine{len(made)}"
        folder.mkdir()
        engine = Engine(exchange, f"{base}{suffix}", folder, {}, spec_of(f"{base}{suffix}"))
        engine.write_keys(exchange.account())
        engine.write_spec()
        made.append(engine)
        return engine

    yield make
    for engine in made:
        if engine.process is not None and engine.process.poll() is None:
            engine.process.kill()
            engine.process.wait(5)


@pytest.fixture
def engine(make_engine: Callable[[str], Engine]) -> Engine:
    return make_engine()
