"""Exactly the recorded processes are ended, never one that took over an id."""

import subprocess

import pytest

from mm_cluster.process_record import Recorded, end, record, recorded, start_ticks


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_recorded_process_is_ended(tmp_path, sleeper):
    record(tmp_path / "pids", sleeper.pid, name="sleep")
    (found,) = recorded(tmp_path / "pids")
    assert found.is_alive()
    end([found], patience_seconds=5)
    assert sleeper.wait(timeout=5) != 0
    assert not found.is_alive()


def test_a_process_that_ignores_the_request_is_ended_all_the_same(tmp_path):
    stubborn = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], stdout=subprocess.PIPE
    )
    with stubborn:
        assert stubborn.stdout.readline() == b"ready\n"
        record(tmp_path / "pids", stubborn.pid, name="sh")
        end(recorded(tmp_path / "pids"), patience_seconds=0.2)
        assert stubborn.wait(timeout=5) == -9


def test_another_process_under_a_recorded_id_is_left_alone(sleeper):
    impostor = Recorded(sleeper.pid, (start_ticks(sleeper.pid) or 0) - 1, "sleep")
    assert not impostor.is_alive()
    end([impostor], patience_seconds=0)
    assert sleeper.poll() is None


def test_no_file_means_no_processes(tmp_path):
    assert recorded(tmp_path / "pids") == []
