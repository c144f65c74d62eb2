"""The parameters that orders and conditional orders share, and what the venue refuses about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange.errors import VenueError, mandatory
from mm_exchange.orders import OrderRequest, OrderType, PositionSide, Side, StpMode, TimeInForce
from mm_exchange.price_match import PriceMatch, matched_price

if TYPE_CHECKING:
    from mm_exchange.api.params import Params
    from mm_exchange.venue import Venue

_CONDITIONAL = {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
# A GTD order must outlive the next ten minutes, and cannot outlive the year 9999.
_SHORTEST_GTD_MS = 600_000
_LATEST_GTD_MS = 253_402_300_799_000


def parse_order(venue: Venue, params: Params, *, now_ms: int) -> OrderRequest:
    """A new order from its parameters, past every check that needs no account; raises the venue's refusal."""
    rules = venue.listing(params.symbol()).rules
    side = params.choice("side", Side, code=-1117, msg="Invalid side.")
    if params.need("type").upper() in _CONDITIONAL:
        raise VenueError(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    kind = params.choice("type", OrderType, code=-1116, msg="Invalid orderType.")
    if params.flag("closePosition"):
        raise VenueError(
            -4136, "Target strategy invalid for orderType,closePosition is not allowed for LIMIT and MARKET."
        )
    quantity = rules.parse_quantity(params.get("quantity"), market=kind is OrderType.MARKET)
    if kind is OrderType.MARKET:
        _refuse(params, "price", "timeInForce")
        if params.get("priceMatch") not in (None, "NONE"):
            raise VenueError(-5038, "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT.")
        time_in_force, price, match = TimeInForce.GTC, 0, "NONE"
    else:
        time_in_force = params.choice("timeInForce", TimeInForce, code=-1115, msg="Invalid timeInForce.")
        price, match = limit_price(venue, params, buy=side is Side.BUY)
    return OrderRequest(
        params.symbol(), side, kind, time_in_force, quantity, price, params.client_id("newClientOrderId") or "",
        params.flag("reduceOnly"), good_till(params, now_ms) if time_in_force is TimeInForce.GTD else 0,
        stp_mode(params), position_side(params), match,
    )  # fmt: skip


def _refuse(params: Params, *names: str) -> None:
    for name in names:
        if params.get(name) is not None:
            raise VenueError(-1106, f"Parameter '{name}' sent when not required.")


def limit_price(venue: Venue, params: Params, *, buy: bool) -> tuple[int, str]:
    """The price of a LIMIT order, its own or that of the place in the book it names; and that place, or "NONE"."""
    listing, named = venue.listing(params.symbol()), params.get("priceMatch")
    if named in (None, "NONE"):
        return listing.rules.parse_price(params.get("price")), "NONE"
    _refuse(params, "price")
    try:
        match = PriceMatch(named.upper())
    except ValueError as error:
        raise VenueError(-5037, "Invalid price match.") from error
    return matched_price(listing, match, buy=buy), match.value


def position_side(params: Params) -> PositionSide:
    """BOTH where none is sent; -4060 for what is no side."""
    try:
        return PositionSide((params.get("positionSide") or "BOTH").upper())
    except ValueError as error:
        raise VenueError(-4060, "Invalid position side.") from error


def stp_mode(params: Params) -> StpMode:
    """EXPIRE_MAKER where none is sent; -5039."""
    try:
        return StpMode(params.get("selfTradePreventionMode") or StpMode.EXPIRE_MAKER)
    except ValueError as error:
        raise VenueError(-5039, "Invalid self trade prevention mode.") from error


def good_till(params: Params, now_ms: int) -> int:
    """The date of a GTD order, in whole seconds as the venue keeps it; -5040 outside its bounds."""
    date = params.integer("goodTillDate")
    if date is None:
        raise mandatory("goodTillDate")
    if not now_ms + _SHORTEST_GTD_MS < date < _LATEST_GTD_MS:
        raise VenueError(
            -5040,
            "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than "
            "253402300799000.",
        )
    return date - date % 1000
