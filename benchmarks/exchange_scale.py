"""Scale: many real engines on many symbols on one exchange process, each from a loopback address of its own.

Starts `mm-exchange serve` with a synthetic market per engine at a modest rate, then `mm-runner run --spec` processes (outside Kubernetes), a few at a
time. Says how many quote (the oracle is the exchange: both sides rest), and over a window what the exchange process costs, how late its frames are, what
was refused. Everything is ended by its process id, also on Ctrl-C; no order may rest then.

    .venv/bin/python benchmarks/exchange_scale.py --engines 200 --window 60
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websockets
import yaml

BIN = Path(sys.executable).parent
# A modest market: one change of the book a second and symbol, a trade every five.
FLOW = {"default": {"intervalMs": 1000, "levels": 20, "tradesPerSecond": 0.2, "volatilityBps": 1.0}}
STARTING_AT_ONCE = 6
PROBED = 20
TICKS = os.sysconf("SC_CLK_TCK")


def spec_of(symbol: str, account: str) -> dict[str, Any]:
    return {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "MarketMaker",
        "metadata": {"name": account, "namespace": "trading"},
        "spec": {
            "symbol": symbol,
            "exchange": {"account": account, "credentials": {"secretName": f"mm-{account}"}},
            "quoting": {"baseSize": "1", "levels": 1, "minSpreadBps": 20.0, "intervalMs": 2000, "minIntervalMs": 500},
            "strategy": {"grid": {}},
            "risk": {"maxPosition": "20", "maxLatencyMs": 0, "shock": {"moveBps": 5000}},
            "failover": {"deadManSeconds": 60},
            "shutdown": {"graceSeconds": 20},
        },
    }


class Exchange:
    """The served exchange and what its admin port knows."""

    def __init__(self, folder: Path, symbols: list[str]) -> None:
        flow = folder / "flow.json"
        flow.write_text(json.dumps(FLOW))
        sources = [part for symbol in symbols for part in ("--synthetic", symbol)]
        command = [str(BIN / "mm-exchange"), "serve", "--port", "0", "--flow", str(flow), *sources]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            sys.exit("the exchange did not start; see above")
        self.urls: dict[str, str] = json.loads(line)

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.urls["admin"] + path, method=method, data=data)  # noqa: S310 - our own loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own loopback
            return json.loads(answer.read())

    def quoting(self) -> set[str]:
        """Symbols with orders on both sides."""
        sides: dict[str, set[str]] = collections.defaultdict(set)
        for order in self.call("GET", "/admin/open-orders")["orders"]:
            sides[order["symbol"]].add(order["side"])
        return {symbol for symbol, found in sides.items() if len(found) == 2}

    def entries(self, since: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/admin/ledger?since={since}")["entries"]
        return found

    def last(self) -> int:
        return int(self.call("GET", "/admin/ledger?limit=0")["last"])


class Engine:
    """One `mm-runner` process with files and an address of its own."""

    def __init__(self, number: int, symbol: str, exchange: Exchange, *, folder: Path) -> None:
        self.symbol = symbol
        self.address = f"127.1.{number // 250}.{number % 250 + 1}"
        self.folder = folder / symbol.lower()
        keys = exchange.call("POST", "/admin/accounts", {"balances": {"USDT": "100000"}})
        (self.folder / "keys").mkdir(parents=True)
        for name in ("apiKey", "apiSecret"):
            (self.folder / "keys" / name).write_text(keys[name])
        (self.folder / "mm.yaml").write_text(yaml.safe_dump(spec_of(symbol, f"desk-{number}")))
        environment = {
            **os.environ,
            "MM_SOURCE_ADDRESS": self.address,
            "MM_SIMULATED_REST": exchange.urls["rest"],
            "MM_SIMULATED_WS": exchange.urls["ws"],
            "MM_STATE_DIR": str(self.folder / "state"),
            "MM_CREDENTIALS_DIR": str(self.folder / "keys"),
            "MM_TERMINATION_LOG": str(self.folder / "last-word.json"),
            "MM_LOG_FILE": str(self.folder / "runner.log"),
        }
        command = [str(BIN / "mm-runner"), "run", "--spec", str(self.folder / "mm.yaml")]
        self.process = subprocess.Popen(
            [*command, "--metrics-port", "0", "--status-port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr.txt").open("wb"),
            env=environment,
        )

    def said(self, event: str) -> int:
        with contextlib.suppress(OSError):
            return (self.folder / "runner.log").read_text().count(f'"event":"{event}"')
        return 0


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def start_all(exchange: Exchange, symbols: list[str], engines: list[Engine], *, folder: Path, until: float) -> None:
    """Start engines, a few at a time: the next when one of those that start quotes. Ends early when time is up."""
    reached: set[str] = set()
    while time.monotonic() < until:
        quoting = exchange.quoting()
        # On a busy machine an engine may pull its quotes again; it has started all the same.
        reached |= quoting
        starting = sum(engine.symbol not in reached for engine in engines)
        while len(engines) < len(symbols) and starting < STARTING_AT_ONCE:
            engines.append(Engine(len(engines), symbols[len(engines)], exchange, folder=folder))
            starting += 1
        if len(quoting) == len(symbols):
            return
        print(f"\r{len(engines)} started, {len(quoting)} quote", end="", file=sys.stderr, flush=True)
        time.sleep(1)


async def frame_lags(exchange: Exchange, symbols: list[str], *, seconds: float) -> list[float]:
    """Milliseconds between the event time of frames and their arrival here."""
    names = "/".join(f"{symbol.lower()}@bookTicker" for symbol in symbols)
    lags: list[float] = []
    async with websockets.connect(f"{exchange.urls['ws']}/public/stream?streams={names}") as socket:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    frame = json.loads(await socket.recv())
                    lags.append(time.time() * 1000 - frame["data"]["E"])
    return lags


def measure(exchange: Exchange, engines: list[Engine], *, window: float) -> dict[str, Any]:
    pid, since = exchange.process.pid, exchange.last()
    limited = sum(engine.said("rate_limited") for engine in engines)
    cpu, start, rss = cpu_seconds(pid), time.monotonic(), rss_mib(pid)
    running = [engine.process.pid for engine in engines if engine.process.poll() is None]
    engines_cpu = sum(map(cpu_seconds, running))
    probed = [engine.symbol for engine in engines[:: max(1, len(engines) // PROBED)]]
    lags = sorted(asyncio.run(frame_lags(exchange, probed, seconds=window)))
    seconds = time.monotonic() - start
    busy = (cpu_seconds(pid) - cpu) / seconds
    running = [pid for pid in running if Path(f"/proc/{pid}").exists()]
    engines_busy = (sum(map(cpu_seconds, running)) - engines_cpu) / seconds / max(1, len(running))
    kinds = collections.Counter(entry["kind"] for entry in exchange.entries(since))
    refused = collections.Counter(entry["code"] for entry in exchange.entries(0) if entry["kind"] == "reject")
    return {
        "engines": len(engines),
        "quoting": len(exchange.quoting()),
        "addresses": len({row["address"] for row in exchange.call("GET", "/admin/connections")["connections"]}),
        "died": sum(engine.process.poll() is not None for engine in engines),
        "windowSeconds": round(seconds, 1),
        "exchangeCpuShare": round(busy, 3),
        "exchangeRssMib": round(rss_mib(pid), 1),
        "exchangeRssGrewMib": round(rss_mib(pid) - rss, 1),
        "engineCpuShare": round(engines_busy, 4),
        "engineRssMib": round(statistics.mean(rss_mib(e.process.pid) for e in engines if e.process.poll() is None), 1),
        "ordersPerSecond": round(kinds["order"] / seconds, 1),
        "ledgerEntriesPerSecond": round(sum(kinds.values()) / seconds, 1),
        "fills": kinds["fill"],
        "frameLagMs": {name: round(lags[int(share * (len(lags) - 1))], 1)
                       for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))} if lags else None,
        "framesProbed": len(lags),
        "refusedOrdersByCode": dict(refused),
        "rateLimited": sum(engine.said("rate_limited") for engine in engines) - limited,
        "loadAverage": os.getloadavg()[0],
    }  # fmt: skip


@contextlib.contextmanager
def ended_in_the_end(exchange: Exchange, engines: list[Engine]) -> Iterator[None]:
    """Whatever happens, every process that was started here is ended."""
    try:
        yield
    finally:
        for engine in engines:
            with contextlib.suppress(ProcessLookupError):
                engine.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        for engine in engines:
            try:
                engine.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                engine.process.kill()
                engine.process.wait()
        print(f"orders left after the engines' end: {len(exchange.call('GET', '/admin/open-orders')['orders'])}")
        exchange.process.terminate()
        exchange.process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=200)
    parser.add_argument("--window", type=float, default=60.0, help="seconds of measurement")
    parser.add_argument("--limit", type=float, default=480.0, help="seconds in which engines may start")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="mm-scale-"))
    symbols = [f"S{number:03}USDT" for number in range(options.engines)]
    exchange, engines = Exchange(folder, symbols), []
    try:
        with ended_in_the_end(exchange, engines):
            began = time.monotonic()
            start_all(exchange, symbols, engines, folder=folder, until=began + options.limit)
            print(f"\rall started after {time.monotonic() - began:.0f} s", file=sys.stderr)
            print(json.dumps(measure(exchange, engines, window=options.window), indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
