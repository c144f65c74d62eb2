"""The words and numbers on top of a report: the tiles, how the run ended, and all of `summary.json` as a table."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, Final

from mm_backtest.report import measures
from mm_backtest.report.view import View

# Keys of summary.json with a unit or a name that its spelling does not give. {base} and {quote} are the symbol's assets.
_LABELS: Final = {
    "frames": "Tape frames",
    "framesPerSecond": "Tape frames per second of wall time",
    "fees": "Fees, {quote}",
    "funding": "Funding received, {quote}",
    "realizedPnl": "Realised PnL, {quote}",
    "unrealizedPnl": "Unrealised PnL, {quote}",
    "pnl": "Net PnL, {quote}",
    "equity": "Equity, {quote}",
    "volume": "Volume traded, {quote}",
    "maxDrawdown": "Largest drawdown, {quote}",
    "startBalance": "Balance at the start, {quote}",
    "finalPosition": "Position at the end, {base}",
    "maxAbsPosition": "Largest position, {base}",
    "zeroOwnOrders": "No own order left at the end",
    "ignoredSpecFields": "Spec fields without effect here",
    "wallSeconds": "Wall time, s",
    "cpuSeconds": "CPU time, s",
    "startMs": "Start, UTC",
    "endMs": "End, UTC",
    "fromSeconds": "From second of the tape",
    "toSeconds": "To second of the tape",
    "impactHalfLifeMs": "Half-life of own impact, ms",
    "violations": "Invariant violations",
    "decisionsSha256": "SHA-256 of the decisions",
    "latencyMs": "Order latency, ms",
}
_INSTANTS: Final = ("startMs", "endMs")
_WORDS: Final = {"pnl": "PnL", "sha256": "SHA-256", "ms": "(ms)", "bps": "(bps)", "id": "id"}


@dataclasses.dataclass(frozen=True, slots=True)
class Tile:
    """One figure to see first. `bad` marks what somebody must look at."""

    label: str
    value: str
    bad: bool = False


def number(value: float, digits: int = 2) -> str:
    """A number for people: thousands apart, a true minus, no negative zero."""
    text = f"{value:,.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text.replace(",", "")) else f"{0:.{digits}f}"


def interval(value: measures.Estimate | None, digits: int = 3) -> str:
    """`mean ± half width`, a dash where nothing is known."""
    if value is None:
        return "\N{EN DASH}"
    spread = "" if value.half_width is None else f" ± {value.half_width:,.{digits}f}"
    return number(value.mean, digits) + spread


def tiles(view: View) -> list[Tile]:
    """The figures that a reader looks for first."""
    recording = view.recording
    last = recording.samples[-1] if recording.samples else None
    resting = measures.rested(recording.orders)
    filled = sum(order.filled > 0 for order in resting)
    everything = view.markouts[-1] if view.markouts else None
    largest = max((abs(sample.position) for sample in recording.samples), default=0.0)
    out = [
        Tile(f"Net PnL, {view.quote}", number(last.equity) if last else "0.00"),
        Tile("Fills", f"{len(recording.fills):,}"),
        Tile("Orders that filled", f"{100 * filled / len(resting):.1f} %" if resting else "\N{EN DASH}"),
        Tile("Captured, bps", interval(everything.captured if everything else None, 2)),
        Tile("Markout after 5 s, bps", interval(everything.markouts[1] if everything else None, 2)),
        Tile(f"Largest position, {view.base}", f"{largest:g}"),
    ]
    violations = recording.summary.get("violations")
    count = len(violations) if isinstance(violations, list | dict) else violations
    return [*out, Tile("Violations", str(count), bad=bool(count))] if count is not None else out


def ending(view: View) -> str:
    """A sentence where the run did not end in the normal risk state; else empty."""
    bands = view.recording.risk_bands
    if not bands or bands[-1].state == "normal":
        return ""
    last = bands[-1]
    because = f": {last.reason}" if last.reason else ""
    seconds = (last.end_ms - last.start_ms) / 1e3
    return f"The run ended in the risk state {last.state.replace('_', ' ')}, after {seconds:,.1f} s in it{because}."


def rows(view: View) -> Iterator[tuple[str, str]]:
    """Every entry of summary.json, in its order; nested ones under their path."""
    yield from _rows(view, view.recording.summary, prefix="")


def _rows(view: View, entries: dict[str, Any], *, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in entries.items():
        label = prefix + label_of(key, base=view.base, quote=view.quote)
        if isinstance(value, dict) and value:
            yield from _rows(view, value, prefix=f"{label} · ")
        else:
            yield label, _instant(value) if key in _INSTANTS and isinstance(value, int) else _value(value)


def label_of(key: str, *, base: str = "base", quote: str = "quote") -> str:
    """A key of summary.json for people: `maxAbsPosition` is the largest position, unknown ones are taken apart at their capitals."""
    if key in _LABELS:
        return _LABELS[key].format(base=base, quote=quote)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", key).split()
    text = " ".join(_WORDS.get(word.lower(), word if word.isupper() else word.lower()) for word in words)
    return text[:1].upper() + text[1:] or key


def _instant(unix_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(unix_ms / 1e3, tz=dt.UTC):%Y-%m-%d %H:%M:%S}"


def _value(value: Any) -> str:
    match value:
        case None:
            return "\N{EN DASH}"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}".replace("-", "\N{MINUS SIGN}")
        case float():
            return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")
        case [] | {}:
            return "none"
        case list():
            return "; ".join(_value(one) for one in value)
        case dict():
            return ", ".join(f"{key} {_value(one)}" for key, one in value.items())
        case _:
            return str(value)
