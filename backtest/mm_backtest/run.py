"""One backtest: a spec on a tape under conditions, with or without files written."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from mm_backtest.decisions import DecisionLog
from mm_backtest.errors import BacktestError
from mm_backtest.latency import Latency, constant, sampled
from mm_backtest.recording import Recording, save
from mm_backtest.summary import Timing, summarize
from mm_backtest.tape import Stretch, Tape
from mm_backtest.world import Conditions, World
from mm_contract.resource import MarketMakerSpec
from mm_exchange.matching import MatchingModel
from mm_exchange.queue_models import queue_model

SUMMARY_FILE: Final = "summary.json"
DECISIONS_FILE: Final = "decisions.jsonl"
RECORDING_FILE: Final = "recording.json"
DEFAULT_LATENCY_MS: Final = 5.0
DEFAULT_QUEUE_MODEL: Final = "conservative"


@dataclass(frozen=True)
class Options:
    """How a run is made; what the command line's options say."""

    seed: int = 0
    latency_ms: float = DEFAULT_LATENCY_MS
    latency_file: Path | None = None
    balance: Decimal = Decimal(10_000)
    stretch: Stretch = field(default_factory=Stretch)
    queue_model: str = DEFAULT_QUEUE_MODEL
    """Where cancellations happen in the queue before an order: `mm_exchange.queue_models`."""
    impact_half_life_ms: float | None = None
    """What own takers took is hidden from matching and comes back with this half-life; None: it is shown on."""

    def conditions(self) -> Conditions:
        """For one run.

        Raises:
            BacktestError: no such queue model, or no such latency file.
        """
        try:
            queue = queue_model(self.queue_model)
        except ValueError as error:
            raise BacktestError(f"--queue-model: {error}") from error
        matching = MatchingModel(queue=queue, impact_half_life_ms=self.impact_half_life_ms)
        return Conditions(self.latency(), self.balance, self.seed, matching)

    def latency(self) -> Latency:
        """A fresh latency model: its chance begins anew with each run."""
        if self.latency_file is None:
            return constant(self.latency_ms)
        return sampled(self.latency_file, otherwise_ms=self.latency_ms, seed=self.seed)

    def described(self, conditions: Conditions) -> dict[str, Any]:
        """For the summary."""
        return {
            "seed": self.seed,
            "latency": conditions.latency.name,
            "queueModel": conditions.matching.queue.name,
            "impactHalfLifeMs": self.impact_half_life_ms,
            "fromSeconds": self.stretch.start,
            "toSeconds": self.stretch.end,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    summary: dict[str, Any]
    recording: Recording


def run_backtest(spec: MarketMakerSpec, tape: Tape, options: Options, *, out: Path | None = None) -> Outcome:
    """Play a tape to the live core.

    Args:
        spec: what the engine runs.
        tape: of its symbol.
        options: latency, seed, balance, stretch.
        out: where the decision log goes; None: nowhere.

    Raises:
        BacktestError: nothing to play, the venue refuses the set-up, or a file fails.
    """
    conditions = options.conditions()
    start_ns = tape.start_ns + int(options.stretch.start * 1e9)
    decisions = DecisionLog(out / DECISIONS_FILE if out is not None else None)
    world = World(spec, tape.rules, conditions, decisions=decisions, start_ns=start_ns)
    with _undisturbed():
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            world.run(tape.steps(options.stretch))
        except OSError as error:
            raise BacktestError(f"reading {tape.path} or writing the decision log failed: {error}") from error
        finally:
            decisions.close()
        timing = Timing(time.perf_counter() - wall, time.process_time() - cpu)
    if world.loop.frames < 2:
        raise BacktestError(f"nothing to play: {tape.path} holds no event of {spec.symbol} in the wanted stretch")
    summary = summarize(world, timing, tape=tape.path.name, conditions=options.described(conditions))
    return Outcome(summary, world.recorder.finish(tape.path.name, summary, world.loop.now_ns))


def write(outcome: Outcome, out: Path) -> None:
    """`summary.json` and `recording.json`; the decision log is written while the run goes on."""
    (out / SUMMARY_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(outcome.summary), indent=2) + b"\n")
    save(outcome.recording, out / RECORDING_FILE)


def prepare(out: Path, *, force: bool) -> None:
    """Make the folder for the files.

    Raises:
        BacktestError: it cannot be made, or holds something and `force` is not set.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        holds = next(out.iterdir(), None)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BacktestError(
            f"--out {out} cannot be written: {error.strerror or error}; give a folder of yours"
        ) from error
    if holds is not None and not force:
        raise BacktestError(
            f"--out {out} is not empty ({holds.name}): give another folder, or --force to write into it"
        )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The collector rests while the loop runs: a backtest makes hardly any cycles, and looking for them costs a tenth of it."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
