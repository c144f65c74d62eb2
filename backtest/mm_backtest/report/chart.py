"""What every interactive chart shares: its frame, axes and the bands behind it.

Colours of text and grid are left to the page, which knows whether the reader prefers light or dark.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import plotly.graph_objects as go

from mm_backtest.recording import Band
from mm_backtest.report.palette import band_look

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """One chart of the page. Without a `figure` there is nothing to draw and `empty` says why."""

    name: str
    title: str
    caption: str
    figure: go.Figure | None
    empty: str = ""
    height: int = 380
    linked: bool = False
    """Shares its time axis with the other linked charts: zooming one zooms all."""


def framed(traces: list[Any], y_title: str, *, x_title: str = "", **layout: Any) -> go.Figure:
    """A figure with the common frame; `y_title` carries the unit."""
    figure = go.Figure(data=traces)
    figure.update_layout(
        template="none",
        font={"family": _FONT, "size": 12},
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        showlegend=True,
        # Above the plot it can collide with nothing, however many lines it takes on a phone.
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        **layout,
    )
    figure.update_xaxes(title={"text": x_title, "standoff": 8}, automargin=True, zeroline=False)
    figure.update_yaxes(title={"text": y_title, "standoff": 8}, automargin=True, zeroline=False)
    return figure


def over_time(traces: list[Any], y_title: str, *, bands: list[Band], span_ms: tuple[int, int]) -> go.Figure:
    """A figure over the run's time (UTC), with the risk states behind it."""
    figure = framed(traces, y_title)
    set_span(figure, span_ms)
    add_bands(figure, bands)
    return figure


def set_span(figure: go.Figure, span_ms: tuple[int, int]) -> None:
    """The common time axis; a left margin of its own size keeps charts below each other in line."""
    start, end = span_ms
    figure.update_xaxes(type="date", range=[start, end if end > start else start + 1000], title={"text": "time, UTC"})
    figure.update_layout(margin={"l": 72})


def add_bands(figure: go.Figure, bands: list[Band]) -> None:
    """Shade the stretches in a state other than normal; each state is in the legend once."""
    shapes: list[dict[str, Any]] = []
    named: set[str] = set()
    for band in bands:
        look = band_look(band.state)
        if not look.opacity:
            continue
        shapes.append(
            {
                "type": "rect", "xref": "x", "yref": "paper", "x0": band.start_ms, "x1": band.end_ms, "y0": 0, "y1": 1,
                "fillcolor": look.colour, "opacity": look.opacity, "line": {"width": 0}, "layer": "below",
                "name": f"risk: {look.words}", "legendgroup": f"risk-{band.state}",
                "showlegend": band.state not in named,
            }
        )  # fmt: skip
        named.add(band.state)
    figure.update_layout(shapes=shapes)
