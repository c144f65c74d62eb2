"""Hedge mode is refused in words; the simulated exchange does not offer it, so a stand-in of the calls does."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mm_contract.claim import Claim
from mm_runner.core.instrument import Instrument
from mm_runner.venue.account_setup import AccountSetupError, configure, preflight
from mm_runner.venue.answers import Rules


class HedgedAccount:
    """An account in hedge mode on which nothing may be changed."""

    async def hedge_mode(self) -> bool:
        return True

    async def rules(self) -> Rules:
        instrument = Instrument(symbol="ETHUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
        return Rules(instrument=instrument, weight_limit=0, orders_10s_limit=0, orders_1m_limit=0)

    async def open_order_ids(self) -> tuple[str, ...]:
        return ("somebody-elses",)


class StubbornAccount:
    """An account whose leverage the venue sets to something else."""

    async def hedge_mode(self) -> bool:
        return False

    async def set_margin_type(self, margin_type: str) -> None:
        assert margin_type == "CROSSED"

    async def set_leverage(self, leverage: int) -> int:
        return leverage - 1


async def test_hedge_mode_is_refused_before_anything_is_changed():
    with pytest.raises(AccountSetupError, match="switch it to one-way mode"):
        await configure(HedgedAccount(), leverage=5, margin_type="Isolated")


async def test_leverage_is_what_the_venue_confirms_not_what_was_asked():
    with pytest.raises(AccountSetupError, match="set leverage 4 instead of 5"):
        await configure(StubbornAccount(), leverage=5, margin_type="Cross")


async def test_the_preflight_lists_every_finding():
    claim = Claim("binance-usdm", "simulated", "a", "ETHUSDT")
    checks = await preflight(HedgedAccount(), claim=claim, clock_offset_ms=lambda: 4000)
    assert {check.name: check.ok for check in checks} == {
        "clock": False,
        "symbol": True,
        "positionMode": False,
        "foreignOrders": False,
        "credentials": True,
    }
