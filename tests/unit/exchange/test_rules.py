"""Filters and their codes; rules inferred from numbers."""

from decimal import Decimal

import pytest

from mm_exchange.errors import VenueError
from mm_exchange.rules import infer_rules, rules_for, split_symbol

BTC = rules_for("BTCUSDT")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("62000.15", -4014),
        ("62000.123", -1111),
        ("-1", -4001),
        ("0", -4001),
        ("1e8", -4002),
        ("x", -1102),
        (None, -1102),
    ],
)
def test_prices_that_are_refused(text, code):
    with pytest.raises(VenueError) as refused:
        BTC.parse_price(text)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("text", "code"), [("0.0001", -1111), ("0", -4003), ("-1", -4003), ("1e7", -4005), ("x", -1102), (None, -1102)]
)
def test_quantities_that_are_refused(text, code):
    with pytest.raises(VenueError) as refused:
        BTC.parse_quantity(text)
    assert refused.value.code == code


def test_numbers_of_stock_clients_are_taken():
    assert BTC.parse_price("62000.0") == BTC.parse_price("62000.10") - 10
    assert BTC.parse_quantity("1e-3") == 1


def test_a_market_order_has_a_smaller_limit():
    assert BTC.parse_quantity("5000") == 5_000_000
    with pytest.raises(VenueError) as refused:
        BTC.parse_quantity("5000", market=True)
    assert refused.value.code == -4005


def test_small_notionals_are_refused_unless_they_reduce():
    price = BTC.parse_price("62000")
    BTC.check_notional(price, 1, reduce_only=True)
    with pytest.raises(VenueError) as refused:
        BTC.check_notional(price, 1, reduce_only=False)
    assert (refused.value.code, "100" in refused.value.msg) == (-4164, True)


def test_prices_far_on_the_wrong_side_of_the_mark_are_refused():
    mark = BTC.parse_price("62000")
    BTC.check_percent_price(mark // 2, mark, buy=True)
    for price, buy, code in ((mark * 2, True, -4016), (mark // 2, False, -4024)):
        with pytest.raises(VenueError) as refused:
            BTC.check_percent_price(price, mark, buy=buy)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("prices", "quantities", "expected"),
    [
        (["58199.90", "58200.00", "58200.10"], ["0.001", "1.250"], (2, 10, 3, 1)),
        (["0.12345", "0.12346"], ["17", "4"], (5, 1, 0, 1)),
        (["2681.6", "2681.63"], ["0.5", "1"], (2, 1, 1, 5)),
        (["10.05", "10.10", "10.25"], ["0.000", "3.00"], (2, 5, 3, 3000)),
    ],
)
def test_rules_fit_the_numbers_seen(prices, quantities, expected):
    rules = infer_rules("ABCUSDT", prices, quantities)
    assert (rules.price_decimals, rules.tick, rules.quantity_decimals, rules.step) == expected


@pytest.mark.parametrize("price", ["0.00001234", "0.5", "42", "98000"])
def test_made_up_symbols_get_rules_with_room(price):
    rules = rules_for("NEWUSDT", Decimal(price))
    units = rules.prices.round(Decimal(price))
    assert units >= 100
    assert rules.notional(units, rules.max_quantity) > rules.min_notional


def test_symbols_are_split_at_their_quote():
    assert split_symbol("ETHUSDC") == ("ETH", "USDC")
    assert split_symbol("USDT") == ("USDT", "USDT")
