"""The safety net below the watches: every few minutes all kinds are listed and compared with the caches.

A watch shows a change within milliseconds, so what it has not shown some seconds after a list is drift: it is counted, repaired and looked at.
The first pass fills the caches before any worker starts, so that no decision (who has a claim, whether a pod exists) rests on half a picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import structlog

from mm_contract.names import LABEL_MANAGED_BY, MANAGED_BY
from mm_operator.cache import Cache
from mm_operator.kube.api import Api, ApiError, Manifest
from mm_operator.kube.kinds import CHILD_KINDS, MARKET_MAKER, POD, ROLE, ROLE_BINDING, Kind
from mm_operator.metrics import Metrics
from mm_operator.settings import Settings
from mm_operator.views import Key, key_of

OURS: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
GRACE_SECONDS: Final = 3.0
_log = structlog.get_logger(__name__)


class Resync:
    """Lists everything, now and then.

    Args:
        api: the API server.
        cache: compared and repaired.
        settings: which namespaces, how often.
        metrics: counts the drift.
    """

    def __init__(self, api: Api, cache: Cache, settings: Settings, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._settings = settings
        self._metrics = metrics

    async def fill(self) -> None:
        """Fill empty caches.

        Raises:
            ApiError: a list was refused; nothing may be decided.
        """
        for kind in (MARKET_MAKER, POD, *CHILD_KINDS):
            for manifest in await self._listed(kind):
                self._cache.put(kind, manifest)

    async def repair(self) -> set[Key]:
        """Find and repair what the watches did not show; the resources to look at."""
        affected: set[Key] = set()
        for kind in (MARKET_MAKER, POD, *CHILD_KINDS):
            affected |= await self._repair(kind)
        return affected

    async def _repair(self, kind: Kind) -> set[Key]:
        before = self._cache.names(kind)
        listed = await self._listed(kind)
        suspects = list(self._unknown(kind, listed))
        present = {key_of(each) for each in listed}
        ghosts = [each for each in before if each[1] not in present]
        if not suspects and not ghosts:
            return set()
        await asyncio.sleep(GRACE_SECONDS)  # the watch may only be a moment behind the list
        affected: set[Key] = set()
        for manifest in self._unknown(kind, suspects):
            affected |= self._cache.put(kind, manifest)
            self._tell(kind, key_of(manifest))
        still = self._cache.names(kind)
        for owner, key in ghosts:
            if (owner, key) in still and await self._is_gone(kind, key):
                affected |= self._cache.forget(kind, owner, key)
                self._tell(kind, key)
        return affected

    def _unknown(self, kind: Kind, listed: list[Manifest]) -> Iterator[Manifest]:
        for manifest in listed:
            known = self._cache.known_version(kind, manifest)
            version = str(manifest["metadata"].get("resourceVersion", ""))
            if not self._concerns_us(kind, manifest):
                continue
            if known is None or (known.isdecimal() and version.isdecimal() and int(known) < int(version)):
                yield manifest

    def _concerns_us(self, kind: Kind, manifest: Manifest) -> bool:
        if kind is MARKET_MAKER:
            return self._settings.watches(key_of(manifest).namespace)
        # Claim states belong to no resource, and what a deleted one left is the garbage collector's.
        return self._cache.knows_owner(manifest)

    async def _is_gone(self, kind: Kind, key: Key) -> bool:
        try:
            await self._api.get(kind, key.namespace, key.name)
        except ApiError as error:
            if error.is_missing:
                return True
            raise
        return False

    def _tell(self, kind: Kind, key: Key) -> None:
        self._metrics.count("mm_operator_resync_drift_total", kind=kind.kind)
        _log.warning("watch_missed_a_change", kind=kind.kind, object=str(key))

    async def _listed(self, kind: Kind) -> list[Manifest]:
        labels = "" if kind is MARKET_MAKER else OURS
        manifests: list[Manifest] = []
        for namespace in self._namespaces(kind):
            manifests += (await self._api.list(kind, namespace, labels=labels)).items
        return manifests

    def _namespaces(self, kind: Kind) -> tuple[str | None, ...]:
        watched = self._settings.watch_namespaces
        if not watched:
            return (None,)
        claims = self._settings.claims_namespace
        extra = (claims,) if kind in {ROLE, ROLE_BINDING} and claims and claims not in watched else ()
        return (*watched, *extra)
