"""Keeps the symbol's filters, the venue's limits and the account's fees known, and tells the core when they drift."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import InstrumentLoaded
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.answers import SymbolError
from mm_runner.venue.api import UsdmApi
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.budget import Budget
from mm_runner.venue.errors import RefusedError, VenueError

DEFAULT_FEES: Final = (Decimal("0.0002"), Decimal("0.0005"))
"""Maker and taker of the lowest tier: what is assumed, and said, where the venue does not tell."""


class RulesKeeper:
    """Reads `exchangeInfo` and `commissionRate`.

    Args:
        deliver: gets InstrumentLoaded after each regular reading.
        seconds: between regular readings.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        api: UsdmApi,
        budget: Budget,
        *,
        deliver: Callable[[InstrumentLoaded], None],
        telemetry: Telemetry,
        chance: random.Random,
        seconds: float,
    ) -> None:
        self.instrument: Instrument | None = None
        self._api = api
        self._budget = budget
        self._deliver = deliver
        self._telemetry = telemetry
        self._chance = chance
        self._seconds = seconds

    def known(self) -> Instrument:
        """The instrument, for those who run only once it is loaded."""
        if self.instrument is None:
            raise RuntimeError("no instrument yet: run() loads it before any stream opens")
        return self.instrument

    async def load(self) -> InstrumentLoaded:
        """Read filters, limits and fees; raises VenueError, or SymbolError where the symbol cannot be traded."""
        rules = await self._api.rules()
        self._budget.set_limits(
            weight=rules.weight_limit, orders_10s=rules.orders_10s_limit, orders_1m=rules.orders_1m_limit
        )
        maker, taker = await self._fees()
        self.instrument = rules.instrument
        return InstrumentLoaded(instrument=rules.instrument, maker_fee=maker, taker_fee=taker)

    async def load_until_known(self) -> InstrumentLoaded:
        """Ask with back-off until the instrument is loaded; the caller delivers it once the core's answers can be carried out."""
        backoff = Backoff(self._chance, base_seconds=0.5)
        while True:
            loaded = await self._try()
            if loaded is not None:
                return loaded
            await asyncio.sleep(backoff.next_seconds())

    async def run(self) -> None:
        """Read again regularly: a change of the venue's filters reaches the core as a new instrument."""
        while True:
            await asyncio.sleep(self._seconds)
            before = self.instrument
            loaded = await self._try()
            if loaded is None:
                continue
            if loaded.instrument != before:
                self._telemetry.log.emit("preflight", check="filters", ok=True, detail="the symbol's filters changed")
            self._deliver(loaded)

    async def _try(self) -> InstrumentLoaded | None:
        try:
            return await self.load()
        except (VenueError, SymbolError) as error:
            self._telemetry.once("load", "preflight", {"check": "symbol", "ok": False, "detail": str(error)})
            return None

    async def _fees(self) -> tuple[Decimal, Decimal]:
        try:
            rate = await self._api.commission_rate()
        except RefusedError as error:
            detail = f"commission rates cannot be read ({error}); {DEFAULT_FEES[0]} and {DEFAULT_FEES[1]} are assumed"
            self._telemetry.log.emit("preflight", check="commissionRate", ok=False, detail=detail)
            return DEFAULT_FEES
        return rate.makerCommissionRate, rate.takerCommissionRate
