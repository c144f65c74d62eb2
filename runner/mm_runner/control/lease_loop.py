"""The loop around the Lease keeper: sends its requests to the API server or to a lock file, and tells the engine what it may do.

Invariant 4 lives in the keeper (`mm_contract.lease`); this module adds the second condition of the design, that a renewal only counts when the
resource and the halts could be read beside it ("any failure counts as control plane lost").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from mm_contract.claim import send_deadline_seconds
from mm_contract.lease import (
    Conflict,
    Failed,
    Finished,
    LeaseKeeper,
    LeasePhase,
    LeaseRecord,
    Missing,
    Observed,
    Outcome,
    Request,
    Verb,
    Wait,
)
from mm_runner.control.clocks import SECOND_NS, boot_ns, rfc3339
from mm_runner.control.kube_api import KubeApi, KubeError, lease_path

_GUARD_RETRY_NS: Final = SECOND_NS
_GUARD_SECONDS: Final = 1.5


class LeaseServer(Protocol):
    """Where a Lease lies."""

    async def perform(self, request: Request) -> Outcome:
        """Carry a request out within its time; never raises for what can go wrong on the way."""


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """What the engine needs to know: until when orders may leave, and whether it is over."""

    phase: LeasePhase
    held: bool
    send_deadline_ns: int = 0
    transitions: int = 0
    holder: str = ""
    reason: str = ""
    error: str = ""


class KubernetesLease:
    """A `coordination.k8s.io/v1` Lease; only read and updated, the operator creates it."""

    def __init__(self, api: KubeApi, namespace: str, *, name: str) -> None:
        self._api = api
        self._path = lease_path(namespace, name)
        self._object: dict[str, Any] = {}

    async def perform(self, request: Request) -> Outcome:
        """See `LeaseServer`."""
        seconds = request.timeout_ns / SECOND_NS
        try:
            if request.verb is Verb.READ or request.record is None:
                self._object = await self._api.get(self._path, timeout_seconds=seconds)
            else:
                body = self._body(request.record, stamp_acquired=request.stamp_acquired)
                self._object = await self._api.replace(self._path, body, timeout_seconds=seconds)
        except KubeError as error:
            match error.status:
                case 404:
                    return Missing()
                case 409:
                    return Conflict()
                case _:
                    return Failed(str(error))
        return Observed(record_of(self._object))

    def _body(self, record: LeaseRecord, *, stamp_acquired: bool) -> dict[str, Any]:
        now = rfc3339()
        metadata = {**self._object.get("metadata", {}), "resourceVersion": record.resource_version}
        spec = {
            **self._object.get("spec", {}),
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.duration_seconds,
            "leaseTransitions": record.transitions,
            "renewTime": now,
        }
        if stamp_acquired:
            spec["acquireTime"] = now
        return {**self._object, "metadata": metadata, "spec": spec}


def record_of(lease: dict[str, Any]) -> LeaseRecord:
    """The keeper's view of a Lease object; absent fields are those of a Lease that nobody ever held."""
    spec = lease.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        transitions=spec.get("leaseTransitions") or 0,
        renew_time=spec.get("renewTime") or "",
        acquire_time=spec.get("acquireTime") or "",
        duration_seconds=spec.get("leaseDurationSeconds") or 0,
        resource_version=(lease.get("metadata") or {}).get("resourceVersion", ""),
    )


class ClaimLock(Protocol):
    """The exclusive lock outside Kubernetes (`claim_store.ClaimFile`)."""

    def acquire(self) -> bool:
        """Take the lock if it is free."""

    def still_ours(self) -> bool:
        """Whether the path still leads to the locked file."""

    def close(self) -> None:
        """Let the lock go."""


class LockedFile:
    """The same protocol over an exclusive lock on the claim-state file: the kernel gives it back when the process dies."""

    def __init__(self, lock: ClaimLock) -> None:
        self._lock = lock
        self._version = 0

    async def perform(self, request: Request) -> Outcome:
        """See `LeaseServer`."""
        await asyncio.sleep(0)
        match request.verb:
            case Verb.READ:
                return Observed(
                    LeaseRecord("" if self._lock.acquire() else "another process", resource_version=self._next())
                )
            case Verb.RELEASE:
                self._lock.close()
                return Observed(LeaseRecord("", resource_version=self._next()))
            case _ if request.record is not None and self._lock.still_ours():
                return Observed(replace(request.record, transitions=0, resource_version=self._next()))
            case _:
                return Missing()

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


Guard = Callable[[float], Awaitable[None]]
"""Reads resource and halts afresh within so many seconds; raises `ControlPlaneError` where it cannot."""


class ControlPlaneError(Exception):
    """The resource or the halts cannot be read."""


async def no_guard(seconds: float) -> None:
    """Files need none: their watcher reads them all the time."""
    del seconds


class LeaseLoop:
    """Drives one keeper until it is lost or released.

    Args:
        keeper: decides.
        server: performs.
        lease_seconds: for the deadline of the guard.
        guard: awaited beside each renewal.
        on_change: told after every step, in the event loop.
    """

    def __init__(
        self,
        keeper: LeaseKeeper,
        server: LeaseServer,
        *,
        lease_seconds: float,
        guard: Guard,
        on_change: Callable[[LeaseStatus], None],
    ) -> None:
        self._keeper = keeper
        self._server = server
        self._window_ns = round(send_deadline_seconds(lease_seconds) * SECOND_NS)
        self._guard = guard
        self._on_change = on_change
        self._guarded_until_ns = 0
        self._guard_error = ""
        self._nudged = asyncio.Event()

    def status(self) -> LeaseStatus:
        """Now. The deadline is the earlier one of Lease and guard, so that an unreadable resource stops quotes as a lost Lease does."""
        keeper = self._keeper
        deadline = min(keeper.send_deadline_ns or 0, self._guarded_until_ns)
        return LeaseStatus(
            phase=keeper.phase,
            held=keeper.phase is LeasePhase.HOLDING and boot_ns() < deadline,
            send_deadline_ns=deadline,
            transitions=keeper.transitions,
            holder=keeper.record.holder if keeper.record else "",
            reason=keeper.reason,
            error=keeper.last_error or self._guard_error,
        )

    def release(self) -> None:
        """Give the Lease back; only once zero own orders are proven (invariant 4)."""
        self._keeper.release()
        self._nudged.set()

    async def run(self) -> None:
        """Until lost or released; the caller decides what that means."""
        while True:
            match self._keeper.decide(boot_ns()):
                case Finished():
                    self._on_change(self.status())
                    return
                case Wait(until_ns) if self._guard_error:
                    # A blip must not last until the next renewal, which may be past the deadline.
                    await self._sleep_until(min(until_ns, boot_ns() + _GUARD_RETRY_NS))
                    await self._check(boot_ns(), _GUARD_SECONDS)
                    self._on_change(self.status())
                case Wait(until_ns):
                    await self._sleep_until(until_ns)
                case Request() as request:
                    await self._perform(request)

    async def _perform(self, request: Request) -> None:
        started = boot_ns()
        self._keeper.sent(request, started)
        seconds = request.timeout_ns / SECOND_NS
        guarded = request.verb in (Verb.ACQUIRE, Verb.RENEW)
        async with asyncio.TaskGroup() as group:
            if guarded:
                group.create_task(self._check(started, seconds))
            outcome = await self._bounded(request, seconds)
            self._keeper.answered(request, outcome, now_ns=boot_ns())
        self._on_change(self.status())

    async def _bounded(self, request: Request, seconds: float) -> Outcome:
        try:
            async with asyncio.timeout(seconds):
                return await self._server.perform(request)
        except TimeoutError:
            return Failed(f"no answer within {seconds:.1f} s")

    async def _check(self, started_ns: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._guard(seconds)
        except (ControlPlaneError, TimeoutError) as error:
            self._guard_error = str(error) or f"the resource could not be read within {seconds:.1f} s"
            return
        self._guard_error = ""
        self._guarded_until_ns = started_ns + self._window_ns

    async def _sleep_until(self, until_ns: int) -> None:
        self._nudged.clear()
        try:
            async with asyncio.timeout(max(0.0, (until_ns - boot_ns()) / SECOND_NS)):
                await self._nudged.wait()
        except TimeoutError:
            return
