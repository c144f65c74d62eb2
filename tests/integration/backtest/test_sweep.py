"""Sweeps: one process or several, failures, walk-forward, and what Ctrl-C leaves."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mm_backtest.cli import main
from mm_backtest.run import Options
from mm_backtest.sweep import combinations, trials
from mm_backtest.sweeping import run_trials
from mm_backtest.tape import Stretch, open_tape
from support.backtests import maker, run
from support.tapes import write_tape


@pytest.fixture(scope="module")
def short_tape(tmp_path_factory) -> Path:
    return write_tape(tmp_path_factory.mktemp("tapes") / "short.gz", seconds=8)


PROGRAM = str(Path(sys.executable).with_name("mm-backtest"))


def sweep(*arguments: object):
    return CliRunner().invoke(main, ["sweep", *(str(one) for one in arguments)], catch_exceptions=False)


def test_a_sweep_runs_every_combination_and_one_that_fails_does_not_end_it(short_tape, spec_file, tmp_path):
    out = tmp_path / "out"
    settings = ("--set", "quoting.minSpreadBps=4,8", "--set", "quoting.levels=1,99")
    done = sweep("--spec", spec_file, "--tape", short_tape, *settings, "--out", out, "--workers", 1)
    assert done.exit_code == 0, done.output
    whole = json.loads((out / "results.json").read_text())
    assert [(row["quoting.minSpreadBps"], str(row["quoting.levels"])) for row in whole["results"]] == [
        (4, "1"), ("4", "99"), (8, "1"), ("8", "99"),
    ]  # fmt: skip
    assert [bool(row["error"]) for row in whole["results"]] == [False, True, False, True]
    assert (whole["planned"], whole["failed"], whole["complete"]) == (4, 2, True)
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert len(rows) == 4
    assert rows[0]["decisionsSha256"] == whole["results"][0]["decisionsSha256"]
    assert "failed" in done.stdout


def test_a_trial_is_the_run_that_mm_backtest_run_would_make(short_tape):
    planned = trials(maker(), combinations([("quoting.minSpreadBps", ["4", "8"])]), {str(short_tape): [Stretch()]})
    results = list(run_trials(planned, Options(), workers=1))
    alone = run(open_tape(short_tape, "ETHUSDT"), quoting={"minSpreadBps": 8})
    assert results[1].summary["decisionsSha256"] == alone.summary["decisionsSha256"]


def test_processes_give_what_one_process_gives(short_tape):
    planned = trials(maker(), combinations([("quoting.minSpreadBps", ["4", "6", "8"])]), {str(short_tape): [Stretch()]})
    alone, together = (
        {one.place: one.summary["decisionsSha256"] for one in run_trials(planned, Options(), workers=workers)}
        for workers in (1, 2)
    )
    assert alone == together


def test_walk_forward_reports_what_was_chosen_and_what_came_of_it(short_tape, spec_file, tmp_path):
    out = tmp_path / "out"
    done = sweep("--spec", spec_file, "--tape", short_tape, "--set", "quoting.minSpreadBps=4,8", "--walk-forward", 2, "--out", out, "--workers", 1)  # fmt: skip
    assert done.exit_code == 0, done.output
    whole = json.loads((out / "results.json").read_text())
    assert len(whole["results"]) == 4
    (fold,) = whole["walkForward"]
    assert (fold["trainedOn"], fold["testedOn"]) == (1, 2)
    assert fold["parameters"]["quoting.minSpreadBps"] in (4, 8)
    assert fold["bestOutOfSample"] >= fold["outOfSample"]
    assert "walk-forward" in done.stdout


def test_a_sweep_in_which_nothing_runs_ends_with_1(short_tape, spec_file, tmp_path):
    done = sweep(
        "--spec",
        spec_file,
        "--tape",
        short_tape,
        "--set",
        "quoting.nonsense=1",
        "--out",
        tmp_path / "out",
        "--workers",
        1,
    )
    assert done.exit_code == 1
    assert "spec.quoting.nonsense is no field" in done.stdout


def test_what_is_wrong_before_the_first_run_is_a_sentence(short_tape, spec_file, tmp_path):
    done = sweep("--spec", spec_file, "--tape", tmp_path / "absent.gz", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "is not there" in done.stderr


def test_ctrl_c_keeps_what_is_finished(short_tape, spec_file, tmp_path):
    out = tmp_path / "out"
    values = ",".join(str(4 + number / 100) for number in range(400))
    process = subprocess.Popen(
        [PROGRAM, "sweep", "--spec", str(spec_file), "--tape", str(short_tape), "--set", f"quoting.minSpreadBps={values}", "--out", str(out),
         "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A suite that runs in the background of a script inherits an ignored SIGINT; a terminal's Ctrl-C is what is meant.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread holds a lock here
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (out / "results.json").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130, errors
    whole = json.loads((out / "results.json").read_text())
    assert 0 < whole["finished"] < 400
    assert not whole["complete"]
    assert "Traceback" not in errors
