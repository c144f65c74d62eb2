"""The dead-man switch: `countdownCancelAll`, refreshed every third of its time while the engine lives.

It acts on every order of the symbol on this account (documented). It is never disarmed: sending 0 at a hand-over would disarm the successor's too
(invariant 3); an engine that goes simply stops refreshing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mm_runner.core.messages import DeadMan
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.api import UsdmApi
from mm_runner.venue.errors import VenueError

_NS: Final = 1_000_000_000
_RETRY_PART: Final = 12
"""A failed refresh is tried again after a twelfth of the time: three more tries before the next regular one."""


class DeadManSwitch:
    """Arms and refreshes the switch of one symbol.

    Args:
        deliver: gets DeadMan after each acknowledged refresh.
    """

    def __init__(
        self,
        api: UsdmApi,
        *,
        deliver: Callable[[DeadMan], None],
        telemetry: Telemetry,
        boot_ns: Callable[[], int],
    ) -> None:
        self._api = api
        self._deliver = deliver
        self._telemetry = telemetry
        self._boot_ns = boot_ns
        self._seconds = 0
        self._changed = asyncio.Event()
        self.armed_until_boot_ns = 0
        self._errors = telemetry.metrics.cell("runner_deadman_errors_total")

    def set(self, *, enabled: bool, seconds: int) -> None:
        """Refresh from now on, or let it be."""
        wanted = seconds if enabled else 0
        if wanted != self._seconds:
            self._seconds = wanted
            self._changed.set()

    def remaining_seconds(self) -> float:
        """Time to the armed-until deadline, 0 where it has passed."""
        return max(0.0, (self.armed_until_boot_ns - self._boot_ns()) / _NS)

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            self._changed.clear()
            pause = None
            if self._seconds:
                pause = self._seconds / 3 if await self._refresh(self._seconds) else self._seconds / _RETRY_PART
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _refresh(self, seconds: int) -> bool:
        try:
            sent = await self._api.countdown(seconds * 1000)
        except VenueError as error:
            self._errors.value += 1
            remaining = round(self.remaining_seconds() * 1000)
            self._telemetry.log.emit("deadman_error", error=str(error), remainingMs=remaining)
            return False
        # Invariant 3: the venue's countdown began at the earliest when we sent, so it is armed at least until then.
        self.armed_until_boot_ns = max(self.armed_until_boot_ns, sent + seconds * _NS)
        self._telemetry.log.emit("deadman_armed", seconds=seconds)
        self._deliver(DeadMan(armed_until_boot_ns=self.armed_until_boot_ns))
        return True
