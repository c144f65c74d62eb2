"""A venue without sockets: one symbol, prices with two decimals, quantities with three, a clock that tests move."""

import random
from urllib.parse import urlencode

from mm_exchange.api.core import Api, Request
from mm_exchange.limits import LimitValues
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.orders import OrderRequest, OrderType, Side, TimeInForce
from mm_exchange.rules import rules_for
from mm_exchange.scales import MONEY
from mm_exchange.signing import sign
from mm_exchange.venue import Venue

START_NS = 1_790_000_000_000_000_000


class World:
    """A venue, its market and an account, driven by hand. Prices and quantities in units."""

    def __init__(self, matching=None):
        self.now_ns = START_NS
        self.venue = Venue(matching=matching)
        self.rules = rules_for("ETHUSDT")
        self.listing = self.venue.add_symbol(self.rules)
        self.update_id = 100
        self.transaction_ms = 0
        self.trade_id = 0
        self.trading = self.open("key")
        self.book({100_00 - n: 5_000 for n in range(1, 21)}, {100_00 + n: 5_000 for n in range(1, 21)})

    def open(self, name, usdt=1_000_000):
        self.venue.add_account(name, "secret", balances={"USDT": usdt * MONEY.one}, now_ns=self.now_ns)
        return self.venue.trading[name]

    def wait(self, seconds):
        self.now_ns += int(seconds * 1e9)
        self.venue.tick(self.now_ns)

    def book(self, bids, asks):
        """Show exactly these levels."""
        self.update_id += 1
        event = Snapshot("ETHUSDT", self.now_ns // 10**6, self.update_id, list(bids.items()), list(asks.items()))
        self.venue.on_market(event, self.now_ns)

    def change(self, bids=(), asks=()):
        self.update_id += 1
        ids = self.update_id, self.update_id, self.update_id - 1
        self.venue.on_market(DepthUpdate("ETHUSDT", 0, self.transaction(), *ids, list(bids), list(asks)), self.now_ns)

    def touch(self, bid, bid_size, ask, ask_size):
        event = Touch("ETHUSDT", 0, self.transaction(), self.update_id + 1, bid, bid_size, ask, ask_size)
        self.venue.on_market(event, self.now_ns)

    def trade(self, price, quantity, *, sells, market=True, late=False):
        """A public trade; a late one is told after the sizes that it changed."""
        self.trade_id += 1
        at_ms = self.transaction_ms if late else self.transaction()
        self.venue.on_market(Trade("ETHUSDT", 0, at_ms, self.trade_id, price, quantity, sells, market), self.now_ns)

    def transaction(self):
        """The matching engine's own time of the next public event."""
        self.transaction_ms += 1
        return self.transaction_ms

    def limit(self, side, price, quantity=1_000, *, tif="GTC", trading=None, reduce_only=False, cid=""):
        request = OrderRequest(
            "ETHUSDT",
            Side(side),
            OrderType.LIMIT,
            TimeInForce(tif),
            quantity,
            price=price,
            client_order_id=cid,
            reduce_only=reduce_only,
        )
        return self.venue.place(trading or self.trading, request, now_ns=self.now_ns)

    def market(self, side, quantity=1_000, *, trading=None, reduce_only=False):
        request = OrderRequest(
            "ETHUSDT", Side(side), OrderType.MARKET, TimeInForce.GTC, quantity, reduce_only=reduce_only
        )
        return self.venue.place(trading or self.trading, request, now_ns=self.now_ns)

    def position(self, trading=None):
        return (trading or self.trading).account.position(self.rules).quantity

    def entries(self, *kinds):
        return [entry for entry in self.venue.ledger.read() if entry.kind in kinds]


class Client:
    """Signed calls into the sans-I/O API."""

    def __init__(self, world, **limits):
        self.world = world
        self.api = Api(world.venue, limits=LimitValues(**limits), rng=random.Random(1))

    def __call__(self, method, path, *, address="10.0.0.1", api_key="key", **params):
        params.setdefault("timestamp", self.world.now_ns // 10**6)
        query = urlencode(params)
        query += "&signature=" + sign(b"secret", query)
        return self.api.handle(Request(method, path, query, "", api_key, address), self.world.now_ns)
