#!/usr/bin/env python3
"""`make try`: the simulated exchange and one engine as local processes, live in the terminal, no cluster.

Starts both, shows the engine's own status beside the exchange's view of it, and takes everything down again on Ctrl-C: the engine cancels its
orders and proves it, then the exchange ends. With `--seconds N` it ends by itself and exits 0 only when it saw both sides quoted and a fill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).resolve().parent.parent
START_SECONDS: Final = 60.0
END_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.5
FILLS_SHOWN: Final = 8


class NotStartedError(Exception):
    """A process ended or stayed silent instead of saying where it listens."""


class Child:
    """A process in a session of its own, so that Ctrl-C reaches only us and the order of ending is ours."""

    def __init__(self, command: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.name = command
        self.tail: deque[str] = deque(maxlen=12)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [str(BIN / command), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.tail.append(line)
            if '"listening"' in line:
                self._lines.put(line)
        self._lines.put(None)

    def listening(self) -> dict[str, str]:
        """Where it listens, as it says itself."""
        try:
            line = self._lines.get(timeout=START_SECONDS)
        except queue.Empty:
            line = None
        if line is None:
            raise NotStartedError(f"{self.name} did not start:\n{''.join(self.tail)}")
        said: dict[str, str] = json.loads(line)
        return said

    def end(self) -> int:
        """SIGTERM and wait; the engine needs its time to cancel and to prove it."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(5)


@dataclass
class Seen:
    """What the view shows, and what the verdict needs."""

    report: dict[str, Any] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    fills: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_SHOWN))
    fill_count: int = 0
    both_sides: bool = False
    last: int = 0

    def take_message(self, message: dict[str, Any]) -> None:
        """A snapshot replaces the report, a delta replaces the sections that it carries."""
        if message["type"] == "snapshot":
            self.report = message["report"]
        else:
            self.report |= {name: part for name, part in message.items() if part is not None}

    def take_exchange(self, orders: list[dict[str, Any]], entries: list[dict[str, Any]]) -> None:
        """The exchange's own view: it sees every order, whatever the engine says of itself."""
        self.orders = orders
        self.both_sides = self.both_sides or {order["side"] for order in orders} == {"BUY", "SELL"}
        for entry in entries:
            self.last = max(self.last, entry["seq"])
            if entry["kind"] == "fill":
                self.fills.appendleft(entry)
                self.fill_count += 1


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="end after so long; exit 0 only after both sides and a fill")
    parser.add_argument("--spec", type=Path, default=ROOT / "examples" / "mm.yaml", help="a MarketMaker in YAML")
    arguments = parser.parse_args()
    console = Console()
    seen = Seen()
    # A terminal's closing and a `kill` end like Ctrl-C: nothing stays behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        ended = _session(seen, arguments, console)
    except NotStartedError as error:
        console.print(f"[red]{error}[/red]", markup=True)
        return 1
    return _verdict(seen, ended, console) if arguments.seconds is not None else ended


def _session(seen: Seen, arguments: argparse.Namespace, console: Console) -> int:
    """Both processes from start to end; returns the engine's exit code."""
    with tempfile.TemporaryDirectory(prefix="mm-try-") as folder, ExitStack() as ends:
        console.print("starting the simulated exchange …")
        exchange = Child("mm-exchange", "serve", "--port", "0")
        ends.callback(exchange.end)
        where = exchange.listening()
        keys = _account(where["admin"], Path(folder))
        console.print(f"starting the engine: mm-runner run --spec {arguments.spec}")
        ports = ("--metrics-port", "0", "--status-port", "0")
        engine = Child("mm-runner", "run", "--spec", str(arguments.spec), *ports, env=_engine_env(where, folder))
        try:
            status = engine.listening()["status"]
            with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=False) as live:
                asyncio.run(
                    _watch(seen, live, engine, admin=where["admin"], status=status, key=keys, seconds=arguments.seconds)
                )
        finally:
            console.print("stopping: the engine cancels its orders and proves that none is left …")
            code = engine.end()
        left = _get(f"{where['admin']}/admin/open-orders?apiKey={keys}")["orders"]
        console.print(f"the engine ended with exit code {code}; orders that still rest: {len(left)}")
        if code:
            console.print("".join(engine.tail), markup=False)
        return code or (1 if left else 0)


def _account(admin: str, folder: Path) -> str:
    """A fresh account with 10,000 USDT; its keys go to files, as a Secret would be mounted."""
    made = _get(f"{admin}/admin/accounts", {"balances": {"USDT": "10000"}})
    for name in ("apiKey", "apiSecret"):
        (folder / name).write_text(made[name])
    return str(made["apiKey"])


def _engine_env(where: dict[str, str], folder: str) -> dict[str, str]:
    return {
        "MM_SIMULATED_REST": where["rest"],
        "MM_SIMULATED_WS": where["ws"],
        "MM_CREDENTIALS_DIR": folder,
        "MM_STATE_DIR": str(Path(folder) / "state"),
        "MM_LOG_FILE": str(Path(folder) / "runner.log"),
    }


def _get(url: str, body: object | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
        return json.loads(answer.read())


async def _watch(  # noqa: PLR0913 - what it watches, by name
    seen: Seen, live: Live, engine: Child, *, admin: str, status: str, key: str, seconds: float | None
) -> None:
    """Show until the time is over, the engine ends, or Ctrl-C."""
    began = time.monotonic()
    follower = asyncio.create_task(_follow(seen, f"ws://{status}/v1/status"))
    try:
        while engine.process.poll() is None and (seconds is None or time.monotonic() - began < seconds):
            await asyncio.to_thread(_poll, seen, admin, key)
            live.update(_view(seen, time.monotonic() - began), refresh=True)
            await asyncio.sleep(POLL_SECONDS)
    finally:
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower


async def _follow(seen: Seen, url: str) -> None:
    """The engine's status stream: a snapshot, then deltas; again from the start when it breaks."""
    while True:
        try:
            async with connect(url, proxy=None) as stream:
                async for message in stream:
                    seen.take_message(json.loads(message))
        except (OSError, WebSocketException):
            await asyncio.sleep(POLL_SECONDS)


def _poll(seen: Seen, admin: str, key: str) -> None:
    with suppress(OSError):
        orders = _get(f"{admin}/admin/open-orders?apiKey={key}")["orders"]
        entries = _get(f"{admin}/admin/ledger?apiKey={key}&since={seen.last}")["entries"]
        seen.take_exchange(orders, entries)


def _view(seen: Seen, elapsed: float) -> Group:
    return Group(
        _head(seen, elapsed),
        _quotes(seen),
        _fills(seen),
        Text("Ctrl-C ends it; the orders are cancelled first.", style="dim"),
    )


def _head(seen: Seen, elapsed: float) -> Table:
    part = seen.report
    effective, figures = part.get("effective", {}), part.get("figures", {})
    shown = {
        "phase": effective.get("phase"),
        "state": f"{effective.get('state', '-')} by {effective.get('ruledBy', '-')}",
        "risk": part.get("risk", {}).get("state"),
        "listenKey": part.get("listenKey", {}).get("state"),
        "position": figures.get("position"),
        "pnl": figures.get("pnl"),
        "fees": figures.get("fees"),
        "equity": figures.get("equity"),
    }
    table = Table.grid(padding=(0, 2))
    table.title = f"{part.get('engine', {}).get('symbol', '')}  {elapsed:.0f} s"
    table.caption = effective.get("message") or None
    pairs = [(name, str(value or "-")) for name, value in shown.items()]
    for (left, one), (right, other) in zip(pairs[:4], pairs[4:], strict=True):
        table.add_row(Text(left, style="dim"), one, Text(right, style="dim"), other)
    return table


def _quotes(seen: Seen) -> Table:
    table = Table(title="quotes that rest on the exchange", title_justify="left")
    for name in ("side", "price", "quantity", "ahead in the queue"):
        table.add_column(name, justify="right")
    for order in sorted(seen.orders, key=lambda one: -float(one["price"])):
        style = "red" if order["side"] == "SELL" else "green"
        table.add_row(order["side"], order["price"], order["quantity"], str(order.get("queueAhead", "")), style=style)
    return table


def _fills(seen: Seen) -> Table:
    table = Table(title=f"fills ({seen.fill_count})", title_justify="left")
    for name in ("side", "price", "quantity", "position after"):
        table.add_column(name, justify="right")
    for fill in seen.fills:
        style = "red" if fill["side"] == "SELL" else "green"
        table.add_row(
            fill["side"], fill["lastPrice"], fill["lastQuantity"], str(fill.get("positionAfter", "")), style=style
        )
    return table


def _verdict(seen: Seen, ended: int, console: Console) -> int:
    """0 only when both sides rested at once, a fill came, and the engine left nothing behind."""
    console.print(f"both sides quoted: {'yes' if seen.both_sides else 'NO'}; fills: {seen.fill_count}")
    return 0 if seen.both_sides and seen.fill_count and ended == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
