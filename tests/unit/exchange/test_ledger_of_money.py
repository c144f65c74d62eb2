"""Whatever happens to accounts, no money appears or vanishes, and no margin stays below what it must be.

Two accounts trade two symbols in every mode, the market jumps, funding is settled, accounts are liquidated; after each
step the books of the venue are held against sums that this test keeps from the records alone.
"""

import dataclasses
from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mm_exchange import margins
from mm_exchange.algo_orders import AlgoRequest, AlgoType, WorkingType
from mm_exchange.errors import VenueError
from mm_exchange.market import Snapshot, Trade
from mm_exchange.orders import OrderRequest, OrderType, PositionSide, Side, StpMode, TimeInForce
from mm_exchange.scales import MONEY
from support.exchange_world import World
from support.soak import examples

START = 1_000
SYMBOLS = ("ETHUSDT", "ALTUSDT")
# What an account may be told; anything else that is raised is a defect.
REFUSALS = {
    -2011, -2018, -2019, -2021, -2022, -2025, -2027, -2028, -4016, -4024, -4028, -4045, -4046, -4047, -4048, -4049,
    -4050, -4051, -4054, -4059, -4067, -4068, -4130, -4131, -4161, -4164, -4167, -4168, -4169, -4170, -4171, -4172,
    -5021, -5022, -1106,
}  # fmt: skip

names = st.sampled_from(SYMBOLS)
accounts = st.integers(0, 1)
sides = st.sampled_from(list(Side))
sizes = st.integers(1, 400).map(lambda lots: lots * 500)


class MoneyMachine(RuleBasedStateMachine):
    @initialize(hedged=st.booleans(), lone=st.booleans())
    def begin(self, hedged, lone):
        self.world = World()
        self.venue = self.world.venue
        other = dataclasses.replace(self.world.rules, symbol="ALTUSDT")
        self.venue.add_symbol(other)
        self.mid = dict.fromkeys(SYMBOLS, 100_00)
        self.traders = [self.world.open("first", usdt=START), self.world.open("second", usdt=START)]
        for symbol in SYMBOLS:
            self.show(symbol)
        if hedged:
            self.venue.set_hedged(self.traders[0], hedged=True, now_ns=self.world.now_ns)
        if lone:
            self.venue.set_margin_type(self.traders[1], "ALTUSDT", isolated=True, now_ns=self.world.now_ns)
        self.world.wait(0)

    def show(self, symbol, size=20_000):
        mid = self.mid[symbol]
        bids = [(mid - n, size) for n in range(1, 8)]
        asks = [(mid + n, size) for n in range(1, 8)]
        self.world.update_id += 1
        self.venue.on_market(
            Snapshot(symbol, self.world.now_ns // 10**6, self.world.update_id, bids, asks), self.world.now_ns
        )

    def attempt(self, call, *arguments, **named):
        try:
            call(*arguments, now_ns=self.world.now_ns, **named)
        except VenueError as error:
            if error.code not in REFUSALS:
                raise

    def position_side(self, trader, long):
        if not trader.account.hedged:
            return PositionSide.BOTH
        return PositionSide.LONG if long else PositionSide.SHORT

    @rule(
        who=accounts, symbol=names, side=sides, offset=st.integers(-12, 12), quantity=sizes,
        tif=st.sampled_from(["GTC", "GTX", "IOC", "FOK"]), reduce_only=st.booleans(), long=st.booleans(),
        stp=st.sampled_from(list(StpMode)),
    )  # fmt: skip
    def limit(self, *, who, symbol, side, offset, quantity, tif, reduce_only, long, stp):
        trader = self.traders[who]
        request = OrderRequest(
            symbol, side, OrderType.LIMIT, TimeInForce(tif), quantity, self.mid[symbol] + offset,
            reduce_only=reduce_only, stp_mode=stp, position_side=self.position_side(trader, long),
        )  # fmt: skip
        self.attempt(self.venue.place, trader, request)

    @rule(who=accounts, symbol=names, side=sides, quantity=sizes, long=st.booleans())
    def market(self, *, who, symbol, side, quantity, long):
        trader = self.traders[who]
        request = OrderRequest(
            symbol, side, OrderType.MARKET, TimeInForce.GTC, quantity, position_side=self.position_side(trader, long)
        )
        self.attempt(self.venue.place, trader, request)

    @rule(
        who=accounts, symbol=names, side=sides, kind=st.sampled_from(list(AlgoType)), offset=st.integers(-300, 300),
        working=st.sampled_from(list(WorkingType)), closes=st.booleans(), long=st.booleans(),
    )  # fmt: skip
    def conditional(self, *, who, symbol, side, kind, offset, working, closes, long):
        trader, price = self.traders[who], self.mid[symbol] + offset
        closes = closes and kind in (AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET)
        request = AlgoRequest(
            symbol, side, kind, 0 if closes else 5_000, price, price, working_type=working, close_position=closes,
            position_side=self.position_side(trader, long), callback_rate=100,
        )  # fmt: skip
        self.attempt(self.venue.place_algo, trader, request)

    @rule(who=accounts, symbol=names)
    def cancel(self, who, symbol):
        self.venue.cancel_all(self.traders[who], symbol, by="client", now_ns=self.world.now_ns)

    @rule(symbol=names, offset=st.integers(-12, 12), quantity=sizes, sells=st.booleans())
    def public_trade(self, *, symbol, offset, quantity, sells):
        self.world.trade_id += 1
        price = self.mid[symbol] + offset
        self.venue.on_market(Trade(symbol, 0, 0, self.world.trade_id, price, quantity, sells), self.world.now_ns)

    @rule(
        symbol=names, percent=st.sampled_from([-40, -6, -4, -2, -1, 1, 2, 4, 6, 40]),
        size=st.sampled_from([2_000, 50_000, 1_000_000]),
    )  # fmt: skip
    def jump(self, symbol, percent, size):
        self.mid[symbol] = max(20_00, min(900_00, self.mid[symbol] * (100 + percent) // 100))
        self.show(symbol, size)
        self.wait(1)

    @rule(seconds=st.sampled_from([1, 60, 8 * 3600]))
    def wait(self, seconds):
        self.world.wait(seconds)
        self.margins_hold()

    def margins_hold(self):
        """After the venue has looked at margins, nobody is below the maintenance margin, and nobody flat below zero."""
        floor = self.venue.floor
        for trader in self.traders:
            balance, needed = margins.cross_balance(floor, trader, "USDT")
            held = [position for position in trader.account.positions.values() if position.quantity]
            # Fees of isolated fills may overdraw a cross wallet that backs no position itself.
            if any(not position.isolated for position in held):
                assert balance >= needed
            for position in held:
                if position.isolated:
                    mark = floor.listings[position.rules.symbol].market.mark()
                    balance, needed = margins.isolated_balance(position, mark)
                    assert balance >= needed
            if not held:
                assert trader.account.wallets["USDT"] >= 0

    @rule(who=accounts, amount=st.integers(-500, 500).filter(bool))
    def transfer(self, who, amount):
        self.attempt(self.venue.transfer, self.traders[who], "USDT", amount=amount * MONEY.one)

    @rule(who=accounts, symbol=names, leverage=st.sampled_from([1, 5, 20, 50, 100, 125]))
    def leverage(self, who, symbol, leverage):
        self.attempt(self.venue.set_leverage, self.traders[who], symbol, leverage=leverage)

    @rule(who=accounts, symbol=names, isolated=st.booleans())
    def margin_type(self, who, symbol, isolated):
        self.attempt(self.venue.set_margin_type, self.traders[who], symbol, isolated=isolated)

    @rule(who=accounts, symbol=names, amount=st.integers(-50, 50).filter(bool))
    def move_margin(self, who, symbol, amount):
        trader = self.traders[who]
        for position in trader.account.sides(symbol):
            self.attempt(self.venue.move_margin, trader, position, amount=amount * MONEY.one)

    @rule(who=accounts, hedged=st.booleans())
    def mode(self, who, hedged):
        self.attempt(self.venue.set_hedged, self.traders[who], hedged=hedged)

    @rule(who=accounts, on=st.booleans())
    def assets_mode(self, who, on):
        self.attempt(self.venue.set_multi_assets, self.traders[who], on=on)

    @invariant()
    def a_wallet_is_what_it_began_with_plus_its_income(self):
        for trader in self.traders:
            income = sum(row.amount for row in trader.income)
            assert trader.account.wallets["USDT"] == START * MONEY.one + income

    @invariant()
    def a_position_is_the_sum_of_its_fills(self):
        for trader in self.traders:
            lots, value = defaultdict(int), defaultdict(int)
            for fill in trader.trades:
                position = fill.order.position
                signed = fill.quantity if fill.order.is_buy else -fill.quantity
                lots[id(position)] += signed
                value[id(position)] += position.rules.notional(fill.price, signed) + fill.realized
            for position in trader.account.positions.values():
                assert position.quantity == lots[id(position)]
                # What was paid for is still there as cost, or was realised.
                assert position.cost == value[id(position)]
                assert position.quantity or position.cost == 0

    @invariant()
    def the_fund_has_what_accounts_paid_and_made_up_what_they_could_not(self):
        fund = self.venue.floor.fund
        cleared = sum(row.amount for trader in self.traders for row in trader.income if row.kind == "INSURANCE_CLEAR")
        realized = sum(position.realized for position in fund.positions.values())
        assert fund.balances.get("USDT", 0) == realized - cleared
        for symbol, position in fund.positions.items():
            taken = sum(
                -fill.quantity if fill.order.is_buy else fill.quantity
                for trader in self.traders
                for fill in trader.trades
                if fill.order.request.liquidation and fill.order.symbol == symbol and fill.trade_id in self.taken_over()
            )
            assert position.quantity == taken

    def taken_over(self):
        return {entry.trade_id for entry in self.world.entries("fill") if entry.by == "insurance-fund"}

    @invariant()
    def isolated_margin_belongs_to_an_open_isolated_position(self):
        for trader in self.traders:
            for position in trader.account.positions.values():
                assert position.isolated_wallet == 0 or (position.isolated and position.quantity)
                if not trader.account.hedged:
                    continue
                assert position.side is not PositionSide.LONG or position.quantity >= 0
                assert position.side is not PositionSide.SHORT or position.quantity <= 0

    @invariant()
    def open_order_notional_is_that_of_the_live_orders(self):
        for trader in self.traders:
            for position in trader.account.positions.values():
                live = [o for o in trader.live.values() if o.position is position and not o.reduces]
                assert position.bids == sum(o.rules.notional(o.price, o.remaining) for o in live if o.is_buy)
                assert position.asks == sum(o.rules.notional(o.price, o.remaining) for o in live if not o.is_buy)
            assert set(trader.live.values()) == {
                order
                for symbol in SYMBOLS
                for order in self.venue.listings[symbol].resting
                if order.api_key == trader.account.api_key
            }

    @invariant()
    def conditional_orders_wait_or_are_final(self):
        waiting = {algo for symbol in SYMBOLS for algo in self.venue.listings[symbol].algos.values()}
        for trader in self.traders:
            for algo in trader.algos.by_id.values():
                assert (algo.status.value == "NEW") == (algo in waiting)
                if algo.status.value == "TRIGGERED":
                    assert algo.order.live


TestMoney = MoneyMachine.TestCase
TestMoney.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
