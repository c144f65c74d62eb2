"""`mm-backtest` as a person types it: files, exit codes, sentences, and the same digest on every Python hash seed."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mm_backtest.cli import main
from mm_backtest.recording import load
from mm_runner.journal.codec import DecisionDigest
from support.backtests import SPEC, merged
from support.tapes import write_tape

PROGRAM = str(Path(sys.executable).with_name("mm-backtest"))


def command(*arguments: object):
    return CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def short_tape(tmp_path_factory) -> Path:
    return write_tape(tmp_path_factory.mktemp("tapes") / "short.gz", seconds=8)


def test_run_writes_summary_decisions_recording_and_report(short_tape, spec_file, tmp_path):
    out = tmp_path / "out"
    done = command("run", "--spec", spec_file, "--tape", short_tape, "--out", out)
    assert done.exit_code == 0, done.output
    summary = json.loads((out / "summary.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == summary
    assert load(out / "recording.json").summary == summary
    assert (out / "report.html").stat().st_size > 10_000
    assert len(list(out.glob("*.png"))) >= 3
    lines = (out / "decisions.jsonl").read_text().splitlines()
    assert len(lines) == summary["decisions"]
    assert json.loads(lines[0]).keys() == {"bootNs", "action"}


def test_the_digest_is_the_journals_over_the_logged_actions(short_tape, spec_file, tmp_path):
    out = tmp_path / "out"
    command("run", "--spec", spec_file, "--tape", short_tape, "--out", out, "--no-report")
    digest = DecisionDigest()
    for line in (out / "decisions.jsonl").read_bytes().splitlines():
        digest.add_encoded(line.split(b'"action":', 1)[1][:-1])
    assert digest.hex == json.loads((out / "summary.json").read_text())["decisionsSha256"]


def test_the_digest_is_the_same_in_every_process_and_under_every_hash_seed(short_tape, spec_file, tmp_path):
    shas = set()
    for seed in ("0", "1", "4242"):
        out = tmp_path / seed
        subprocess.run(
            [PROGRAM, "run", "--spec", str(spec_file), "--tape", str(short_tape), "--out", str(out), "--no-report"],
            check=True, capture_output=True, timeout=100, env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        shas.add(json.loads((out / "summary.json").read_text())["decisionsSha256"])
    assert len(shas) == 1


def test_report_draws_a_folder_anew(short_tape, spec_file, tmp_path):
    out = tmp_path / "out"
    command("run", "--spec", spec_file, "--tape", short_tape, "--out", out, "--no-report")
    assert not (out / "report.html").exists()
    done = command("report", out)
    assert done.exit_code == 0
    assert str(out / "report.html") in done.stdout


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tape": "absent.gz"}, "is not there"),
        ({"tape": "empty.gz"}, "holds no market frame"),
        ({"tape": "cut.gz"}, "cannot be used"),
        ({"spec": "absent.yaml"}, "cannot be read"),
        ({"spec": "bad.yaml"}, "is refused"),
        ({"spec": "other.yaml"}, "holds ETHUSDT, but spec.symbol is BTCUSDT"),
        ({"spec": "asmm.yaml"}, "the engine refuses"),
        ({"out": "full"}, "not empty"),
        ({"out": "file/below"}, "cannot be written"),
        ({"more": ("--from", "5", "--to", "4")}, "--to 4 must be later than --from 5"),
        ({"more": ("--balance", "none")}, "--balance none must be a positive amount"),
        ({"more": ("--latency", "absent.json")}, "--latency absent.json"),
        ({"more": ("--queue-model", "hopeful")}, "no queue model"),
    ],
)
def test_what_a_person_can_mend_is_a_sentence_and_exit_code_2(changes, says, short_tape, spec_file, somewhere):
    Path("empty.gz").write_bytes(gzip.compress(b"nothing\n"))
    Path("cut.gz").write_bytes(short_tape.read_bytes()[:200])
    Path("bad.yaml").write_text(yaml.safe_dump(merged(SPEC, {"spec": {"quoting": {"levels": 99}}})))
    Path("other.yaml").write_text(yaml.safe_dump(merged(SPEC, {"spec": {"symbol": "BTCUSDT"}})))
    refused = merged(SPEC, {"spec": {"risk": {"maxAccountNotional": "5000"}}})
    Path("asmm.yaml").write_text(yaml.safe_dump(refused))
    Path("full").mkdir()
    Path("full/thing").touch()
    Path("file").touch()
    arguments = {"spec": spec_file, "tape": short_tape, "out": "out"} | changes
    more = arguments.pop("more", ())
    options = [part for name, value in arguments.items() for part in (f"--{name}", value)]
    done = command("run", *options, *more, "--no-report")
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_a_folder_that_is_not_empty_takes_results_with_force(short_tape, spec_file, tmp_path):
    (tmp_path / "thing").touch()
    done = command("run", "--spec", spec_file, "--tape", short_tape, "--out", tmp_path, "--no-report", "--force")
    assert done.exit_code == 0, done.output


def test_help_has_examples_and_exit_codes():
    text = command("--help").stdout
    assert "mm-backtest run --spec mm.yaml" in text
    assert "Exit codes" in text
    assert "mm-backtest" in command("--version").stdout
