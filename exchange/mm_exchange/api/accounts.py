"""Balances, positions, settings, histories and listenKeys of an account."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mm_exchange import views
from mm_exchange.api.public import rate_limits
from mm_exchange.errors import VenueError, mandatory
from mm_exchange.orders import PositionSide
from mm_exchange.scales import MONEY, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.accounts import Position
    from mm_exchange.api.core import Call
    from mm_exchange.rules import SymbolRules

_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _printed(row: dict[str, int | str]) -> dict[str, Any]:
    return {name: MONEY.text(value) if isinstance(value, int) else value for name, value in row.items()}


def _assets(call: Call) -> list[dict[str, Any]]:
    return [
        _printed(row) | {"updateTime": call.account.updated_ms} for row in views.asset_rows(call.venue, call.trading)
    ]


def _totals(call: Call) -> dict[str, str]:
    """Totals over USD wallets at par. What is available is counted once where the wallets are shared."""
    rows = views.asset_rows(call.venue, call.trading)

    def total(name: str) -> str:
        amounts = [int(row[name]) for row in rows]
        shared = call.account.multi_assets and name in ("availableBalance", "maxWithdrawAmount")
        return MONEY.text(max(amounts, default=0) if shared else sum(amounts))

    return {
        "totalInitialMargin": total("initialMargin"), "totalMaintMargin": total("maintMargin"),
        "totalWalletBalance": total("walletBalance"), "totalUnrealizedProfit": total("unrealizedProfit"),
        "totalMarginBalance": total("marginBalance"), "totalPositionInitialMargin": total("positionInitialMargin"),
        "totalOpenOrderInitialMargin": total("openOrderInitialMargin"),
        "totalCrossWalletBalance": total("crossWalletBalance"), "totalCrossUnPnl": total("crossUnPnl"),
        "availableBalance": total("availableBalance"), "maxWithdrawAmount": total("maxWithdrawAmount"),
    }  # fmt: skip


def _occupied(call: Call) -> list[Position]:
    """Positions that v3 lists: with a quantity or with open orders."""
    with_orders = {id(order.position) for order in call.trading.live.values()}
    return [
        position for position in call.account.positions.values() if position.quantity or id(position) in with_orders
    ]


def _every_position(call: Call) -> list[Position]:
    """Positions that v2 lists: every symbol, flat ones too; in hedge mode each of them three times."""
    sides = tuple(PositionSide) if call.account.hedged else (PositionSide.BOTH,)
    return [call.account.position(listing.rules, side) for listing in call.venue.listings.values() for side in sides]


def account_v3(call: Call) -> dict[str, Any]:
    """GET /fapi/v3/account."""
    positions = [views.account_position(call.venue, call.trading, position) for position in _occupied(call)]
    return _totals(call) | {"assets": _assets(call), "positions": positions}


def account_v2(call: Call) -> dict[str, Any]:
    """GET /fapi/v2/account."""
    positions = [views.account_position_v2(call.venue, call.trading, position) for position in _every_position(call)]
    flags = {
        "feeTier": 0, "feeBurn": False, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0,
        "multiAssetsMargin": call.account.multi_assets, "tradeGroupId": -1,
    }  # fmt: skip
    assets = [asset | {"marginAvailable": True} for asset in _assets(call)]
    return flags | _totals(call) | {"assets": assets, "positions": positions}


def balance(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v2/balance and v3."""
    names = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "updateTime")
    return [
        {name: row[name] for name in names}
        | {"accountAlias": "SgsR", "balance": row["walletBalance"], "marginAvailable": True}
        for row in _assets(call)
    ]


def position_risk_v3(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v3/positionRisk: only symbols with a position or open orders."""
    return _position_risk(call, _occupied(call), view=views.position_v3)


def position_risk_v2(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v2/positionRisk: flat symbols too."""
    return _position_risk(call, _every_position(call), view=views.position_v2)


def _one_way_positions(call: Call) -> list[Position]:
    """One position of each symbol: settings are the same for all of its sides."""
    return [call.account.position(listing.rules) for listing in call.venue.listings.values()]


def _position_risk(
    call: Call, positions: list[Position], *, view: Callable[..., dict[str, Any]]
) -> list[dict[str, Any]]:
    symbol = call.params.get("symbol")
    if symbol is not None:
        call.venue.listing(symbol)
    return [
        view(call.venue, call.trading, position) for position in positions if symbol in (None, position.rules.symbol)
    ]


def leverage(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/leverage."""
    wanted = call.params.integer("leverage")
    if wanted is None:
        raise mandatory("leverage")
    symbol = call.params.symbol()
    call.venue.set_leverage(call.trading, symbol, leverage=wanted, now_ns=call.now_ns)
    return {"leverage": wanted, "maxNotionalValue": views.max_notional(call.venue.listing(symbol).rules, wanted),
            "symbol": symbol}  # fmt: skip


def margin_type(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/marginType; -4046 when it is that already."""
    wanted = call.params.need("marginType").upper()
    if wanted not in ("ISOLATED", "CROSSED"):
        raise VenueError(-4044, "Invalid margin type.")
    call.venue.set_margin_type(call.trading, call.params.symbol(), isolated=wanted == "ISOLATED", now_ns=call.now_ns)
    return {"code": 200, "msg": "success"}


def commission_rate(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/commissionRate."""
    symbol = call.venue.listing(call.params.symbol()).rules.symbol
    fees = call.account.fees
    maker, taker = (plain(Decimal(rate).scaleb(-6)) for rate in (fees.maker, fees.taker))
    return {"symbol": symbol, "makerCommissionRate": maker, "takerCommissionRate": taker, "rpiCommissionRate": maker}


def leverage_bracket(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/leverageBracket of one symbol or all; a list either way."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        call.venue.listing(symbol)
    return [
        {"symbol": name, "notionalCoef": 1.0, "brackets": _brackets(listing.rules)}
        for name, listing in call.venue.listings.items()
        if symbol in (None, name)
    ]


def _brackets(rules: SymbolRules) -> list[dict[str, Any]]:
    return [
        {"bracket": number, "initialLeverage": row.leverage, "notionalCap": row.cap, "notionalFloor": row.floor,
         "maintMarginRatio": float(row.ratio), "cum": float(row.cum)}
        for number, row in enumerate(rules.brackets, start=1)
    ]  # fmt: skip


def account_config(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/accountConfig."""
    return {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "dualSidePosition": call.account.hedged,
            "updateTime": 0, "multiAssetsMargin": call.account.multi_assets, "tradeGroupId": -1}  # fmt: skip


def symbol_config(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/symbolConfig of one symbol or all."""
    symbol = call.params.get("symbol")
    if symbol is not None:
        call.venue.listing(symbol)
    return [
        {"symbol": position.rules.symbol, "marginType": "ISOLATED" if position.isolated else "CROSSED",
         "isAutoAddMargin": False, "leverage": position.leverage,
         "maxNotionalValue": views.max_notional(position.rules, position.leverage)}
        for position in _one_way_positions(call)
        if symbol in (None, position.rules.symbol)
    ]  # fmt: skip


def order_rate_limits(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/rateLimit/order."""
    return [row for row in rate_limits(call.api.limits) if row["rateLimitType"] == "ORDERS"]


def create_listen_key(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/listenKey: the live key of the account, or a new one."""
    api_key = call.account.api_key
    fresh = "".join(call.api.rng.choices(_KEY_ALPHABET, k=64))
    key, made = call.venue.listen_keys.create(api_key, fresh, now_ns=call.now_ns)
    call.venue.ledger.add("listen-key", call.now_ns, api_key=api_key, status="CREATED" if made else "RETURNED")
    return {"listenKey": key.key}


def keep_listen_key(call: Call) -> dict[str, Any]:
    """PUT /fapi/v1/listenKey: 60 minutes more; -1125 when there is none, or another is named."""
    api_key = call.account.api_key
    named = call.params.get("listenKey")
    if named is not None and call.venue.listen_keys.account_of(named) != api_key:
        raise VenueError(-1125, "This listenKey does not exist.")
    key = call.venue.listen_keys.keep(api_key, now_ns=call.now_ns)
    call.venue.ledger.add("listen-key", call.now_ns, api_key=api_key, status="KEPT")
    return {"listenKey": key.key}


def delete_listen_key(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/listenKey: ends it for everybody who uses the account."""
    api_key = call.account.api_key
    if call.venue.listen_keys.end(api_key) is not None:
        call.venue.ledger.add("listen-key", call.now_ns, api_key=api_key, status="DELETED")
    return {}
