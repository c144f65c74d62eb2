"""Puts the operator together and runs it until it is told to stop.

Order: ports, caches (for ever, until the API server lists everything), workers, kopf. kopf's end is the process's end: a signal is a clean one,
a watch that cannot go on is a failure, after which the pod is started again; all state lies on the API server.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import kopf
import structlog

from mm_contract.names import FIELD_MANAGER
from mm_operator import __version__
from mm_operator.cache import Cache
from mm_operator.controller import Controller
from mm_operator.handlers import EndlessBackoff, operator_settings, registry
from mm_operator.kube.api import Api, ApiError, KubernetesApi, configuration
from mm_operator.metrics import Metrics
from mm_operator.recorder import Recorder
from mm_operator.resync import Resync
from mm_operator.serving import health_routes, metrics_route, serve
from mm_operator.settings import Settings

_FIRST_RESYNC_SECONDS: Final = 15.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Progress:
    """What the probes tell."""

    filled: bool = False

    def unready(self) -> str:
        return "" if self.filled else "the caches are not filled yet: the API server has not listed everything\n"


async def run(settings: Settings) -> None:
    """Run the operator.

    Raises:
        Exception: whatever ended kopf; the process must exit non-zero then.
    """
    metrics = Metrics()
    metrics.set("mm_operator_leader", 1)
    api = KubernetesApi(
        await configuration(),
        field_manager=FIELD_MANAGER,
        observer=lambda verb, code: metrics.count("mm_operator_api_requests_total", verb=verb, code=str(code)),
    )
    progress = _Progress()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(api.close)
        metrics_at = await stack.enter_async_context(
            serve(settings.host, settings.metrics_port, metrics_route(metrics.exposition))
        )
        health_at = await stack.enter_async_context(
            serve(settings.host, settings.health_port, health_routes(lambda: "", progress.unready))
        )
        _log.info("operator_start", version=__version__, metrics_port=metrics_at, health_port=health_at)
        await _reconcile_until_stopped(settings, api, metrics=metrics, progress=progress)
    _log.info("operator_exit")


async def _reconcile_until_stopped(settings: Settings, api: Api, *, metrics: Metrics, progress: _Progress) -> None:
    cache = Cache(settings)
    recorder = Recorder(api, _now, instance=socket.gethostname())
    controller = Controller(api, cache, recorder=recorder, metrics=metrics, settings=settings, now=_now)
    resync = Resync(api, cache, settings, metrics)
    await _fill(resync)
    progress.filled = True
    _log.info("caches_filled", resources=len(cache.resources))
    async with asyncio.TaskGroup() as tasks:
        controller.start(tasks)
        repairs = tasks.create_task(_repair_for_ever(resync, controller, settings), name="resync")
        try:
            await kopf.operator(
                registry=registry(cache, controller),
                settings=operator_settings(),
                standalone=True,
                clusterwide=not settings.watch_namespaces,
                namespaces=settings.watch_namespaces,
            )
        finally:
            repairs.cancel()
            controller.stop()


async def _fill(resync: Resync) -> None:
    for delay in EndlessBackoff(cap_seconds=10):
        try:
            await resync.fill()
        except ApiError as error:
            hint = "; are the CRDs installed?" if error.is_missing else ""
            _log.warning("waiting_for_api_server", error=f"{error}{hint}", retry_seconds=round(delay, 1))
            await asyncio.sleep(delay)
        else:
            return


async def _repair_for_ever(resync: Resync, controller: Controller, settings: Settings) -> None:
    # Soon after the start once: what was deleted between our list and kopf's no watch will ever show.
    pause = min(_FIRST_RESYNC_SECONDS, settings.resync_seconds)
    while True:
        await asyncio.sleep(pause)
        pause = settings.resync_seconds
        try:
            controller.wake(await resync.repair())
        except ApiError as error:
            _log.warning("resync_failed", error=str(error))


def _now() -> datetime:
    return datetime.now(UTC)
