"""Exact numbers: text to integers and back, and what is no number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_exchange.scales import Scale, divide_half_even, notional, to_decimal


@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_units_survive_their_text(units, decimals):
    scale = Scale(decimals)
    assert scale.parse(scale.text(units)) == units
    assert Decimal(scale.text(units)) == scale.decimal(units)


@pytest.mark.parametrize("text", ["100", "100.0", "100.00", "1e2", "100.000000"])
def test_all_spellings_of_a_number_are_the_same_number(text):
    assert Scale(2).parse(text) == 10_000


@pytest.mark.parametrize(
    "text", ["", "abc", "1_000.00", " 1.00", "\u0661.\u0660\u0660", "nan", "inf", "1e999999", "--1", "1.2.33"]
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="number"):
        to_decimal(text)
    with pytest.raises(ValueError, match="number"):
        Scale(2).parse(text)


def test_a_number_finer_than_its_scale_is_refused_never_rounded():
    with pytest.raises(ValueError, match="more than 2 decimals"):
        Scale(2).parse("1.001")


@given(st.integers(-(10**12), 10**12), st.integers(-(10**6), 10**6).filter(bool))
def test_division_rounds_half_to_even(numerator, denominator):
    exact = Decimal(numerator) / Decimal(denominator)
    assert abs(divide_half_even(numerator, denominator) - exact) <= Decimal("0.5")


def test_notional_counts_money_atoms():
    assert notional(268_010, 20, 5) == 5_360_200_000
    assert notional(1, 1, 10) == 0
    assert notional(150, 1, 10) == 2
