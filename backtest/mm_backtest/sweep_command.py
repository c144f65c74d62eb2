"""The sweep as a command: reads what is asked, shows progress, keeps what is finished."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mm_backtest.run import Options, prepare
from mm_backtest.session import read_spec
from mm_backtest.sweep import Fold, Result, combinations, parse_setting, segments, trials, walk_forward
from mm_backtest.sweep_files import show, write_results
from mm_backtest.sweeping import run_trials
from mm_backtest.tape import open_tape, seconds_of

_EXIT_FAILED: Final = 1
_EXIT_INTERRUPTED: Final = 130
_KEEP_SECONDS: Final = 2.0
_FILE_COLUMNS: Final = 160


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """What is asked for."""

    spec_file: Path
    tapes: tuple[Path, ...]
    settings: tuple[str, ...]
    out: Path
    workers: int
    parts: int
    objective: str
    force: bool


def sweep_all(order: SweepOrder, options: Options) -> int:
    """Run it; returns the exit code.

    Raises:
        BacktestError: before the first run, where spec, tapes, settings or folder cannot be used.
    """
    maker = read_spec(order.spec_file)
    wanted = combinations([parse_setting(text) for text in order.settings])
    for path in order.tapes:
        open_tape(path, maker.spec.symbol)
    options.conditions()  # a file that cannot be read is said now, not by each run
    prepare(order.out, force=order.force)
    stretches = {
        str(path): segments(seconds_of(path) if order.parts > 1 else 0.0, order.parts)
        for path in dict.fromkeys(order.tapes)
    }
    planned = trials(maker, wanted, stretches)
    results: list[Result] = []

    def keep() -> list[Fold]:
        results.sort(key=lambda one: one.place)
        folds = walk_forward(results, order.objective) if order.parts > 1 else []
        complete = len(results) == len(planned)
        write_results(order.out, results, folds, objective=order.objective, complete=complete, planned=len(planned))
        return folds

    interrupted, kept = False, 0.0
    try:
        for result in _watched(run_trials(planned, options, workers=order.workers), len(planned)):
            results.append(result)
            if time.monotonic() - kept > _KEEP_SECONDS:
                keep()  # what is finished outlives even a kill
                kept = time.monotonic()
    except KeyboardInterrupt:
        interrupted = True
    folds = keep()
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_COLUMNS)
    show(console, results, folds, objective=order.objective)
    if interrupted:
        return _EXIT_INTERRUPTED
    return 0 if any(one.summary is not None for one in results) else _EXIT_FAILED


def _watched(results: Iterable[Result], total: int) -> Iterator[Result]:
    """With a bar where a person looks on."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("runs", total=total)
        for result in results:
            yield result
            progress.advance(task)
