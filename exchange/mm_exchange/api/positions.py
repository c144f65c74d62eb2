"""Margin of isolated positions: adding, taking back, and what was moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.api.order_terms import position_side
from mm_exchange.errors import VenueError, mandatory
from mm_exchange.orders import PositionSide
from mm_exchange.scales import MONEY, to_decimal

if TYPE_CHECKING:
    from mm_exchange.api.core import Call

_ADD, _TAKE = 1, 2


def move_margin(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/positionMargin: `type` 1 adds, 2 takes back."""
    kind, amount = call.params.integer("type"), _amount(call)
    if kind not in (_ADD, _TAKE):
        raise mandatory("type")
    side = position_side(call.params)
    if call.account.hedged == (side is PositionSide.BOTH):
        raise VenueError(-4061, "Order's position side does not match user's setting.")
    position = call.account.position(call.venue.listing(call.params.symbol()).rules, side)
    signed = amount if kind == _ADD else -amount
    call.venue.move_margin(call.trading, position, amount=signed, now_ns=call.now_ns)
    shown = float(MONEY.decimal(amount))
    return {"amount": shown, "code": 200, "msg": "Successfully modify position margin.", "type": kind}


def _amount(call: Call) -> int:
    try:
        amount = MONEY.exact(to_decimal(call.params.need("amount")))
    except ValueError as error:
        raise mandatory("amount") from error
    if amount <= 0:
        raise VenueError(-4055, "Amount must be positive.")
    return amount


def margin_history(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/positionMargin/history of a symbol, newest first."""
    params = call.params
    symbol, kind = call.venue.listing(params.symbol()).rules.symbol, params.integer("type")
    start, end = params.integer("startTime") or 0, params.integer("endTime")
    rows = [
        change
        for change in reversed(call.trading.margin_changes)
        if change.symbol == symbol
        and kind in (None, _ADD if change.amount > 0 else _TAKE)
        and start <= change.time_ms
        and (end is None or change.time_ms <= end)
    ]
    return [
        {"symbol": change.symbol, "type": _ADD if change.amount > 0 else _TAKE, "deltaType": "USER_ADJUST",
         "amount": MONEY.text(abs(change.amount)), "asset": change.asset, "time": change.time_ms,
         "positionSide": change.side}
        for change in rows[: min(params.integer("limit") or 500, 1000)]
    ]  # fmt: skip
