"""The report's PNGs, for terminals, tickets and documents: no browser is needed to make or to see them.

Drawn from the same `View` as the interactive charts. matplotlib is used without pyplot, whose global state would outlive a run.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mm_backtest.recording import MARKOUT_SECONDS
from mm_backtest.report import measures, palette
from mm_backtest.report.fill_charts import bucket_names, lifetime_names
from mm_backtest.report.palette import band_look
from mm_backtest.report.view import HORIZONS, View

_DPI: Final = 120
_WIDTH_INCHES: Final = 11.0


def write_pictures(view: View, out: Path) -> list[Path]:
    """Write every PNG into `out`; the paths written."""
    pictures: dict[str, Callable[[View], Figure]] = {
        "market": _market, "inventory": _inventory, "equity": _equity, "markouts": _markouts, "queue": _queue, "latency": _latency,
    }  # fmt: skip
    written = []
    for name, draw in pictures.items():
        path = out / f"{name}.png"
        FigureCanvasAgg(draw(view)).print_figure(path, dpi=_DPI, facecolor="white", metadata={"Software": None})
        written.append(path)
    return written


def _figure(view: View, height: float, *, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    figure.suptitle(f"{view.recording.symbol}, {view.recording.tape}", fontsize=9, color="#57606a", x=0.01, ha="left")
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for one in axes:
        one.grid(visible=True, color="#d0d7de", linewidth=0.6)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _title(axes: Axes, title: str, *, y: str, x: str) -> None:
    axes.set_title(title, fontsize=13, loc="left", color="#1b1f24")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _empty(axes: Axes, sentence: str) -> None:
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", fontsize=12, color="#57606a")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def _legend(axes: Axes, extra: Sequence[Patch] = ()) -> None:
    handles, _ = axes.get_legend_handles_labels()
    handles = [*handles, *extra]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        frameon=False,
        fontsize=9,
        ncols=min(7, len(handles) or 1),
    )


def _days(times_ms: Sequence[float]) -> list[float]:
    """Unix milliseconds as matplotlib counts time: days since 1970, UTC."""
    return [time / 86_400_000 for time in times_ms]


def _over_time(view: View, axes: Axes) -> None:
    """Time axis, bands and legend of a chart over time."""
    start, end = view.span_ms
    axes.set_xlim(*_days([start, end if end > start else start + 1000]))
    locator = AutoDateLocator(tz=dt.UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=dt.UTC))  # type: ignore[no-untyped-call]
    named: dict[str, Patch] = {}
    for band in view.risk_bands:
        look = band_look(band.state)
        if look.opacity:
            left, right = _days([band.start_ms, band.end_ms])
            # One look for the stretch and for its entry in the legend.
            span: dict[str, Any] = {"facecolor": look.colour, "edgecolor": look.colour, "alpha": look.opacity}
            span |= {"hatch": look.hatch, "linewidth": 0.0}
            axes.axvspan(left, right, zorder=0, **span)
            named.setdefault(band.state, Patch(label=f"risk: {look.words}", **span))
    _legend(axes, list(named.values()))


def _steps(view: View, axes: Axes, label: str, *, values: Sequence[float | None], **look: Any) -> None:
    times = _days([sample.time_ms for sample in view.samples])
    drawn = [float("nan") if value is None else value for value in values]
    marker = "o" if len(times) == 1 else None
    axes.step(times, drawn, where="post", label=label, marker=marker, **look)


def _market(view: View) -> Figure:
    figure, (axes,) = _figure(view, 6.0)
    _title(axes, "Market, our quotes and fills", y=f"price, {view.quote}", x="time, UTC")
    if not view.samples:
        _empty(axes, "The run ended before the first sample was taken.")
        return figure
    samples = view.samples
    _steps(view, axes, "mid", values=[(one.bid + one.ask) / 2 for one in samples], color=palette.GREY, linewidth=1.0)
    _steps(view, axes, "our best bid", values=[one.own_bid for one in samples], color=palette.BLUE, linewidth=1.0)
    _steps(view, axes, "our best ask", values=[one.own_ask for one in samples], color=palette.VERMILLION, linewidth=1.0)
    for side, word, marker in (("BUY", "bought", "^"), ("SELL", "sold", "v")):
        fills = [fill for fill in view.fills if fill.side == side]
        axes.scatter(
            _days([fill.time_ms for fill in fills]), [fill.price for fill in fills], marker=marker, s=36, zorder=3, label=word,
            color=palette.SIDE_COLOUR[side], edgecolors="white", linewidths=0.6,
        )  # fmt: skip
    axes.ticklabel_format(axis="y", useOffset=False)
    _over_time(view, axes)
    return figure


def _inventory(view: View) -> Figure:
    figure, (axes,) = _figure(view, 4.0)
    _title(axes, "Inventory", y=f"position, {view.base}", x="time, UTC")
    if not view.samples:
        _empty(axes, "The run ended before the first sample was taken.")
        return figure
    axes.axhline(0, color="#57606a", linewidth=0.8)
    _steps(view, axes, "position", values=[one.position for one in view.samples], color=palette.BLUE, linewidth=1.3)
    _over_time(view, axes)
    return figure


def _equity(view: View) -> Figure:
    figure, (axes,) = _figure(view, 5.0)
    _title(axes, "Equity: gross, fees, funding, net", y=f"since the start, {view.quote}", x="time, UTC")
    if not view.samples:
        _empty(axes, "The run ended before the first sample was taken.")
        return figure
    axes.axhline(0, color="#57606a", linewidth=0.8)
    samples = view.samples
    _steps(view, axes, "net", values=[one.equity for one in samples], color=palette.BLUE, linewidth=2.2)
    _steps(view, axes, "gross", values=[one.gross_pnl for one in samples], color=palette.GREEN, linestyle="--")
    _steps(view, axes, "fees", values=[-one.fees for one in samples], color=palette.VERMILLION, linestyle=":")
    _steps(view, axes, "funding", values=[one.funding for one in samples], color=palette.PURPLE, linestyle="-.")
    _over_time(view, axes)
    return figure


def _markouts(view: View) -> Figure:
    figure, (average, single) = _figure(view, 5.0, columns=2)
    _title(
        average,
        "Spread captured against markouts, ± 95 %",
        y="per fill, bps of the mid",
        x="mid compared with the fill's price",
    )
    _title(single, "Fill by fill", y="markout after 5 s, bps", x="captured at the fill, bps")
    if not view.markouts:
        _empty(average, "No fills in this run.")
        _empty(single, "No fills in this run.")
        return figure
    average.axhline(0, color="#57606a", linewidth=0.8)
    for offset, row in zip((-0.06, 0.06, 0.0), [*view.markouts], strict=False):
        points = [(at + offset, one) for at, one in enumerate((row.captured, *row.markouts)) if one is not None]
        average.errorbar(
            [at for at, _ in points], [one.mean for _, one in points], yerr=[one.half_width or 0.0 for _, one in points],
            label=f"{palette.SIDE_WORD[row.side]} ({row.fills:,})", color=palette.SIDE_COLOUR[row.side], capsize=4,
            marker={"BUY": "^", "SELL": "v"}.get(row.side, "o"), linestyle=":" if row.side == "ALL" else "-",
        )  # fmt: skip
    average.set_xticks(range(len(HORIZONS)), HORIZONS)
    _legend(average)
    _scatter(view, single)
    return figure


def _scatter(view: View, axes: Axes) -> None:
    index = MARKOUT_SECONDS.index(5)
    axes.axhline(0, color="#57606a", linewidth=0.8)
    axes.axvline(0, color="#57606a", linewidth=0.8)
    for side, marker in (("BUY", "^"), ("SELL", "v")):
        own = [one for one in view.scores if one.fill.side == side]
        points = [(one.captured_bps, late) for one in own if (late := one.markouts_bps[index]) is not None]
        axes.scatter(
            [early for early, _ in points], [late for _, late in points], s=18, alpha=0.7, marker=marker,
            color=palette.SIDE_COLOUR[side], label=palette.SIDE_WORD[side],
        )  # fmt: skip
    _legend(axes)


def _queue(view: View) -> Figure:
    figure, (rate, sizes, lives) = _figure(view, 4.6, columns=3)
    _title(rate, "Fill rate by queue", y="orders with a fill, %", x=f"size ahead when joined, {view.base}")
    _title(sizes, "Size ahead", y=f"size ahead, {view.base}", x="quantile over orders")
    _title(lives, "Life time of orders", y="orders", x="seconds to the end")
    _fill_rate(view, rate)
    _queue_sizes(view, sizes)
    _lifetimes(view, lives)
    return figure


def _fill_rate(view: View, axes: Axes) -> None:
    if not view.queue:
        _empty(axes, "No order came to rest.")
        return
    shares = [100 * bucket.rate for bucket in view.queue]
    errors = [
        [100 * (bucket.rate - bucket.interval[0]) for bucket in view.queue],
        [100 * (bucket.interval[1] - bucket.rate) for bucket in view.queue],
    ]
    axes.bar(range(len(shares)), shares, yerr=errors, capsize=4, color=palette.BLUE)
    axes.set_xticks(range(len(shares)), bucket_names(view.queue), rotation=25, ha="right", fontsize=8)
    axes.set_ylim(bottom=0)


def _queue_sizes(view: View, axes: Axes) -> None:
    sizes = measures.queue_sizes(view.recording.orders)
    if not sizes:
        _empty(axes, "No order came to rest.")
        return
    width = 0.8 / len(sizes)
    for place, ((what, values), colour) in enumerate(
        zip(sizes.items(), (palette.GREY, palette.GREEN, palette.ORANGE), strict=False)
    ):
        at = [index + place * width for index in range(len(measures.QUEUE_QUANTILES))]
        heights = [measures.quantile(values, share) for share in measures.QUEUE_QUANTILES]
        axes.bar(at, heights, width=width, label=what, color=colour)
    middle = width * (len(sizes) - 1) / 2
    ticks = [index + middle for index in range(len(measures.QUEUE_QUANTILES))]
    axes.set_xticks(ticks, [f"p{100 * share:.0f}" for share in measures.QUEUE_QUANTILES])
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _lifetimes(view: View, axes: Axes) -> None:
    if not view.lifetimes:
        _empty(axes, "No order ended in this run.")
        return
    names = lifetime_names()
    below = [0] * len(names)
    for end, lives in sorted(view.lifetimes.items()):
        counts = measures.lifetime_counts(lives)
        axes.bar(
            range(len(names)), counts, bottom=below, label=end.lower(), color=palette.END_COLOUR.get(end, palette.BLUE)
        )
        below = [low + count for low, count in zip(below, counts, strict=True)]
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right", fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _latency(view: View) -> Figure:
    figure, (axes,) = _figure(view, 4.0)
    _title(axes, "Entry latency", y="requests", x="decision to acknowledgement, ms")
    bins, spread = measures.histogram(view.latencies), measures.spread(view.latencies)
    if bins is None or spread is None:
        _empty(axes, "No request was acknowledged in this run.")
        return figure
    axes.stairs(bins.counts, bins.edges, fill=True, color=palette.BLUE, label=f"{spread.count:,} requests")
    marks = (
        ("p50", spread.p50, palette.PURPLE),
        ("p90", spread.p90, palette.ORANGE),
        ("p99", spread.p99, palette.VERMILLION),
    )
    for name, value, colour in marks:
        axes.axvline(value, color=colour, linestyle="--", label=f"{name} {value:.3g} ms")
    _legend(axes)
    return figure
