"""One worker per resource: woken by events, streams and timers, it plans, acts, projects and waits. Level-triggered.

Workers share a bound on concurrent reconciles (kopf's own worker limit would hold a slot while idle). A failed reconcile is tried again with a
capped back-off, for ever: an API server that is away must not end the process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from mm_contract.report import StatusReport
from mm_contract.status_token import status_token
from mm_operator.actions import Refresh
from mm_operator.cache import Cache
from mm_operator.conditions import Situation
from mm_operator.contact import Contact, is_lost
from mm_operator.executor import Executor, remember_pods, without_obstacle
from mm_operator.kube.api import Api, ApiError, Manifest
from mm_operator.kube.kinds import MARKET_MAKER
from mm_operator.memory import Desk, Memory
from mm_operator.metrics import Metrics
from mm_operator.planner import Desired, Observed, Plan, plan
from mm_operator.project import Projection, project
from mm_operator.proof import gone, with_pod
from mm_operator.recorder import Recorder
from mm_operator.render import Context
from mm_operator.settings import Settings, StatusKey
from mm_operator.stream import Streams, Target
from mm_operator.tidings import tidings
from mm_operator.views import Key, PodView, ResourceView

MAX_STEPS: Final = 12
"""Plans of one reconcile; what has still something to do then (somebody undoes it as fast as we do it) is taken up again later."""
_UNSETTLED: Final = timedelta(seconds=5)
_ERROR_BASE_SECONDS: Final = 0.5
_ERROR_CAP_SECONDS: Final = 20.0
"""With its jitter of a quarter: what an outage stopped, however long, goes on within 30 s of its end."""
_SILENT_POLL: Final = timedelta(seconds=3)
_CALLING: Final = timedelta(seconds=3)
_IDLE: Final = timedelta(minutes=5)
_log = structlog.get_logger(__name__)


class Controller:
    """Reconciles all resources of the cache.

    Args:
        api: the API server.
        cache: what the watches show.
        recorder: writes Events.
        metrics: the operator's own.
        settings: the deployment's.
        now: wall clock, UTC.
    """

    def __init__(  # noqa: PLR0913 - wiring
        self,
        api: Api,
        cache: Cache,
        *,
        recorder: Recorder,
        metrics: Metrics,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._cache = cache
        self._recorder = recorder
        self._metrics = metrics
        self._settings = settings
        self._now = now
        self._context = Context(settings)
        self._executor = Executor(api, cache, recorder=recorder, metrics=metrics, settings=settings, now=now)
        self._desks: dict[Key, Desk] = {}
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._tasks: asyncio.TaskGroup | None = None
        self._streams: Streams | None = None
        metrics.before_scrape(self._show)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin: from now on wake-ups start workers, which `tasks` owns. Call it once the caches are filled."""
        self._tasks = tasks
        failed = self._metrics.count
        self._streams = Streams(tasks, self, failed=lambda: failed("mm_operator_stream_failures_total"))
        self.wake(self._cache.resources)

    def wake(self, keys: Iterable[Key]) -> None:
        """Have these looked at now."""
        if self._tasks is None:
            return
        for key in tuple(keys):
            view = self._cache.resources.get(key)
            desk = self._desks.get(key)
            if desk is None:
                if view is None:
                    continue
                desk = self._desks[key] = Desk(Memory(view.uid))
                desk.task = self._tasks.create_task(self._work(key, desk), name=f"reconcile {key}")
            desk.bell.set()

    def stop(self) -> None:
        """End all workers and streams."""
        for key, desk in list(self._desks.items()):
            desk.close()
            if desk.task is not None:
                desk.task.cancel()
            if self._streams is not None:
                self._streams.want(key, None)

    # What the streams tell.

    def heard(self, key: Key, pod_uid: str, report: StatusReport, *, transition: bool) -> None:
        """A report came."""
        desk = self._desks.get(key)
        if desk is None:
            return
        was_connected = desk.memory.contact.connected
        desk.memory.contact = Contact(pod_uid, connected=True, report=report)
        if transition or not was_connected:
            desk.bell.set()
        else:
            self._look_again(desk, self._figures_due_at(key, desk.memory))

    def lost(self, key: Key, pod_uid: str) -> None:
        """A stream is down."""
        desk = self._desks.get(key)
        if desk is None or desk.memory.contact.pod_uid != pod_uid:
            return
        desk.memory.contact = replace(desk.memory.contact, connected=False, lost_since=self._now())
        desk.bell.set()

    # The worker.

    async def _work(self, key: Key, desk: Desk) -> None:
        while key in self._cache.resources:
            await desk.bell.wait()
            desk.begin()
            async with self._slots:
                again_at = await self._reconcile_safely(key, desk)
            self._look_again(desk, again_at)
        desk.close()
        if self._streams is not None:
            self._streams.want(key, None)
        self._desks.pop(key, None)
        # Between the last look and here it may have come back.
        if key in self._cache.resources:
            self.wake([key])

    async def _reconcile_safely(self, key: Key, desk: Desk) -> datetime:
        """A reconcile that never raises; the time at which to look again."""
        memory = desk.memory
        began = time.monotonic()
        try:
            again_at = await self._reconcile(key, desk)
        except ApiError as error:
            memory.obstacle = _obstacle(error)
            return self._failed(key, memory, error)
        except Exception as error:  # noqa: BLE001 - the worker's border: a defect in one resource must not stop the others
            _log.exception("reconcile_defect", resource=str(key))
            memory.obstacle = "the operator failed on this resource; see its log"
            return self._failed(key, memory, error)
        finally:
            self._metrics.observe("mm_operator_reconcile_seconds", time.monotonic() - began)
        self._metrics.count("mm_operator_reconciles_total", result="ok")
        return again_at

    def _failed(self, key: Key, memory: Memory, error: Exception) -> datetime:
        memory.errors += 1
        memory.lease = None  # the API server's silence is not the engine's
        self._metrics.count("mm_operator_reconciles_total", result="error")
        wait = min(_ERROR_CAP_SECONDS, _ERROR_BASE_SECONDS * 2 ** min(memory.errors - 1, 10))
        wait *= 0.75 + random.random() / 2  # noqa: S311 - spreads retries
        _log.warning("reconcile_failed", resource=str(key), error=str(error), retry_seconds=round(wait, 2))
        return self._now() + timedelta(seconds=wait)

    async def _reconcile(self, key: Key, desk: Desk) -> datetime:
        view = self._cache.resources.get(key)
        if view is None:
            return self._now()
        if view.uid != desk.memory.uid:
            desk.memory = Memory(view.uid)
        decided, failure = await self._act_or_fail(view, desk.memory)
        view = self._cache.resources.get(key)
        if view is None:
            return self._now()
        self._point_stream(view, desk.memory)
        desk.memory.verdict = decided.verdict
        projection = await self._project(view, desk.memory)
        if failure is not None:
            raise failure
        return self._next_look(key, desk.memory, decided, projection)

    async def _act_or_fail(self, view: ResourceView, memory: Memory) -> tuple[Plan, ApiError | None]:
        """What the API server refuses is shown in the status before it is tried again."""
        try:
            if memory.contact.lost_since is not None and not memory.contact.connected:
                # An engine that is not heard: whether its Lease moves and its node is well, only reads can tell.
                await self._executor.refresh(view, memory)
            return await self._act(view.key, memory), None
        except ApiError as error:
            memory.obstacle = _obstacle(error)
            return Plan(verdict=memory.verdict), error

    async def _act(self, key: Key, memory: Memory) -> Plan:
        """Plan and perform until there is nothing left to do."""
        fresh = False
        for _ in range(MAX_STEPS):
            view = self._cache.resources.get(key)
            if view is None:
                return Plan()
            decided = plan(self._observe(view, memory, fresh=fresh), self._desired(view), self._now())
            if not decided.actions:
                without_obstacle(memory)
                return decided
            for action in decided.actions:
                try:
                    await self._executor.perform(action, view, memory)
                except ApiError as error:
                    if not error.is_conflict:
                        raise
                    # Somebody wrote first: look again, from the quorum.
                    await self._executor.refresh(view, memory)
                    fresh = True
                    break
                fresh = fresh or isinstance(action, Refresh)
        _log.warning("reconcile_unsettled", resource=str(key), steps=MAX_STEPS)
        return Plan(again_at=self._now() + _UNSETTLED)

    def _observe(self, view: ResourceView, memory: Memory, *, fresh: bool) -> Observed:
        pods = self._cache.pods(view.uid)
        now = self._now()
        for pod in (*self._cache.take_departed(view.uid), *pods):
            memory.evidence = with_pod(memory.evidence, pod)
        if fresh and view.attempt > 0 and not any(not each.finished for each in pods):
            memory.evidence = gone(memory.evidence, now)
        remember_pods(memory, pods)
        return Observed(
            resource=view,
            pods=pods,
            children=self._cache.children(view.uid),
            fresh=fresh,
            lost_pods=frozenset(each.uid for each in pods if not each.finished and self._is_lost(view, each, memory)),
            lease_held=memory.contact.report.lease.held
            if memory.contact.connected and memory.contact.report is not None
            else None,
            claim_checked=memory.claim_checked,
            evidence=memory.evidence,
            backoff=memory.backoff,
        )

    def _is_lost(self, view: ResourceView, pod: PodView, memory: Memory) -> bool:
        spec = self._cache.parsed(view.key).spec
        if spec is None:
            return False
        return is_lost(
            pod,
            memory.contact,
            node_ready=memory.node_ready,
            lease=memory.lease,
            lease_seconds=spec.failover.lease_seconds,
            now=self._now(),
        )

    def _desired(self, view: ResourceView) -> Desired:
        return Desired(self._context, self._cache.parsed(view.key).spec, self._cache.holder(view.key))

    # The stream and the status.

    def _point_stream(self, view: ResourceView, memory: Memory) -> None:
        pod = self._engine_pod(view)
        target = None
        if pod is not None and pod.ip and not pod.finished:
            key = self._key_of(pod)
            token = status_token(key.key, view.uid)
            target = Target(view.uid, pod.uid, pod.ip, self._settings.status_port, token)
        if pod is not None and memory.contact.pod_uid != pod.uid:
            memory.contact = Contact(pod.uid, lost_since=self._now() if target is not None else None)
        elif target is not None and not memory.contact.connected and memory.contact.lost_since is None:
            memory.contact = replace(memory.contact, lost_since=self._now())
        if self._streams is not None:
            self._streams.want(view.key, target)

    def _key_of(self, pod: PodView) -> StatusKey:
        """The key whose token the pod was given; while keys rotate, older pods have an older one."""
        keys = self._settings.status_keys
        return next((each for each in keys if each.id == pod.token_key), keys[0])

    def _engine_pod(self, view: ResourceView) -> PodView | None:
        return next((each for each in self._cache.pods(view.uid) if each.attempt == view.attempt), None)

    async def _project(self, view: ResourceView, memory: Memory) -> Projection:
        now = self._now()
        patience = self._still_calling(view, memory, now)
        if patience is not None:
            return Projection({}, dict(view.status), writes_figures=False, figures_pending=False, again_at=patience)
        situation = self._situation(view, memory)
        due_at = self._figures_due_at(view.key, memory)
        projection = project(situation, now, figures_due=now >= due_at)
        if not projection.patch:
            return projection
        for told in tidings(view.status, projection.status):
            await self._recorder.announce(view, told)
        body: Manifest = {"metadata": {"resourceVersion": view.resource_version}, "status": projection.patch}
        try:
            answer = await self._api.patch(MARKET_MAKER, *view.key, body=body, subresource="status")
        except ApiError as error:
            if error.is_missing:
                return projection
            self._metrics.count("mm_operator_status_write_errors_total")
            if error.is_conflict:
                await self._executor.refresh(view, memory)
                return replace(projection, again_at=now)
            raise
        self._metrics.count("mm_operator_status_writes_total")
        if projection.writes_figures:
            memory.figures_at = now
        self._cache.put(MARKET_MAKER, answer)
        return projection

    def _still_calling(self, view: ResourceView, memory: Memory, now: datetime) -> datetime | None:
        """Until when the status of an engine that was connected is left as it is, because this process has only just begun to call it.

        Without this each restart of the operator would turn every Ready to False and back.
        """
        contact = memory.contact
        if contact.connected or contact.was_up or contact.lost_since is None or view.deleting:
            return None
        engine = view.status.get("engine") or {}
        pod = self._engine_pod(view)
        if pod is None or pod.deleting or not engine.get("connected") or engine.get("podName") != pod.name:
            return None
        until = contact.lost_since + _CALLING
        return until if now < until else None

    def _situation(self, view: ResourceView, memory: Memory) -> Situation:
        pod = self._engine_pod(view)
        parsed = self._cache.parsed(view.key)
        return Situation(
            resource=view,
            pod=pod,
            contact=memory.contact if pod is not None and memory.contact.pod_uid == pod.uid else Contact(),
            refusal=parsed.refusal,
            holder=self._cache.holder(view.key),
            verdict=memory.verdict,
            obstacle=memory.obstacle,
            draining=pod is not None and pod.deleting,
        )

    # When to look again.

    def _figures_due_at(self, key: Key, memory: Memory) -> datetime:
        if memory.figures_at is None:
            return datetime.min.replace(tzinfo=self._now().tzinfo)
        spec = self._cache.parsed(key).spec
        return memory.figures_at + timedelta(seconds=spec.telemetry.status_interval_seconds if spec else 15)

    def _next_look(self, key: Key, memory: Memory, decided: Plan, projection: Projection) -> datetime:
        now = self._now()
        times = [now + _IDLE, decided.again_at, projection.again_at]
        if projection.figures_pending:
            times.append(self._figures_due_at(key, memory))
        if memory.contact.lost_since is not None and not memory.contact.connected:
            times.append(now + _SILENT_POLL)
        return min(each for each in times if each is not None)

    def _look_again(self, desk: Desk, at: datetime) -> None:
        seconds = max(0.0, (at - self._now()).total_seconds())
        desk.ring_at(asyncio.get_running_loop().time() + seconds)

    def _show(self) -> None:
        views = self._cache.resources.values()
        self._metrics.show_phases(Counter(str(view.status.get("phase") or "Pending") for view in views))
        self._metrics.set("mm_operator_streams", self._streams.up if self._streams is not None else 0)


def _obstacle(error: ApiError) -> str:
    if error.is_terminating_namespace:
        return "the namespace is being terminated and admits nothing new"
    return f"the API server refuses: {error.message}" if error.status else "the API server does not answer"
