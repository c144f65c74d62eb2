"""Accounts of the exchange trade with each other, price first, then time; self-trade prevention by the taker's mode."""

import pytest

from mm_exchange.errors import VenueError
from mm_exchange.orders import OrderRequest, OrderType, Side, Status, StpMode, TimeInForce


@pytest.fixture
def other(world):
    return world.open("other")


def take(world, side, price, quantity, *, trading, stp="EXPIRE_MAKER", tif="GTC"):
    request = OrderRequest(
        "ETHUSDT", Side(side), OrderType.LIMIT, TimeInForce(tif), quantity, price, stp_mode=StpMode(stp)
    )
    return world.venue.place(trading, request, now_ns=world.now_ns)


def prices(world, order):
    return [
        (entry.last_price, entry.last_quantity) for entry in world.entries("fill") if entry.order_id == order.order_id
    ]


def test_an_order_inside_the_spread_trades_with_another_accounts_before_the_book(world, other):
    maker = world.limit("SELL", 100_00, 1_000)
    taker = take(world, "BUY", 100_01, 3_000, trading=other)
    assert maker.status is Status.FILLED
    assert prices(world, taker) == [("100.00", "1.000"), ("100.01", "2.000")]
    assert world.position() == -world.position(other) + 2_000


def test_at_one_price_the_displayed_queue_before_it_trades_first(world, other):
    maker = world.limit("SELL", 100_01, 1_000)
    world.trade(100_01, 3_000, sells=False)
    assert maker.queue_ahead == 2_000
    take(world, "BUY", 100_01, 2_500, trading=other)
    assert maker.filled == 500
    taker = take(world, "BUY", 100_01, 10_000, trading=other)
    assert maker.status is Status.FILLED
    assert taker.filled == 5_500


def test_makers_of_one_price_fill_in_time_order(world, other):
    third = world.open("third")
    first = world.limit("BUY", 100_00, 1_000)
    second = world.limit("BUY", 100_00, 1_000, trading=third)
    take(world, "SELL", 100_00, 1_500, trading=other)
    assert (first.filled, second.filled) == (1_000, 500)


def test_maker_and_taker_pay_their_own_fee_and_the_book_stays_as_it_was(world, other):
    shown = list(world.listing.market.book.asks())
    world.limit("SELL", 100_00, 1_000)
    take(world, "BUY", 100_00, 1_000, trading=other)
    value = world.rules.notional(100_00, 1_000)
    assert world.trading.account.commission == value * 2 // 10_000
    assert other.account.commission == value * 5 // 10_000
    assert list(world.listing.market.book.asks()) == shown


def test_a_post_only_order_that_would_meet_another_account_is_refused(world, other):
    world.limit("SELL", 100_00, 1_000)
    with pytest.raises(VenueError) as refused:
        take(world, "BUY", 100_00, 1_000, trading=other, tif="GTX")
    assert refused.value.code == -5022


def test_fill_or_kill_counts_the_orders_of_others_but_not_own_ones(world, other):
    world.limit("SELL", 100_00, 1_000)
    assert take(world, "BUY", 100_00, 1_000, trading=other, tif="FOK").status is Status.FILLED
    world.limit("SELL", 100_00, 1_000)
    with pytest.raises(VenueError) as refused:
        take(world, "BUY", 100_00, 1_000, trading=world.trading, tif="FOK")
    assert refused.value.code == -5021


def test_an_amended_order_that_crosses_trades_too(world, other):
    maker = world.limit("SELL", 100_00, 1_000)
    order = world.limit("BUY", 99_90, 1_000, trading=other)
    world.venue.amend(other, order, price=100_00, quantity=1_000, now_ns=world.now_ns)
    assert (maker.status, order.status) == (Status.FILLED, Status.FILLED)


def test_a_reduce_only_maker_gives_no_more_than_its_position(world, other):
    world.market("BUY", 500)
    maker = world.limit("SELL", 100_00, 1_000, reduce_only=True)
    taker = take(world, "BUY", 100_00, 1_000, trading=other)
    assert world.position() == 0
    assert (maker.filled, maker.status, taker.filled) == (500, Status.EXPIRED, 500)


@pytest.mark.parametrize(
    ("mode", "maker_ends", "taker_ends"),
    [
        ("NONE", Status.FILLED, Status.FILLED),
        ("EXPIRE_TAKER", Status.NEW, Status.EXPIRED_IN_MATCH),
        ("EXPIRE_MAKER", Status.EXPIRED_IN_MATCH, Status.NEW),
        ("EXPIRE_BOTH", Status.EXPIRED_IN_MATCH, Status.EXPIRED_IN_MATCH),
    ],
)
def test_self_trade_prevention_follows_the_takers_mode(world, mode, maker_ends, taker_ends):
    maker = world.limit("SELL", 100_00, 1_000)
    taker = take(world, "BUY", 100_00, 1_000, trading=world.trading, stp=mode)
    assert (maker.status, taker.status) == (maker_ends, taker_ends)
    assert world.position() == 0
    resting = set(world.listing.resting)
    assert resting == {order for order in (maker, taker) if order.live}
    if Status.EXPIRED_IN_MATCH in (maker_ends, taker_ends):
        ended = [event.payload["o"] for event in world.venue.drain() if event.name == "ORDER_TRADE_UPDATE"][-1]
        assert (ended["x"], ended["X"]) == ("EXPIRED", "EXPIRED_IN_MATCH")
        assert world.entries("expire")[-1].by == "self-trade"


def test_self_trade_prevention_keeps_what_was_filled_before(world, other):
    world.limit("SELL", 99_99 + 1, 1_000, trading=other)
    world.limit("SELL", 100_01, 1_000)
    taker = take(world, "BUY", 100_01, 7_000, trading=world.trading, stp="EXPIRE_TAKER")
    assert (taker.filled, taker.status) == (6_000, Status.EXPIRED_IN_MATCH)
