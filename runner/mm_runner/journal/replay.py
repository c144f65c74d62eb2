"""Replays a journal: the same inputs into a fresh core, its decisions against those that were really taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mm_runner.core.engine import Engine
from mm_runner.journal.codec import DecisionDigest, Header, Record, encode_action


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first record at which the replay decided otherwise; both sides as `encode_action` writes them."""

    record: int
    """Counted from 1."""
    event: str
    """Kind of the event."""
    boot_ns: int
    decided: tuple[bytes, ...]
    """What the live engine did."""
    replayed: tuple[bytes, ...]
    """What the replay did."""
    error: str = ""
    """Name of the exception where only one of them broke: of the live engine, or of the replay."""

    @property
    def sentence(self) -> str:
        """For a person: where, and the first action that differs."""
        for number in range(max(len(self.decided), len(self.replayed))):
            then, now = _at(self.decided, number), _at(self.replayed, number)
            if then != now:
                return f"record {self.record} ({self.event}), action {number + 1}: live {then}, replay {now}"
        return f"record {self.record} ({self.event}): only one of the two broke, by {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it."""

    records: int
    actions: int
    decisions_sha256: str
    """Over the replay's actions."""
    difference: Difference | None
    """None: byte-identical decisions."""


def replay(header: Header, records: Iterable[Record], *, progress: Callable[[Record], None] | None = None) -> Replay:
    """Feed every record to a fresh engine; stops at the first difference.

    Args:
        header: says whose engine.
        records: from `read_journal`; a `JournalError` of a damaged one passes through.
        progress: told each record before it is handled.
    """
    engine = Engine(claim=header.claim)
    digest = DecisionDigest()
    count = actions = 0
    for record in records:
        if progress is not None:
            progress(record)
        count += 1
        replayed, error = _decide(engine, record)
        for action in replayed:
            digest.add_encoded(action)
        actions += len(replayed)
        if replayed != record.actions or error != record.error:
            difference = Difference(
                record=count,
                event=type(record.event).__name__,
                boot_ns=record.boot_ns,
                decided=record.actions,
                replayed=replayed,
                error=record.error or error,
            )
            return Replay(records=count, actions=actions, decisions_sha256=digest.hex, difference=difference)
        if error:
            break  # the live engine broke here too, and so did not go on
    return Replay(records=count, actions=actions, decisions_sha256=digest.hex, difference=None)


def _decide(engine: Engine, record: Record) -> tuple[tuple[bytes, ...], str]:
    try:
        return tuple(encode_action(action) for action in engine.handle(record.event, record.now)), ""
    except Exception as error:  # noqa: BLE001 - a defect that the journal recorded must be reproduced, whatever it is
        return (), type(error).__name__


def _at(actions: tuple[bytes, ...], number: int) -> str:
    return actions[number].decode() if number < len(actions) else "nothing"
