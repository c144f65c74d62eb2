"""Admin calls about money: settle funding on order, move a wallet, look at the insurance fund. For tests of others' bots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from aiohttp import web

from mm_exchange.errors import VenueError
from mm_exchange.funding import CAP, RATES, rate_text
from mm_exchange.scales import MONEY, to_decimal

if TYPE_CHECKING:
    from mm_exchange.server.exchange import Exchange


class _Funding(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    symbol: str
    rate: str | None = None
    settle: bool = False


class _Transfer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_key: str
    amount: str
    asset: str = "USDT"


class Money:
    """The routes over one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._venue = exchange.venue

    def routes(self) -> list[web.RouteDef]:
        """What the admin application adds."""
        return [
            web.post("/admin/funding", self.funding),
            web.post("/admin/transfer", self.transfer),
            web.get("/admin/fund", self.fund),
        ]

    async def funding(self, request: web.Request) -> web.Response:
        """Fix the rate of a symbol (null: computed again), and with `settle` settle it now, once, beside its times."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=_Funding)
            rate = None if wanted.rate is None else RATES.exact(to_decimal(wanted.rate))
            listing = self._venue.listing(wanted.symbol)
        except (ValueError, VenueError) as error:
            return _refused(error)
        if rate is not None and abs(rate) > CAP:
            return _refused(ValueError(f"rate must be between -{RATES.text(CAP)} and {RATES.text(CAP)}"))
        listing.funding.override = rate
        if wanted.settle:
            self._venue.settle_funding(wanted.symbol, now_ns=self._exchange.now_ns())
            self._exchange.flush()
        return _json({"symbol": wanted.symbol, "rate": rate_text(listing), "settled": wanted.settle})

    async def transfer(self, request: web.Request) -> web.Response:
        """Deposit to an account, or (negative) withdraw what is free."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=_Transfer)
            amount = MONEY.exact(to_decimal(wanted.amount))
            trading = self._venue.trading[wanted.api_key]
            self._venue.transfer(trading, wanted.asset, amount=amount, now_ns=self._exchange.now_ns())
        except KeyError:
            return _refused(ValueError("there is no such account"), status=404)
        except (ValueError, VenueError) as error:
            return _refused(error)
        self._exchange.flush()
        wallet = trading.account.wallets[wanted.asset]
        return _json({"apiKey": wanted.api_key, "asset": wanted.asset, "walletBalance": MONEY.text(wallet)})

    async def fund(self, _request: web.Request) -> web.Response:
        """What the insurance fund took in and paid out, and the positions that it took over."""
        fund = self._venue.floor.fund
        return _json({
            "balances": {asset: MONEY.text(amount) for asset, amount in fund.balances.items()},
            "positions": {
                symbol: held.rules.quantities.text(held.quantity) for symbol, held in fund.positions.items()
            },
        })  # fmt: skip


def _refused(error: Exception, *, status: int = 400) -> web.Response:
    sentence = error.msg if isinstance(error, VenueError) else str(error)
    return _json({"error": sentence}, status=status)


def _json(content: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
