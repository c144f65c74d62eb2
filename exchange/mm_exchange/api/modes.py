"""The modes of an account: hedge or one-way positions, multi-assets or single-asset margin, fees in BNB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_exchange.errors import VenueError, mandatory

if TYPE_CHECKING:
    from mm_exchange.api.core import Call

_DONE = {"code": 200, "msg": "success"}


def get_dual(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/positionSide/dual."""
    return {"dualSidePosition": call.account.hedged}


def set_dual(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/positionSide/dual; -4059 when it is so already, -4067 and -4068 while something is open."""
    call.venue.set_hedged(call.trading, hedged=_wanted(call, "dualSidePosition"), now_ns=call.now_ns)
    return _DONE


def get_multi_assets(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/multiAssetsMargin."""
    return {"multiAssetsMargin": call.account.multi_assets}


def set_multi_assets(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/multiAssetsMargin; -4171 when it is so already, -4167, -4169, -4170, -4172."""
    call.venue.set_multi_assets(call.trading, on=_wanted(call, "multiAssetsMargin"), now_ns=call.now_ns)
    return _DONE


def get_fee_burn(_call: Call) -> dict[str, Any]:
    """GET /fapi/v1/feeBurn: fees are never paid in BNB here."""
    return {"feeBurn": False}


def set_fee_burn(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/feeBurn: off is what it is; on is refused by name."""
    if _wanted(call, "feeBurn"):
        raise VenueError(-1130, "Fees in BNB are not offered by this simulated exchange.")
    return _DONE


def _wanted(call: Call, name: str) -> bool:
    if call.params.get(name) is None:
        raise mandatory(name)
    return call.params.flag(name)
