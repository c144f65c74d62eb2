"""How long everything takes on the virtual clock: market data to the engine, requests to the venue, answers and own events back.

Constant, or sampled from a file with a seed. Messages of one stream never overtake each other: the loop and the lanes see to that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from mm_backtest.errors import BacktestError

Delay = Callable[[], int]
"""The next delay in nanoseconds."""
_MS: Final = 1_000_000


class LatencyFile(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Milliseconds that were measured, one list a way; each is drawn from at random. A way that is left out takes `--latency-ms`."""

    feed_ms: list[float] = []
    entry_ms: list[float] = []
    answer_ms: list[float] = []
    user_ms: list[float] = []


@dataclass(frozen=True, slots=True)
class Latency:
    """One way each, in nanoseconds.

    feed: venue to engine, market data. entry: engine to venue, requests. answer: venue to engine, their answers. user: venue to engine, own events.
    """

    feed: Delay
    entry: Delay
    answer: Delay
    user: Delay
    name: str
    feed_constant_ns: int | None
    """The feed's delay where it is always the same: the loop then asks nobody."""


def constant(milliseconds: float) -> Latency:
    """The same delay everywhere."""
    delay_ns = round(milliseconds * _MS)

    def delay() -> int:
        return delay_ns

    return Latency(delay, delay, delay, delay, name=f"constant {milliseconds:g} ms", feed_constant_ns=delay_ns)


def sampled(path: Path, *, otherwise_ms: float, seed: int) -> Latency:
    """Delays drawn from a file's lists.

    Raises:
        BacktestError: it is not there, or no such file.
    """
    try:
        lists = msgspec.json.decode(path.read_bytes(), type=LatencyFile)
    except (OSError, msgspec.DecodeError) as error:
        raise BacktestError(
            f'--latency {path}: {error}; it takes {{"feedMs": [1.2, …], "entryMs": […], "answerMs": […], "userMs": […]}}'
        ) from error
    ways = {name: getattr(lists, f"{name}_ms") for name in ("feed", "entry", "answer", "user")}
    for name, values in ways.items():
        if any(not 0 <= value < 60_000 for value in values):
            raise BacktestError(f"--latency {path}: {name}Ms must be milliseconds from 0 to 60000")
    feed, entry, answer, user = (
        _drawn(values, otherwise_ms, Random(f"{seed}-{name}-latency"))  # noqa: S311 - chance, not secrets
        for name, values in ways.items()
    )
    return Latency(
        feed, entry, answer, user, name=f"sampled from {path.name}",
        feed_constant_ns=None if lists.feed_ms else round(otherwise_ms * _MS),
    )  # fmt: skip


def _drawn(values: list[float], otherwise_ms: float, chance: Random) -> Delay:
    if not values:
        return constant(otherwise_ms).feed
    delays = [round(value * _MS) for value in values]
    return lambda: chance.choice(delays)
