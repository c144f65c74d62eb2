"""Ticks and lots: the one place of rounding."""

from __future__ import annotations

from decimal import Decimal

import pytest
from core_world import INSTRUMENT
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.instrument import Instrument, OffGridError, Rounding


@given(st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_venue_amounts_come_in_and_go_out_unchanged(ticks, lots):
    assert INSTRUMENT.ticks(str(INSTRUMENT.price(ticks))) == ticks
    assert INSTRUMENT.lots(str(INSTRUMENT.quantity(lots))) == lots
    assert INSTRUMENT.round_price(float(INSTRUMENT.price(ticks)), Rounding.DOWN) == ticks
    assert INSTRUMENT.round_price(float(INSTRUMENT.price(ticks)), Rounding.UP) == ticks


@given(st.decimals("0.01", "99999", places=5))
def test_rounding_brackets_the_price(price):
    down, up = INSTRUMENT.round_price(price, Rounding.DOWN), INSTRUMENT.round_price(price, Rounding.UP)
    assert INSTRUMENT.price(down) <= price <= INSTRUMENT.price(up)
    assert up - down <= 1
    assert INSTRUMENT.round_price(float(price), Rounding.DOWN) == down
    assert INSTRUMENT.round_price(float(price), Rounding.UP) == up


def test_a_price_off_the_grid_says_what_to_do():
    with pytest.raises(OffGridError, match="load exchangeInfo again"):
        INSTRUMENT.ticks("2680.005")


def test_prices_are_written_with_the_filters_digits():
    assert str(INSTRUMENT.price(268_010)) == "2680.10"
    assert str(INSTRUMENT.quantity(20)) == "0.020"


@given(st.integers(1, 10**7))
def test_the_least_quantity_meets_the_minimum_notional_and_one_lot_less_does_not(ticks):
    least = INSTRUMENT.least_lots(ticks)
    assert INSTRUMENT.notional(ticks, least) >= 20
    assert least == 1 or INSTRUMENT.notional(ticks, least - 1) < 20


@given(st.integers(1, 10**7), st.decimals("1", "100000", places=2))
def test_the_most_quantity_stays_within_a_notional(ticks, notional):
    most = INSTRUMENT.most_lots(ticks, INSTRUMENT.notional_units(notional))
    assert INSTRUMENT.notional(ticks, most) <= notional
    assert most == INSTRUMENT.max_lots or INSTRUMENT.notional(ticks, most + 1) > notional


def test_percent_price_bounds_follow_the_mark():
    bounded = Instrument.from_filters(
        "X", tick_size=Decimal("0.1"), step_size=Decimal(1), min_quantity=Decimal(1), max_quantity=Decimal(10),
        multiplier_up=Decimal("1.05"), multiplier_down=Decimal("0.95"), min_price=Decimal(1), max_price=Decimal(1000),
    )  # fmt: skip
    assert bounded.price_bounds(1000) == (950, 1050)
    assert bounded.price_bounds(0) == (10, 10_000)
    assert bounded.price_bounds(9_900) == (9_405, 10_000)
