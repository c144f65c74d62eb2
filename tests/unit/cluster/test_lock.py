"""Two runs wait for each other, and a killed one never blocks the next."""

import subprocess
import sys

from mm_cluster.lock import exclusive
from mm_cluster.places import CLUSTER

HOLD = "import sys; from mm_cluster.lock import exclusive\nwith exclusive('cluster'):\n print('held', flush=True); sys.stdin.read()"


def holder():
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=CLUSTER,
    )


def test_the_second_run_says_whom_it_waits_for_and_then_goes_on():
    with holder() as first:
        assert first.stdout.readline() == b"held\n"
        with holder() as second:
            assert f"another run (process {first.pid})".encode() in second.stderr.readline()
            first.stdin.close()
            assert second.stdout.readline() == b"held\n"
            second.stdin.close()


def test_a_killed_run_releases_the_lock():
    with holder() as first:
        assert first.stdout.readline() == b"held\n"
        first.kill()
        with exclusive("cluster"):
            assert first.wait(timeout=5) == -9
