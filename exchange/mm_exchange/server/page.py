"""The live page at the admin port: what a person wants to see of a running exchange, in one look.

One HTML file without a network of its own; it asks `GET /admin/page` once a second. All texts reach it as JSON and are
set as text, never as markup; the policy in its headers forbids every other script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from aiohttp import web

from mm_exchange.fault_kinds import KINDS, TARGET_NAMES, known_params
from mm_exchange.scales import MONEY
from mm_exchange.server.rows import order_row, position_row

if TYPE_CHECKING:
    from mm_exchange.floor import Listing
    from mm_exchange.ledger import Entry
    from mm_exchange.server.exchange import Exchange
    from mm_exchange.server.sockets import SocketServer

_LEVELS = 12
_MOST_ORDERS = 200
_MOST_ROWS = 100
_FILLS = 40
_EVENTS = 40
_EVENT_KINDS = frozenset({"order", "cancel", "expire", "reject", "cancel-reject", "amend", "countdown", "fault"})
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Page:
    """The page and the JSON behind it."""

    def __init__(self, exchange: Exchange, sockets: SocketServer) -> None:
        self._exchange = exchange
        self._venue = exchange.venue
        self._sockets = sockets
        self._html = files("mm_exchange.server").joinpath("page.html").read_text(encoding="utf-8")
        self._policy = policy(self._html)

    def routes(self) -> list[web.RouteDef]:
        """Where it is served."""
        return [web.get("/", self.html), web.get("/admin/page", self.snapshot)]

    async def html(self, _request: web.Request) -> web.Response:
        """The page."""
        headers = {"Content-Security-Policy": self._policy, "X-Content-Type-Options": "nosniff",
                   "Cache-Control": "no-store"}  # fmt: skip
        return web.Response(text=self._html, content_type="text/html", headers=headers)

    async def snapshot(self, request: web.Request) -> web.Response:
        """What the page shows, of one symbol (`?symbol=`, else the first) and of the whole exchange."""
        symbols = list(self._venue.listings)
        symbol = request.query.get("symbol", "")
        listing = self._venue.listings.get(symbol) or next(iter(self._venue.listings.values()), None)
        return web.Response(
            body=orjson.dumps(self._whole() | {"symbols": symbols, "market": listing and self._market(listing)}),
            content_type="application/json",
        )

    def _whole(self) -> dict[str, Any]:
        venue, now_ns = self._venue, self._exchange.now_ns()
        positions = [
            position_row(venue, trading, position)
            for trading in venue.trading.values()
            for position in trading.account.positions.values()
            if position.quantity or position.realized
        ]
        accounts = [
            {"apiKey": key, "openOrders": len(trading.live),
             "balances": {asset: MONEY.text(amount) for asset, amount in trading.account.wallets.items()}}
            for key, trading in venue.trading.items()
        ]  # fmt: skip
        return {
            "time": now_ns // 1_000_000,
            "positions": _first(positions, _MOST_ROWS),
            "accounts": _first(accounts, _MOST_ROWS),
            "faults": self._exchange.faults.shown(now_ns),
            "kinds": _KINDS,
            "connections": len(self._sockets.shown()),
            "ledger": len(venue.ledger),
        }

    def _market(self, listing: Listing) -> dict[str, Any]:
        rules, market, ledger = listing.rules, listing.market, self._venue.ledger
        orders = [
            order
            for trading in self._venue.trading.values()
            for order in trading.live.values()
            if order.symbol == rules.symbol
        ]
        last, mark = market.last_trade, market.mark()
        orders.sort(key=lambda order: (abs(order.price - mark), order.order_id))
        price, quantity = rules.prices.text, rules.quantities.text
        return {
            "symbol": rules.symbol,
            "bids": [[price(at), quantity(size)] for at, size in market.book.bids(_LEVELS)],
            "asks": [[price(at), quantity(size)] for at, size in market.book.asks(_LEVELS)],
            "mark": price(mark),
            "last": None if last is None else price(last.price),
            "tick": price(rules.tick),
            "eventTime": market.event_ms,
            "orders": _first([order_row(order) for order in orders], _MOST_ORDERS),
            "fills": [_told(entry) for entry in ledger.newest(_FILLS, kinds=_FILL, symbol=rules.symbol)],
            "events": [_told(entry) for entry in ledger.newest(_EVENTS, kinds=_EVENT_KINDS, symbol=rules.symbol)],
        }


_FILL = frozenset({"fill"})
_KINDS = {
    name: {
        "targets": [target for target in TARGET_NAMES if target in kind.targets],
        "sentence": kind.sentence,
        "params": sorted(known_params(name)),
    }
    for name, kind in KINDS.items()
}


def _first(rows: list[Any], most: int) -> dict[str, Any]:
    """The first rows, and how many there are."""
    return {"rows": rows[:most], "total": len(rows)}


def _told(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(entry)
    return told


def policy(html: str) -> str:
    """The Content-Security-Policy that lets the page's own script run and nothing else load."""
    digests = [base64.b64encode(hashlib.sha256(found.encode()).digest()).decode() for found in _SCRIPT.findall(html)]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
