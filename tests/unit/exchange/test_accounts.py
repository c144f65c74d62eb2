"""Positions, fees, margins and liquidation prices against hand-worked figures."""

from decimal import Decimal
from itertools import pairwise

import pytest

from mm_exchange.accounts import Account, Exposure, Fees, Position, liquidation_price, maintenance
from mm_exchange.rules import BRACKETS, rules_for
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
    account = Account("k", b"s", balances={"USDT": usdt("1000")}, fees=Fees())
    position = account.position(RULES)
    position.leverage = 10
    position.trade(1 * ETH, 100_00)
    margin = account.margin(position, 100_00, exposure=Exposure(bids=usdt("50"), asks=usdt("300")))
    assert margin.initial == usdt("20")
    assert margin.position_initial == usdt("10")
    assert margin.open_order_initial == usdt("10")


def test_maintenance_margin_is_continuous_over_the_brackets():
    for lower, upper in pairwise(BRACKETS):
        at = MONEY.exact(Decimal(lower.cap))
        assert abs(maintenance(at + 1) - maintenance(at)) <= 1
        assert upper.floor == lower.cap


def test_at_the_liquidation_price_the_margin_balance_is_the_maintenance_margin():
    position = Position(RULES)
    position.trade(-3 * ETH, 2000_00)
    wallet = usdt("600")
    price = liquidation_price(position, 2000_00, wallet=wallet)
    units = RULES.prices.round(price)
    balance = wallet + position.unrealized(units)
    needed = Decimal(abs(RULES.notional(units, position.quantity))) * Decimal("0.004")
    assert abs(balance - needed) < usdt("0.05")
    assert price > 2000
