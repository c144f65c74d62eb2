"""The charts about fills and orders: spread against markouts, queues, life times, latency."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import plotly.graph_objects as go

from mm_backtest.recording import MARKOUT_SECONDS
from mm_backtest.report import measures, palette
from mm_backtest.report.chart import Chart, framed, over_time
from mm_backtest.report.view import HORIZONS, View

_NO_FILLS: Final = "No fills in this run."
_SYMBOLS: Final = {"BUY": "triangle-up", "SELL": "triangle-down", "ALL": "circle"}
_SHOWN_AT_FIRST = 5
_HORIZON_COLOURS: Final = (palette.BLUE, palette.VERMILLION, palette.PURPLE)


def fill_charts(view: View) -> list[Chart]:
    """All charts about fills and orders, in reading order."""
    return [_average(view), _per_fill(view), _fill_rate(view), _queue_sizes(view), _lifetimes(view), _latency(view)]


def _average(view: View) -> Chart:
    figure = framed(
        [_curve(row) for row in view.markouts], "per fill, bps of the mid", x_title="mid compared with the fill's price"
    )
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(HORIZONS))
    figure.update_yaxes(zeroline=True)
    caption = (
        "Average over fills with 95 % confidence (fills that come in clusters make the true interval wider). At the fill: the half spread captured, "
        "side · (mid - price); later: the markout, side · (mid after h - price). What is lost on the way is adverse selection."
    )
    return Chart("markouts", "Spread captured against markouts", caption, figure if view.markouts else None, _NO_FILLS)


def _curve(row: measures.MarkoutRow) -> go.Scatter:
    known = [(where, point) for where, point in zip(HORIZONS, (row.captured, *row.markouts), strict=True) if point]
    return go.Scatter(
        x=[where for where, _ in known],
        y=[point.mean for _, point in known],
        error_y={"type": "data", "array": [point.half_width or 0.0 for _, point in known], "width": 5},
        customdata=[point.count for _, point in known],
        name=f"{palette.SIDE_WORD[row.side]} ({row.fills:,})",
        mode="lines+markers",
        line={"color": palette.SIDE_COLOUR[row.side], "dash": "dot" if row.side == "ALL" else "solid"},
        marker={"symbol": _SYMBOLS[row.side], "size": 9},
        hovertemplate="%{x}: %{y:.3f} bps over %{customdata} fills<extra></extra>",
    )


def _per_fill(view: View) -> Chart:
    times = [one.fill.time_ms for one in view.scores]
    traces = [
        _dots("captured", times, values=[one.captured_bps for one in view.scores], color=palette.GREEN, symbol="circle")
    ]
    for index, (seconds, colour) in enumerate(zip(MARKOUT_SECONDS, _HORIZON_COLOURS, strict=True)):
        values = [one.markouts_bps[index] for one in view.scores]
        trace = _dots(
            f"markout {seconds} s", times, values=values, color=colour, symbol=("diamond", "x", "square")[index]
        )
        # Three clouds at once hide each other; the others are one tap on the legend away.
        trace.visible = True if seconds == _SHOWN_AT_FIRST else "legendonly"
        traces.append(trace)
    figure = over_time(traces, "per fill, bps of the mid", bands=view.risk_bands, span_ms=view.span_ms)
    figure.update_yaxes(zeroline=True)
    caption = "Each fill by itself. Tap a name in the legend for the other horizons."
    return Chart(
        "markouts-per-fill",
        "Captured and markout, fill by fill",
        caption,
        figure if times else None,
        _NO_FILLS,
        linked=True,
    )


def _dots(name: str, times: list[int], *, values: list[Any], color: str, symbol: str) -> go.Scatter:
    marker = {"color": color, "symbol": symbol, "size": 6, "opacity": 0.8}
    return go.Scatter(x=times, y=values, name=name, mode="markers", marker=marker)


def bucket_names(buckets: list[measures.QueueBucket]) -> list[str]:
    """Names of queue buckets, in base units: `0`, `≤ 1.5`, `1.5 to 8` and so on."""
    return [
        "0"
        if not bucket.high
        else f"≤ {bucket.high:.3g}"
        if not bucket.low
        else f"{bucket.low:.3g} to {bucket.high:.3g}"
        for bucket in buckets
    ]


def _fill_rate(view: View) -> Chart:
    buckets = view.queue
    bars = go.Bar(
        x=bucket_names(buckets),
        y=[100 * bucket.rate for bucket in buckets],
        error_y={
            "type": "data", "symmetric": False, "width": 5, "color": palette.GREY,
            "array": [100 * (bucket.interval[1] - bucket.rate) for bucket in buckets],
            "arrayminus": [100 * (bucket.rate - bucket.interval[0]) for bucket in buckets],
        },
        customdata=[[bucket.orders, 100 * bucket.filled_share] for bucket in buckets],
        hovertemplate="%{y:.1f} % of %{customdata[0]:,} orders, %{customdata[1]:.1f} % of their quantity<extra></extra>",
        marker={"color": palette.BLUE},
        name="orders with a fill",
    )  # fmt: skip
    figure = framed([bars], "orders with a fill, %", x_title=f"size ahead when joined, {view.base}")
    figure.update_layout(showlegend=False)
    figure.update_xaxes(type="category")
    figure.update_yaxes(rangemode="tozero")
    counts = ", ".join(f"{bucket.orders:,}" for bucket in buckets)
    caption = f"With 95 % intervals; orders per bar: {counts}." if buckets else ""
    return Chart(
        "queue", "Fill rate by queue", caption, figure if buckets else None, "No order came to rest.", height=340
    )


def _queue_sizes(view: View) -> Chart:
    sizes = measures.queue_sizes(view.recording.orders)
    colours = (palette.GREY, palette.GREEN, palette.ORANGE)
    labels = [f"p{100 * share:.0f}" for share in measures.QUEUE_QUANTILES]
    traces = [
        go.Bar(
            x=labels,
            y=[measures.quantile(values, share) for share in measures.QUEUE_QUANTILES],
            name=f"{what} ({len(values):,})",
            marker={"color": colour},
        )
        for (what, values), colour in zip(sizes.items(), colours, strict=False)
    ]
    figure = framed(traces, f"size ahead, {view.base}", x_title="quantile over orders", barmode="group")
    caption = "Displayed size before our order at its price."
    return Chart(
        "queue-sizes",
        "Size ahead in the queue",
        caption,
        figure if traces else None,
        "No order came to rest.",
        height=340,
    )


def lifetime_names() -> list[str]:
    """Names of the life-time classes."""
    edges = measures.LIFETIME_EDGES_S
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges[1:-1])]
    return [f"< {edges[1]:g}", *inner, f"> {edges[-2]:g}"]


def _lifetimes(view: View) -> Chart:
    traces = [
        go.Bar(
            x=lifetime_names(),
            y=measures.lifetime_counts(lives),
            name=f"{end.lower()} ({len(lives):,})",
            marker={"color": palette.END_COLOUR.get(end, palette.BLUE)},
        )
        for end, lives in sorted(view.lifetimes.items())
    ]
    figure = framed(traces, "orders", x_title="seconds from acknowledgement to end", barmode="stack")
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=lifetime_names())
    resting = sum(not order.end for order in view.recording.orders)
    caption = (
        f"{resting:,} orders had not ended with the run and are not counted."
        if resting
        else "By how the venue ended them."
    )
    return Chart(
        "lifetimes",
        "Life time of orders",
        caption,
        figure if traces else None,
        "No order ended in this run.",
        height=340,
    )


def _latency(view: View) -> Chart:
    bins, spread = measures.histogram(view.latencies), measures.spread(view.latencies)
    if bins is None or spread is None:
        return Chart("latency", "Entry latency", "", None, "No request was acknowledged in this run.")
    widths = [high - low for low, high in pairwise(bins.edges)]
    bars = go.Bar(
        x=[(low + high) / 2 for low, high in pairwise(bins.edges)],
        y=list(bins.counts), width=widths, name="requests", marker={"color": palette.BLUE},
    )  # fmt: skip
    figure = framed([bars], "requests", x_title="decision to acknowledgement, ms")
    marks = (
        ("p50", spread.p50, palette.PURPLE),
        ("p90", spread.p90, palette.ORANGE),
        ("p99", spread.p99, palette.VERMILLION),
    )
    for name, value, colour in marks:
        line = {"color": colour, "dash": "dash", "width": 2}
        figure.add_trace(
            go.Scatter(
                x=[value, value], y=[0, max(bins.counts)], mode="lines", name=f"{name} {value:.3g} ms", line=line
            )
        )
    beyond = f" {bins.beyond:,} beyond the right edge." if bins.beyond else ""
    caption = f"{spread.count:,} requests, longest {spread.most:.3g} ms.{beyond}"
    return Chart("latency", "Entry latency", caption, figure, height=340)
