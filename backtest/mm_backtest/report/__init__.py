"""A backtest's report: `report.html`, which needs no network, and PNGs. Called by `mm-backtest run` with what the driver kept.

The way through: a `Recording` becomes a `View` (statistics of everything, series thinned for drawing); charts and pictures
are drawn from the view; the page holds the charts, tables and the summary.
"""

from __future__ import annotations

from pathlib import Path

from mm_backtest.recording import Recording
from mm_backtest.report.fill_charts import fill_charts
from mm_backtest.report.page import document
from mm_backtest.report.pictures import write_pictures
from mm_backtest.report.time_charts import time_charts
from mm_backtest.report.view import prepare

__all__ = ["write"]


def write(recording: Recording, out: Path) -> None:
    """Write `report.html` and the PNGs into the folder `out`, which is made where it is missing."""
    out.mkdir(parents=True, exist_ok=True)
    prepared = prepare(recording)
    charts = [*time_charts(prepared), *fill_charts(prepared)]
    (out / "report.html").write_text(document(prepared, charts), encoding="utf-8")
    write_pictures(prepared, out)
