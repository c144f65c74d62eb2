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
from mm_exchange.limits import LimitValues
from mm_exchange.rules import SymbolRules
from mm_exchange.scales import MONEY
from mm_exchange.venue import Venue
from mm_runner.venue.errors import judge
from mm_runner.venue.routes import Route, Security
from mm_runner.venue.signing import Signer

API_KEY: Final = "backtest"
_SECRET: Final = "no-secret"  # noqa: S105 - the exchange is in this process
_ADDRESS: Final = "127.0.0.1"
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
        request = Request(route.method, route.path, query.decode("ascii"), "", API_KEY, _ADDRESS)
        return self._api.handle(request, now_ns)

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
