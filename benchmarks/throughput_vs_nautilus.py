"""Backtest throughput: `mm-backtest` against NautilusTrader's backtest engine, same tape, same events, in one run.

    .venv/bin/python benchmarks/throughput_vs_nautilus.py [--tape FILE] [--rounds N]

Rounds are interleaved and the order alternates, so that a busy machine hits both alike; figures are medians of process CPU
time, and ratios are taken round by round before their median. Three rows:

* ours, from the file: what `mm-backtest run` does, decompressing and decoding the tape included
* ours, tape in memory: the same with the tape decoded before, as a sweep has it
* NautilusTrader: `BacktestEngine.run` over objects made before; making them is a figure of its own

Both quote two levels a side at 2 and 5 bps from the mid, 0.02 ETH, with 5 ms latency. Ours runs the whole live engine: risk gate,
order tracker, rounding, invariants checked on every decision, a decision log with a hash, and the exchange's accounts and queue
positions. The rival runs its Rust book, matching, risk and execution engines and a Python strategy. An event is a line of the
tape: a depth message, a bookTicker or a trade.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from mm_backtest.run import Options, run_backtest
from mm_backtest.session import read_spec
from mm_backtest.tape import Tape, open_tape
from mm_contract.resource import MarketMakerSpec

HERE = Path(__file__).resolve().parent
SPEC = HERE.parent / "examples" / "mm.yaml"


class Rival:
    """NautilusTrader in its own interpreter: loaded once, one round per line."""

    def __init__(self, tape: Path) -> None:
        python = subprocess.run([HERE / "rivals-venv"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self._process = subprocess.Popen(
            [python, HERE / "rivals" / "nautilus_backtest.py", tape],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.loaded = self._answer()

    def round(self) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe above
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"NautilusTrader ended with code {self._process.wait()}; its words are above")
        return dict(json.loads(line))

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)


def ours(spec: MarketMakerSpec, tape: Tape) -> dict[str, Any]:
    """One run of the live core; the times are the run's own."""
    return run_backtest(spec, tape, Options()).summary


def row(label: str, rounds: list[dict[str, Any]], base: list[dict[str, Any]]) -> str:
    speeds = [one["frames"] / one["cpuSeconds"] for one in rounds]
    ratio = statistics.median(
        (one["frames"] / one["cpuSeconds"]) / (other["frames"] / other["cpuSeconds"])
        for one, other in zip(rounds, base, strict=True)
    )
    last = rounds[-1]
    cpu = statistics.median(one["cpuSeconds"] for one in rounds)
    return (
        f"{label:<28} {statistics.median(speeds):>10,.0f} {max(speeds):>10,.0f} {cpu:>8.2f} {ratio:>7.2f}x "
        f"{last['frames']:>8,} {last['orders']:>7,} {last['fills']:>6,}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MM_TAPE") or HERE.parent.parent / "shared" / "data" / "ethusdt_20240808.gz"
    parser.add_argument(
        "--tape", type=Path, default=Path(default), help="a recorded ETHUSDT tape, gzip (default: MM_TAPE)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spec", type=Path, default=SPEC, help="the MarketMaker that our engine runs")
    given = parser.parse_args()
    if not given.tape.exists():
        sys.exit(f"no tape at {given.tape}: name one with --tape or MM_TAPE")
    spec = read_spec(given.spec).spec
    tape = open_tape(given.tape, spec.symbol)
    rival, memory = Rival(given.tape), tape.in_memory()
    variants = {
        "ours, from the file": lambda: ours(spec, tape),
        "ours, tape in memory": lambda: ours(spec, memory),
        "NautilusTrader": rival.round,
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for number in range(given.rounds):
        for name in list(variants) if number % 2 else list(reversed(variants)):
            rounds[name].append(variants[name]())
    rival.close()
    base = rounds["NautilusTrader"]
    print(f"NautilusTrader {rival.loaded['version']}; {given.rounds} interleaved rounds, process CPU, medians")
    print(f"{'':<28} {'events/s':>10} {'best':>10} {'CPU s':>8} {'ratio':>8} {'events':>8} {'orders':>7} {'fills':>6}")
    for name, done in rounds.items():
        print(row(name, done, base))
    loading = rival.loaded["loadCpuSeconds"]
    whole = [{**one, "cpuSeconds": one["cpuSeconds"] + loading} for one in base]
    print(row("NautilusTrader with loading", whole, base))
    print(
        f"level updates in the tape: {rival.loaded['updates']:,}; making NautilusTrader's objects took {loading:.1f} s of CPU"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
