"""Positions, fees, margins and liquidation prices against hand-worked figures."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_exchange import margins
from mm_exchange.accounts import Fees, Position, margin_of
from mm_exchange.brackets import BRACKETS, SMALL_BRACKETS, maintenance
from mm_exchange.liquidation import bankruptcy_price
from mm_exchange.rules import rules_for
from mm_exchange.scales import MONEY

RULES = rules_for("ETHUSDT")
ETH = 1_000


def usdt(text):
    return MONEY.parse(text)


@pytest.mark.parametrize(
    ("trades", "realized", "quantity", "entry"),
    [
        ([(2, 100)], "0", 2, "100"),
        ([(2, 100), (2, 110)], "0", 4, "105"),
        ([(2, 100), (-1, 110)], "10", 1, "100"),
        ([(2, 100), (-3, 110)], "20", -1, "110"),
        ([(-2, 100), (1, 90)], "10", -1, "100"),
        ([(-2, 100), (2, 120)], "-40", 0, "0"),
        ([(1, 100), (1, 101), (1, 103), (-3, 102)], "2", 0, "0"),
    ],
)
def test_average_cost(trades, realized, quantity, entry):
    position = Position(RULES)
    total = sum(position.trade(lots * ETH, price * 100) for lots, price in trades)
    assert total == usdt(realized)
    assert position.quantity == quantity * ETH
    assert position.entry_price == Decimal(entry)


def test_fees_are_those_of_vip_0():
    assert Fees().of(usdt("10000"), maker=True) == usdt("2")
    assert Fees().of(usdt("10000"), maker=False) == usdt("5")


def test_margin_takes_the_dearer_of_all_bids_and_all_asks():
    position = Position(RULES, leverage=10, bids=usdt("50"), asks=usdt("300"))
    position.trade(1 * ETH, 100_00)
    margin = margin_of(position, 100_00)
    assert margin.initial == usdt("20")
    assert margin.position_initial == usdt("10")
    assert margin.open_order_initial == usdt("10")


@pytest.mark.parametrize("table", [BRACKETS, SMALL_BRACKETS])
def test_maintenance_margin_is_continuous_over_the_brackets(table):
    for lower, upper in pairwise(table):
        at = MONEY.exact(Decimal(lower.cap))
        assert abs(maintenance(table, at + 1) - maintenance(table, at)) <= 1
        assert upper.floor == lower.cap


LOTS = st.integers(1, 4_000).map(lambda lots: lots * ETH)
ENTRIES = st.integers(10_00, 3000_00)


@given(
    long=LOTS,
    entry=ENTRIES,
    short=st.none() | LOTS,
    other=ENTRIES,
    part=st.integers(1, 300),
    sign=st.sampled_from([1, -1]),
)
def test_at_the_liquidation_price_balance_and_maintenance_margin_meet(long, entry, short, other, *, part, sign):
    positions = [Position(RULES)]
    positions[0].trade(sign * long, entry)
    if short is not None:
        positions.append(Position(RULES))
        positions[1].trade(-sign * short, other)
    backing = abs(positions[0].cost) * part // 1000
    price = margins.solve(positions, backing)
    if not price:
        return
    units = price * 100
    below, above = int(units), int(units) + 1

    def left(mark):
        needed = sum(position.maintenance(mark) for position in positions)
        return backing + sum(position.unrealized(mark) for position in positions) - needed

    # Between the two ticks around the price the margin that is left changes its sign (or is nothing to speak of).
    assert left(below) * left(above) <= 0 or min(abs(left(below)), abs(left(above))) < MONEY.one // 100


@given(lots=LOTS, entry=ENTRIES, part=st.integers(1, 300), sign=st.sampled_from([1, -1]))
def test_the_bankruptcy_price_is_the_last_tick_at_which_nothing_is_missing(lots, entry, part, sign):
    position = Position(RULES)
    position.trade(sign * lots, entry)
    equity = abs(position.cost) * part // 1000 + 7
    price = bankruptcy_price(position, equity)
    assert equity + position.unrealized(price) >= 0 > equity + position.unrealized(price - sign)
