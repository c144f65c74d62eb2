"""What a sweep leaves: `results.csv`, `results.json`, and a table for a person."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
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
    names = list(results[0].parameters) if results else []
    table = Table(
        title=f"{len(ran)} runs by {objective}" + (f", the best {_SHOWN_ROWS}" if len(ran) > _SHOWN_ROWS else "")
    )
    for name in (*names, "tape", "from", objective, "pnl", "fees", "fills", "orders", "maxAbsPosition", "violations"):
        table.add_column(name, justify="left" if name == "tape" else "right")
    for one in ran[:_SHOWN_ROWS]:
        summary = one.summary or {}
        table.add_row(
            *(str(one.parameters[name]) for name in names), Path(one.tape).name, f"{one.stretch.start:.0f} s", f"{score(summary):.4f}",
            f"{summary['pnl']:.4f}", f"{summary['fees']:.4f}", str(summary["fills"]), str(summary["orders"]),
            f"{summary['maxAbsPosition']:g}", str(summary["violations"]),
        )  # fmt: skip
    console.print(table)
    failed = [one for one in results if one.summary is None]
    for one in failed[:_SHOWN_ROWS]:
        console.print(f"failed: {one.parameters}: {one.error}", style="red", highlight=False)
    if folds:
        console.print(_fold_table(folds, objective))


def _fold_table(folds: Sequence[Fold], objective: str) -> Table:
    table = Table(title=f"walk-forward by {objective}: chosen on one segment, tested on the next")
    for name in ("segment", "chosen", "in sample", "out of sample", "best possible there"):
        table.add_column(name, justify="left" if name == "chosen" else "right")
    for fold in folds:
        chosen = ", ".join(f"{name}={value}" for name, value in fold.parameters.items())
        table.add_row(
            f"{fold.segment} → {fold.segment + 1}",
            chosen,
            f"{fold.in_sample:.4f}",
            _figure(fold.out_of_sample),
            _figure(fold.best_out_of_sample),
        )
    return table


def _figure(value: float | None) -> str:
    return "failed" if value is None else f"{value:.4f}"
