"""The last way out: cancel every own order and prove that none is left, without the engine's core.

Used by crash paths and by `mm-runner flatten`. It asks the venue alone (invariant 7): own orders are those whose client id carries the claim's prefix
and an epoch not above ours; other people's orders, and a successor's, are never touched (invariant 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mm_contract.claim import Claim, ClientOrderId
from mm_runner.venue.api import BATCH, UsdmApi
from mm_runner.venue.errors import LimitedError, VenueError
from mm_runner.venue.rest import RestClient

_NS: Final = 1_000_000_000
_MARGIN_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class CancelProof:
    """What was reached. `zero_own_orders` is a proof: seen twice with a recvWindow between, after the last order was sent."""

    zero_own_orders: bool
    cancelled: int
    seconds: float
    error: str = ""
    """Why there is no proof."""


def own_orders(client_order_ids: Sequence[str], claim: Claim, *, epoch: int) -> list[str]:
    """Those of the claim whose epoch is not above ours."""
    own: list[str] = []
    for text in client_order_ids:
        cid = ClientOrderId.parse(text)
        if cid is not None and cid.belongs_to(claim) and cid.epoch <= epoch:
            own.append(text)
    return own


async def cancel_everything(  # noqa: PLR0913 - its bounds, by name
    api: UsdmApi,
    client: RestClient,
    *,
    claim: Claim,
    epoch: int,
    time_seconds: float,
    boot_ns: Callable[[], int],
) -> CancelProof:
    """Cancel own orders until two looks, a recvWindow apart, show none; never longer than `time_seconds`, never raises a VenueError."""
    started = boot_ns()
    cancelled: set[str] = set()
    error = ""
    zero_since = 0
    window_ns = int((client.recv_window_ms / 1000 + _MARGIN_SECONDS) * _NS)
    try:
        async with asyncio.timeout(time_seconds):
            while True:
                looked = boot_ns()
                try:
                    own = own_orders(await api.open_order_ids(), claim, epoch=epoch)
                    error = f"{len(own)} own orders are still open" if own else "zero was seen only once"
                    if own:
                        zero_since = 0
                        cancelled.update(own)
                        await _cancel(api, client, own)
                        continue
                except VenueError as failure:
                    error = str(failure)
                    await asyncio.sleep(failure.pause_seconds if isinstance(failure, LimitedError) else _RETRY_SECONDS)
                    continue
                zero_since = zero_since or looked
                if looked - zero_since >= window_ns:
                    return CancelProof(
                        zero_own_orders=True, cancelled=len(cancelled), seconds=(boot_ns() - started) / _NS
                    )
                await asyncio.sleep((zero_since + window_ns - boot_ns()) / _NS)
    except TimeoutError:
        reason = error or "the venue did not answer"
        seconds = (boot_ns() - started) / _NS
        return CancelProof(zero_own_orders=False, cancelled=len(cancelled), seconds=seconds, error=reason)


async def _cancel(api: UsdmApi, client: RestClient, own: Sequence[str]) -> None:
    for start in range(0, len(own), BATCH):
        await api.cancel_batch(own[start : start + BATCH], lane=client.spare_lane)
    await asyncio.sleep(_RETRY_SECONDS / 4)
