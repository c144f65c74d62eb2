"""Feeds: tasks that play a tape or run synthetic flow into the exchange at the wall clock's pace.

A feed never starves the loop: after a few milliseconds of work it yields, and a feed that fell behind catches up
in such slices. Event times are placed on the serving clock, so data ages are true.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import msgspec

from mm_exchange.flow.tape import TapePlayer
from mm_exchange.market import DepthUpdate, Snapshot, Touch

if TYPE_CHECKING:
    from mm_exchange.flow.synthetic import SyntheticFlow
    from mm_exchange.flow.tape import Scan
    from mm_exchange.server.exchange import Exchange

_LOG = logging.getLogger(__name__)
_SLICE_S = 0.004
# Due this soon counts as due now: below it, sleeping costs more than it gains.
_RESOLUTION_S = 0.001


async def play_tape(exchange: Exchange, scans: list[Scan], ready: asyncio.Event, *, speed: float, loop: bool) -> None:
    """Play tapes of the same symbols one after another, for ever with `loop`. Sets `ready` after the first book."""
    player = TapePlayer(scans, speed=speed)
    while True:
        for scanned in scans:
            await _pass(exchange, player, scanned, ready=ready)
        if not loop:
            _LOG.info("the tape has ended; its book stands still from here on")
            return


async def _pass(exchange: Exchange, player: TapePlayer, scanned: Scan, *, ready: asyncio.Event) -> None:
    start = time.perf_counter()
    resumed = start
    for due_ns, event in player.play(scanned, exchange.now_ns() / 1e6):
        due = start + due_ns / 1e9 / player.speed
        now = time.perf_counter()
        if due - now > _RESOLUTION_S:
            await asyncio.sleep(due - now)
            resumed = time.perf_counter()
        elif now - resumed > _SLICE_S:
            await asyncio.sleep(0)
            resumed = time.perf_counter()
        # Events are due to the millisecond; a time ahead of the serving clock would be a lie.
        now_ms = exchange.now_ms()
        placed = msgspec.structs.replace(event, event_ms=now_ms) if event.event_ms > now_ms else event
        exchange.on_market(placed)
        if not scanned.has_touch and isinstance(placed, DepthUpdate):
            _derive_touch(exchange, placed)
        if isinstance(placed, Snapshot):
            ready.set()


def _derive_touch(exchange: Exchange, event: DepthUpdate) -> None:
    """Where a tape has no bookTicker, the book's own best prices stand in for it, when they change."""
    market = exchange.venue.listings[event.symbol].market
    bid, ask = market.book.best_bid(), market.book.best_ask()
    if bid is None or ask is None:
        return
    old = market.touch
    if old is None or (old.bid, old.bid_quantity, old.ask, old.ask_quantity) != (*bid, *ask):
        exchange.on_market(Touch(event.symbol, event.event_ms, event.transaction_ms, event.last_id, *bid, *ask))


async def run_synthetic(exchange: Exchange, flow: SyntheticFlow, *, speed: float) -> None:
    """Step a synthetic market at its interval."""
    interval = flow.parameters.interval_ms / 1000 / speed
    due = time.perf_counter() + interval
    while True:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        # Steps that were missed are left out: a synthetic market owes nobody its past.
        due = max(due + interval, time.perf_counter())
        for event in flow.step(exchange.now_ms()):
            exchange.on_market(event)
