"""The journal on disk: written off the hot path, bounded, honest about its end, and read back as it was."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from core_world import CLAIM, MS, World, make_spec

from mm_contract.states import HaltState
from mm_runner.core import messages as m
from mm_runner.journal.codec import Header, JournalError, Record, encode_action
from mm_runner.journal.reader import Records, read_journal
from mm_runner.journal.replay import replay
from mm_runner.journal.writer import KEPT, JournalWriter, check_writable
from mm_runner.telemetry.redaction import Redactor
from support.waiting import wait_for

SECRET = "s3cretApiSecretValue"


@dataclass
class Desk:
    """Opens journals in one folder and hears their complaints."""

    path: Path
    failures: list[tuple[str, int]] = field(default_factory=list)

    def open(self, **bounds: int) -> JournalWriter:
        secrets = Redactor()
        secrets.add(SECRET)

        def failed(sentence: str, lost: int) -> None:
            self.failures.append((sentence, lost))

        return JournalWriter(self.path, Header(claim=CLAIM), secrets=secrets, failed=failed, **bounds)


@pytest.fixture(params=["live.journal", "live.journal.gz"])
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(tmp_path / request.param)


def story(world: World) -> None:
    """Quotes, moves, fills and a way out."""
    world.advance(600)
    world.move_market(40)
    world.fill(m.Side.BUY, 15)
    world.advance(1_000)
    world.send(m.ShutdownRequested(reason="SIGTERM"))
    world.advance(4_000)


def journaled(writer: JournalWriter) -> World:
    """A world whose engine is written down."""
    world = World(make_spec(), start=False)
    handle = world.engine.handle

    def written(event: m.Event, now: m.Instant) -> list[m.Action]:
        event = writer.clean(event)
        actions = list(handle(event, now))
        writer.append(event, now, actions)
        return actions

    world.engine.handle = written
    world.start()
    return world


def read(path: Path) -> tuple[list[Record], Records]:
    _, records = read_journal(path)
    return list(records), records


def test_a_story_comes_back_with_its_decisions_and_replays_to_the_same(desk: Desk) -> None:
    writer = desk.open()
    world = journaled(writer)
    story(world)
    writer.close("SIGTERM")
    records, ending = read(desk.path)
    assert [action for record in records for action in record.actions] == [encode_action(a) for a in world.actions]
    assert ending.end is not None
    assert (ending.end.complete, ending.end.records, ending.end.reason) == (True, len(records), "SIGTERM")
    header, again = read_journal(desk.path)
    outcome = replay(header, again)
    assert outcome.difference is None
    assert outcome.actions == len(world.actions) > 20
    assert outcome.decisions_sha256 == ending.end.decisions_sha256
    assert desk.failures == []
    assert writer.lost == 0


def test_a_replay_says_at_which_record_and_how_it_differs(desk: Desk) -> None:
    writer = desk.open()
    story(journaled(writer))
    writer.close("end")
    records, _ = read(desk.path)
    header, _ = read_journal(desk.path)
    number = next(i for i, r in enumerate(records) if any(b'"PlaceOrder"' in action for action in r.actions))
    real = records[number]
    forged = tuple(action.replace(b'"quantity":20', b'"quantity":21') for action in real.actions)
    records[number] = Record(real.boot_ns, real.wall_ms, real.event, forged)
    difference = replay(header, records).difference
    assert difference is not None
    assert difference.record == number + 1
    assert difference.replayed == real.actions
    assert '"quantity":21' in difference.sentence
    assert '"quantity":20' in difference.sentence


def test_a_defect_of_the_core_is_in_the_journal_and_happens_again_in_the_replay(desk: Desk) -> None:
    writer = desk.open()
    world = journaled(writer)
    poison = m.BookTicker(update_id="x", bid=1.0, bid_quantity=1.0, ask=2.0, ask_quantity=1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        world.send(poison)
    writer.close("crash")
    records, _ = read(desk.path)
    header, _ = read_journal(desk.path)
    assert replay(header, [*records, Record(1, 1, poison, (), "TypeError")]).difference is None
    difference = replay(header, [*records, Record(1, 1, m.Tick(), (), "TypeError")]).difference
    assert difference is not None
    assert "only one of the two broke, by TypeError" in difference.sentence or difference.replayed


def test_a_cut_journal_is_read_up_to_its_last_whole_record(desk: Desk) -> None:
    writer = desk.open()
    story(journaled(writer))
    writer.close("end")
    whole, _ = read(desk.path)
    content = desk.path.read_bytes()
    desk.path.write_bytes(content[: len(content) * 2 // 3])
    part, ending = read(desk.path)
    assert 0 < len(part) < len(whole)
    assert part == whole[: len(part)]
    assert ending.end is None
    assert "is cut off" in ending.cut_off
    assert "everything before is whole" in ending.cut_off
    header, again = read_journal(desk.path)
    assert replay(header, again).difference is None


def test_a_flipped_byte_is_reported_with_the_record_that_it_is_in(desk: Desk) -> None:
    writer = desk.open()
    story(journaled(writer))
    writer.close("end")
    whole, _ = read(desk.path)
    content = bytearray(desk.path.read_bytes())
    content[len(content) // 2] ^= 0x41
    desk.path.write_bytes(bytes(content))
    _, records = read_journal(desk.path)
    part = []
    with pytest.raises(JournalError, match=r"record \d+: .*damaged.*records before it are whole"):
        part.extend(iter(records.__next__, None))
    assert part == whole[: len(part)]


@pytest.mark.parametrize("content", [b"", b"mm-jour", b"{}\n" * 100, gzip.compress(b"hello" * 9)])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is not a journal"):
        read_journal(path)


def test_a_reader_may_follow_a_journal_that_is_still_written(desk: Desk) -> None:
    writer = desk.open()
    story(journaled(writer))
    wait_for(
        lambda: read(desk.path)[0] and read(desk.path)[1].cut_off, what="records are on the disk while the engine runs"
    )
    writer.close("end")


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_at_its_bound_the_journal_ends_and_says_so_and_what_is_in_replays(desk: Desk) -> None:
    bound = 6_000 if desk.path.suffix == ".gz" else 20_000
    writer = desk.open(max_bytes=bound)
    world = journaled(writer)
    for _ in range(40):
        world.advance(500)
        wait_for(lambda: not writer._ring, every=0.01, what="the writer keeps up")
    writer.close("end")
    records, ending = read(desk.path)
    assert desk.path.stat().st_size < bound + 1_000
    assert ending.end is not None
    assert not ending.end.complete
    assert ending.end.records == len(records) > 10
    assert len(desk.failures) == 1, "said once"
    assert f"its bound of {bound} bytes" in desk.failures[0][0]
    assert f"replays up to record {len(records)}" in desk.failures[0][0]
    assert writer.lost > 0
    header, again = read_journal(desk.path)
    assert replay(header, again).difference is None


def test_a_disk_that_is_too_slow_ends_the_journal_and_not_the_engine(desk: Desk) -> None:
    writer = desk.open(capacity=5)
    for number in range(2_000):
        writer.append(m.Tick(), m.Instant(number, number), ())
    wait_for(lambda: desk.failures, what="the loss is told")
    writer.append(m.Tick(), m.Instant(1, 1), ())
    writer.close("end")
    records, ending = read(desk.path)
    assert "too slow" in desk.failures[0][0]
    assert [record.boot_ns for record in records] == list(range(len(records))), "no hole before the end"
    assert ending.end is not None
    assert not ending.end.complete
    assert writer.lost == 2_001 - len(records)


def test_a_full_disk_is_told_once_and_the_engine_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "live.journal")
    writer = desk.open()
    os.dup2(os.open("/dev/full", os.O_WRONLY), writer._output._file.fileno())
    world = journaled(writer)
    wait_for(lambda: desk.failures, what="the loss is told")
    story(world)
    writer.close("end")
    assert world.of(m.Drained)
    assert [text for text, _ in desk.failures] == [
        "the disk refuses it (No space left on device); the journal ends here and replays up to record 0"
    ]
    assert writer.lost > 10


def test_a_folder_that_is_missing_is_found_before_anything_is_traded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_writable(tmp_path / "missing" / "x.journal")


def test_looking_for_room_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"precious")
    check_writable(path)
    assert path.read_bytes() == b"precious"


def test_an_older_journal_is_kept_under_a_number_and_only_so_many(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "x")
    for number in range(KEPT + 3):
        writer = desk.open()
        writer.append(m.Tick(), m.Instant(number, 0), ())
        writer.close("end")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["x", *(f"x.{number}" for number in range(1, KEPT + 1))]
    assert [read(tmp_path / name)[0][0].boot_ns for name in kept] == [5, 4, 3, 2]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_signature_in_an_error_text_reaches_neither_the_core_nor_the_journal(desk: Desk) -> None:
    writer = desk.open()
    world = journaled(writer)
    url = f"POST /fapi/v1/order?signature=deadbeef&listenKey=abcdefg failed for {SECRET}"
    for event in (
        m.ReconcileFailed(error=url),
        m.StreamDown(stream=m.Stream.USER, error=url),
        m.DepthSnapshotFailed(error=url),
        m.ControlPlane(ok=False, error=url),
    ):
        world.send(event)
    writer.close("end")
    plain = b"".join(inflated(desk.path))
    for secret in (SECRET.encode(), b"deadbeef", b"abcdefg"):
        assert secret not in plain
    assert b"signature=[redacted]" in plain
    header, again = read_journal(desk.path)
    assert replay(header, again).difference is None


def test_a_secret_where_nobody_expects_one_ends_the_journal_unwritten(desk: Desk) -> None:
    writer = desk.open()
    writer.append(m.Tick(), m.Instant(1, 1), ())
    writer.append(m.AccountReport(reason=SECRET), m.Instant(2, 2), ())
    writer.close("end")
    assert SECRET.encode() not in b"".join(inflated(desk.path))
    assert desk.failures[0][0].startswith("a AccountReport held a secret")


def inflated(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield gzip.decompress(content) if path.suffix == ".gz" else content


# -- chance ------------------------------------------------------------------------------------------------------------

REPLAY = """
import sys
from pathlib import Path
from mm_runner.journal.reader import read_journal
from mm_runner.journal.replay import replay
outcome = replay(*read_journal(Path(sys.argv[1])))
print(outcome.difference, outcome.decisions_sha256)
"""


def test_the_hash_seed_decides_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "x.journal")
    writer = desk.open()
    world = journaled(writer)
    world.send(
        m.HaltsChanged(halts=(m.Halt(name="b", state=HaltState.HALTED), m.Halt(name="a", state=HaltState.REDUCE_ONLY)))
    )
    world.send(m.HaltsChanged())
    story(world)
    writer.close("end")
    command = [sys.executable, "-c", REPLAY, str(desk.path)]

    def replayed(seed: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=100).stdout

    outcomes = {replayed(seed) for seed in ("0", "1", "4242")}
    assert len(outcomes) == 1
    assert outcomes.pop().startswith("None ")


def test_who_reads_a_report_between_two_events_changes_no_decision(desk: Desk) -> None:
    """The shell asks for reports and gauges at times that no journal knows."""
    writer = desk.open()
    world = journaled(writer)
    world.advance(600)
    handle = world.engine.handle

    def watched(event: m.Event, now: m.Instant) -> list[m.Action]:
        later = m.Instant(now.boot_ns + 3 * MS, now.wall_ms + 3)
        world.engine.report(later)
        world.engine.gauges(later)
        _ = (world.engine.ready, world.engine.next_wake_ns, world.engine.safe_without_data)
        return list(handle(event, now))

    world.engine.handle = watched
    world.auto = False
    order = world.resting(m.Side.BUY)[0]
    account, report = world.venue.fill(order, 10)
    world.send(report)  # the position is known twice, and the two differ until the account event comes
    world.move_market(-500)
    world.send(account)
    world.auto = True
    story(world)
    writer.close("end")
    header, again = read_journal(desk.path)
    assert replay(header, again).difference is None
