"""The matching model: queue ahead, trades through, crossed touches, takers, reduce-only, conservation."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm_exchange.errors import VenueError
from mm_exchange.orders import Status
from support.exchange_world import World
from support.soak import examples


def test_an_order_queues_behind_what_is_shown_and_trades_eat_the_queue_first(world):
    order = world.limit("BUY", 99_99)
    assert order.queue_ahead == 5_000
    world.trade(99_99, 4_000, sells=True)
    assert (order.queue_ahead, order.filled) == (1_000, 0)
    world.trade(99_99, 1_500, sells=True)
    assert (order.queue_ahead, order.filled, order.status) == (0, 500, Status.PARTIALLY_FILLED)


def test_the_queue_shrinks_with_the_shown_size_and_never_grows(world):
    order = world.limit("BUY", 99_99)
    world.change(bids=[(99_99, 700)])
    assert order.queue_ahead == 700
    world.change(bids=[(99_99, 9_000)])
    assert order.queue_ahead == 700


def test_a_trade_through_the_price_fills_in_full_at_the_orders_price(world):
    order = world.limit("BUY", 99_99)
    world.trade(99_98, 1, sells=True)
    assert (order.status, order.cum_quote) == (Status.FILLED, world.rules.notional(99_99, 1_000))


def test_trades_of_the_other_side_do_nothing(world):
    order = world.limit("BUY", 99_99)
    world.trade(99_98, 9_000, sells=False)
    assert order.status is Status.NEW


def test_an_insurance_fund_print_does_nothing(world):
    order = world.limit("BUY", 99_99)
    world.trade(99_00, 9_000, sells=True, market=False)
    assert order.status is Status.NEW


def test_a_touch_that_crosses_fills_in_full(world):
    order = world.limit("SELL", 100_03)
    world.touch(100_03, 10, 100_05, 10)
    assert order.status is Status.FILLED


def test_one_trade_is_shared_in_time_order_and_never_twice(world):
    first, second = world.limit("BUY", 99_99), world.limit("BUY", 99_99)
    world.trade(99_99, 6_500, sells=True)
    assert (first.filled, second.filled) == (1_000, 500)


def test_a_taker_walks_the_shown_book_within_its_limit(world):
    order = world.limit("BUY", 100_02, 12_000)
    assert order.filled == 10_000
    assert order.cum_quote == world.rules.notional(100_01, 5_000) + world.rules.notional(100_02, 5_000)
    assert order.live


def test_the_newer_touch_rules_over_an_older_book(world):
    world.touch(99_90, 10, 99_95, 2_000)
    order = world.limit("BUY", 99_96, 3_000, tif="IOC")
    assert (order.filled, order.status) == (2_000, Status.EXPIRED)


def test_a_market_order_into_an_empty_side_expires(world):
    world.book({99_99: 5_000}, {})
    assert world.market("BUY").status is Status.EXPIRED


def test_an_amended_order_keeps_its_place_only_when_it_shrinks(world):
    order = world.limit("BUY", 99_99)
    world.trade(99_99, 3_000, sells=True)
    world.venue.amend(world.trading, order, price=99_99, quantity=500, now_ns=world.now_ns)
    assert order.queue_ahead == 2_000
    world.venue.amend(world.trading, order, price=99_99, quantity=800, now_ns=world.now_ns)
    assert order.queue_ahead == 5_000


def test_margin_of_resting_orders_counts(make_world):
    world = make_world()
    small = world.open("small", usdt=100)
    world.limit("BUY", 99_99, 10_000, trading=small)
    with pytest.raises(VenueError) as refused:
        world.limit("BUY", 99_98, 15_000, trading=small)
    assert refused.value.code == -2019
    assert world.limit("SELL", 100_03, 10_000, trading=small).live


class MatchingMachine(RuleBasedStateMachine):
    """Two accounts, any orders, any market: nothing is created, lost or filled twice."""

    @initialize()
    def begin(self):
        self.world = World()
        self.others = [self.world.trading, self.world.open("other")]
        self.orders = []
        self.before = {}

    prices = st.integers(99_80, 100_20)
    sizes = st.integers(1, 400).map(lambda lots: lots * 1_000)

    def _try(self, call, **arguments):
        try:
            self.orders.append(call(**arguments))
        except VenueError as error:
            if error.code not in (-5022, -5021, -2022, -2019, -2025):
                raise

    @rule(
        who=st.integers(0, 1),
        side=st.sampled_from(["BUY", "SELL"]),
        price=prices,
        quantity=sizes,
        tif=st.sampled_from(["GTC", "GTX", "IOC", "FOK"]),
        reduce_only=st.booleans(),
    )
    def place(self, *, who, side, price, quantity, tif, reduce_only):
        before = self.world.position(self.others[who])
        self._try(
            self.world.limit,
            side=side,
            price=price,
            quantity=quantity,
            tif=tif,
            trading=self.others[who],
            reduce_only=reduce_only,
        )
        if reduce_only:
            self._only_reduced(before, self.world.position(self.others[who]))

    @rule(who=st.integers(0, 1), side=st.sampled_from(["BUY", "SELL"]), quantity=sizes, reduce_only=st.booleans())
    def take(self, who, side, quantity, reduce_only):
        before = self.world.position(self.others[who])
        self._try(self.world.market, side=side, quantity=quantity, trading=self.others[who], reduce_only=reduce_only)
        if reduce_only:
            self._only_reduced(before, self.world.position(self.others[who]))

    def _only_reduced(self, before, after):
        assert abs(after) <= abs(before)
        assert before * after >= 0

    @rule(price=prices, quantity=sizes, sells=st.booleans())
    def trade(self, price, quantity, sells):
        self.world.trade(price, quantity, sells=sells)

    @rule(bid=st.integers(99_85, 100_10), spread=st.integers(1, 8), size=sizes)
    def move(self, bid, spread, size):
        self.world.book({bid - n: size for n in range(10)}, {bid + spread + n: size for n in range(10)})

    @rule(quantity=sizes, buys=st.booleans())
    def outsider(self, quantity, buys):
        filled, _ = self.world.venue.outsider_trades(
            "ETHUSDT", quantity, buys=buys, limit=None, now_ns=self.world.now_ns
        )
        assert filled <= quantity

    @precondition(lambda self: any(order.live for order in self.orders))
    @rule(data=st.data())
    def cancel(self, data):
        order = data.draw(st.sampled_from([order for order in self.orders if order.live]))
        trading = self.world.venue.trading[order.api_key]
        self.world.venue.cancel_all(trading, "ETHUSDT", by="client", now_ns=self.world.now_ns)

    @invariant()
    def nothing_is_created_or_lost(self):
        for trading in self.others:
            account, rules = trading.account, self.world.rules
            fills = [entry for entry in self.world.entries("fill") if entry.api_key == account.api_key]
            signed = [(1 if fill.side == "BUY" else -1) * rules.quantities.parse(fill.last_quantity) for fill in fills]
            values = [
                rules.notional(rules.prices.parse(fill.last_price), lots)
                for fill, lots in zip(fills, signed, strict=True)
            ]
            position = account.position(rules)
            assert sum(signed) == position.quantity
            assert account.realized == position.cost - sum(values)
            assert account.wallets["USDT"] == 1_000_000 * 10**8 + account.realized - account.commission
            if not position.quantity:
                assert position.cost == 0

    @invariant()
    def no_order_is_overfilled_or_filled_beyond_its_limit(self):
        for order in self.orders:
            assert 0 <= order.filled <= order.quantity
            assert (order.status is Status.FILLED) == (order.filled == order.quantity)
            if order.price and order.filled:
                limit = order.rules.notional(order.price, order.filled)
                assert order.cum_quote <= limit if order.is_buy else order.cum_quote >= limit

    @invariant()
    def an_earlier_order_at_a_price_fills_before_a_later_one(self):
        made = {entry.order_id for entry in self.world.entries("fill") if entry.maker}
        waiting = [order for order in self.orders if order.live and not order.request.reduce_only]
        for earlier in waiting:
            for later in self.orders:
                same = (earlier.is_buy, earlier.price) == (later.is_buy, later.price)
                if same and earlier.order_id < later.order_id:
                    assert later.order_id not in made

    @invariant()
    def exposures_are_those_of_the_live_orders(self):
        for trading in self.others:
            live = [order for order in trading.live.values() if not order.request.reduce_only]
            position = trading.account.position(self.world.rules)
            assert position.bids == sum(o.rules.notional(o.price, o.remaining) for o in live if o.is_buy)
            assert position.asks == sum(o.rules.notional(o.price, o.remaining) for o in live if not o.is_buy)
            assert {order.order_id for order in trading.live.values()} == {
                order.order_id for order in self.world.listing.resting if order.api_key == trading.account.api_key
            }


TestMatching = MatchingMachine.TestCase
TestMatching.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)
