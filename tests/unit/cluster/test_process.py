"""Programs are run so that failures explain themselves and nothing is left behind."""

import subprocess
import time

import pytest

from mm_cluster.failure import Failure
from mm_cluster.process import attempt, capture, end_all, run_step, spawn


def test_a_failed_step_shows_the_end_of_its_log():
    with pytest.raises(Failure, match=r"(?s)exit code 3.*the reason"):
        run_step("a step", ["sh", "-c", "echo the reason; exit 3"])


def test_a_missing_program_is_named():
    assert attempt(["no-such-program"])[0] == 127
    with pytest.raises(Failure, match="no-such-program is not installed"):
        run_step("a step", ["no-such-program"])


def test_a_program_that_does_not_answer_is_given_up():
    began = time.monotonic()
    code, words = attempt(["sleep", "60"], timeout_seconds=0.2)
    assert code == 124
    assert "did not answer" in words
    assert time.monotonic() - began < 10


def test_capture_hands_input_in_and_output_out():
    assert capture(["cat"], stdin=b"words") == "words"


def test_an_interrupted_command_ends_what_it_started_children_included():
    child = spawn(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with child:
        grandchild = int(child.stdout.readline())
        end_all()
        assert child.wait(timeout=5) != 0
    deadline = time.monotonic() + 5
    while attempt(["kill", "-0", str(grandchild)])[0] == 0:
        assert time.monotonic() < deadline, "the grandchild lives on"
        time.sleep(0.02)
