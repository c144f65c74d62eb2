"""What the command line does besides running the engine: the preflight, and `flatten` where no engine runs.

`flatten` on its own takes the claim's lock, so that it can never act beside an engine (invariant 4), and counts the epoch up like one (invariant 5).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from mm_contract import names
from mm_contract.claim import Claim, ClientOrderId, next_epoch
from mm_contract.resource import ForeignOrders, MarketMaker, MarketMakerSpec
from mm_runner.control.claim_store import ClaimFile, ClaimStoreError
from mm_runner.control.clocks import SECOND_NS, boot_ns, instant, rfc3339
from mm_runner.control.credentials import read_credentials
from mm_runner.control.environment import credentials_directory, state_directory
from mm_runner.control.exit_path import EXIT_CLEAN, EXIT_PREFLIGHT, EXIT_UNPROVEN
from mm_runner.control.life import claim_of, endpoints_of
from mm_runner.control.local_latch import Latch, set_latch
from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import OrderType, PlaceOrder, Side
from mm_runner.core.settings import refusal
from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.account_setup import Check
from mm_runner.venue.errors import VenueError
from mm_runner.venue.gateway import UsdmGateway

Say = Callable[[str], None]
_CANCEL_SECONDS: Final = 30.0
_CLOSE_ATTEMPTS: Final = 10
_CLOSE_PAUSE_SECONDS: Final = 0.5
_SEND_SECONDS: Final = 2


def _gateway(maker: MarketMaker, env: Mapping[str, str]) -> UsdmGateway:
    spec = maker.spec
    gateway = UsdmGateway(
        endpoints_of(spec, env),
        read_credentials(credentials_directory(env, in_pod=names.ENV_POD_UID in env)),
        spec.symbol,
        deliver=lambda _: None,
        telemetry=Telemetry(EventsLog(()), Metrics(spec.symbol)),  # a person reads these commands, not a log shipper
        now=instant,
        chance=random.SystemRandom(),
    )
    gateway.apply(recv_window_ms=spec.exchange.recv_window_ms, weight_share=spec.exchange.weight_share)
    return gateway


# -- check -------------------------------------------------------------------------------------------------------------


async def preflight(maker: MarketMaker, env: Mapping[str, str], *, say: Say) -> int:
    """Look at what quoting needs and say each finding; changes nothing. Returns the exit code."""
    spec = maker.spec
    sentence = refusal(spec, symbol=spec.symbol)
    checks = [Check("engine", sentence is None, sentence or "this engine can act on the spec")]
    async with _gateway(maker, env) as gateway:
        found = await gateway.preflight(claim_of(spec))
        checks += [_judged(check, spec) for check in found]
        if all(check.ok for check in found if check.name == "credentials"):
            checks.append(await _fees(gateway, spec))
    for check in checks:
        say(f"{'ok   ' if check.ok else 'FAIL '} {check.name}: {check.detail}")
    return EXIT_CLEAN if all(check.ok for check in checks) else EXIT_PREFLIGHT


def _judged(check: Check, spec: MarketMakerSpec) -> Check:
    if check.name == "foreignOrders" and spec.exchange.foreign_orders is ForeignOrders.TOLERATE:
        return Check(check.name, ok=True, detail=f"{check.detail}; tolerated by spec.exchange.foreignOrders")
    return check


async def _fees(gateway: UsdmGateway, spec: MarketMakerSpec) -> Check:
    try:
        rate = await gateway.api.commission_rate()
    except VenueError as error:
        return Check("fees", ok=False, detail=str(error))
    round_trip_bps = float(rate.makerCommissionRate * 2 * Decimal(10_000))
    detail = (
        f"maker {rate.makerCommissionRate}, taker {rate.takerCommissionRate}; a round trip costs {round_trip_bps:g} bps"
    )
    enough = spec.quoting.min_spread_bps >= round_trip_bps or spec.quoting.allow_below_fees
    hint = "" if enough else f"; quotes are widened from minSpreadBps {spec.quoting.min_spread_bps:g} to that"
    return Check("fees", ok=True, detail=detail + hint)


# -- flatten -----------------------------------------------------------------------------------------------------------


async def flatten_now(maker: MarketMaker | None, env: Mapping[str, str], *, close: bool, say: Say) -> int:
    """Set the latch; where no engine runs, cancel (and close) here. Returns the exit code.

    Args:
        maker: None in a pod, where the engine beside us does the work.
        env: says where state and keys are.
        close: also close the position.
        say: told what happens, in sentences.
    """
    directory = state_directory(env)
    path = set_latch(directory, Latch(close=close, since=rfc3339(), by="mm-runner flatten"))
    say(f"the latch is set: {path}; remove it with mm-runner halt --clear")
    if maker is None:
        say("the engine of this pod sees it and acts")
        return EXIT_CLEAN
    claim = claim_of(maker.spec)
    lock = ClaimFile(directory / f"{claim.object_name}.json")
    if not lock.acquire():
        say("an engine runs: it sees the latch and acts; look at its status or log")
        return EXIT_CLEAN
    try:
        async with _gateway(maker, env) as gateway:
            return await _act(gateway, lock, claim, close=close, say=say)
    except (VenueError, ClaimStoreError) as error:
        say(f"not done: {error}")
        return EXIT_UNPROVEN
    finally:
        lock.close()


async def _act(gateway: UsdmGateway, lock: ClaimFile, claim: Claim, *, close: bool, say: Say) -> int:
    instrument = (await gateway.load_instrument()).instrument
    state = await lock.load()
    parsed = [ClientOrderId.parse(text) for text in await gateway.api.open_order_ids()]
    seen = max((cid.epoch for cid in parsed if cid is not None and cid.belongs_to(claim)), default=0)
    epoch = next_epoch(lease_transitions=0, claim_state_epoch=state.epoch, status_epoch=0, order_epoch=seen)
    await lock.save(msgspec.structs.replace(state, epoch=epoch))
    proof = await gateway.cancel_everything(claim, epoch=epoch, time_seconds=_CANCEL_SECONDS)
    say(
        f"{proof.cancelled} own orders cancelled in {proof.seconds:.1f} s; zero left: {'proven' if proof.zero_own_orders else proof.error}"
    )
    if close and not await _close(gateway, instrument, claim, epoch=epoch, say=say):
        return EXIT_UNPROVEN
    return EXIT_CLEAN if proof.zero_own_orders else EXIT_UNPROVEN


async def _close(gateway: UsdmGateway, instrument: Instrument, claim: Claim, *, epoch: int, say: Say) -> bool:
    """Market orders with reduceOnly, each sized from a fresh REST position, until less than one lot is left."""
    for attempt in range(1, _CLOSE_ATTEMPTS + 1):
        snapshot = await gateway.api.account_snapshot(instrument, trades_since_ms=0, sent_boot_ns=boot_ns())
        if abs(snapshot.position) < instrument.min_lots:
            say(f"position {instrument.quantity(snapshot.position)}: flat")
            return True
        side = Side.SELL if snapshot.position > 0 else Side.BUY
        lots = min(abs(snapshot.position), instrument.market_max_lots)
        say(
            f"position {instrument.quantity(snapshot.position)}: {side.value} {instrument.quantity(lots)} at the market, reduceOnly"
        )
        try:
            await gateway.read_clock()  # afresh each time: a -1021 may have been why the last attempt failed
            order = _market_order(claim, side, lots, epoch=epoch, sequence=attempt)
            await gateway.api.place(order, instrument, on_sent=lambda: None)
        except VenueError as error:
            say(f"refused or unknown: {error}")
        await asyncio.sleep(_CLOSE_PAUSE_SECONDS)
    say("the position is not flat yet; look at the exchange")
    return False


def _market_order(claim: Claim, side: Side, lots: int, *, epoch: int, sequence: int) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=str(ClientOrderId(claim.order_prefix, epoch, sequence)),
        side=side,
        type=OrderType.MARKET,
        time_in_force=None,
        price=0,
        quantity=lots,
        reduce_only=True,
        send_deadline_boot_ns=boot_ns() + _SEND_SECONDS * SECOND_NS,
        recv_window_ms=_SEND_SECONDS * 1000,
    )
