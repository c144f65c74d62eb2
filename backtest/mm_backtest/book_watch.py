"""Whether the engine could know the market: an independent look at the depth frames that were delivered to it.

Keeps no prices, only the chain of update ids and the time of the newest frame; it shares no code with the engine's book.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mm_runner.core.messages import DepthDiff, DepthSnapshot

_REMEMBERED: Final = 1_000


class BookWatch:
    """`synced`: a snapshot was delivered and every diff since then continues the chain. `fresh_ns`: the newest frame that spoke of the book."""

    __slots__ = ("_newest", "_recent", "fresh_ns", "synced")

    def __init__(self) -> None:
        self.synced = False
        self.fresh_ns = 0
        self._newest = 0
        self._recent: deque[tuple[int, int, int]] = deque(maxlen=_REMEMBERED)

    def on_diff(self, diff: DepthDiff, time_ns: int) -> None:
        """A diff was delivered."""
        ids = (diff.first_update_id, diff.last_update_id, diff.previous_update_id)
        if self.synced:
            self.synced = self._continues(ids)
        if not self.synced:
            self._recent.append(ids)
        self.fresh_ns = time_ns

    def on_snapshot(self, snapshot: DepthSnapshot, time_ns: int) -> None:
        """An answer to the engine's depth request was delivered: what came meanwhile goes on top of it."""
        if self.synced and snapshot.last_update_id <= self._newest:
            self.fresh_ns = time_ns
            return
        self._newest, self.synced = snapshot.last_update_id, True
        self.fresh_ns = time_ns
        for ids in self._recent:
            if not self._continues(ids):
                self.synced = False
                return
        self._recent.clear()

    def _continues(self, ids: tuple[int, int, int]) -> bool:
        first, last, previous = ids
        if last <= self._newest:
            return True
        # Right after a snapshot the first diff may reach back beyond it; from then on `pu` is the last `u`.
        if previous > self._newest and first > self._newest + 1:
            return False
        self._newest = last
        return True
