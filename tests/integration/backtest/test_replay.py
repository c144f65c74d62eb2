"""Replay of journals: the same decisions, byte for byte, or the first difference by name."""

from __future__ import annotations

import gzip
import json

import pytest
from click.testing import CliRunner

from mm_backtest.cli import main
from mm_backtest.decisions import DecisionLog
from mm_backtest.run import Options
from mm_backtest.session import claim_of
from mm_backtest.tape import Stretch
from mm_backtest.world import World
from mm_runner.journal.codec import DecisionDigest, End, Header, Record, encode_action, encode_entry, frame, preamble
from support.backtests import maker


def journal_of(tape) -> tuple[Header, list[Record]]:
    """A journal as a live engine would write it: here the engine of a backtest, everything it was given and decided."""
    options = Options(stretch=Stretch(0, 6))
    spec = maker().spec
    world = World(spec, tape.rules, options.conditions(), decisions=DecisionLog(None), start_ns=tape.start_ns)
    records: list[Record] = []
    handle = world.engine.handle

    def noted(event, now):
        actions = handle(event, now)
        records.append(Record(now.boot_ns, now.wall_ms, event, tuple(encode_action(action) for action in actions)))
        return actions

    world.engine.handle = noted
    world.run(tape.steps(options.stretch))
    return Header(claim=claim_of(spec)), records


def write(path, header, records, *, end=True):
    digest = DecisionDigest()
    for record in records:
        for action in record.actions:
            digest.add_encoded(action)
    body = preamble(header) + b"".join(frame(encode_entry(record)) for record in records)
    if end:
        body += frame(encode_entry(End("test", True, len(records), digest.hex)))
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return digest.hex


@pytest.fixture(scope="module")
def journal(tape):
    return journal_of(tape)


def replay(path):
    return CliRunner().invoke(main, ["replay", str(path)], catch_exceptions=False)


@pytest.mark.parametrize("name", ["engine.mmj", "engine.mmj.gz"])
def test_a_journal_replays_to_the_decisions_that_were_taken(journal, tmp_path, name):
    header, records = journal
    sha = write(tmp_path / name, header, records)
    done = replay(tmp_path / name)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["records"], said["decisionsSha256"], said["identical"]) == (len(records), sha, True)
    assert said["actions"] > 100


def test_a_decision_that_was_not_taken_is_the_first_difference(journal, tmp_path):
    header, records = journal
    number = next(
        number for number, record in enumerate(records) if any(b'"PlaceOrder"' in action for action in record.actions)
    )
    record = records[number]
    forged = Record(
        record.boot_ns,
        record.wall_ms,
        record.event,
        tuple(action.replace(b'"BUY"', b'"SELL"') for action in record.actions),
    )
    write(tmp_path / "forged", header, [*records[:number], forged, *records[number + 1 :]])
    done = replay(tmp_path / "forged")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["identical"] is False
    first = said["firstDifference"]
    assert (first["record"], first["bootNs"]) == (number + 1, record.boot_ns)
    assert first["time"].endswith("Z")
    assert any('"side":"BUY"' in action for action in first["replayed"])
    assert all('"side":"BUY"' not in action for action in first["live"] if '"PlaceOrder"' in action)
    assert f"record {number + 1}" in done.stderr


def test_a_missing_input_shows_as_a_difference(journal, tmp_path):
    header, records = journal
    loaded = next(number for number, record in enumerate(records) if type(record.event).__name__ == "InstrumentLoaded")
    write(tmp_path / "short", header, [*records[:loaded], *records[loaded + 1 :]])
    assert replay(tmp_path / "short").exit_code == 1


def test_a_journal_that_was_cut_off_replays_as_far_as_it_goes_and_says_so(journal, tmp_path):
    header, records = journal
    write(tmp_path / "cut", header, records[:200], end=False)
    done = replay(tmp_path / "cut")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["complete"] is False
    assert "cut off" in done.stderr


@pytest.mark.parametrize(("content", "says"), [(b"nothing of the kind", "is not a journal"), (b"", "is not a journal")])
def test_what_is_no_journal_is_a_sentence(content, says, tmp_path):
    path = tmp_path / "thing"
    path.write_bytes(content)
    done = replay(path)
    assert done.exit_code == 2
    assert says in done.stderr


def test_an_absent_journal_and_a_damaged_one_are_sentences(journal, tmp_path):
    assert "cannot be read" in replay(tmp_path / "absent").stderr
    header, records = journal
    write(tmp_path / "damaged", header, records[:50])
    whole = bytearray((tmp_path / "damaged").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "damaged").write_bytes(whole)
    done = replay(tmp_path / "damaged")
    assert done.exit_code in (1, 2)
    assert "damaged" in done.stderr
