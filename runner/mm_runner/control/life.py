"""One engine's life, from its first spec to its last word: the components, in which order they start, and how they end.

Components run side by side in one task group. One that fails does not take the others down at once: the way out needs them (invariant 3).
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from mm_contract import __version__
from mm_contract.claim import Claim, ClientOrderId, next_epoch
from mm_contract.lease import LeaseKeeper, LeasePhase
from mm_contract.report import EngineSection, LeaseSection
from mm_contract.resource import MarketMaker, MarketMakerSpec
from mm_runner.control.claim_store import ClaimFile, ClaimPersister, ClaimStore, ClaimStoreError, ConfigMapClaimStore
from mm_runner.control.clocks import boot_ns, instant, rfc3339
from mm_runner.control.credentials import watch_credentials
from mm_runner.control.driver import Driver, Ports
from mm_runner.control.environment import Surroundings
from mm_runner.control.exit_path import (
    EXIT_INTERNAL,
    EXIT_LEASE,
    EXIT_UNPROVEN,
    Farewell,
    StopReason,
    last_word,
    leave,
)
from mm_runner.control.kube_api import KubeApi
from mm_runner.control.lease_loop import KubernetesLease, LeaseLoop, LeaseServer, LeaseStatus, LockedFile
from mm_runner.control.local_latch import watch_latch
from mm_runner.control.reporting import Facts, Meters, Probes, Reporter, with_epoch
from mm_runner.control.spec_source import SpecEvent, SpecSource
from mm_runner.control.status_feed import StatusFeed
from mm_runner.control.watchdog import Watchdog
from mm_runner.core.engine import Engine
from mm_runner.core.messages import ClaimStateLoaded, ControlPlane, LeaseState, SpecChanged, SpecRefused
from mm_runner.journal.codec import Header
from mm_runner.journal.writer import MAX_BYTES, JournalWriter
from mm_runner.telemetry.metrics_server import MetricsServer
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.account_setup import AccountSetupError
from mm_runner.venue.endpoints import Endpoints, resolve
from mm_runner.venue.errors import VenueError
from mm_runner.venue.gateway import UsdmGateway
from mm_runner.venue.signing import Credentials

Answer = TypeVar("Answer")
_RETRY_SECONDS: Final = 1.0
_SETUP_RETRY_SECONDS: Final = 10.0
_RELEASE_SECONDS: Final = 5.0
_ORPHAN_SECONDS: Final = 15.0
_PORT_SECONDS: Final = 2.0
_WATCHDOG_MARGIN_SECONDS: Final = 2.0
REASON_ACCOUNT: Final = "AccountSetup"


def claim_of(spec: MarketMakerSpec) -> Claim:
    """Whose orders the engine of this spec writes."""
    exchange = spec.exchange
    return Claim(exchange.venue.value, exchange.environment.value, exchange.account, spec.symbol)


def endpoints_of(spec: MarketMakerSpec, env: Mapping[str, str]) -> Endpoints:
    """Where the venue is; raises EndpointError where nobody says."""
    return resolve(spec.exchange.environment.value, spec.exchange.endpoints, env)


class Life:
    """Everything of one engine.

    Args:
        where: flags and environment.
        maker: the resource at the start; its restart-class fields hold for the whole life.
        stopped: done when the engine is to end.
        kube: None outside a pod.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        where: Surroundings,
        maker: MarketMaker,
        *,
        credentials: Credentials,
        env: Mapping[str, str],
        telemetry: Telemetry,
        feed: StatusFeed,
        stopped: asyncio.Future[StopReason],
        kube: KubeApi | None,
    ) -> None:
        spec = maker.spec
        self._where = where
        self._spec = spec
        self._generation = maker.metadata.generation or 1
        self._status_epoch = (maker.status.engine.epoch or 0) if maker.status and maker.status.engine else 0
        self._telemetry = telemetry
        self._credentials = credentials
        self._stopped = stopped
        self._claim = claim_of(spec)
        self._epoch = 0
        self._venue_runs = False
        self._configured = False
        self._dry_run = spec.dry_run
        self._lease_held = asyncio.Event()
        self._leaving_dry_run = asyncio.Event()
        self._wanted = SpecChanged(spec=spec, generation=self._generation)
        self._lease_said = ("", "")
        self._control_error = ""
        telemetry.log.redactor.add(credentials.api_key, credentials.api_secret)
        self._journal = self._open_journal()
        self._driver = Driver(Engine(claim=self._claim), telemetry, self._journal)
        self._facts = Facts(engine=_engine_section(where, maker))
        self._gateway = UsdmGateway(
            endpoints_of(spec, env),
            credentials,
            spec.symbol,
            deliver=self._driver.deliver,
            telemetry=telemetry,
            now=instant,
            chance=random.SystemRandom(),
            on_listen_key=self._report_changed,
        )
        self._reporter = Reporter(self._driver, feed, self._facts, listen_key=self._gateway.listen_key_section)
        self._watchdog = Watchdog(_WATCHDOG_MARGIN_SECONDS)
        self._meters = Meters(self._driver, self._facts)
        self._metrics_server = MetricsServer(
            telemetry.metrics, telemetry.log, host=where.ports.host, port=where.ports.metrics
        )
        self.probes = Probes(
            self._driver.engine, self._watchdog, data_age_seconds=lambda: self._meters.data_age_seconds
        )
        self._store, self._lease_server = _claim_places(where, self._claim, kube)
        self._persister = ClaimPersister(
            self._store,
            persisted=self._driver.deliver,
            superseded=self._superseded,
            failed=lambda error: telemetry.once("claim", "control_plane_error", {"error": error}),
        )
        self._driver.connect(
            Ports(
                venue=self._gateway.execute,
                persist=self._persister.persist,
                report_changed=self._report_changed,
                broken=self._core_broke,
            )
        )

    # -- life ----------------------------------------------------------------------------------------------------------

    async def run(self, source: SpecSource, *, status_port: int) -> int:
        """Until `stopped`; returns the exit code."""
        spec = self._spec
        self._telemetry.log.set_level(spec.telemetry.log_level.value)
        self._gateway.apply(recv_window_ms=spec.exchange.recv_window_ms, weight_share=spec.exchange.weight_share)
        self._say_start()
        loop = LeaseLoop(
            LeaseKeeper(self._where.holder, spec.failover.lease_seconds, jitter=random.SystemRandom().random()),
            self._lease_server,
            lease_seconds=spec.failover.lease_seconds,
            guard=source.guard,
            on_change=self._on_lease,
        )
        self._driver.deliver(self._wanted)
        async with self._gateway, asyncio.TaskGroup() as group:
            lease_task = group.create_task(self._component("lease", loop.run()), name="lease")
            components = {
                "watchdog": self._watchdog.run(),
                "metrics": self._metrics_server.run(),
                "meters": self._meters.run(),
                "specs": source.run(self._on_spec),
                "latch": watch_latch(self._where.state_directory, self._driver.deliver),
                "credentials": watch_credentials(
                    self._where.credentials_directory, self._credentials, rotated=self._rotated, failed=self._no_key
                ),
                "claim state": self._persister.run(),
                "venue": self._trade(),
                "ports": self._say_ports(status_port),
                "core": self._watch_drained(),
                "dry run": self._leave_dry_run(),
            }
            tasks = [group.create_task(self._component(name, work), name=name) for name, work in components.items()]
            reason = await asyncio.shield(self._stopped)
            farewell = await self._leave(reason)
            if farewell.zero_own_orders:
                await self._release(loop, lease_task)
            self._driver.stop()
            self._reporter.stop()
            for task in (lease_task, *tasks):
                task.cancel()
        if self._journal is not None:
            self._journal.close(reason.text)
        return self._end(reason, farewell)

    def _open_journal(self) -> JournalWriter | None:
        path = self._where.journal
        if path is None:
            return None
        log, lost = self._telemetry.log, self._telemetry.metrics.cell("runner_journal_lost_total")

        def incomplete(error: str, count: int) -> None:
            lost.value += count
            log.emit("journal_incomplete", path=str(path), error=error)

        header = Header(claim=self._claim, started_wall_ms=instant().wall_ms)
        bound = self._where.journal_max_bytes or MAX_BYTES
        return JournalWriter(path, header, secrets=log.redactor, failed=incomplete, max_bytes=bound)

    async def _component(self, name: str, work: Awaitable[None]) -> None:
        """A component's failure begins the way out instead of tearing it down."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, orders must be cancelled first (invariant 3)
            self._failed(name, error)

    def _failed(self, task: str, error: BaseException) -> None:
        leaf = _leaf(error)
        text = f"{type(leaf).__name__}: {str(leaf)[:200]}"
        self._telemetry.log.emit("internal_error", error=text, task=task, at=_place(leaf))
        self._stop(StopReason(f"internal error in {task}", EXIT_INTERNAL))

    def _core_broke(self, error: BaseException) -> None:
        self._failed("core", error)

    def _stop(self, reason: StopReason) -> None:
        if not self._stopped.done():
            self._stopped.set_result(reason)

    # -- start ---------------------------------------------------------------------------------------------------------

    async def _trade(self) -> None:
        """Nothing of the account is touched before the Lease is held and the epoch is known."""
        await self._lease_held.wait()
        self.probes.waiting_for = "the claim state was not read yet"
        state_epoch = await self._load_claim_state()
        self.probes.waiting_for = "the exchange was not reached yet"
        own_epoch = await self._until_answered(self._highest_open_epoch)
        self._epoch = next_epoch(
            lease_transitions=self._transitions(),
            claim_state_epoch=state_epoch,
            status_epoch=self._status_epoch,
            order_epoch=own_epoch,
        )
        self._facts.engine = with_epoch(self._facts.engine, self._epoch)
        self._telemetry.log.emit("lease_acquired", epoch=self._epoch, holder=self._where.holder)
        self._tell_lease()
        if own_epoch:
            self.probes.waiting_for = "orders of an earlier engine are being cancelled"
            await self._gateway.cancel_everything(self._claim, epoch=self._epoch, time_seconds=_ORPHAN_SECONDS)
        if not self._dry_run:
            self.probes.waiting_for = "leverage and margin type are not set yet"
            await self._until_answered(self._configure)
        self.probes.waiting_for = ""
        # What lives now lives until the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._venue_runs = True
        try:
            await self._gateway.run()
        finally:
            self._venue_runs = False

    async def _load_claim_state(self) -> int:
        told = False
        while True:
            try:
                state = await self._store.load()
            except ClaimStoreError as error:
                if not told:
                    # Invariant 6: what should exist and cannot be read means halted.
                    self._driver.deliver(ClaimStateLoaded(state=None))
                    told = True
                self._telemetry.once("claim", "control_plane_error", {"error": str(error)})
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._driver.deliver(ClaimStateLoaded(state=state))
                return state.epoch

    async def _highest_open_epoch(self) -> int:
        found = [ClientOrderId.parse(text) for text in await self._gateway.api.open_order_ids()]
        return max((cid.epoch for cid in found if cid is not None and cid.belongs_to(self._claim)), default=0)

    async def _configure(self) -> None:
        exchange = self._spec.exchange
        while True:
            try:
                await self._gateway.configure_account(
                    leverage=exchange.leverage, margin_type=exchange.margin_type.value
                )
            except AccountSetupError:
                await asyncio.sleep(
                    _SETUP_RETRY_SECONDS
                )  # said in the log; a person or the venue has to change something
            else:
                self._configured = True
                return

    async def _until_answered(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        while True:
            try:
                return await ask()
            except VenueError as error:
                self._telemetry.once("start", "reconcile_error", {"error": str(error)})
                await asyncio.sleep(_RETRY_SECONDS)

    # -- Lease ---------------------------------------------------------------------------------------------------------

    def _on_lease(self, status: LeaseStatus) -> None:
        self._facts.lease_status = status
        self._watchdog.deadline(status.send_deadline_ns)
        self._say_lease(status)
        lease = LeaseSection(held=status.held, holder=status.holder, claim=self._claim.key)
        if lease != self._facts.lease:
            self._facts.lease = lease
            self._report_changed()
        if status.held:
            self._lease_held.set()
        if status.phase is LeasePhase.LOST:
            self._stop(StopReason(f"lease lost: {status.reason}", EXIT_LEASE))
        self._tell_lease()

    def _tell_lease(self) -> None:
        status = self._facts.lease_status
        ended = status is None or status.phase in (LeasePhase.RELEASING, LeasePhase.RELEASED)
        if self._epoch and status is not None and not ended:
            self._driver.deliver(
                LeaseState(held=status.held, send_deadline_boot_ns=status.send_deadline_ns, epoch=self._epoch)
            )

    def _say_lease(self, status: LeaseStatus) -> None:
        log = self._telemetry.log
        said = (status.error, "" if status.phase is not LeasePhase.WAITING else status.holder)
        if status.error and status.error != self._lease_said[0]:
            self._telemetry.metrics.cell("runner_lease_renew_errors_total").value += 1
            remaining = max(0, (status.send_deadline_ns - boot_ns()) // 1_000_000)
            log.emit("lease_renew_error", error=status.error, remainingMs=remaining)
        if said[1] and said[1] != self._lease_said[1]:
            log.emit("lease_waiting", holder=said[1])
        self._lease_said = said

    def _transitions(self) -> int:
        return self._facts.lease_status.transitions if self._facts.lease_status else 0

    def _superseded(self, epoch: int) -> None:
        self._driver.deliver(LeaseState(held=False, epoch=self._epoch, superseded_by=epoch))

    async def _watch_drained(self) -> None:
        """The core ends by itself when it finds itself superseded."""
        drained = await asyncio.shield(self._driver.drained)
        self._stop(StopReason(drained.reason, EXIT_LEASE))

    # -- changes -------------------------------------------------------------------------------------------------------

    def _on_spec(self, event: SpecEvent) -> None:
        if isinstance(event, SpecRefused):
            self._telemetry.metrics.cell("runner_specs_refused_total").value += 1
        if not isinstance(event, SpecChanged):
            self._driver.deliver(event)
            return
        self._wanted = event
        if self._dry_run and not event.spec.dry_run and not self._configured:
            # A dry run left leverage and margin type alone: they are set before the first order, not after it.
            self._leaving_dry_run.set()
            return
        self._apply(event)

    async def _leave_dry_run(self) -> None:
        """Set up the account that a dry run has left alone, then let the newest spec act."""
        await self._leaving_dry_run.wait()
        await self._lease_held.wait()
        await self._until_answered(self._configure)
        self._apply(self._wanted)

    def _apply(self, event: SpecChanged) -> None:
        self._driver.deliver(event)
        if self._driver.is_broken or self._driver.engine.refused[0] == event.generation:
            return
        exchange = event.spec.exchange
        self._gateway.apply(recv_window_ms=exchange.recv_window_ms, weight_share=exchange.weight_share)
        self._telemetry.log.set_level(event.spec.telemetry.log_level.value)

    def on_control_plane(self, error: str) -> None:
        """What could not be read; empty when all can be read again."""
        if error != self._control_error:
            self._control_error = error
            self._driver.deliver(ControlPlane(ok=not error, error=error))

    def _rotated(self, credentials: Credentials) -> None:
        self._telemetry.log.redactor.add(credentials.api_key, credentials.api_secret)
        self._gateway.rotate(credentials)

    def _no_key(self, error: str) -> None:
        self._telemetry.log.emit("preflight", check="credentials", ok=False, detail=error)

    def _report_changed(self) -> None:
        self._reporter.changed()

    # -- end -----------------------------------------------------------------------------------------------------------

    async def _leave(self, reason: StopReason) -> Farewell:
        self.probes.stopping = True
        try:
            return await leave(
                self._driver,
                reason,
                epoch=self._epoch,
                grace_seconds=float(self._spec.shutdown.grace_seconds),
                cancel_everything=self._gateway.cancel_everything,
                venue_runs=self._venue_runs,
            )
        except Exception as error:  # noqa: BLE001 - the last word must still be said: no proof, and why
            self._failed("way out", error)
            return Farewell(zero_own_orders=False, seconds=0.0, error=type(_leaf(error)).__name__)

    async def _release(self, loop: LeaseLoop, lease_task: asyncio.Task[None]) -> None:
        # Invariant 4: given back only with the proof; else the next holder waits the Lease out.
        loop.release()
        await asyncio.wait({lease_task}, timeout=_RELEASE_SECONDS)

    def _end(self, reason: StopReason, farewell: Farewell) -> int:
        armed = boot_ns() < self._driver.armed_until_ns
        last_word(self._where.termination_log, farewell, epoch=self._epoch, reason=reason.text, dead_man_armed=armed)
        self._telemetry.log.emit(
            "runner_exit",
            reason=reason.text,
            zeroOwnOrders=farewell.zero_own_orders,
            epoch=self._epoch,
            seconds=round(farewell.seconds, 3),
            error=farewell.error,
        )
        if reason.exit_code or farewell.zero_own_orders or self._epoch == 0:
            return reason.exit_code
        return EXIT_UNPROVEN

    # -- telling -------------------------------------------------------------------------------------------------------

    def _say_start(self) -> None:
        exchange = self._spec.exchange
        self._telemetry.metrics.set(
            "runner_info", 1, version=__version__, account=exchange.account, environment=exchange.environment.value
        )
        self._telemetry.log.emit(
            "runner_start",
            version=__version__,
            attempt=self._where.attempt,
            environment=exchange.environment.value,
            account=exchange.account,
            podName=self._where.pod_name,
            dryRun=self._spec.dry_run,
        )

    async def _say_ports(self, status_port: int) -> None:
        for _ in range(int(_PORT_SECONDS / 0.02)):
            if self._metrics_server.bound_port is not None:
                break
            await asyncio.sleep(0.02)
        host = self._where.ports.host
        metrics = self._metrics_server.bound_port
        self._telemetry.log.emit(
            "listening", metrics=f"{host}:{metrics}" if metrics else "", status=f"{host}:{status_port}"
        )


def _engine_section(where: Surroundings, maker: MarketMaker) -> EngineSection:
    return EngineSection(
        namespace=maker.metadata.namespace,
        name=maker.metadata.name,
        uid=where.identity.uid or maker.metadata.uid,
        symbol=maker.spec.symbol,
        pod_name=where.pod_name,
        pod_uid=where.pod_uid,
        node_name=where.node_name,
        version=__version__,
        attempt=where.attempt,
        started_at=rfc3339(),
    )


def _claim_places(where: Surroundings, claim: Claim, kube: KubeApi | None) -> tuple[ClaimStore, LeaseServer]:
    """ConfigMap and Lease in a pod; outside it one file is both."""
    if kube is None:
        file = ClaimFile(where.state_directory / f"{claim.object_name}.json")
        return file, LockedFile(file)
    return (
        ConfigMapClaimStore(kube, where.claims_namespace, name=claim.object_name),
        KubernetesLease(kube, where.claims_namespace, name=claim.object_name),
    )


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _place(error: BaseException) -> str:
    """File and line where it was raised: enough to find it, nothing that a secret could be in (invariant 8)."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
