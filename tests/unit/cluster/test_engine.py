"""The parts of the container engine that need no docker to be tested."""

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO

import pytest

from mm_cluster import engine
from mm_cluster.places import CLUSTER


def test_the_probe_program_runs_and_succeeds(tmp_path):
    with tarfile.open(fileobj=BytesIO(engine._probe_root())) as archive:
        archive.extractall(tmp_path, filter="data")
    assert subprocess.run([tmp_path / "probe"], check=False).returncode == 0


def test_a_stale_or_foreign_process_id_is_not_our_engine():
    assert engine._own_pid() is None
    for content in ("", "no number", "4999999", str(os.getpid())):
        engine._pid_file().write_text(content)
        assert engine._own_pid() is None


def test_the_process_that_was_started_with_our_configuration_is_our_engine():
    argv = [sys.executable, "-c", "print(flush=True); input()", "--config-file", str(engine._configuration_file())]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"
        engine._pid_file().write_text(str(process.pid))
        assert engine._own_pid() == process.pid
        process.stdin.write(b"\n")


def test_our_engine_keeps_to_folders_bridge_and_firewall_of_its_own(cache_of_its_own):
    engine._write_configuration()
    settings = json.loads(engine._configuration_file().read_text())
    run_folder = str(engine.run_folder())
    assert settings["data-root"].startswith(str(cache_of_its_own))
    assert all(settings[key].startswith(run_folder) for key in ("exec-root", "pidfile"))
    assert settings["hosts"] == [f"unix://{run_folder}/docker.sock"]
    assert settings["bridge"] == "none"
    assert settings["iptables"] is False


@pytest.mark.parametrize("option", ["--bundle", "-b", "--process", "-p"])
def test_the_runtime_asks_for_every_capability_but_the_one_that_is_lacking(tmp_path, option):
    asked = {"capabilities": ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_SYS_TIME"]}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(asked, separators=(",", ":")))
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\n')
    runc.chmod(0o755)
    argument = str(tmp_path if option in {"--bundle", "-b"} else file)
    done = subprocess.run(
        [CLUSTER / "engine-runtime" / "runc-without-sys-resource", "create", option, argument, "name"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["create", option, argument, "name"]
    assert json.loads(file.read_text()) == {"capabilities": ["CAP_SYS_ADMIN", "CAP_SYS_TIME"]}
