"""The account as the spec wants it: position mode, margin type, leverage; and the preflight that only looks.

Changing them is a write to the account: the shell asks for it only while it holds the claim's Lease, and never in dry run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mm_contract.claim import Claim, ClientOrderId
from mm_runner.venue.answers import SymbolError
from mm_runner.venue.api import UsdmApi
from mm_runner.venue.errors import RefusedError, VenueError

_MARGIN_TYPES: Final = {"Isolated": "ISOLATED", "Cross": "CROSSED"}
_SKEW_WARN_MS: Final = 500


class AccountSetupError(ValueError):
    """The account cannot be traded in as the spec wants; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of the preflight."""

    name: str
    ok: bool
    detail: str = ""


async def configure(api: UsdmApi, *, leverage: int, margin_type: str) -> None:
    """Verify one-way mode, set margin type and leverage, and believe only what the venue confirms.

    Args:
        api: the symbol's calls.
        leverage: 1 to 125.
        margin_type: Isolated or Cross.

    Raises:
        AccountSetupError: hedge mode, or the venue refuses.
        VenueError: the venue could not be asked; try again.
    """
    if await api.hedge_mode():
        raise AccountSetupError(
            "the account is in hedge mode: switch it to one-way mode; this engine trades one net position"
        )
    try:
        await api.set_margin_type(_MARGIN_TYPES[margin_type])
        confirmed = await api.set_leverage(leverage)
    except RefusedError as error:
        raise AccountSetupError(
            f"the venue refuses margin type {margin_type} or leverage {leverage}: {error}; "
            "close the position and orders of the symbol, or change spec.exchange"
        ) from error
    if confirmed != leverage:
        raise AccountSetupError(
            f"the venue set leverage {confirmed} instead of {leverage}: change spec.exchange.leverage"
        )


async def preflight(api: UsdmApi, *, claim: Claim, clock_offset_ms: Callable[[], int]) -> list[Check]:
    """Look at everything that quoting needs, change nothing. Never raises a VenueError: it is a failed check."""
    checks = [
        Check("clock", abs(clock_offset_ms()) <= _SKEW_WARN_MS, f"the venue's clock differs by {clock_offset_ms()} ms")
    ]
    try:
        instrument = (await api.rules()).instrument
        checks.append(Check("symbol", instrument.trading, f"tick {instrument.tick_size}, lot {instrument.lot_size}"))
    except (VenueError, SymbolError) as error:
        return [*checks, Check("symbol", ok=False, detail=str(error))]
    try:
        hedge = await api.hedge_mode()
        checks.append(Check("positionMode", not hedge, "hedge mode: switch to one-way" if hedge else "one-way"))
        foreign = [one for one in await api.open_order_ids() if not _is_own(one, claim)]
        checks.append(Check("foreignOrders", not foreign, f"{len(foreign)} orders of somebody else rest on the symbol"))
    except VenueError as error:
        checks.append(Check("credentials", ok=False, detail=str(error)))
    else:
        checks.append(Check("credentials", ok=True, detail="the key may read the account"))
    return checks


def _is_own(client_order_id: str, claim: Claim) -> bool:
    cid = ClientOrderId.parse(client_order_id)
    return cid is not None and cid.belongs_to(claim)
