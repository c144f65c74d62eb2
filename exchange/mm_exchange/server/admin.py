"""The admin port: the ledger and everything else a test wants to see or do. Never part of the venue's own API."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import orjson
from aiohttp import web

from mm_exchange.errors import VenueError
from mm_exchange.faults import FaultSpec
from mm_exchange.scales import MONEY, to_decimal
from mm_exchange.server import accounts
from mm_exchange.server.money import Money
from mm_exchange.server.page import Page
from mm_exchange.server.rows import order_row, position_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mm_exchange.server.exchange import Exchange
    from mm_exchange.server.sockets import SocketServer
    from mm_exchange.venue import Listing, Trading

_CHUNK = 500
T = TypeVar("T")


class _RefusedError(Exception):
    """An admin call that cannot be done: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _PriceMove(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    symbol: str
    move_bps: float


class _OutsideTrade(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    symbol: str
    side: str
    quantity: str
    price: str | None = None


class _Adjustment(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_key: str
    symbol: str
    quantity: str
    price: str | None = None


class AdminServer:
    """The admin API over one exchange."""

    def __init__(self, exchange: Exchange, sockets: SocketServer) -> None:
        self._exchange = exchange
        self._venue = exchange.venue
        self._sockets = sockets

    def app(self) -> web.Application:
        """Its aiohttp application."""
        app = web.Application(middlewares=[_sentences])
        app.add_routes(
            [
                web.get("/admin/health", self.health),
                web.get("/admin/ledger", self.ledger),
                web.get("/admin/open-orders", self.open_orders),
                web.get("/admin/positions", self.positions),
                web.post("/admin/positions", self.adjust_position),
                web.get("/admin/connections", self.connections),
                web.get("/admin/accounts", self.list_accounts),
                web.post("/admin/accounts", self.open_account),
                web.get("/admin/faults", self.list_faults),
                web.post("/admin/faults", self.add_fault),
                web.delete("/admin/faults", self.remove_faults),
                web.post("/admin/price", self.move_price),
                web.post("/admin/trade", self.trade),
            ]
        )
        app.add_routes(Page(self._exchange, self._sockets).routes())
        app.add_routes(Money(self._exchange).routes())
        return app

    async def health(self, _request: web.Request) -> web.Response:
        """Is it up, and which symbols are listed?"""
        return _json({"status": "ok", "symbols": list(self._venue.listings), "time": self._exchange.now_ms()})

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """Every event, filtered; sent in pieces so that a long ledger does not hold the loop."""
        since, limit = _integer(request, "since") or 0, _integer(request, "limit")
        entries = self._venue.ledger.read_json(
            symbol=request.query.get("symbol"), api_key=request.query.get("apiKey"),
            kind=request.query.get("kind"), since=since,
        )  # fmt: skip
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        last = await _write_entries(response, entries, limit=limit)
        await response.write(b'],"last":' + str(last or len(self._venue.ledger)).encode() + b"}")
        await response.write_eof()
        return response

    async def open_orders(self, request: web.Request) -> web.Response:
        """What rests now."""
        rows = [
            order_row(order)
            for trading in self._trading_of(request)
            for order in trading.live.values()
            if request.query.get("symbol") in (None, order.symbol)
        ]
        return _json({"orders": rows})

    async def positions(self, request: web.Request) -> web.Response:
        """Positions and what they made, of every account that ever traded or set one up."""
        rows = [
            position_row(self._venue, trading, position)
            for trading in self._trading_of(request)
            for position in trading.account.positions.values()
            if request.query.get("symbol") in (None, position.rules.symbol)
        ]
        return _json({"positions": rows})

    def _trading_of(self, request: web.Request) -> list[Trading]:
        api_key = request.query.get("apiKey")
        return [trading for key, trading in self._venue.trading.items() if api_key in (None, key)]

    async def connections(self, _request: web.Request) -> web.Response:
        """Open sockets."""
        return _json({"connections": self._sockets.shown()})

    async def list_accounts(self, _request: web.Request) -> web.Response:
        """Accounts without their secrets."""
        rows = [
            {"apiKey": key, "balances": _balances(trading), "openOrders": len(trading.live)}
            for key, trading in self._venue.trading.items()
        ]
        return _json({"accounts": rows})

    async def open_account(self, request: web.Request) -> web.Response:
        """A fresh account: one-way, cross margin, single asset; keys are made up when none are sent."""
        spec = await _body(request, accounts.AccountSpec)
        try:
            opened = accounts.open_account(self._exchange, spec)
        except ValueError as error:
            raise _RefusedError(409 if "exists" in str(error) else 400, str(error)) from error
        return _json(opened, status=201)

    async def list_faults(self, _request: web.Request) -> web.Response:
        """Planned faults and their state."""
        return _json({"faults": self._exchange.faults.shown(self._exchange.now_ns())})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Plan a fault; it strikes from now on (or after `afterSeconds`)."""
        spec = await _body(request, FaultSpec)
        now_ns = self._exchange.now_ns()
        try:
            self._exchange.filters.check(spec)
        except ValueError as error:
            raise _RefusedError(400, str(error)) from error
        fault = self._exchange.faults.add(spec, now_ns)
        # What exists is struck at once, so that a test need not wait for the clock's next tick.
        self._strike()
        return _json(fault.shown(now_ns), status=201)

    async def remove_faults(self, request: web.Request) -> web.Response:
        """Remove one fault (`?id=`) or all."""
        fault_id = _integer(request, "id")
        removed = self._exchange.faults.remove(fault_id, self._exchange.now_ns())
        self._strike()
        if fault_id is not None and not removed:
            raise _RefusedError(404, f"there is no fault {fault_id}; GET /admin/faults lists them")
        return _json({"removed": removed})

    def _strike(self) -> None:
        self._sockets.strike()
        self._exchange.strike(self._exchange.now_ns())

    async def move_price(self, request: web.Request) -> web.Response:
        """Push a synthetic market, for tests."""
        move = await _body(request, _PriceMove)
        flow = self._exchange.synthetic.get(move.symbol)
        if flow is None:
            raise _RefusedError(400, f"{move.symbol} is not synthetic: a recorded tape cannot be pushed")
        if not -5000 <= move.move_bps <= 5000:
            raise _RefusedError(400, "moveBps must be between -5000 and 5000")
        for event in flow.push(move.move_bps, self._exchange.now_ms()):
            self._exchange.on_market(event)
        return _json({"symbol": move.symbol, "mid": self._mid(move.symbol)})

    def _mid(self, symbol: str) -> str:
        listing = self._venue.listings[symbol]
        return f"{(listing.market.mid() or 0) / listing.rules.prices.one:.8f}"

    async def trade(self, request: web.Request) -> web.Response:
        """An outside taker meets our resting orders, and nobody else: fills on order, for tests."""
        wanted = await _body(request, _OutsideTrade)
        listing = self._listing(wanted.symbol)
        if wanted.side not in ("BUY", "SELL"):
            raise _RefusedError(400, "side must be BUY or SELL: what the outsider does")
        quantity = _units(listing, wanted.quantity, "quantity")
        limit = None if wanted.price is None else _units(listing, wanted.price, "price")
        filled, fills = self._venue.outsider_trades(
            wanted.symbol, quantity, buys=wanted.side == "BUY", limit=limit, now_ns=self._exchange.now_ns()
        )
        self._exchange.flush()
        return _json({"filled": listing.rules.quantities.text(filled), "fills": fills})

    async def adjust_position(self, request: web.Request) -> web.Response:
        """Move an account's position by an off-book fill without fee, for tests."""
        wanted = await _body(request, _Adjustment)
        listing = self._listing(wanted.symbol)
        trading = self._venue.trading.get(wanted.api_key)
        if trading is None:
            raise _RefusedError(404, f"there is no account {wanted.api_key!r}")
        sign = -1 if wanted.quantity.startswith("-") else 1
        quantity = sign * _units(listing, wanted.quantity.removeprefix("-"), "quantity")
        price = listing.market.mark() if wanted.price is None else _units(listing, wanted.price, "price")
        position = self._venue.adjust_position(
            trading, wanted.symbol, quantity=quantity, price=price, now_ns=self._exchange.now_ns()
        )
        self._exchange.flush()
        return _json(position_row(self._venue, trading, position))

    def _listing(self, symbol: str) -> Listing:
        try:
            return self._venue.listing(symbol)
        except VenueError as error:
            listed = ", ".join(self._venue.listings)
            raise _RefusedError(400, f"symbol {symbol!r} is not listed; listed are {listed}") from error


@web.middleware
async def _sentences(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        _check_origin(request)
        return await handler(request)
    except _RefusedError as refused:
        return _json({"error": str(refused)}, status=refused.status)
    except web.HTTPException as error:
        return _json({"error": f"{error.reason}: {request.method} {request.path}"}, status=error.status)


def _check_origin(request: web.Request) -> None:
    """A web page of somebody else's, open in the browser of whoever runs this, must not order faults or make accounts."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise _RefusedError(
            403, f"calls from the web page {origin[:100]} are refused; this port's own page is {request.host}/"
        )


async def _write_entries(
    response: web.StreamResponse, entries: Iterator[tuple[int, bytes]], *, limit: int | None
) -> int:
    """Write entries as a JSON list, without its end; the last `seq` written."""
    last = 0
    pieces: list[bytes] = [b'{"entries":[']
    for number, (last, entry) in enumerate(itertools.islice(entries, limit), 1):  # noqa: B007 - the last is the answer
        pieces += (b"," if number > 1 else b"", entry)
        if number % _CHUNK == 0:
            await response.write(b"".join(pieces))
            pieces = []
            # A client that reads fast never makes the write wait: others have their turn all the same.
            await asyncio.sleep(0)
    await response.write(b"".join(pieces))
    return last


def _balances(trading: Trading) -> dict[str, str]:
    return {asset: MONEY.text(amount) for asset, amount in trading.account.wallets.items()}


def _units(listing: Listing, text: str, name: str) -> int:
    scale = listing.rules.prices if name == "price" else listing.rules.quantities
    try:
        units = scale.exact(to_decimal(text))
    except ValueError as error:
        raise _RefusedError(400, f"{name}: {error}") from error
    if units <= 0:
        raise _RefusedError(400, f"{name} must be positive")
    return units


def _integer(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise _RefusedError(400, f"{name} must be a non-negative integer")
    return int(text)


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise _RefusedError(400, f"the body is not what this call takes: {error}") from error


def _json(content: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
