"""The simulated exchange as a process of its own, and the hands that tests lay on it. Shared by every integration test of the runner."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SYMBOL = "ETHUSDT"
START_SECONDS = 20.0


@dataclass
class Exchange:
    """A running `mm-exchange serve` and its admin API."""

    process: subprocess.Popen[bytes]
    rest: str
    ws: str
    ws_api: str
    admin: str
    accounts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """What an engine's environment needs to find it."""
        return {"MM_SIMULATED_REST": self.rest, "MM_SIMULATED_WS": self.ws}

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own loopback
            f"{self.admin}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own loopback
            return json.loads(answer.read())

    def account(self, balance: str = "10000") -> dict[str, Any]:
        """A fresh account: apiKey and apiSecret."""
        made: dict[str, Any] = self.call("POST", "/admin/accounts", {"balances": {"USDT": balance}})
        self.accounts.append(made)
        return made

    def ledger(self, **filters: object) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.call("GET", f"/admin/ledger?{urllib.parse.urlencode(filters)}")["entries"]
        return entries

    def open_orders(self, **filters: object) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self.call("GET", f"/admin/open-orders?{urllib.parse.urlencode(filters)}")[
            "orders"
        ]
        return orders

    def positions(self, **filters: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/admin/positions?{urllib.parse.urlencode(filters)}")[
            "positions"
        ]
        return found

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/admin/connections")["connections"]
        return found

    def fault(self, kind: str, target: str, **more: object) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/admin/faults", {"kind": kind, "target": target, **more})
        return made

    def clear_faults(self) -> None:
        self.call("DELETE", "/admin/faults")

    def trade(self, side: str, quantity: str, price: str | None = None) -> dict[str, Any]:
        """Somebody else takes; side BUY hits our SELLs."""
        body = {"symbol": SYMBOL, "side": side, "quantity": quantity}
        done: dict[str, Any] = self.call("POST", "/admin/trade", body if price is None else {**body, "price": price})
        return done

    def move_price(self, bps: float) -> None:
        self.call("POST", "/admin/price", {"symbol": SYMBOL, "moveBps": bps})

    def book(self) -> tuple[float, float]:
        """Best bid and ask, by the public REST call."""
        with urllib.request.urlopen(f"{self.rest}/fapi/v1/depth?symbol={SYMBOL}&limit=5", timeout=10) as answer:  # noqa: S310 - our own loopback
            depth = json.loads(answer.read())
        return float(depth["bids"][0][0]), float(depth["asks"][0][0])


def start_exchange(log: Path, *arguments: str) -> Exchange:
    """Start one on free ports; its log goes to a file."""
    command = [str(Path(sys.executable).with_name("mm-exchange")), "serve", "--port", "0", *arguments]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, "MM_TAPE": ""})
    try:
        return Exchange(process, **_listening(process, log))
    except BaseException:
        stop_exchange(process)
        raise


def stop_exchange(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    if process.stdout is not None:
        process.stdout.close()


def _listening(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"mm-exchange did not start: {log.read_text()[-2000:]}")
    said = json.loads(line)
    return {"rest": said["rest"], "ws": said["ws"], "ws_api": said["wsApi"], "admin": said["admin"]}


@pytest.fixture(scope="module")
def exchange_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """One exchange per module: a calm synthetic market."""
    log = tmp_path_factory.mktemp("exchange") / "exchange.log"
    exchange = start_exchange(log, "--synthetic", SYMBOL, "--seed", "7")
    yield exchange
    stop_exchange(exchange.process)


@pytest.fixture
def exchange(exchange_process: Exchange) -> Iterator[Exchange]:
    """The module's exchange without anybody's faults."""
    exchange_process.clear_faults()
    yield exchange_process
    exchange_process.clear_faults()


async def eventually(condition: Callable[[], Any], *, within: float, what: str) -> Any:
    """Wait for a truthy answer, with a bound; returns it."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """`await eventually(lambda: …, within=2, what="…")`; conftest modules cannot be imported in importlib mode."""
    return eventually
