"""A Python 3.11 with pip on this machine: its byte code is what the images' Python reads."""

import os
import shutil
import sys
from functools import cache

from mm_cluster.failure import Failure
from mm_cluster.places import PROJECT
from mm_cluster.process import attempt

_IS_USABLE = "import sys, pip; sys.exit(sys.version_info[:2] != (3, 11))"


@cache
def python_311() -> str:
    """Path of the interpreter: the project's environment, this one, or the one on PATH."""
    candidates = [str(PROJECT / ".venv/bin/python"), sys.executable, shutil.which("python3.11"), "/usr/bin/python3.11"]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and attempt([candidate, "-c", _IS_USABLE])[0] == 0:
            return candidate
    raise Failure("Building images needs Python 3.11 with pip: run `make setup`, or install python3.11 and its pip.")
