# ruff: noqa: ARG002, ASYNC110
# (doubles keep the signature they stand for; a bounded wait polls on purpose)
"""The loop around the Lease keeper, on a lock file and on an API server's double, and the watchdog beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from mm_contract.lease import LeaseKeeper, LeasePhase
from mm_runner.control.claim_store import ClaimFile
from mm_runner.control.clocks import SECOND_NS, boot_ns
from mm_runner.control.kube_api import KubeError
from mm_runner.control.lease_loop import (
    ControlPlaneError,
    KubernetesLease,
    LeaseLoop,
    LeaseServer,
    LeaseStatus,
    LockedFile,
    no_guard,
)
from mm_runner.control.watchdog import EXIT_STUCK, Watchdog


class Driven:
    def __init__(self, server: LeaseServer, holder: str, guard: Callable = no_guard, lease_seconds: float = 10) -> None:
        self.seen: list[LeaseStatus] = []
        keeper = LeaseKeeper(holder, lease_seconds)
        self.loop = LeaseLoop(keeper, server, lease_seconds=lease_seconds, guard=guard, on_change=self.seen.append)
        self.task = asyncio.create_task(self.loop.run())

    async def until(self, check: Callable[[LeaseStatus], bool], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not check(self.loop.status()):
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def test_of_two_processes_on_one_file_the_second_waits_until_the_first_releases(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    first = Driven(LockedFile(ClaimFile(path)), "a")
    await first.until(lambda status: status.held)
    second = Driven(LockedFile(ClaimFile(path)), "b")
    await second.until(lambda status: status.holder == "another process")
    assert not second.loop.status().held
    first.loop.release()
    await asyncio.wait_for(first.task, 2)
    assert first.loop.status().phase is LeasePhase.RELEASED
    await second.until(lambda status: status.held)
    await second.end()


async def test_a_removed_claim_file_is_a_lost_lease(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    driven = Driven(LockedFile(ClaimFile(path)), "a", lease_seconds=1)
    await driven.until(lambda status: status.held)
    path.unlink()
    await asyncio.wait_for(driven.task, 3)
    assert driven.loop.status().phase is LeasePhase.LOST


async def test_a_guard_that_fails_pulls_the_deadline_and_its_return_restores_it(tmp_path: Path) -> None:
    broken = False

    async def guard(seconds: float) -> None:
        if broken:
            raise ControlPlaneError("halts cannot be listed")

    driven = Driven(LockedFile(ClaimFile(tmp_path / "claim.json")), "a", guard, lease_seconds=3)
    await driven.until(lambda status: status.held)
    broken = True
    await driven.until(lambda status: not status.held)
    assert driven.loop.status().phase is LeasePhase.HOLDING
    assert "halts" in driven.loop.status().error
    broken = False
    await driven.until(lambda status: status.held)
    await driven.end()


class Api:
    """One Lease under a resourceVersion."""

    def __init__(self) -> None:
        self.lease: dict = {"metadata": {"name": "mm-x", "resourceVersion": "1"}, "spec": {}}
        self.hang = False

    async def get(self, path: str, *, timeout_seconds: float) -> dict:
        if self.hang:
            await asyncio.sleep(60)
        return self.lease

    async def replace(self, path: str, body: dict, *, timeout_seconds: float) -> dict:
        if self.hang:
            await asyncio.sleep(60)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise KubeError(409, "conflict")
        version = str(int(body["metadata"]["resourceVersion"]) + 1)
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return self.lease


async def test_a_lease_object_is_taken_with_its_times_and_given_back() -> None:
    api = Api()
    driven = Driven(KubernetesLease(api, "mm-claims", name="mm-x"), "pod-uid/7")
    await driven.until(lambda status: status.held)
    spec = api.lease["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"], spec["leaseDurationSeconds"]) == ("pod-uid/7", 1, 10)
    assert spec["renewTime"].endswith("Z")
    assert len(spec["renewTime"].partition(".")[2]) == 7  # MicroTime: six digits and the Z
    driven.loop.release()
    await asyncio.wait_for(driven.task, 2)
    assert api.lease["spec"]["holderIdentity"] == ""


async def test_a_hung_api_server_ends_the_send_window_on_time() -> None:
    api = Api()
    driven = Driven(KubernetesLease(api, "mm-claims", name="mm-x"), "a", lease_seconds=3)
    await driven.until(lambda status: status.held)
    deadline = driven.loop.status().send_deadline_ns
    api.hang = True
    await driven.until(lambda status: not status.held)
    assert boot_ns() - deadline < SECOND_NS
    api.hang = False
    await driven.until(lambda status: status.held)
    await driven.end()


async def test_the_watchdog_ends_a_process_whose_loop_is_stuck_past_the_deadline() -> None:
    ended: list[int] = []
    watchdog = Watchdog(0.1, end=ended.append)
    task = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)
    watchdog.deadline(boot_ns() + SECOND_NS // 10)
    until = boot_ns() + 4 * SECOND_NS
    while boot_ns() < until and not ended:
        pass  # the loop is stuck: this never yields
    assert ended == [EXIT_STUCK]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_watchdog_leaves_a_beating_loop_alone_even_past_the_deadline() -> None:
    ended: list[int] = []
    watchdog = Watchdog(0.0, end=ended.append)
    task = asyncio.create_task(watchdog.run())
    watchdog.deadline(boot_ns())
    async with asyncio.timeout(5):
        while watchdog.stuck(boot_ns()) or watchdog.stalled_seconds > 0.3:
            await asyncio.sleep(0.05)
    assert ended == []
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
