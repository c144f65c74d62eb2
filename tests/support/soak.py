"""How much chance a test takes: the everyday number of examples, and a hundred times that in `make soak`."""

from __future__ import annotations

import os
from typing import Final

SOAK: Final = "MM_SOAK" in os.environ


def examples(everyday: int) -> int:
    """`max_examples` of a Hypothesis test."""
    return everyday * 100 if SOAK else everyday
