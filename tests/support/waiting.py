"""Waiting with a bound and a name, so that no test sleeps for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Answer = TypeVar("Answer")


def wait_for(probe: Callable[[], Answer | None], *, seconds: float = 30, what: str, every: float = 0.05) -> Answer:
    """The first truthy answer; fails by name when the bound passes."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(every)
