"""The ways out: drain through the core, else cancel everything past it, then say the last word (invariant 3).

`zeroOwnOrders` in the termination message lets the operator take the finalizer off, so it is True only with a proof (invariant 7).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mm_contract import termination
from mm_contract.claim import Claim
from mm_contract.termination import TerminationMessage
from mm_runner.control.clocks import SECOND_NS, boot_ns, rfc3339
from mm_runner.control.driver import Driver
from mm_runner.core.messages import ShutdownRequested
from mm_runner.venue.emergency import CancelProof

EXIT_CLEAN: Final = 0
EXIT_INTERNAL: Final = 1
EXIT_USAGE: Final = 2
EXIT_PREFLIGHT: Final = 3
EXIT_UNPROVEN: Final = 4
EXIT_LEASE: Final = 5
_EMERGENCY_PART: Final = 0.4
_LEAST_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why the engine ends; the first reason stands."""

    text: str
    exit_code: int = EXIT_CLEAN
    close: bool = False


@dataclass(frozen=True, slots=True)
class Farewell:
    """What the way out reached."""

    zero_own_orders: bool
    seconds: float
    error: str = ""


class EmergencyCancel(Protocol):
    """`UsdmGateway.cancel_everything`."""

    async def __call__(self, claim: Claim, *, epoch: int, time_seconds: float) -> CancelProof:
        """Cancel own orders of epochs up to ours and prove it, within the time."""
        ...


async def leave(  # noqa: PLR0913 - its bounds, by name
    driver: Driver,
    reason: StopReason,
    *,
    epoch: int,
    grace_seconds: float,
    cancel_everything: EmergencyCancel,
    venue_runs: bool,
) -> Farewell:
    """Cancel everything that is ours and prove it, within `grace_seconds`.

    Args:
        driver: asked first, where its core works and the venue's tasks run: it knows every order in flight.
        reason: told to the core.
        epoch: 0 where the claim was never held: then nothing was sent, nothing is touched and nothing is proven.
        grace_seconds: for all of it.
        cancel_everything: the way past the core.
        venue_runs: whether the core's cancels would reach the venue.
    """
    started = boot_ns()
    if epoch == 0:
        return Farewell(zero_own_orders=False, seconds=0.0, error="the claim was never held")
    if venue_runs and not driver.is_broken:
        patience = max(_LEAST_SECONDS, grace_seconds * (1 - _EMERGENCY_PART))
        if await _drained(driver, reason, patience):
            return Farewell(zero_own_orders=True, seconds=_since(started))
    left = max(_LEAST_SECONDS, grace_seconds - _since(started))
    proof = await cancel_everything(driver.engine.claim, epoch=epoch, time_seconds=left)
    return Farewell(zero_own_orders=proof.zero_own_orders, seconds=_since(started), error=proof.error)


async def _drained(driver: Driver, reason: StopReason, seconds: float) -> bool:
    driver.deliver(ShutdownRequested(reason=reason.text, close=reason.close))
    try:
        async with asyncio.timeout(seconds):
            return (await asyncio.shield(driver.drained)).zero_own_orders
    except TimeoutError:
        return False


def last_word(
    path: Path | None, farewell: Farewell, *, epoch: int, reason: str, dead_man_armed: bool
) -> TerminationMessage:
    """Write the termination message; a place that cannot be written is no reason to fail, the log carries the same."""
    message = TerminationMessage(
        epoch=epoch,
        zero_own_orders=farewell.zero_own_orders,
        time=rfc3339(),
        reason=reason[:512],
        dead_man_armed=dead_man_armed,
    )
    if path is not None:
        try:
            path.write_bytes(termination.encode(message))
        except OSError:
            return message
    return message


def _since(started_ns: int) -> float:
    return (boot_ns() - started_ns) / SECOND_NS
