"""Rules of order entry that are not matching: price bands, amendments, places in the book, fees of an account."""

import json

import pytest

from mm_exchange.accounts import Fees
from mm_exchange.errors import VenueError
from mm_exchange.scales import MONEY


def body(reply):
    return json.loads(reply.body)


@pytest.fixture
def order(client):
    def send(**params):
        sent = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "timeInForce": "GTC"} | params
        return body(client("POST", "/fapi/v1/order", **sent, newOrderRespType="RESULT"))

    return send


@pytest.mark.parametrize(
    ("side", "match", "price"),
    [
        ("BUY", "OPPONENT", "100.01"),
        ("BUY", "OPPONENT_5", "100.05"),
        ("BUY", "QUEUE", "99.99"),
        ("BUY", "QUEUE_10", "99.90"),
        ("SELL", "OPPONENT", "99.99"),
        ("SELL", "QUEUE_20", "100.20"),
    ],
)
def test_an_order_can_name_a_place_in_the_book_instead_of_a_price(order, side, match, price):
    placed = order(side=side, priceMatch=match)
    assert (placed["price"], placed["priceMatch"]) == (price, match)


def test_price_match_is_refused_by_its_codes(world, order):
    assert order(priceMatch="BEST")["code"] == -5037
    assert order(priceMatch="QUEUE", price="99")["code"] == -1106
    world.book({99_99: 5_000}, {100_01: 5_000})
    assert order(priceMatch="OPPONENT_5")["code"] == -5041


def test_limit_prices_stay_near_the_mark_and_market_orders_near_their_counterparty(world, order):
    assert order(price="105.10")["code"] == -4016
    assert order(side="SELL", price="94.90")["code"] == -4024
    world.trade(100_00, 1, sells=True)
    world.book({99_99: 5_000}, {120_00: 5_000})
    with pytest.raises(VenueError) as refused:
        world.market("BUY")
    assert refused.value.code == -4131


def test_an_amendment_stays_near_the_mark_too_and_there_is_an_end_to_them(world):
    resting = world.limit("BUY", 99_00)
    with pytest.raises(VenueError) as refused:
        world.venue.amend(world.trading, resting, price=106_00, quantity=1_000, now_ns=world.now_ns)
    assert refused.value.code == -4016
    world.venue.amend(world.trading, resting, price=98_00, quantity=1_000, now_ns=world.now_ns)
    assert resting.amendments == 1
    resting.amendments = 10_000
    with pytest.raises(VenueError) as refused:
        world.venue.amend(world.trading, resting, price=99_00, quantity=1_000, now_ns=world.now_ns)
    assert refused.value.code == -5026


def test_no_more_open_orders_than_the_symbol_allows(world):
    for _ in range(200):
        world.limit("BUY", 99_00, 300)
    with pytest.raises(VenueError) as refused:
        world.limit("BUY", 99_00, 300)
    assert refused.value.code == -2025


def test_an_account_may_have_fees_of_its_own_even_a_rebate(world):
    rich = {"USDT": 1_000 * MONEY.one}
    world.venue.add_account("vip", "secret", balances=rich, now_ns=world.now_ns, fees=Fees(maker=-50, taker=300))
    vip = world.venue.trading["vip"]
    world.market("BUY", 1_000, trading=vip)
    assert vip.account.commission == world.rules.notional(100_01, 1_000) * 3 // 10_000
    world.limit("SELL", 100_02, 1_000, trading=vip)
    world.trade(100_03, 1, sells=False)
    assert [row.amount > 0 for row in vip.income if row.kind == "COMMISSION"] == [False, True]


def test_income_without_a_trade_says_what_it_is(world, client):
    world.venue.transfer(world.trading, "USDT", amount=MONEY.one, now_ns=world.now_ns)
    world.market("BUY")
    transfer, commission = body(client("GET", "/fapi/v1/income"))
    assert (transfer["incomeType"], transfer["info"], transfer["tradeId"]) == ("TRANSFER", "TRANSFER", "")
    assert commission["info"] == commission["tradeId"] == str(world.trading.trades[0].trade_id)


def test_countdowns_and_good_till_dates_are_due_to_the_nanosecond(world):
    world.wait(0)
    resting = world.limit("BUY", 99_00)
    world.venue.set_countdown(world.trading, "ETHUSDT", countdown_ms=1_234, now_ns=world.now_ns)
    due = world.now_ns + 1_234 * 10**6
    assert world.venue.next_due_ns <= due
    world.venue.tick(world.now_ns + 10**9)
    assert world.venue.next_due_ns == due
    world.venue.tick(due - 1)
    assert resting.live
    world.venue.tick(due)
    assert not resting.live
