"""The engine as a process: wires core, venue, control and telemetry together, and takes every way out by cancelling.

Start: spec, keys, status port; then the Lease, the claim state, the epoch; then orphans and account settings; then streams, reconciliation, the
dead-man switch and quotes (the core holds back until it knows each of them). End: whatever ends it, `control.exit_path` takes over.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from mm_contract.report import EngineSection, StatusReport
from mm_contract.resource import MarketMaker, SpecError
from mm_runner.control.clocks import boot_ns
from mm_runner.control.credentials import CredentialsError, read_credentials
from mm_runner.control.environment import Surroundings, SurroundingsError
from mm_runner.control.exit_path import EXIT_CLEAN, Farewell, StopReason, last_word
from mm_runner.control.kube_api import KubeApi
from mm_runner.control.life import Life
from mm_runner.control.reporting import with_refusal
from mm_runner.control.spec_file import SpecFile
from mm_runner.control.spec_resource import SpecResource
from mm_runner.control.spec_source import SpecSource
from mm_runner.control.status_feed import StatusFeed
from mm_runner.control.status_server import Health, StatusServer, TokenFolder
from mm_runner.core.messages import SpecRefused
from mm_runner.journal.writer import check_writable
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.setup import make_telemetry
from mm_runner.venue.endpoints import EndpointError


class EngineProcess:
    """One engine from start to end.

    Args:
        where: flags and environment.
        env: passed on to telemetry and endpoints.
    """

    def __init__(self, where: Surroundings, env: Mapping[str, str]) -> None:
        self._where = where
        self._env = env
        self._telemetry = make_telemetry("", env)
        self._stop: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        self._kube: KubeApi | None = None
        self._said_error = ""
        self._tell_control_plane: Callable[[str], None] = self._early_control_plane

    async def run(self) -> int:
        """Until told to stop, or something ends it; returns the exit code. A cancellation from outside takes the way out too."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # A second signal changes nothing: cancelling is not skipped.
            loop.add_signal_handler(number, self.stop, StopReason(signal.Signals(number).name))
        self._telemetry.log.start()
        inner = asyncio.create_task(self._run_or_say_why_not(), name="engine")
        try:
            return await self._outlast(inner)
        finally:
            self._telemetry.log.close()

    async def _outlast(self, inner: asyncio.Task[int]) -> int:
        """A cancellation of ours begins the way out, and is passed on once that is done."""
        cancelled = False
        while not inner.done():
            try:
                await asyncio.shield(inner)
            except asyncio.CancelledError:
                if inner.done():
                    break
                cancelled = True
                self.stop(StopReason("cancelled"))
        if cancelled:
            raise asyncio.CancelledError
        return inner.result()

    def stop(self, reason: StopReason) -> None:
        """Begin to end; the first reason stands."""
        if not self._stop.done():
            self._stop.set_result(reason)

    async def _run_or_say_why_not(self) -> int:
        """What keeps an engine from starting is said where the operator and `kubectl describe` find it, too."""
        try:
            return await self._run()
        except (SpecError, CredentialsError, EndpointError, SurroundingsError) as error:
            self._telemetry.log.emit("preflight", check="start", ok=False, detail=str(error))
            farewell = Farewell(zero_own_orders=False, seconds=0.0)
            last_word(self._where.termination_log, farewell, epoch=0, reason=str(error), dead_man_armed=False)
            raise

    async def _run(self) -> int:
        _look_for_room(self._where.journal)
        async with AsyncExitStack() as stack:
            feed, server = await self._open_status(stack)
            source = await self._open_source(stack, feed)
            maker = await self._unless_stopped(source.first())
            if maker is None:
                return EXIT_CLEAN
            symbol = maker.spec.symbol
            self._telemetry.log.set_context(symbol=symbol)
            self._telemetry.metrics = Metrics(symbol)
            life = Life(
                self._where,
                maker,
                credentials=read_credentials(self._where.credentials_directory),
                env=self._env,
                telemetry=self._telemetry,
                feed=feed,
                stopped=self._stop,
                kube=self._kube,
            )
            server.health = life.probes.health
            self._tell_control_plane = life.on_control_plane
            return await life.run(source, status_port=server.port)

    async def _open_status(self, stack: AsyncExitStack) -> tuple[StatusFeed, StatusServer]:
        """First of all, so that the kubelet's probes are answered while the API server is away."""
        where = self._where
        identity = where.identity
        section = EngineSection(namespace=identity.namespace, name=identity.name, uid=identity.uid, symbol="")
        feed = StatusFeed(StatusReport(engine=section))
        tokens = TokenFolder(where.token_directory) if where.token_directory else None
        server = StatusServer(feed, health=lambda: Health(unready="the spec was not read yet"), tokens=tokens)
        await server.start(where.ports.host, where.ports.status)
        stack.push_async_callback(server.stop)
        return feed, server

    async def _open_source(self, stack: AsyncExitStack, feed: StatusFeed) -> SpecSource:
        if self._where.spec_file is not None:
            return SpecFile(self._where.spec_file)
        self._kube = await stack.enter_async_context(await KubeApi.in_cluster())
        source = SpecResource(self._kube, self._where.identity, deleted=self._deleted, failed=self._control_plane)

        def unusable(event: SpecRefused) -> None:
            """Nothing to run yet: the resource's status says why, and a better spec is waited for."""
            self._telemetry.log.emit("spec_refused", generation=event.generation, error=event.message)
            feed.publish(with_refusal(feed.published, event), boot_ns())

        source.unusable = unusable
        return source

    def _deleted(self, close: bool) -> None:  # noqa: FBT001 - a callback
        self.stop(StopReason("deleted", close=close))

    async def _unless_stopped(self, first: Coroutine[Any, Any, MarketMaker]) -> MarketMaker | None:
        reading = asyncio.create_task(first)
        either: set[asyncio.Future[Any]] = {reading, self._stop}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            return None
        return reading.result()

    def _control_plane(self, error: str) -> None:
        self._tell_control_plane(error)

    def _early_control_plane(self, error: str) -> None:
        """Before the engine lives there is nobody to tell but the log; said once per text."""
        if error and error != self._said_error:
            self._telemetry.log.emit("control_plane_error", error=error)
        self._said_error = error


def _look_for_room(journal: Path | None) -> None:
    """Whoever asked for a journal is not left without one: refused before anything is traded."""
    if journal is None:
        return
    try:
        check_writable(journal)
    except OSError as error:
        raise SurroundingsError(
            f"--journal {journal} cannot be written ({error.strerror or type(error).__name__}); name a file in a folder that the engine may write to"
        ) from error
