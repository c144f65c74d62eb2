"""Fewer points and bands for drawing. The numbers of a report are always taken from the whole recording.

A picture some thousand pixels wide cannot show 100,000 samples, and a browser on a phone cannot bear them; what a reader
must not lose is the extremes. So every stretch keeps its first sample and the highest and lowest of mid, position and
net PnL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mm_backtest.recording import Band, FillRecord, Sample

MAX_SAMPLES: Final = 6_000
MAX_FILLS: Final = 4_000
MAX_BANDS: Final = 300
_CALM: Final = ("normal", "Running", "")
_KEPT_PER_STRETCH = 7


def thin_samples(samples: Sequence[Sample], limit: int = MAX_SAMPLES) -> list[Sample]:
    """At most about `limit` samples, extremes kept, in order; all of them where they are few."""
    if len(samples) <= limit:
        return list(samples)
    step = -(-len(samples) * _KEPT_PER_STRETCH // limit)
    kept = {0, len(samples) - 1}
    readings: tuple[Callable[[Sample], float], ...] = (
        lambda sample: sample.bid + sample.ask,
        lambda sample: sample.position,
        lambda sample: sample.equity,
    )
    for start in range(0, len(samples), step):
        stretch = range(start, min(start + step, len(samples)))
        kept.add(start)
        for reading in readings:
            values = [reading(samples[index]) for index in stretch]
            kept.add(start + values.index(min(values)))
            kept.add(start + values.index(max(values)))
    return [samples[index] for index in sorted(kept)]


def thin_fills(fills: Sequence[FillRecord], limit: int = MAX_FILLS) -> list[FillRecord]:
    """Every k-th fill, at most `limit`; all of them where they are few."""
    step = -(-len(fills) // limit) if fills else 1
    return list(fills[::step])


def merge_bands(bands: Sequence[Band], limit: int = MAX_BANDS) -> list[Band]:
    """Neighbours of one state joined; where more than `limit` remain, those too narrow to see are taken up by their elders.

    A narrow calm band between two others disappears rather than a halt: what is drawn never looks safer than what was.
    """
    joined = _join([band for band in bands if band.end_ms >= band.start_ms])
    while len(joined) > limit:
        narrow = sorted(band.end_ms - band.start_ms for band in joined)[len(joined) // 2]
        joined = _absorb(joined, narrow)
    return joined


def _join(bands: Sequence[Band]) -> list[Band]:
    joined: list[Band] = []
    for band in sorted(bands, key=lambda one: one.start_ms):
        last = joined[-1] if joined else None
        if last is not None and last.state == band.state and band.start_ms <= last.end_ms:
            joined[-1] = Band(last.start_ms, max(last.end_ms, band.end_ms), last.state, last.reason)
        else:
            joined.append(band)
    return joined


def _absorb(bands: list[Band], narrow_ms: int) -> list[Band]:
    """One pass of joining each narrow band with the one before it, under the graver state of the two."""
    out = [bands[0]]
    for band in bands[1:]:
        elder = out[-1]
        if band.end_ms - band.start_ms > narrow_ms:
            out.append(band)
            continue
        graver = band if elder.state in _CALM and band.state not in _CALM else elder
        out[-1] = Band(elder.start_ms, band.end_ms, graver.state, graver.reason)
    return _join(out)
