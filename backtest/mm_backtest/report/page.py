"""`report.html`: one file that needs no network. Plotly's script, the charts' numbers, tables and style are all inside.

A content security policy in the page forbids every fetch, so that it holds whatever a future plotly does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from plotly.offline import get_plotlyjs

from mm_backtest.recording import MARKOUT_SECONDS
from mm_backtest.report import measures, palette, summary
from mm_backtest.report.chart import Chart
from mm_backtest.report.view import View

_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def document(view: View, charts: Sequence[Chart]) -> str:
    """The whole document."""
    here = files("mm_backtest.report")
    title = f"Backtest of {view.recording.symbol}"
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            f"<style>{(here / 'page.css').read_text()}</style>",
            f"<script>{get_plotlyjs()}</script></head><body><main>",
            _head(view, title),
            *(_section(view, chart) for chart in charts),
            f"<script>{(here / 'page.js').read_text()}</script></main></body></html>",
        )
    )


def _head(view: View, title: str) -> str:
    ending = summary.ending(view)
    halted = bool(view.recording.risk_bands) and view.recording.risk_bands[-1].state == "halted"
    alarm = f'<p class="{"alarm" if halted else "note"}">{escape(ending)}</p>' if ending else ""
    tiles = "".join(
        f'<div class="tile{" bad" if tile.bad else ""}"><dt>{escape(tile.label)}</dt><dd>{escape(tile.value)}</dd></div>'
        for tile in summary.tiles(view)
    )
    pairs = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in summary.rows(view)
    )
    table = f"<dl class=pairs>{pairs}</dl>" if pairs else "<p>summary.json is empty.</p>"
    note = f"<p>{escape(view.thinned)}</p>" if view.thinned else ""
    return (
        f"<header><h1>{escape(title)}</h1><p>{escape(_when(view))}</p>{alarm}<dl class=tiles>{tiles}</dl>{note}</header>"
        f"<section><h2>Summary</h2>{table}</section>"
    )


def _when(view: View) -> str:
    tape = f"Tape {view.recording.tape}"
    start, end = view.span_ms
    if not end:
        return f"{tape}."
    at = dt.datetime.fromtimestamp(start / 1e3, tz=dt.UTC)
    return f"{tape}, from {at:%Y-%m-%d %H:%M:%S} UTC, {(end - start) / 1e3:,.1f} s."


def _section(view: View, chart: Chart) -> str:
    heading = f"<h2>{escape(chart.title)}</h2>"
    if chart.figure is None:
        return f'<section id="{chart.name}">{heading}<p class=empty>{escape(chart.empty)}</p></section>'
    # Reasons and names come from tapes and specs: nothing in them may end the script element.
    figure = str(chart.figure.to_json()).replace("<", "\\u003c")
    linked = " data-linked" if chart.linked else ""
    body = (
        f'<p>{escape(chart.caption)}</p><div class=chart id="chart-{chart.name}" style="height:{chart.height}px"{linked}></div>'
        f'<script type="application/json" data-for="chart-{chart.name}">{figure}</script>'
    )
    return f'<section id="{chart.name}">{heading}{body}{_table(view, chart)}</section>'


def _table(view: View, chart: Chart) -> str:
    match chart.name:
        case "markouts":
            return _markout_table(view)
        case "queue":
            return _queue_table(view)
        case "latency":
            return _latency_table(view)
        case _:
            return ""


def _markout_table(view: View) -> str:
    quote = view.quote
    seconds = [f"{horizon} s" for horizon in MARKOUT_SECONDS]
    bps = _grid(
        ("bps per fill, ± 95 %", "fills", "captured", *(f"markout {h}" for h in seconds), *(f"adverse {h}" for h in seconds)),
        (
            (
                palette.SIDE_WORD[row.side], f"{row.fills:,}", summary.interval(row.captured),
                *(summary.interval(one) for one in row.markouts), *(summary.interval(one) for one in row.adverse),
            )
            for row in view.markouts
        ),
    )  # fmt: skip
    money = _grid(
        (f"sum, {quote}", "fills", "captured", *(f"markout {h}" for h in seconds), *(f"adverse {h}" for h in seconds)),
        (
            (
                palette.SIDE_WORD[row.side], f"{row.fills:,}", summary.number(row.captured_quote, 4),
                *(summary.number(one, 4) for one in row.markouts_quote), *(summary.number(one, 4) for one in row.adverse_quote),
            )
            for row in view.markouts
        ),
    )  # fmt: skip
    return bps + money


def _queue_table(view: View) -> str:
    resting = measures.rested(view.recording.orders)
    filled = sum(order.filled > 0 for order in resting)
    whole = sum(order.end == "FILLED" for order in resting)
    return _grid(
        ("orders that rested", "with a fill", "filled whole", "quantity filled"),
        (
            (
                f"{len(resting):,}",
                f"{filled:,} ({100 * filled / len(resting):.1f} %)",
                f"{whole:,}",
                _share(sum(order.filled for order in resting), sum(order.quantity for order in resting)),
            ),
        ),
    )


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "\N{EN DASH}"


def _latency_table(view: View) -> str:
    spread = measures.spread(view.latencies)
    if spread is None:
        return ""
    return _grid(
        ("requests", "p50, ms", "p90, ms", "p99, ms", "longest, ms"),
        ((f"{spread.count:,}", *(f"{value:,.3f}" for value in (spread.p50, spread.p90, spread.p99, spread.most))),),
    )


def _grid(heads: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th scope=col>{escape(text)}</th>" for text in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
    return f"<div class=scroll tabindex=0><table class=grid><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
