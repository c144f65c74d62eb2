"""How long messages travel between a client and the exchange: not at all, a constant, or drawn from measured times.

Sans-I/O and seeded: a `Delay` gives the next message's nanoseconds, `InOrder` says when messages of one connection
arrive, which never overtake one another. `server.delays` puts it on real sockets; a backtest asks it on its virtual
clock. Ways: `entry` request to matching, `answer` matching to the request's answer, `feed` market event to client,
`user` own event to client.
"""

from __future__ import annotations

import csv
import dataclasses
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Delay = Callable[[], int]

WAYS: Final = ("entry", "answer", "feed", "user")
_MS: Final = 1_000_000
_LONGEST_MS: Final = 60_000
_FORM: Final = (
    'milliseconds, a JSON list of them for every way, {"entryMs": [1.2, …], "answerMs": […], "feedMs": […], '
    '"userMs": […]}, or a CSV file with some of these names in its first line'
)


class _Ways(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Measured milliseconds a way; a way that is left out takes no time."""

    entry_ms: list[float] = []
    answer_ms: list[float] = []
    feed_ms: list[float] = []
    user_ms: list[float] = []


@dataclasses.dataclass(frozen=True)
class Latency:
    """One delay a way; None: no delay."""

    entry: Delay | None = None
    answer: Delay | None = None
    feed: Delay | None = None
    user: Delay | None = None
    name: str = "none"

    def __bool__(self) -> bool:
        return any(getattr(self, way) is not None for way in WAYS)


class InOrder:
    """When the messages of one connection arrive that leave at given times. TCP keeps their order."""

    def __init__(self, delay: Delay) -> None:
        self._delay = delay
        self._last_ns = 0

    def arrival_ns(self, leaves_ns: int) -> int:
        """Arrival of the next message; never before that of the one ahead of it."""
        self._last_ns = max(self._last_ns, leaves_ns + self._delay())
        return self._last_ns


def constant(milliseconds: float) -> Latency:
    """The same delay each way; a round trip takes two of them.

    Raises:
        ValueError: not from 0 to a minute.
    """
    _check([milliseconds], "a latency")
    delay = _fixed(milliseconds)
    return Latency(delay, delay, delay, delay, name=f"constant {milliseconds:g} ms") if milliseconds else Latency()


def sampled(path: Path, *, seed: int) -> Latency:
    """Delays drawn at random, with replacement, from a file's milliseconds.

    Raises:
        ValueError: no such file, or not of the form; says what it takes.
    """
    try:
        ways = _read(path)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"--latency {path}: {error}; it takes {_FORM}") from error
    delays: dict[str, Delay | None] = {}
    for way in WAYS:
        values: list[float] = getattr(ways, f"{way}_ms")
        _check(values, f"--latency {path}: {way}Ms")
        rng = Random(f"{seed}-{way}-latency")  # noqa: S311 - chance, not secrets
        delays[way] = _drawn(values, rng) if values else None
    return Latency(**delays, name=f"sampled from {path.name}")


def _read(path: Path) -> _Ways:
    text = path.read_text()
    if path.suffix.lower() == ".csv":
        return _from_csv(text)
    decoded = msgspec.json.decode(text, type=list[float] | _Ways)
    return decoded if isinstance(decoded, _Ways) else _Ways(decoded, decoded, decoded, decoded)


def _from_csv(text: str) -> _Ways:
    rows = list(csv.DictReader(text.splitlines()))
    columns = {name: [float(row[name]) for row in rows if row[name]] for name in (rows[0] if rows else ())}
    return msgspec.convert(columns, _Ways)


def _check(values: list[float], what: str) -> None:
    if any(not 0 <= value <= _LONGEST_MS for value in values):
        raise ValueError(f"{what} must be milliseconds from 0 to {_LONGEST_MS}")


def _fixed(milliseconds: float) -> Delay:
    delay_ns = round(milliseconds * _MS)
    return lambda: delay_ns


def _drawn(values: list[float], rng: Random) -> Delay:
    delays = [round(value * _MS) for value in values]
    return lambda: rng.choice(delays)
