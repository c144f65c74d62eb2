"""The exchange's counter: signed requests of the engine's account, answered by the exchange's own REST core at an instant of the virtual clock.

The very bytes that the live engine would send go through `mm_exchange.api`, so that filters, precision, limits, recvWindow and refusals are the wire's.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from mm_backtest.errors import BacktestError
from mm_exchange.api.core import Api, Reply, Request
from mm_exchange.errors import VenueError
from mm_exchange.limits import LimitValues
from mm_exchange.rules import SymbolRules
from mm_exchange.scales import MONEY
from mm_exchange.venue import Venue
from mm_runner.core.messages import OrderType, PlaceOrder
from mm_runner.venue.errors import judge
from mm_runner.venue.routes import Route, Security
from mm_runner.venue.signing import Signer

API_KEY: Final = "backtest"
_SECRET: Final = "no-secret"  # noqa: S105 - the exchange is in this process
ADDRESS: Final = "127.0.0.1"
_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Departed:
    """A request that has left: what it asks, and when it was signed."""

    route: Route
    query: bytes
    signed_ns: int
    recv_window_ms: int


class Counter:
    """One venue with one account.

    Args:
        venue: the exchange's core.
        rules: the symbol that is traded.
        balance: what the account starts with, in the symbol's quote asset.
    """

    def __init__(self, venue: Venue, rules: SymbolRules, *, balance: Decimal, now_ns: int, seed: int) -> None:
        self.venue = venue
        self.rules = rules
        self.listing = venue.add_symbol(rules)
        self.start_balance = MONEY.round(balance)
        venue.add_account(API_KEY, _SECRET, balances={rules.quote: self.start_balance}, now_ns=now_ns)
        self.trading = venue.trading[API_KEY]
        self.requests = 0
        self._signer = Signer(_SECRET)
        self._api = Api(venue, limits=LimitValues(), rng=Random(f"{seed}-keys"))  # noqa: S311 - not secrets

    def answer(self, departed: Departed, now_ns: int) -> Reply:
        """What the venue answers at the instant of arrival."""
        route, query = departed.route, departed.query
        self.requests += 1
        if route.security is Security.SIGNED:
            query = self._signer.signed(
                query, timestamp_ms=departed.signed_ns // _MS, recv_window_ms=departed.recv_window_ms
            )
        request = Request(route.method, route.path, query.decode("ascii"), "", API_KEY, ADDRESS)
        return self._api.handle(request, now_ns)

    def charge(self, weight: int, *, now_ns: int) -> None:
        """Count a request that does not go through `answer`; raises the venue's 429 or 418."""
        self._api.requests.charge(ADDRESS, weight, now_ns=now_ns)

    def charge_order(self, now_ns: int) -> None:
        """Count a new order; raises the venue's -1015."""
        self._api.orders.charge(API_KEY, per_10s=1, per_minute=1, now_ns=now_ns)

    def record_refusal(self, order: PlaceOrder, refusal: VenueError, *, sent_ms: int, now_ns: int) -> None:
        """A refused new order is always in the ledger, as it was sent."""
        rules = self.rules
        limit = order.type is OrderType.LIMIT
        self.venue.ledger.add(
            "reject", now_ns, symbol=rules.symbol, api_key=API_KEY, code=refusal.code, msg=refusal.msg,
            client_order_id=order.client_order_id, side=order.side.value, type=order.type.value,
            time_in_force=order.time_in_force.value if limit and order.time_in_force is not None else None,
            price=rules.prices.text(order.price * rules.tick) if limit else None,
            quantity=rules.quantities.text(order.quantity * rules.step), reduce_only=order.reduce_only, status="REJECTED",
            address=ADDRESS, request_time=sent_ms,
        )  # fmt: skip

    def need(self, route: Route, query: bytes = b"", *, now_ns: int) -> bytes:
        """The body of an answer that set-up cannot do without.

        Raises:
            BacktestError: the venue refused.
        """
        reply = self.answer(Departed(route, query, now_ns, 2000), now_ns)
        verdict = judge(reply.status, reply.body)
        if verdict is not None and verdict.code != -4046:  # margin type is that already
            raise BacktestError(
                f"the simulated venue refuses {route.path}: {verdict}; look at spec.exchange and --balance"
            )
        return reply.body
