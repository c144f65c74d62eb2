"""The charts over the run's time: the market with our quotes and fills, the states, inventory and money."""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go

from mm_backtest.recording import Band
from mm_backtest.report import palette
from mm_backtest.report.chart import Chart, framed, over_time, set_span
from mm_backtest.report.palette import band_look
from mm_backtest.report.view import View

_NO_SAMPLES: Final = "The run ended before the first sample was taken."
_MARKERS: Final = {"BUY": "triangle-up", "SELL": "triangle-down"}


def time_charts(view: View) -> list[Chart]:
    """All charts over time, in reading order."""
    return [_market(view), _states(view), _inventory(view), _equity(view)]


def _line(view: View, name: str, *, values: list[float | None], **look: Any) -> go.Scatter:
    times = [sample.time_ms for sample in view.samples]
    # A single sample is no line: it needs a marker to be seen.
    mode = "lines" if len(times) > 1 else "markers"
    line = {"shape": "hv", "width": 1.5, **look}
    return go.Scatter(
        x=times, y=values, name=name, mode=mode, line=line, marker={"color": look["color"]}, connectgaps=False
    )


def _market(view: View) -> Chart:
    quote, samples = view.quote, view.samples
    traces = [
        _line(view, "mid", values=[(sample.bid + sample.ask) / 2 for sample in samples], color=palette.GREY, width=1.2),
        _line(view, "our best bid", values=[sample.own_bid for sample in samples], color=palette.BLUE),
        _line(view, "our best ask", values=[sample.own_ask for sample in samples], color=palette.VERMILLION),
        *(_fill_markers(view, side) for side in ("BUY", "SELL")),
    ]
    figure = over_time(traces, f"price, {quote}", bands=view.risk_bands, span_ms=view.span_ms) if samples else None
    bought = sum(fill.side == "BUY" for fill in view.recording.fills)
    sold = len(view.recording.fills) - bought
    caption = (
        f"Mid of the touch, our best quotes as steps (a gap: no quote on that side), {bought:,} buys and {sold:,} sells as "
        "triangles at their prices. Shaded: the engine's own risk state."
    )
    return Chart("market", "Market, our quotes and fills", caption, figure, _NO_SAMPLES, height=460, linked=True)


def _fill_markers(view: View, side: str) -> go.Scatter:
    fills = [fill for fill in view.fills if fill.side == side]
    return go.Scatter(
        x=[fill.time_ms for fill in fills],
        y=[fill.price for fill in fills],
        name="bought" if side == "BUY" else "sold",
        mode="markers",
        marker={
            "symbol": _MARKERS[side], "size": 9, "color": palette.SIDE_COLOUR[side],
            "line": {"width": 1, "color": "white"},
        },
        customdata=[[fill.quantity, "maker" if fill.maker else "taker"] for fill in fills],
        hovertemplate="%{customdata[0]} " + view.base + " at %{y}, %{customdata[1]}<br>%{x}<extra></extra>",
    )  # fmt: skip


def _inventory(view: View) -> Chart:
    positions: list[float | None] = [sample.position for sample in view.samples]
    traces = [_line(view, "position", values=positions, color=palette.BLUE)]
    figure = over_time(traces, f"position, {view.base}", bands=view.risk_bands, span_ms=view.span_ms)
    figure.update_yaxes(zeroline=True)
    caption = "Positive is long, negative is short."
    return Chart(
        "inventory", "Inventory", caption, figure if view.samples else None, _NO_SAMPLES, height=300, linked=True
    )


def _equity(view: View) -> Chart:
    samples = view.samples
    traces = [
        _line(view, "net", values=[sample.equity for sample in samples], color=palette.BLUE, width=2.5),
        _line(view, "gross", values=[sample.gross_pnl for sample in samples], color=palette.GREEN, dash="dash"),
        _line(view, "fees", values=[-sample.fees for sample in samples], color=palette.VERMILLION, dash="dot"),
        _line(view, "funding", values=[sample.funding for sample in samples], color=palette.PURPLE, dash="dashdot"),
    ]
    figure = over_time(traces, f"since the start, {view.quote}", bands=view.risk_bands, span_ms=view.span_ms)
    figure.update_yaxes(zeroline=True)
    caption = "Net = gross + fees + funding, each as it moved the account: paid fees and paid funding are below zero."
    return Chart(
        "equity", "Equity: gross, fees, funding, net", caption, figure if samples else None, _NO_SAMPLES, linked=True
    )


def _states(view: View) -> Chart:
    lanes = (("effective", view.effective_bands), ("risk", view.risk_bands))
    traces: list[go.Bar] = []
    for lane, bands in lanes:
        for state in dict.fromkeys(band.state for band in bands):
            known = {trace.legendgroup for trace in traces}
            traces.append(_lane(lane, state, bands=bands, known=known))
    figure = framed(traces, "", barmode="overlay", bargap=0.3)
    set_span(figure, view.span_ms)
    caption = "The engine's own risk state, and the effective state that ruled it (spec, halts, risk and data together). Hover for the reason."
    empty = "No states were recorded."
    return Chart("states", "States", caption, figure if traces else None, empty, height=240, linked=True)


def _lane(lane: str, state: str, *, bands: list[Band], known: set[str]) -> go.Bar:
    """One state's stretches in one lane; `known` are the legend's entries so far, one for each look."""
    own = [band for band in bands if band.state == state]
    look = band_look(state)
    return go.Bar(
        # On a date axis a bar's length is a duration in ms from its base.
        x=[max(1, band.end_ms - band.start_ms) for band in own],
        base=[band.start_ms for band in own],
        y=[lane] * len(own),
        orientation="h",
        name=look.words.lower() if look.opacity else "normal, running",
        legendgroup=look.colour,
        showlegend=look.colour not in known,
        marker={"color": look.colour, "opacity": 0.75, "pattern": {"shape": _pattern(look.hatch)}},
        customdata=[[band.reason or "-", (band.end_ms - band.start_ms) / 1e3] for band in own],
        hovertemplate=f"{look.words}, %{{customdata[1]:.1f}} s<br>%{{customdata[0]}}<extra></extra>",
    )


def _pattern(hatch: str) -> str:
    return {"//": "/", "xx": "x", "..": "."}.get(hatch, "")
