"""The executables: help, refusals, and what they leave alone."""

import os
import subprocess

import pytest

from mm_cluster.places import CLUSTER


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CLUSTER / argv[0], *argv[1:]],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "down", "engine", "tools", "apiserver"])
def test_help_says_what_a_command_does_and_does_nothing(command, cache_of_its_own):
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"usage: cluster/{command}" in done.stdout
    assert not cache_of_its_own.exists()


def test_an_existing_cluster_is_never_taken_down():
    done = run("down", MM_E2E_USE_CURRENT_CONTEXT="1")
    assert done.returncode == 0
    assert "never touched" in done.stderr


def test_an_api_server_without_its_program_says_how_to_get_it(tmp_path):
    done = run("apiserver", "up", str(tmp_path / "api"))
    assert done.returncode == 1
    assert "run cluster/tools first" in done.stderr


def test_ending_an_api_server_that_never_was_is_no_error(tmp_path):
    assert run("apiserver", "down", str(tmp_path / "api")).returncode == 0
