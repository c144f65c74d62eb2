"""Margin calls, liquidation and the insurance fund; liquidation prices against a formula of their own."""

from dataclasses import replace
from decimal import Decimal

import pytest

from mm_exchange.errors import VenueError
from mm_exchange.market import Snapshot
from mm_exchange.orders import OrderRequest, OrderType, Side, Status, TimeInForce
from mm_exchange.scales import MONEY
from mm_exchange.user_events import AccountUpdate, MarginCall, OrderUpdate

ETH = 1_000


def usdt(text):
    return MONEY.parse(text)


def around(world, price, size=10**6):
    """Show a deep book two ticks wide around a price (in cents), and let the clock look at it."""
    world.book({price - n: size for n in range(1, 11)}, {price + n: size for n in range(1, 11)})
    world.trade(price, 1, sells=True)
    world.wait(1)


def trader(world, *, usdt, leverage=20, isolated=False):
    trading = world.open(f"trader-{usdt}-{leverage}", usdt=usdt)
    if isolated:
        world.venue.set_margin_type(trading, "ETHUSDT", isolated=True, now_ns=world.now_ns)
    world.venue.set_leverage(trading, "ETHUSDT", leverage=leverage, now_ns=world.now_ns)
    return trading


def the(world, trading):
    return trading.account.position(world.rules)


def liquidation_price(world, trading):
    return world.venue.liquidation_price(trading, the(world, trading))


# Maintenance ratios and amounts of the first brackets of a liquid contract, from the venue's table.
RATIOS = [(50_000, "0.004", 0), (600_000, "0.005", 50), (1_200_000, "0.0065", 950), (3_200_000, "0.01", 5_150)]


def where_margin_meets_maintenance(wallet, quantity, entry):
    """The venue's published formula, tried for each bracket: (WB + cum - side·q·entry) / (|q|·mmr - side·q)."""
    size, side = abs(quantity), 1 if quantity > 0 else -1
    floor = 0
    for cap, ratio, cum in RATIOS:
        price = (wallet + cum - side * size * entry) / (size * Decimal(ratio) - side * size)
        if floor <= size * price <= cap:
            return price
        floor = cap
    raise AssertionError("beyond the table")


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize(
    ("wallet", "size", "leverage"), [(100, 5, 20), (1_000, 100, 50), (4_000, 700, 100), (9_000, 5_900, 75)]
)
@pytest.mark.parametrize("isolated", [False, True])
def test_the_liquidation_price_is_the_published_formulas(world, side, wallet, *, size, leverage, isolated):
    world.book({99_99: 10**7}, {100_01: 10**7})
    trading = trader(world, usdt=wallet, leverage=leverage, isolated=isolated)
    world.market(side, size * ETH, trading=trading)
    position = the(world, trading)
    backing = position.isolated_wallet if isolated else trading.account.wallets["USDT"]
    quantity = Decimal(size if side == "BUY" else -size)
    wanted = where_margin_meets_maintenance(MONEY.decimal(backing), quantity, position.entry_price)
    assert abs(liquidation_price(world, trading) - wanted) < Decimal("0.0001")


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("isolated", [False, True])
def test_an_account_is_liquidated_beyond_that_price_and_not_before(world, side, isolated):
    trading = trader(world, usdt=60, leverage=20, isolated=isolated)
    world.market(side, 10 * ETH, trading=trading)
    price = world.rules.prices.round(liquidation_price(world, trading))
    away = 2 if side == "BUY" else -2
    around(world, price + away)
    assert the(world, trading).quantity != 0
    around(world, price - away)
    assert the(world, trading).quantity == 0
    assert world.entries("liquidation")


def test_a_margin_call_comes_before_and_only_once_until_it_is_healed(world):
    trading = trader(world, usdt=60)
    world.market("BUY", 10 * ETH, trading=trading)
    world.venue.drain()
    around(world, 94_50)
    around(world, 94_49)
    calls = [event for event in world.venue.drain() if isinstance(event, MarginCall)]
    assert len(calls) == 1
    shown = calls[0].payload
    assert (shown["e"], shown["p"][0]["s"], shown["p"][0]["mt"], shown["p"][0]["mm"]) == (
        "MARGIN_CALL", "ETHUSDT", "CROSSED", "3.78000000",
    )  # fmt: skip
    around(world, 99_00)
    around(world, 94_50)
    assert len([event for event in world.venue.drain() if isinstance(event, MarginCall)]) == 1


def test_a_liquidation_takes_own_orders_off_first_and_tells_what_it_does(world):
    trading = trader(world, usdt=60)
    world.market("BUY", 10 * ETH, trading=trading)
    resting = world.limit("SELL", 101_00, 1_000, trading=trading)
    world.venue.drain()
    around(world, 94_30)
    assert resting.status is Status.CANCELED
    assert world.entries("cancel")[-1].by == "liquidation"
    events = [event for event in world.venue.drain() if event.api_key == trading.account.api_key]
    updates = [event.payload["o"] for event in events if isinstance(event, OrderUpdate)]
    assert [(o["x"], o["o"], o["X"]) for o in updates] == [
        ("CANCELED", "LIMIT", "CANCELED"), ("NEW", "LIQUIDATION", "NEW"), ("TRADE", "LIQUIDATION", "FILLED"),
    ]  # fmt: skip
    assert updates[1]["c"].startswith("autoclose-")
    assert updates[1]["f"] == "IOC"
    assert [event.reason for event in events if isinstance(event, AccountUpdate)] == ["ORDER", "INSURANCE_CLEAR"]
    (forced,) = world.venue.drain_public()
    assert (forced.payload["e"], forced.payload["o"]["S"], forced.payload["o"]["z"]) == ("forceOrder", "SELL", "10.000")


def test_the_liquidation_fee_goes_to_the_fund_as_far_as_margin_is_left(world):
    trading = trader(world, usdt=60)
    world.market("BUY", 10 * ETH, trading=trading)
    around(world, 94_30)
    wallet, fund = trading.account.wallets["USDT"], world.venue.floor.fund.balances["USDT"]
    # 10 x (94.29 - 100.015) and the taker's commission leave less than 1.25 % of 942.90: the fee takes all of it.
    assert wallet == 0
    assert fund == usdt("60") - usdt("57.25") - usdt("0.500075")


def test_a_gap_costs_the_account_what_it_has_and_the_fund_the_rest(world):
    trading = trader(world, usdt=60)
    world.market("BUY", 10 * ETH, trading=trading)
    around(world, 80_00)
    # The book is beyond the bankruptcy price: nothing is sold there, the fund takes the whole position over.
    fill = world.entries("fill")[-1]
    assert (fill.by, fill.position_after) == ("insurance-fund", "0.000")
    assert 0 <= trading.account.wallets["USDT"] <= usdt("0.1")
    assert world.venue.floor.fund.positions["ETHUSDT"].quantity == 10 * ETH
    assert [order.payload["o"]["X"] for order in world.venue.drain_public()] == ["FILLED"]


def test_an_isolated_liquidation_takes_no_more_than_the_isolated_margin(world):
    trading = trader(world, usdt=1_000, isolated=True)
    world.market("SELL", 10 * ETH, trading=trading)
    backing = the(world, trading).isolated_wallet
    free = trading.account.cross_wallet("USDT")
    other = world.limit("BUY", 90_00, 1_000, trading=trading)
    around(world, 130_00)
    assert the(world, trading).quantity == 0
    assert the(world, trading).isolated_wallet == 0
    assert 0 <= trading.account.wallets["USDT"] - free < usdt("0.2") < backing
    assert other.status is Status.CANCELED


def test_the_largest_position_goes_first_and_the_rest_stays_when_that_heals_the_account(make_world):
    world = make_world()
    small = world.venue.add_symbol(replace(world.rules, symbol="CALMUSDT"))
    calm = Snapshot("CALMUSDT", 0, 1, [(99_99, 10**6)], [(100_01, 10**6)])
    world.venue.on_market(calm, world.now_ns)
    trading = trader(world, usdt=200, leverage=50)
    world.market("BUY", 30 * ETH, trading=trading)
    request = OrderRequest("CALMUSDT", Side.BUY, OrderType.MARKET, TimeInForce.GTC, 1 * ETH)
    world.venue.place(trading, request, now_ns=world.now_ns)
    around(world, 93_79)
    assert the(world, trading).quantity == 0
    assert trading.account.position(small.rules).quantity == 1 * ETH
    assert trading.account.wallets["USDT"] >= 0


def test_leverage_bounds_the_notional(world):
    trading = world.open("big", usdt=100_000)
    world.venue.set_leverage(trading, "ETHUSDT", leverage=125, now_ns=world.now_ns)
    with pytest.raises(VenueError) as refused:
        world.limit("BUY", 99_99, 600 * ETH, trading=trading)
    assert refused.value.code == -2027
    world.limit("BUY", 99_99, 400 * ETH, trading=trading)


def test_whoever_closes_below_zero_alone_is_brought_back_to_zero_by_the_fund(world):
    trading = trader(world, usdt=60)
    world.market("BUY", 10 * ETH, trading=trading)
    world.book({80_00: 10**6}, {80_01: 10**6})
    world.market("SELL", 10 * ETH, trading=trading)
    missing = -trading.account.wallets["USDT"]
    assert missing > usdt("100")
    world.wait(1)
    assert trading.account.wallets["USDT"] == 0
    assert world.venue.floor.fund.balances["USDT"] == -missing
    assert (trading.income[-1].kind, trading.income[-1].amount) == ("INSURANCE_CLEAR", missing)
