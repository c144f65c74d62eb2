"""Funding: the rate from the premium, paid by longs to shorts at fixed times, seen the same everywhere."""

import dataclasses
import json

import pytest

from mm_exchange.funding import CAP, INTEREST, Funding, premium_index
from mm_exchange.scales import MONEY
from mm_exchange.user_events import AccountUpdate

HOUR = 3600
EIGHT_HOURS_MS = 8 * HOUR * 1000


def to_settlement(world):
    """Let time go to the next settlement."""
    world.wait((EIGHT_HOURS_MS - world.now_ns // 10**6 % EIGHT_HOURS_MS) / 1000)


def fed(*premiums):
    funding = Funding()
    for count, premium in enumerate(premiums, start=1):
        funding._samples, funding._weighted = count, funding._weighted + count * premium
    return funding


@pytest.mark.parametrize(
    ("premiums", "rate"),
    [
        ([], INTEREST),
        ([0, 0], INTEREST),
        ([30_000], 10_000),
        ([60_000], 10_000),
        ([100_000], 50_000),
        ([-100_000], -50_000),
        ([0, 0, 200_000], 50_000),
        ([10_000_000], CAP),
        ([-10_000_000], -CAP),
    ],
)
def test_the_rate_is_the_average_premium_pulled_to_the_interest_and_capped(premiums, rate):
    assert fed(*premiums).rate() == rate


def test_later_samples_weigh_more():
    assert fed(0, 600_000).rate() > fed(600_000, 0).rate()


def test_the_premium_is_that_of_a_taker_of_the_impact_size(world):
    # 200 of margin at 125x is 25,000 of notional: more than the five lots of each of these levels.
    world.book({100_50: 5_000, 99_00: 10**6}, {101_00: 5_000, 102_00: 10**6})
    index = world.listing.market.index(world.now_ns // 10**6)
    impact_bid = 25_000 / (5 + (25_000 - 502.5) / 99.00)
    impact_ask = 25_000 / (5 + (25_000 - 505) / 102.00)
    index /= 100
    wanted = (max(0, impact_bid - index) - max(0, index - impact_ask)) / index
    assert premium_index(world.listing, world.now_ns // 10**6) == pytest.approx(wanted * 10**8, abs=5)


def test_longs_pay_and_shorts_get_at_zero_eight_and_sixteen(world):
    short = world.open("short")
    world.market("BUY", 10_000)
    world.market("SELL", 10_000, trading=short)
    before = [t.account.wallets["USDT"] for t in (world.trading, short)]
    world.venue.drain()
    to_settlement(world)
    assert world.now_ns // 10**6 % EIGHT_HOURS_MS == 0
    paid = world.rules.notional(world.listing.market.mark(), 10_000) * INTEREST // 10**8
    assert [t.account.wallets["USDT"] for t in (world.trading, short)] == [before[0] - paid, before[1] + paid]
    assert [(row.kind, row.amount) for row in list(short.income)[-1:]] == [("FUNDING_FEE", paid)]
    entries = world.entries("funding")
    assert [entry.api_key for entry in entries] == ["key", "short"]
    assert entries[0].detail["amount"] == MONEY.text(-paid)


def test_a_cross_position_is_told_the_balance_and_an_isolated_one_the_position_too(world):
    lone = world.open("lone")
    world.venue.set_margin_type(lone, "ETHUSDT", isolated=True, now_ns=world.now_ns)
    for trading in (world.trading, lone):
        world.market("BUY", 10_000, trading=trading)
    backing = lone.account.position(world.rules).isolated_wallet
    world.venue.drain()
    to_settlement(world)
    cross, isolated = [event for event in world.venue.drain() if isinstance(event, AccountUpdate)]
    assert (cross.reason, cross.payload["a"]["P"]) == ("FUNDING_FEE", [])
    assert cross.payload["a"]["B"][0]["bc"].startswith("-0.")
    assert isolated.payload["a"]["P"][0]["iw"] == MONEY.text(backing + isolated.change)


def test_nobody_pays_twice_and_a_late_clock_pays_every_time_it_missed(world):
    world.market("BUY", 10_000)
    to_settlement(world)
    world.wait(1)
    assert len(world.entries("funding")) == 1
    world.wait(24 * HOUR)
    assert [entry.detail["fundingTime"] % EIGHT_HOURS_MS for entry in world.entries("funding")] == [0] * 4


def test_premium_index_shows_the_rate_and_the_time_that_are_settled(world, client):
    world.wait(1)
    world.listing.funding.override = -12_345
    shown = json.loads(client("GET", "/fapi/v1/premiumIndex", symbol="ETHUSDT").body)
    world.market("BUY", 10_000)
    to_settlement(world)
    settled = world.listing.funding.history[-1]
    assert (shown["lastFundingRate"], shown["nextFundingTime"]) == ("-0.00012345", settled.time_ms)
    assert settled.rate == -12_345
    assert world.trading.income[-1].amount > 0


def test_a_shorter_interval_settles_more_often(world):
    rules = dataclasses.replace(world.rules, symbol="FASTUSDT")
    listing = world.venue.add_symbol(rules, funding_interval_ms=60_000)
    for _ in range(180):
        world.wait(1)
    assert [settled.time_ms % 60_000 for settled in listing.funding.history] == [0, 0, 0]
