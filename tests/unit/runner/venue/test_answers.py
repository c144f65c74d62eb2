"""REST answers: filters become an instrument, orders and amounts stay exact, and what cannot be read is unknown."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import OrderType, PlaceOrder, Side, TimeInForce, VenueStatus
from mm_runner.venue.answers import (
    Account,
    Countdown,
    OrderAnswer,
    SymbolError,
    decode,
    lots_of,
    order_state,
    read_rules,
)
from mm_runner.venue.api import order_query
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.errors import UnknownError

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "39.86", "maxPrice": "306177", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "10000", "stepSize": "0.001"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "2000", "stepSize": "0.001"},
    {"filterType": "MAX_NUM_ORDERS", "limit": 150},
    {"filterType": "MIN_NOTIONAL", "notional": "20"},
    {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95", "multiplierDecimal": "4"},
    {"filterType": "SOMETHING_NEW", "anything": {"deep": [1]}},
]
LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
]


def exchange_info(**changes: object) -> bytes:
    ours = {
        "symbol": "ETHUSDT",
        "status": "TRADING",
        "baseAsset": "ETH",
        "quoteAsset": "USDT",
        "filters": FILTERS,
        **changes,
    }
    strange = {"symbol": "ODD", "filters": "not even a list", "note": 'mentions "ETHUSDT"'}
    return json.dumps(
        {"symbols": [{"symbol": "ETHUSDT_260925", "filters": []}, ours], "rateLimits": LIMITS, "assets": [strange]}
    ).encode()


def test_filters_and_limits_are_read_for_our_symbol_alone():
    rules = read_rules(exchange_info(), "ETHUSDT")
    assert rules.instrument.tick_size == Decimal("0.1")
    assert rules.instrument.lot_size == Decimal("0.001")
    assert rules.instrument.min_notional == 20
    assert rules.instrument.market_max_lots == 2_000_000
    assert rules.instrument.max_orders == 150
    assert rules.instrument.trading
    assert (rules.weight_limit, rules.orders_10s_limit, rules.orders_1m_limit) == (2400, 300, 1200)


def test_a_symbol_that_does_not_trade_is_loaded_but_says_so():
    assert not read_rules(exchange_info(status="SETTLING"), "ETHUSDT").instrument.trading


def test_a_symbol_that_the_venue_does_not_list_is_named():
    with pytest.raises(SymbolError, match=r"does not list DOGEUSDT: check spec\.symbol"):
        read_rules(exchange_info(), "DOGEUSDT")


@pytest.mark.parametrize("filters", [[], FILTERS[1:], [{**FILTERS[0], "tickSize": "0"}, FILTERS[1]]])
def test_a_symbol_without_usable_filters_is_refused(filters):
    with pytest.raises(SymbolError, match="PRICE_FILTER or LOT_SIZE"):
        read_rules(exchange_info(filters=filters), "ETHUSDT")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"orderId":"many"}', b'{"orderId":1', b"\xff"])
def test_a_success_that_cannot_be_read_is_unknown(body):
    with pytest.raises(UnknownError, match="unusable answer"):
        decode(body, OrderAnswer)


def test_numbers_in_quotes_and_without_are_the_same():
    assert decode(b'{"symbol":"X","countdownTime":"10000"}', Countdown).countdownTime == 10000
    assert decode(b'{"symbol":"X","countdownTime":10000}', Countdown).countdownTime == 10000


def test_a_margin_ratio_needs_a_balance():
    assert Account().margin_ratio == 0.0
    assert Account(totalMaintMargin=Decimal(3), totalMarginBalance=Decimal(12)).margin_ratio == 0.25


def test_an_order_keeps_its_exact_amounts_and_an_unknown_status_is_unknown():
    eth = Instrument(symbol="ETHUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    fields = {
        "price": "2680.11",
        "origQty": "0.020",
        "executedQty": "0.007",
        "avgPrice": "2680.11",
        "side": "SELL",
        "reduceOnly": True,
    }
    body = json.dumps({"orderId": 5, "clientOrderId": "c", "status": "HIBERNATING", "updateTime": 9, **fields}).encode()
    state = order_state(decode(body, OrderAnswer), eth)
    assert (state.price, state.quantity, state.executed, state.reduce_only) == (268011, 20, 7, True)
    assert state.status is VenueStatus.UNKNOWN


@given(st.integers(-(10**9), 10**9))
def test_signed_quantities_survive_the_way_in(lots):
    eth = Instrument(symbol="ETHUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    assert lots_of(eth, eth.quantity(lots)) == lots


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.sampled_from(["0.01", "0.10", "1", "10", "0.0000001"]),
    st.sampled_from(["0.001", "1", "1000"]),
)
def test_an_order_leaves_exact_to_the_tick_and_lot_and_never_in_exponents(ticks, lots, tick, lot):
    instrument = Instrument(symbol="X", tick_size=Decimal(tick), lot_size=Decimal(lot))
    order = PlaceOrder(client_order_id="mm0123456789-1-1", side=Side.SELL, type=OrderType.LIMIT, time_in_force=TimeInForce.GTX,
                       price=ticks, quantity=lots, reduce_only=True, send_deadline_boot_ns=0, recv_window_ms=2000)  # fmt: skip
    fields = dict(pair.split("=") for pair in order_query(order, instrument).decode().split("&"))
    assert Decimal(fields["price"]) == ticks * Decimal(tick)
    assert Decimal(fields["quantity"]) == lots * Decimal(lot)
    assert "e" not in (fields["price"] + fields["quantity"]).lower()
    assert (fields["side"], fields["timeInForce"], fields["reduceOnly"]) == ("SELL", "GTX", "true")


def test_a_market_order_names_no_price():
    instrument = Instrument(symbol="X", tick_size=Decimal("0.1"), lot_size=Decimal(1))
    order = PlaceOrder(client_order_id="c", side=Side.BUY, type=OrderType.MARKET, time_in_force=None, price=0, quantity=3,
                       reduce_only=False, send_deadline_boot_ns=0, recv_window_ms=2000)  # fmt: skip
    text = order_query(order, instrument).decode()
    assert "price" not in text
    assert "timeInForce" not in text
    assert "reduceOnly" not in text


class Chance:
    """A coin that always shows the same."""

    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value


@pytest.mark.parametrize(
    ("luck", "pauses"), [(1.0, [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]), (0.0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0])]
)
def test_pauses_double_to_their_cap_with_half_by_chance(luck, pauses):
    backoff = Backoff(Chance(luck), base_seconds=0.2, cap_seconds=2.0)
    assert [backoff.next_seconds() for _ in pauses] == pauses
    backoff.reset()
    assert backoff.next_seconds() == pauses[0]
