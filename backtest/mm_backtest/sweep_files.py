"""What a sweep leaves: `results.csv`, `results.json`, and a table for a person."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mm_backtest.sweep import OBJECTIVES, Fold, Result

FIGURES: Final = (
    "frames", "orders", "fills", "pnl", "realizedPnl", "fees", "funding", "volume", "maxDrawdown", "maxAbsPosition", "finalPosition", "violations",
    "decisionsSha256",
)  # fmt: skip
_SHOWN_ROWS: Final = 40


def row_of(result: Result) -> dict[str, Any]:
    """One result, flat."""
    summary: Mapping[str, Any] = result.summary or {}
    row: dict[str, Any] = {
        "combination": result.place[0] + 1,
        **result.parameters,
        "tape": Path(result.tape).name,
        "fromSeconds": result.stretch.start,
        "toSeconds": result.stretch.end,
    }
    row |= {name: summary.get(name) for name in FIGURES}
    row |= {f"objective.{name}": score(summary) if summary else None for name, score in OBJECTIVES.items()}
    return row | {"error": result.error}


def write_results(  # noqa: PLR0913 - what is written, by name
    out: Path, results: Sequence[Result], folds: Sequence[Fold], *, objective: str, complete: bool, planned: int
) -> None:
    """Both files, results in the order of combination, tape and segment."""
    rows = [row_of(one) for one in sorted(results, key=lambda one: one.place)]
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["combination"])
        writer.writeheader()
        writer.writerows(rows)
    whole = {
        "objective": objective,
        "complete": complete,
        "planned": planned,
        "finished": len(rows),
        "failed": sum(1 for one in results if one.summary is None),
        "results": rows,
        "walkForward": [_fold(one) for one in folds],
    }
    (out / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")


def _fold(fold: Fold) -> dict[str, Any]:
    return {
        "tape": Path(fold.tape).name,
        "trainedOn": fold.segment,
        "testedOn": fold.segment + 1,
        "parameters": fold.parameters,
        "inSample": fold.in_sample,
        "outOfSample": fold.out_of_sample,
        "bestOutOfSample": fold.best_out_of_sample,
    }


def show(console: Console, results: Sequence[Result], folds: Sequence[Fold], *, objective: str) -> None:
    """The table, best first, and the folds."""
    score = OBJECTIVES[objective]
    ran = sorted(
        (one for one in results if one.summary is not None), key=lambda one: (-score(one.summary or {}), one.place)
    )
    title = f"{len(ran)} runs by {objective}" + (f", the best {_SHOWN_ROWS}" if len(ran) > _SHOWN_ROWS else "")
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    columns = _columns(results, objective)
    for name in columns:
        table.add_column(name, justify="left" if name == "tape" else "right", no_wrap=True)
    for one in ran[:_SHOWN_ROWS]:
        table.add_row(*(cell(one) for cell in columns.values()))
    if ran:
        console.print(table)
    # A combination that is refused fails on each stretch alike: said once.
    failed = dict.fromkeys(f"{_named(one.parameters)}: {one.error}" for one in results if one.summary is None)
    for sentence in list(failed)[:_SHOWN_ROWS]:
        console.print(f"failed: {sentence}", style="red", highlight=False)
    if folds:
        console.print(_fold_table(folds, objective))


def _columns(results: Sequence[Result], objective: str) -> dict[str, Callable[[Result], str]]:
    """What tells the rows apart, and the figures; a column that would say the same in each row is left out."""
    score = OBJECTIVES[objective]
    names = list(results[0].parameters) if results else []
    columns: dict[str, Callable[[Result], str]] = {
        short: lambda one, name=name: str(one.parameters[name])  # type: ignore[misc]
        for name, short in zip(names, _short(names), strict=True)
    }
    if len({one.tape for one in results}) > 1:
        columns["tape"] = lambda one: Path(one.tape).name
    if len({one.stretch for one in results}) > 1:
        columns["from"] = lambda one: f"{one.stretch.start:.0f} s"
    columns |= {name: lambda one, name=name: f"{(one.summary or {})[name]:.4f}" for name in ("pnl", "fees")}  # type: ignore[misc]
    if objective != "pnl":
        columns[objective] = lambda one: f"{score(one.summary or {}):.4f}"
    columns |= {name: lambda one, name=name: str((one.summary or {})[name]) for name in ("fills", "orders")}  # type: ignore[misc]
    columns["max position"] = lambda one: f"{(one.summary or {})['maxAbsPosition']:g}"
    columns["violations"] = lambda one: str((one.summary or {})["violations"])
    return columns


def _short(paths: Sequence[str]) -> list[str]:
    """The last part of each path where that tells them apart."""
    lasts = [path.rpartition(".")[2] for path in paths]
    return lasts if len(set(lasts)) == len(lasts) else list(paths)


def _named(parameters: Mapping[str, Any]) -> str:
    shorts = _short(list(parameters))
    return ", ".join(f"{short}={value}" for short, value in zip(shorts, parameters.values(), strict=True))


def _fold_table(folds: Sequence[Fold], objective: str) -> Table:
    table = Table(
        title=f"walk-forward by {objective}: chosen on one segment, tested on the next", box=SIMPLE_HEAD, pad_edge=False
    )
    for name in ("segment", "chosen", "in sample", "out of sample", "best there"):
        table.add_column(name, justify="left" if name == "chosen" else "right")
    for fold in folds:
        table.add_row(
            f"{fold.segment} → {fold.segment + 1}",
            _named(fold.parameters),
            f"{fold.in_sample:.4f}",
            _figure(fold.out_of_sample),
            _figure(fold.best_out_of_sample),
        )
    return table


def _figure(value: float | None) -> str:
    return "failed" if value is None else f"{value:.4f}"
