"""The ledger over memory and file: the same answers as one that never forgot, wherever the border lies."""

import json
import sqlite3

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_exchange.ledger import Ledger
from mm_exchange.ledger_file import LedgerFile

MS = 1_000_000
START_MS = 1_790_000_000_000


@pytest.fixture
def spilled(tmp_path):
    """A ledger of 1,000 entries of which the newest few are in memory and the others in a file."""
    ledger = Ledger(kept=10)
    ledger.spill_to(LedgerFile(tmp_path / "ledger.sqlite"))
    fill(ledger, 1000)
    settle(ledger)
    yield ledger
    ledger.close()


def fill(ledger, count):
    for number in range(len(ledger), len(ledger) + count):
        symbol = ("ETHUSDT", "BTCUSDT", None)[number % 3]
        api_key = ("a", "b")[number % 2]
        ledger.add("order", (START_MS + number // 2) * MS, symbol=symbol, api_key=api_key, price=str(number))


def settle(ledger):
    """Spill until nothing moves any more."""
    for _ in range(200):
        ledger.spill()
        ledger._file.wait()


def in_memory(ledger):
    return len(ledger._recent)


def test_old_entries_leave_memory_and_are_read_all_the_same(spilled):
    assert in_memory(spilled) < 40
    assert [entry.seq for entry in spilled.read()] == list(range(1, 1001))
    assert [entry.price for entry in spilled.read(since=990)] == [str(number) for number in range(990, 1000)]


def test_filters_and_times_work_on_both_sides_of_the_border(spilled):
    border = len(spilled) - in_memory(spilled)
    for since in (0, border - 2, border - 1, border, border + 1, 1000):
        entries = list(spilled.read(symbol="BTCUSDT", api_key="b", since=since))
        assert [entry.seq for entry in entries] == [seq for seq in range(since + 1, 1001) if (seq - 1) % 6 == 1]
    for since in (START_MS, START_MS + border // 2, START_MS + 499, START_MS + 500):
        assert [entry.seq for entry in spilled.read(since=since)] == list(range(1 + 2 * (since - START_MS), 1001))


def test_json_from_the_file_is_what_memory_would_have_said(spilled):
    plain = Ledger()
    fill(plain, 1000)
    assert [json.loads(text) for _, text in spilled.read_json()] == [json.loads(text) for _, text in plain.read_json()]


def test_a_read_that_waits_while_the_border_moves_misses_nothing(spilled):
    fill(spilled, 500)
    reading = spilled.read()
    seen = [next(reading).seq for _ in range(1200)]
    fill(spilled, 500)
    settle(spilled)
    seen += [entry.seq for entry in reading]
    assert seen == list(range(1, 1501))


def test_a_named_file_holds_everything_once_it_is_closed(tmp_path):
    ledger = Ledger()
    ledger.spill_to(LedgerFile(tmp_path / "ledger.sqlite"))
    fill(ledger, 700)
    ledger.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    assert connection.execute("SELECT count(*), max(seq) FROM ledger").fetchone() == (700, 700)
    kind, symbol, price, entry = connection.execute(
        "SELECT kind, symbol, price, entry FROM ledger WHERE seq=2"
    ).fetchone()
    assert (kind, symbol, price) == ("order", "BTCUSDT", "1")
    assert json.loads(entry)["apiKey"] == "b"
    connection.close()


def test_a_temporary_file_goes_with_its_ledger():
    ledger = Ledger(kept=5)
    file = LedgerFile()
    ledger.spill_to(file)
    fill(ledger, 300)
    settle(ledger)
    path = file._path
    assert path.exists()
    ledger.close()
    assert not path.exists()


def test_a_file_of_another_run_is_not_touched(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_text("mine")
    with pytest.raises(ValueError, match="remove it or name another"):
        LedgerFile(path)
    assert path.read_text() == "mine"


def test_a_file_that_cannot_be_made_is_said_at_once(tmp_path):
    with pytest.raises(OSError, match="cannot be kept"):
        LedgerFile(tmp_path / "nowhere" / "ledger.sqlite")


def test_a_file_that_cannot_be_written_is_an_error_of_the_next_slice(tmp_path):
    ledger = Ledger(kept=5)
    file = LedgerFile(tmp_path / "ledger.sqlite")
    ledger.spill_to(file)
    other = sqlite3.connect(tmp_path / "ledger.sqlite")
    other.execute("DROP TABLE ledger")
    other.close()
    fill(ledger, 10)
    with pytest.raises(OSError, match="cannot be written"):
        settle(ledger)
    file._waiting.clear()
    file.close()


def test_a_slow_disk_holds_the_exchange_up_rather_than_filling_memory(tmp_path):
    ledger = Ledger(kept=100)
    ledger.spill_to(LedgerFile(tmp_path / "ledger.sqlite"))
    for _ in range(20):
        fill(ledger, 1000)
        ledger.spill()
        assert in_memory(ledger) <= 5 * 100
    assert [entry.seq for entry in ledger.read()] == list(range(1, 20_001))
    ledger.close()


entries = st.tuples(
    st.just("add"),
    st.sampled_from(["order", "fill"]),
    st.sampled_from([None, "A", "B"]),
    st.sampled_from([None, "k", "l"]),
    st.integers(-3, 5),
)
steps = st.lists(
    st.one_of(entries, st.tuples(st.just("spill"), st.integers(1, 8)), st.tuples(st.just("wait"))), max_size=60
)
reads = st.tuples(
    st.sampled_from([None, "A", "B"]), st.sampled_from([None, "k"]), st.sampled_from([None, "fill"]), st.integers(0, 70)
)


@settings(max_examples=60, deadline=None)
@given(steps=steps, asked=st.lists(reads, min_size=1, max_size=5), kept=st.integers(1, 6))
def test_a_spilling_ledger_answers_like_one_that_keeps_all_in_memory(steps, asked, kept):
    spilling, plain = Ledger(kept=kept), Ledger()
    spilling.spill_to(LedgerFile())
    try:
        time_ms = START_MS
        for step in steps:
            if step[0] == "add":
                _, kind, symbol, api_key, later = step
                time_ms += later
                fields = {"symbol": symbol, "api_key": api_key, "detail": {"n": len(plain), "€": "ü'\""}}
                for ledger in (spilling, plain):
                    ledger.add(kind, time_ms * MS, **fields)
            elif step[0] == "spill":
                spilling.spill(most=step[1])
            else:
                spilling._file.wait()
        assert len(spilling) == len(plain)
        for symbol, api_key, kind, since in asked:
            for start in (since, START_MS + since - 10):
                wanted = {"symbol": symbol, "api_key": api_key, "kind": kind, "since": start}
                assert list(spilling.read(**wanted)) == list(plain.read(**wanted))
                assert [msgspec.json.decode(text) for _, text in spilling.read_json(**wanted)] == [
                    msgspec.json.decode(text) for _, text in plain.read_json(**wanted)
                ]
    finally:
        spilling.close()
