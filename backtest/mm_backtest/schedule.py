"""What is due later on the virtual clock: a small heap beside the tape.

Market events never pass through here (the loop merges them by themselves); what does is requests on their way, answers, timers: some tens a second.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

NEVER: Final = 1 << 62
"""Later than any instant of a tape, in nanoseconds."""


class Schedule:
    """Calls in the order of their times; those of one instant in the order in which they were put in."""

    __slots__ = ("_heap", "_number", "next_ns")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self.next_ns = NEVER
        """When the first one is due; NEVER where there is none."""

    def at(self, time_ns: int, call: Callable[..., None], *arguments: Any) -> None:
        """Have `call(*arguments, time_ns)` made at that time."""
        self._number += 1
        heapq.heappush(self._heap, (time_ns, self._number, call, arguments))
        self.next_ns = self._heap[0][0]

    def run_next(self) -> None:
        """Make the first call."""
        time_ns, _, call, arguments = heapq.heappop(self._heap)
        self.next_ns = self._heap[0][0] if self._heap else NEVER
        call(*arguments, time_ns)
