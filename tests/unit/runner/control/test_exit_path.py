# ruff: noqa: ARG002
# (doubles keep the signature they stand for)
"""The ways out, past a core that works, hangs, or is broken; and the driver that feeds it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mm_contract import termination
from mm_contract.claim import Claim
from mm_contract.events import Level
from mm_runner.control.driver import Driver, Ports
from mm_runner.control.exit_path import Farewell, StopReason, last_word, leave
from mm_runner.core.messages import Action, Drained, EmitEvent, Event, Instant, ShutdownRequested, Tick
from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.emergency import CancelProof

CLAIM = Claim("binance-usdm", "simulated", "desk-a", "ETHUSDT")


class Core:
    """A core that answers as it is told."""

    claim = CLAIM
    next_wake_ns: int | None = None

    def __init__(self, answer: object = ()) -> None:
        self.answer = answer
        self.seen: list[Event] = []

    def handle(self, event: Event, now: Instant) -> Sequence[Action]:
        self.seen.append(event)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if isinstance(event, ShutdownRequested) else ()


class Venue:
    """The gateway's way out."""

    def __init__(self, *, proven: bool = True) -> None:
        self.calls: list[tuple[int, float]] = []
        self.proven = proven

    async def cancel_everything(self, claim: Claim, *, epoch: int, time_seconds: float) -> CancelProof:
        assert claim == CLAIM
        self.calls.append((epoch, time_seconds))
        return CancelProof(
            zero_own_orders=self.proven, cancelled=2, seconds=0.1, error="" if self.proven else "no answer"
        )


def driver_of(core: Any, broken: list[BaseException]) -> Driver:
    driver = Driver(core, Telemetry(EventsLog((), level=Level.ERROR), Metrics("ETHUSDT")))
    driver.connect(
        Ports(venue=lambda _: None, persist=lambda _: None, report_changed=lambda: None, broken=broken.append)
    )
    return driver


async def way_out(
    core: Core, venue: Venue, *, epoch: int = 3, venue_runs: bool = True, first: bool = False
) -> Farewell:
    broken: list[BaseException] = []
    driver = driver_of(core, broken)
    if first:
        driver.deliver(Tick())
    return await leave(
        driver,
        StopReason("SIGTERM"),
        epoch=epoch,
        grace_seconds=0.1,
        cancel_everything=venue.cancel_everything,
        venue_runs=venue_runs,
    )


async def test_a_core_that_proves_zero_is_enough() -> None:
    venue = Venue()
    farewell = await way_out(Core((Drained(zero_own_orders=True, reason="SIGTERM"),)), venue)
    assert farewell.zero_own_orders
    assert venue.calls == []


async def test_a_core_that_ends_without_proof_is_followed_by_the_way_past_it() -> None:
    venue = Venue()
    farewell = await way_out(Core((Drained(zero_own_orders=False, reason="SIGTERM"),)), venue)
    assert farewell.zero_own_orders
    assert [epoch for epoch, _ in venue.calls] == [3]


async def test_a_broken_core_is_not_asked_again() -> None:
    venue = Venue()
    core = Core(RuntimeError("a defect"))
    assert (await way_out(core, venue, first=True)).zero_own_orders
    assert [type(event) for event in core.seen] == [Tick]
    assert len(venue.calls) == 1


async def test_a_core_that_breaks_while_draining_is_passed_by() -> None:
    venue = Venue()
    assert (await way_out(Core(RuntimeError("a defect")), venue)).zero_own_orders
    assert len(venue.calls) == 1


async def test_a_venue_that_does_not_run_is_reached_directly() -> None:
    venue = Venue(proven=False)
    core = Core()
    farewell = await way_out(core, venue, venue_runs=False)
    assert not farewell.zero_own_orders
    assert farewell.error == "no answer"
    assert core.seen == []


async def test_an_engine_that_never_held_its_claim_touches_nothing_and_proves_nothing() -> None:
    venue = Venue()
    farewell = await way_out(Core(), venue, epoch=0)
    assert not farewell.zero_own_orders
    assert venue.calls == []


def test_the_last_word_is_what_the_operator_reads(tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    last_word(place, Farewell(zero_own_orders=True, seconds=1.0), epoch=7, reason="SIGTERM", dead_man_armed=True)
    read = termination.decode(place.read_text())
    assert read is not None
    assert (read.epoch, read.zero_own_orders, read.reason, read.dead_man_armed) == (7, True, "SIGTERM", True)


def test_a_last_word_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    farewell = Farewell(zero_own_orders=False, seconds=1.0)
    last_word(tmp_path / "none" / "log", farewell, epoch=7, reason="x", dead_man_armed=False)


async def test_a_defect_of_the_core_is_told_once_and_nothing_reaches_it_afterwards() -> None:
    broken: list[BaseException] = []
    core = Core(RuntimeError("a defect"))
    driver = driver_of(core, broken)
    driver.deliver(Tick())
    driver.deliver(Tick())
    assert len(broken) == 1
    assert len(core.seen) == 1


async def test_an_event_that_arrives_within_an_event_waits_for_its_turn() -> None:
    """The core is never entered twice."""
    depth: list[int] = []

    class Nested(Core):
        inside = 0

        def handle(self, event: Event, now: Instant) -> Sequence[Action]:
            self.inside += 1
            depth.append(self.inside)
            if len(depth) == 1:
                driver.deliver(Tick())
            self.inside -= 1
            return ()

    driver = driver_of(Nested(), [])
    driver.deliver(Tick())
    assert depth == [1, 1]


async def test_fills_are_counted_by_side() -> None:
    class Filling(Core):
        def handle(self, event: Event, now: Instant) -> Sequence[Action]:
            fields = {"symbol": "ETHUSDT", "side": "SELL", "price": "2000", "qty": "0.02"}
            return (EmitEvent(name="fill", fields=fields),)

    driver = driver_of(Filling(), [])
    driver.deliver(Tick())
    driver.deliver(Tick())
    metrics = driver.telemetry.metrics
    assert metrics.cell("runner_fills_total", side="SELL").value == 2
    assert metrics.cell("runner_filled_quantity_total", side="SELL").value == pytest.approx(0.04)


async def test_the_timer_wakes_the_core_when_it_wishes() -> None:
    from mm_runner.control.clocks import boot_ns

    class Wishing(Core):
        @property
        def next_wake_ns(self) -> int:  # type: ignore[override]
            return boot_ns() + 10_000_000

    core = Wishing()
    driver = driver_of(core, [])
    driver.deliver(Tick())
    async with asyncio.timeout(5):
        while len(core.seen) < 3:  # noqa: ASYNC110 - a bounded wait
            await asyncio.sleep(0.01)
    driver.stop()
