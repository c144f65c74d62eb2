"""The watchdog: a thread that ends the process when the event loop is stuck past the Lease deadline (invariant 4).

A stuck loop cannot cancel its orders; nor may it wake up later and act. The dead-man switch bounds what rests on the venue.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final

from mm_runner.control.clocks import SECOND_NS, boot_ns

EXIT_STUCK: Final = 70
_BEAT_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 0.25
_LOOKS_IN_A_ROW: Final = 8  # 2 s of the thread's own running time: a thawed process gets the chance to notice


class Watchdog:
    """Beats in the loop, looks from a thread.

    Args:
        margin_seconds: how long past the deadline the loop may be stuck.
        end: ends the process; replaced in tests.
    """

    def __init__(self, margin_seconds: float, *, end: Callable[[int], None] = os._exit) -> None:
        self._margin_ns = round(margin_seconds * SECOND_NS)
        self._end = end
        self._deadline_ns = 0
        self._beat_ns = boot_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="lease-watchdog", daemon=True)

    def deadline(self, send_deadline_ns: int) -> None:
        """The Lease's send deadline as last known; 0 while there is none."""
        self._deadline_ns = send_deadline_ns

    @property
    def stalled_seconds(self) -> float:
        """How long the loop has not beaten; what `/healthz` would say if it could."""
        return (boot_ns() - self._beat_ns) / SECOND_NS

    async def run(self) -> None:
        """Beat, for ever."""
        self._thread.start()
        try:
            while True:
                self._beat_ns = boot_ns()
                await asyncio.sleep(_BEAT_SECONDS)
        finally:
            self._stop.set()

    def stuck(self, now_ns: int) -> bool:
        """Whether orders were possible until a deadline that the loop has slept past."""
        limit = self._deadline_ns + self._margin_ns
        return self._deadline_ns > 0 and now_ns > limit and self._beat_ns < limit

    def _look(self) -> None:
        seen = 0
        while not self._stop.wait(_LOOK_SECONDS):
            seen = seen + 1 if self.stuck(boot_ns()) else 0
            if seen >= _LOOKS_IN_A_ROW:
                os.write(2, b"mm-runner: the event loop is stuck past the Lease deadline; ending the process\n")
                self._end(EXIT_STUCK)
                return
