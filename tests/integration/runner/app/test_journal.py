"""`mm-runner run --journal`: a live engine's inputs, replayed in this process, lead to the decisions that were really taken."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from mm_runner.journal.codec import JournalError, Record
from mm_runner.journal.reader import read_journal
from mm_runner.journal.replay import replay

pytestmark = pytest.mark.timeout(180)


def lived(engine: Any, exchange: Any) -> None:
    """A life with faults: bursts, gaps, lost answers, cut streams, a changed spec, a halt and its end."""
    engine.quoting()
    since = len(engine.lines)
    exchange.fault("delay", "rest", probability=0.3, seconds=20, params={"ms": 120})
    exchange.fault("timeout-after", "rest", probability=0.1, seconds=20)
    exchange.fault("duplicate", "user-stream", probability=0.3, seconds=20)
    exchange.fault("gap", "market-stream", probability=0.5, seconds=5)
    engine.event("book_gap", 20, since=since)
    exchange.fault("drop", "user-stream")
    engine.event("ws_disconnect", 20, since=since, stream="user")
    engine.edit(lambda spec: spec["quoting"].update({"minSpreadBps": 9.0, "levels": 3}))
    engine.event("spec_applied", 20, since=since)
    engine.edit(lambda spec: spec.update({"desiredState": "Halted"}))
    engine.wait(engine.none_rest, 20, "quotes are pulled")
    exchange.clear_faults()
    engine.edit(lambda spec: spec.update({"desiredState": "Running"}))
    engine.wait(engine.both_sides, 30, "quotes are back")


def placed(records: list[Record]) -> list[str]:
    actions = [json.loads(action) for record in records for action in record.actions]
    return [action["client_order_id"] for action in actions if action["action"] == "PlaceOrder"]


@pytest.mark.parametrize("name", ["live.journal", "live.journal.gz"])
def test_a_live_engine_replays_to_the_decisions_that_it_really_took(engine: Any, exchange: Any, name: str) -> None:
    path = engine.folder / name
    engine.flags = ["--journal", str(path)]
    lived(engine, exchange)
    assert engine.end(signal.SIGTERM) == 0

    header, again = read_journal(path)
    outcome = replay(header, again)
    assert outcome.difference is None, outcome.difference.sentence
    assert again.end is not None
    assert (again.end.complete, again.end.reason) == (True, "SIGTERM")
    assert outcome.decisions_sha256 == again.end.decisions_sha256
    assert outcome.records == again.end.records > 100

    records = list(read_journal(path)[1])
    on_the_venue = [entry["clientOrderId"] for entry in engine.ledger("order")]
    assert set(on_the_venue) <= set(placed(records)), "every order that the venue saw was decided by the core"
    assert len(on_the_venue) > 4
    plain = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    for secret in (engine.keys["apiKey"], engine.keys["apiSecret"], "signature="):
        assert secret.encode() not in plain
    listen_keys = [entry for entry in exchange.connections() if entry.get("listenKey")]
    assert all(entry["listenKey"].encode() not in plain for entry in listen_keys)


def test_a_killed_engine_leaves_a_journal_that_replays_up_to_its_last_whole_record(engine: Any, exchange: Any) -> None:
    path = engine.folder / "live.journal"
    engine.flags = ["--journal", str(path)]
    engine.quoting()
    engine.wait(lambda: placed(list(read_journal(path)[1])), 10, "the orders are on the disk too")
    engine.end(signal.SIGKILL)
    cut = path.with_name("cut.journal")
    cut.write_bytes(path.read_bytes()[:-3])

    header, records = read_journal(cut)
    outcome = replay(header, records)
    assert outcome.difference is None
    assert placed(list(read_journal(cut)[1])), "it was killed while it quoted"
    assert f"is cut off in the middle of record {outcome.records + 1}" in records.cut_off

    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(b"InstrumentLoaded")] ^= 1
    cut.write_bytes(bytes(flipped))
    header, records = read_journal(cut)
    with pytest.raises(JournalError, match=r"record \d+: the record at byte \d+ is damaged"):
        replay(header, records)


def test_a_journal_that_cannot_be_written_is_refused_before_the_first_order(engine: Any) -> None:
    engine.flags = ["--journal", str(Path(engine.folder) / "missing" / "live.journal")]
    engine.start()
    assert engine.process.wait(60) == 2
    engine.wait(lambda: any("cannot be written" in line for line in engine.raw), 5, "a sentence that says why")
    assert engine.ledger("order") == []
