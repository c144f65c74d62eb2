"""The log file: bounded, rotated by rename, with the same bytes as standard output."""

from __future__ import annotations

import io
import json

import pytest

from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.setup import Telemetry, make_telemetry
from mm_runner.telemetry.sinks import RotatingFileSink, StreamSink


def test_both_sinks_get_identical_lines(tmp_path):
    stream = io.BytesIO()
    log = EventsLog([StreamSink(stream), RotatingFileSink(tmp_path / "runner.log")])
    for number in range(100):
        log.emit("ws_connect", stream=str(number))
    log.flush()
    log.close()
    assert (tmp_path / "runner.log").read_bytes() == stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 100


def test_rotation_loses_no_line_within_its_bound_and_never_outgrows_it(tmp_path):
    path = tmp_path / "runner.log"
    sink = RotatingFileSink(path, max_bytes=1000, backups=3)
    for number in range(100):
        sink.write(b"%099d\n" % number)
    sink.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["runner.log", "runner.log.1", "runner.log.2", "runner.log.3"]
    assert all(file.stat().st_size <= 1000 for file in files)
    kept = [int(line) for file in reversed(files) for line in file.read_bytes().splitlines()]
    assert kept == list(range(100 - len(kept), 100))
    assert len(kept) == 40


def test_without_backups_the_file_starts_anew(tmp_path):
    sink = RotatingFileSink(tmp_path / "runner.log", max_bytes=10, backups=0)
    sink.write(b"12345678\n")
    sink.write(b"abcdefgh\n")
    sink.close()
    assert [file.name for file in tmp_path.iterdir()] == ["runner.log"]
    assert (tmp_path / "runner.log").read_bytes() == b"abcdefgh\n"


def test_a_restart_appends(tmp_path):
    for text in (b"one\n", b"two\n"):
        sink = RotatingFileSink(tmp_path / "runner.log")
        sink.write(text)
        sink.close()
    assert (tmp_path / "runner.log").read_bytes() == b"one\ntwo\n"


@pytest.fixture
def quiet_root_logger():
    import logging

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_the_file_is_where_the_environment_says(tmp_path, capfdbinary, quiet_root_logger):
    telemetry = make_telemetry("ETHUSDT", {"MM_LOG_FILE": str(tmp_path / "here.log")})
    telemetry.log.emit("metrics_listen", addr="x")
    telemetry.log.close()
    assert json.loads((tmp_path / "here.log").read_bytes())["symbol"] == "ETHUSDT"


def test_a_folder_that_cannot_be_written_is_said_not_fatal(tmp_path, quiet_root_logger):
    telemetry = make_telemetry("ETHUSDT", {"MM_LOG_FILE": str(tmp_path / "missing" / "runner.log")})
    stream = io.BytesIO()
    telemetry.log._sinks = [StreamSink(stream)]
    telemetry.log.close()
    assert "cannot be opened" in json.loads(stream.getvalue())["message"]


def test_garbage_is_always_counted_and_said_once_a_minute():
    clock = [0]
    stream = io.BytesIO()
    log = EventsLog([StreamSink(stream)], context={"symbol": "ETHUSDT"})
    telemetry = Telemetry(log, Metrics("ETHUSDT"), lambda: clock[0])
    for _ in range(50):
        telemetry.malformed("not_json", source="public")
    telemetry.malformed("bad_field", source="public")
    clock[0] = 61 * 10**9
    telemetry.malformed("not_json", source="public")
    log.flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["kind"], line["count"]) for line in lines] == [("not_json", 1), ("bad_field", 1), ("not_json", 50)]
    assert telemetry.metrics.cell("runner_malformed_total", kind="not_json").value == 51
