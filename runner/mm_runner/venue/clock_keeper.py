"""Keeps the venue's clock known: reads it at start, regularly, and at once after a -1021.

The readings travel on the order lane, which keeps that connection warm and measures the very path that orders take.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from mm_runner.core.messages import Instant
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.api import UsdmApi
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.errors import VenueError
from mm_runner.venue.rest import RestClient

SKEW_WARN_MS: Final = 500
FIRST_READINGS: Final = 3


class ClockKeeper:
    """Feeds `client.clock`.

    Args:
        seconds: between regular readings.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        api: UsdmApi,
        client: RestClient,
        *,
        telemetry: Telemetry,
        now: Callable[[], Instant],
        chance: random.Random,
        seconds: float,
    ) -> None:
        self._api = api
        self._client = client
        self._telemetry = telemetry
        self._now = now
        self._chance = chance
        self._seconds = seconds
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """The venue refused our time: read its clock now."""
        self._wanted.set()

    def offset_ms(self) -> int:
        """Venue clock minus the machine's wall clock."""
        now = self._now()
        return self._client.clock.offset_ms(wall_ms=now.wall_ms, boot_ns=now.boot_ns)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self._wanted.clear()
            try:
                async with asyncio.timeout(self._seconds):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            await self.read_until_known()

    async def read_until_known(self) -> None:
        """Ask with back-off until the venue has answered."""
        backoff = Backoff(self._chance, cap_seconds=5.0)
        readings = 1 if self._client.clock.synced else FIRST_READINGS
        while True:
            if await self.read(readings):
                return
            await asyncio.sleep(backoff.next_seconds())

    async def read(self, readings: int) -> bool:
        """Take so many readings; False where one failed."""
        try:
            for _ in range(readings):
                reading = await self._api.clock_reading(
                    lane=self._client.order_lane, boot_ns=lambda: self._now().boot_ns
                )
                self._client.clock.add(reading)
        except VenueError:
            return False
        offset = self.offset_ms()
        self._telemetry.metrics.set("runner_clock_offset_seconds", offset / 1000)
        if abs(offset) > SKEW_WARN_MS:
            self._telemetry.once("skew", "clock_skew", {"offsetMs": offset})
        return True
