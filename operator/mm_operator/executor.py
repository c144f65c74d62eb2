"""Performs the planner's actions, one call of the API server each, and feeds the answers back into the cache."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, assert_never

import structlog

from mm_contract.names import FINALIZER, LABEL_UID
from mm_operator.actions import (
    Action,
    AddFinalizer,
    Announce,
    ApplyChild,
    CreateOnce,
    CreatePod,
    DeleteChild,
    DeletePod,
    Refresh,
    RemoveFinalizer,
    WriteAttempt,
)
from mm_operator.backoff import after_attempt
from mm_operator.cache import Cache
from mm_operator.contact import seen
from mm_operator.kube.api import Api, ApiError, Manifest
from mm_operator.kube.kinds import LEASE, MARKET_MAKER, NODE, POD
from mm_operator.memory import Memory
from mm_operator.metrics import Metrics
from mm_operator.planner import Backoff
from mm_operator.recorder import Recorder
from mm_operator.render.identity import claim_of
from mm_operator.settings import Settings
from mm_operator.views import PodView, ResourceView

_FIRST_START: Final = "Started"
_log = structlog.get_logger(__name__)


class Executor:
    """The hands of the reconcile.

    Args:
        api: the API server.
        cache: takes over what it answers.
        recorder: writes Events.
        metrics: counts actions.
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

    async def perform(self, action: Action, resource: ResourceView, memory: Memory) -> None:  # noqa: C901 - one case per action
        """Do it.

        Raises:
            ApiError: the API server refused or could not be reached; nothing after it may be done.
        """
        self._metrics.count("mm_operator_actions_total", action=type(action).__name__)
        match action:
            case Refresh():
                await self.refresh(resource, memory)
            case AddFinalizer():
                await self._finalizers(resource, (*resource.finalizers, FINALIZER), action.resource_version)
            case RemoveFinalizer():
                kept = tuple(each for each in resource.finalizers if each != FINALIZER)
                await self._finalizers(resource, kept, action.resource_version)
                _log.info("finalizer_removed", resource=str(resource.key))
            case ApplyChild():
                await self._apply(action, resource)
            case DeleteChild():
                await self._delete_child(action, resource)
            case CreateOnce():
                await self._create_once(action, memory)
            case WriteAttempt():
                await self._write_attempt(action, resource, memory)
            case CreatePod():
                await self._create_pod(action, resource)
            case DeletePod():
                await self._delete_pod(action, resource, memory)
            case Announce():
                await self._recorder.announce(resource, action)
            case unknown:
                assert_never(unknown)

    async def refresh(self, resource: ResourceView, memory: Memory) -> None:
        """Read resource and pods from the quorum, and where the engine is silent its Lease and node too."""
        try:
            self._cache.put(MARKET_MAKER, await self._api.get(MARKET_MAKER, *resource.key))
        except ApiError as error:
            if not error.is_missing:
                raise
            self._cache.forget(MARKET_MAKER, resource.uid, resource.key)
            return
        listing = await self._api.list(POD, resource.key.namespace, labels=f"{LABEL_UID}={resource.uid}")
        self._cache.replace_pods(resource.uid, listing.items)
        if memory.contact.connected:
            memory.lease, memory.node_ready = None, None
            return
        await self._look_for_life(resource, memory)

    async def _look_for_life(self, resource: ResourceView, memory: Memory) -> None:
        spec = self._cache.parsed(resource.key).spec
        placed = next((each for each in self._cache.pods(resource.uid) if each.node and not each.finished), None)
        if spec is None or placed is None:
            return
        memory.node_ready = await self._node_ready(placed)
        name = claim_of(spec).object_name
        try:
            lease = await self._api.get(LEASE, self._settings.claims_namespace_of(resource.key.namespace), name)
        except ApiError as error:
            # While the API server does not answer, the holder cannot renew either: that says nothing of it.
            memory.lease = None
            if not error.is_missing:
                raise
            return
        memory.lease = seen(memory.lease, str(lease["metadata"].get("resourceVersion", "")), self._now())

    async def _node_ready(self, pod: PodView) -> bool | None:
        try:
            node = await self._api.get(NODE, "", pod.node)
        except ApiError as error:
            if error.is_missing:
                return False
            if error.status == 403:
                return None  # a namespaced install has no right to nodes
            raise
        conditions = {each.get("type"): each.get("status") for each in node.get("status", {}).get("conditions") or ()}
        return conditions.get("Ready") == "True"

    async def _finalizers(self, resource: ResourceView, finalizers: tuple[str, ...], version: str) -> None:
        body: Manifest = {"metadata": {"resourceVersion": version, "finalizers": list(finalizers) or None}}
        answer = await self._api.patch(MARKET_MAKER, *resource.key, body=body)
        self._cache.put(MARKET_MAKER, answer)

    async def _apply(self, action: ApplyChild, resource: ResourceView) -> None:
        self._cache.put(action.kind, await self._api.apply(action.kind, action.manifest))
        if action.repairs:
            name = action.manifest["metadata"]["name"]
            _log.info("drift_repaired", resource=str(resource.key), kind=action.kind.kind, name=name)

    async def _delete_child(self, action: DeleteChild, resource: ResourceView) -> None:
        key = (action.ref.namespace, action.ref.name)
        await self._delete_if_there(action, key)
        self._cache.forget(action.kind, resource.uid, resource.key._replace(namespace=key[0], name=key[1]))

    async def _delete_if_there(self, action: DeleteChild, key: tuple[str, str]) -> None:
        try:
            await self._api.delete(action.kind, *key, uid=action.uid)
        except ApiError as error:
            if not (error.is_missing or error.is_conflict):
                raise

    async def _create_once(self, action: CreateOnce, memory: Memory) -> None:
        try:
            await self._api.create(action.kind, action.manifest)
        except ApiError as error:
            if not error.is_conflict:
                raise
        if action.kind is LEASE:
            memory.claim_checked = self._now()

    async def _write_attempt(self, action: WriteAttempt, resource: ResourceView, memory: Memory) -> None:
        body: Manifest = {
            "metadata": {"resourceVersion": action.resource_version},
            "status": {"engine": {"attempt": action.attempt}},
        }
        self._cache.put(
            MARKET_MAKER, await self._api.patch(MARKET_MAKER, *resource.key, body=body, subresource="status")
        )
        self._metrics.count("mm_operator_status_writes_total")
        if action.reason == _FIRST_START:
            return
        ours = memory.newest is not None and memory.newest.uid in memory.drained
        memory.drained = frozenset()
        born = memory.newest.created if memory.newest is not None else None
        memory.backoff = Backoff() if ours else after_attempt(memory.backoff, born=born, now=self._now())
        told = Announce("EngineReplaced", f"attempt {action.attempt} follows: {action.reason}", warning=not ours)
        await self._recorder.announce(resource, told)

    async def _create_pod(self, action: CreatePod, resource: ResourceView) -> None:
        try:
            answer = await self._api.create(POD, action.manifest)
        except ApiError as error:
            # The name carries uid and attempt: what is there under it is this attempt's pod, made by us before a crash or by a second operator.
            if not error.is_conflict:
                raise
            answer = await self._api.get(POD, resource.key.namespace, action.manifest["metadata"]["name"])
        self._cache.put(POD, answer)
        _log.info("pod_created", resource=str(resource.key), pod=answer["metadata"]["name"], attempt=action.attempt)

    async def _delete_pod(self, action: DeletePod, resource: ResourceView, memory: Memory) -> None:
        try:
            await self._api.delete(POD, action.namespace, action.name, uid=action.uid)
        except ApiError as error:
            if not (error.is_missing or error.is_conflict):
                raise
        memory.drained |= {action.uid}
        # What the API server made of it (marked, or gone at once) is read back, so that the next plan does not ask for it again.
        try:
            self._cache.put(POD, await self._api.get(POD, action.namespace, action.name))
        except ApiError as error:
            if not error.is_missing:
                raise
            self._cache.forget(POD, resource.uid, resource.key._replace(name=action.name))
        _log.info("pod_stopped", resource=str(resource.key), pod=action.name, reason=action.reason)


def remember_pods(memory: Memory, pods: tuple[PodView, ...]) -> None:
    """Keep what a later reconcile needs of the newest pod, which may be gone by then."""
    memory.newest = max(pods, key=lambda each: each.attempt, default=memory.newest)


def without_obstacle(memory: Memory) -> None:
    """The last actions went through."""
    memory.errors, memory.obstacle = 0, ""
