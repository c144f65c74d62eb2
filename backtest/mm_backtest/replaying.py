"""Replay: the journal of a live engine into a fresh core, decision for decision."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_backtest.errors import BacktestError
from mm_contract import __version__
from mm_runner.journal.codec import Header, JournalError, Record
from mm_runner.journal.reader import read_journal
from mm_runner.journal.replay import Difference, replay


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a replay. `line` is the JSON that is printed, `sentences` are for a person."""

    identical: bool
    line: dict[str, Any]
    sentences: list[str]


def replay_journal(path: Path) -> Verdict:
    """Read a journal and decide anew.

    Raises:
        BacktestError: no journal, or a damaged one.
    """
    newest: list[Record] = []

    def seen(record: Record) -> None:
        newest[:] = [record]

    try:
        header, records = read_journal(path)
        came = replay(header, records, progress=seen)
    except OSError as error:
        raise BacktestError(f"the journal {path} cannot be read: {error.strerror or error}") from error
    except JournalError as error:
        raise BacktestError(str(error)) from error
    identical = came.difference is None
    line: dict[str, Any] = {
        "records": came.records,
        "decisionsSha256": came.decisions_sha256,
        "identical": identical,
        "actions": came.actions,
        "engine": header.engine,
        "complete": records.end is not None and records.end.complete,
    }
    sentences = [] if identical else _explain(came.difference, newest[0] if newest else None, header)
    if identical and records.cut_off:
        sentences.append(records.cut_off)
    if came.difference is not None:
        line["firstDifference"] = _difference(came.difference, newest[0] if newest else None)
    if identical and records.end is not None and records.end.decisions_sha256 != came.decisions_sha256:
        line["identical"] = identical = False
        sentences.append("the journal's own decisionsSha256 differs from that of its records: it was edited")
    return Verdict(identical, line, sentences)


def _difference(difference: Difference, record: Record | None) -> dict[str, Any]:
    return {
        "record": difference.record,
        "event": difference.event,
        "time": _time(record),
        "bootNs": difference.boot_ns,
        "live": [one.decode() for one in difference.decided],
        "replayed": [one.decode() for one in difference.replayed],
        "error": difference.error,
    }


def _explain(difference: Difference | None, record: Record | None, header: Header) -> list[str]:
    if difference is None:
        return []
    sentences = [f"the first difference, at {_time(record)}: {difference.sentence}"]
    if header.engine != __version__:
        sentences.append(
            f"the journal is of engine {header.engine}, this is {__version__}: another version may decide otherwise by right"
        )
    return sentences


def _time(record: Record | None) -> str:
    if record is None:
        return ""
    return (
        dt.datetime.fromtimestamp(record.wall_ms / 1000, dt.UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
