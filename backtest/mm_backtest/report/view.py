"""A recording prepared for drawing: assets named, statistics computed, series thinned. Built once, read by every picture."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

from mm_backtest.recording import MARKOUT_SECONDS, Band, FillRecord, Recording, Sample
from mm_backtest.report import measures, thinning

HORIZONS: Final = ("at the fill", *(f"{seconds} s" for seconds in MARKOUT_SECONDS))
_QUOTES: Final = ("USDT", "USDC", "BUSD", "FDUSD", "USD", "BTC", "ETH")


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What the pictures draw. `samples`, `fills` and the bands are thinned, every statistic is of the whole recording."""

    recording: Recording
    base: str
    quote: str
    samples: list[Sample]
    fills: list[FillRecord]
    scores: list[measures.FillScore]
    markouts: list[measures.MarkoutRow]
    queue: list[measures.QueueBucket]
    lifetimes: dict[str, list[float]]
    latencies: list[float]
    risk_bands: list[Band]
    effective_bands: list[Band]

    @property
    def span_ms(self) -> tuple[int, int]:
        """First and last instant that any picture shows; (0, 0) of an empty recording."""
        times = [sample.time_ms for sample in self.samples] + [fill.time_ms for fill in self.fills]
        times += [edge for band in self.risk_bands for edge in (band.start_ms, band.end_ms)]
        return (min(times), max(times)) if times else (0, 0)

    @property
    def thinned(self) -> str:
        """One sentence on what is drawn of what there is; empty where all of it is."""
        whole = self.recording
        parts = [
            f"{len(drawn):,} of {len(recorded):,} {what}"
            for drawn, recorded, what in ((self.samples, whole.samples, "samples"), (self.fills, whole.fills, "fills"))
            if len(drawn) < len(recorded)
        ]
        return f"Drawn: {' and '.join(parts)} (extremes kept); every number is of all." if parts else ""


def prepare(recording: Recording) -> View:
    """Prepare a recording. Samples with a number that is none (a broken writer) are left out rather than drawn."""
    base, quote = _assets(recording)
    samples = [sample for sample in recording.samples if _finite(sample)]
    scores = [measures.score(fill) for fill in recording.fills]
    fills = thinning.thin_fills(recording.fills)
    drawn = {id(fill) for fill in fills}
    return View(
        recording=recording,
        base=base,
        quote=quote,
        samples=thinning.thin_samples(samples),
        fills=fills,
        scores=[one for one in scores if id(one.fill) in drawn],
        markouts=measures.markout_rows(scores),
        queue=measures.queue_buckets(recording.orders),
        lifetimes=measures.lifetimes_s(recording.orders),
        latencies=sorted(value for value in recording.entry_latencies_ms if math.isfinite(value)),
        risk_bands=thinning.merge_bands(recording.risk_bands),
        effective_bands=thinning.merge_bands(recording.effective_bands),
    )


def _finite(sample: Sample) -> bool:
    return all(
        math.isfinite(value)
        for value in (
            sample.bid,
            sample.ask,
            sample.position,
            sample.equity,
            sample.gross_pnl,
            sample.fees,
            sample.funding,
        )
    )


def _assets(recording: Recording) -> tuple[str, str]:
    if recording.base and recording.quote:
        return recording.base, recording.quote
    symbol = recording.symbol
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote) and symbol != quote), "")
    return recording.base or symbol.removesuffix(quote) or "base", recording.quote or quote or "quote"
