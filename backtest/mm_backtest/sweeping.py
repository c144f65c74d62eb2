"""Runs a sweep: one process a core, each with the tape in memory, results as they come; what is finished survives Ctrl-C."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from mm_backtest.errors import BacktestError
from mm_backtest.run import Options, run_backtest
from mm_backtest.session import check_spec
from mm_backtest.sweep import Result, Trial
from mm_backtest.tape import Tape, open_tape

_MOST_BYTES: Final = 400_000_000
"""A tape whose file is larger is not kept in memory but read again for each run."""
_QUEUED: Final = 2


class Worker:
    """Runs trials one after another; keeps the tape it last played in memory, parsed once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tape: Tape | None = None

    def run(self, trial: Trial) -> Result:
        """One trial; its failure is its result."""
        try:
            summary = self._summary(trial) if trial.spec is not None else None
        except Exception as error:  # noqa: BLE001 - whatever breaks one combination must not end the sweep
            sentence = str(error) if isinstance(error, BacktestError) else f"{type(error).__name__}: {error}"
            return Result(trial.place, trial.parameters, trial.tape, trial.stretch, None, sentence)
        return Result(trial.place, trial.parameters, trial.tape, trial.stretch, summary, trial.refusal)

    def _summary(self, trial: Trial) -> dict[str, object]:
        spec = trial.spec
        if spec is None:
            raise BacktestError(trial.refusal)
        check_spec(spec, where="this combination")
        tape = self._open(Path(trial.tape), spec.symbol)
        options = replace(self._options, stretch=trial.stretch)
        return run_backtest(spec, tape, options).summary

    def _open(self, path: Path, symbol: str) -> Tape:
        if self._tape is None or self._tape.path != path or self._tape.rules.symbol != symbol:
            tape = open_tape(path, symbol)
            self._tape = tape.in_memory() if path.stat().st_size <= _MOST_BYTES else tape
        return self._tape


def run_trials(trials: Sequence[Trial], options: Options, *, workers: int) -> Iterator[Result]:
    """Results as they come. Trials of one tape follow each other, so that a worker parses it once."""
    ordered = sorted(trials, key=lambda trial: (trial.place[1], trial.place[2], trial.place[0]))
    if workers <= 1 or len(ordered) <= 1:
        worker = Worker(options)
        yield from map(worker.run, ordered)
        return
    yield from _in_processes(ordered, options, min(workers, len(ordered)))


_worker: Worker | None = None


def _begin(options: Options) -> None:
    """In each process: Ctrl-C is the parent's affair."""
    global _worker  # noqa: PLW0603 - a process pool has no other place for what a process keeps
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = Worker(options)


def _work(trial: Trial) -> Result:
    if _worker is None:
        raise RuntimeError("the pool did not begin this process")
    return _worker.run(trial)


def _in_processes(ordered: list[Trial], options: Options, workers: int) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(options,)) as pool:
        waiting: dict[Future[Result], Trial] = {}
        left = iter(ordered)
        try:
            while True:
                for trial in islice(left, workers * _QUEUED - len(waiting)):
                    waiting[pool.submit(_work, trial)] = trial
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    del waiting[future]
        except BrokenProcessPool as error:
            raise BacktestError("a worker was killed, perhaps for want of memory: give fewer --workers") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
