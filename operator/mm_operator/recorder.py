"""Kubernetes Events on resources: the same thing within ten minutes is one Event that counts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from mm_contract.names import API_VERSION, MARKET_MAKER_KIND
from mm_operator.actions import Announce
from mm_operator.kube.api import Api, ApiError, Manifest
from mm_operator.kube.kinds import EVENT
from mm_operator.views import ResourceView

WINDOW: Final = timedelta(minutes=10)
REPORTER: Final = f"{MARKET_MAKER_KIND.lower()}-operator"
_MAX_NOTE: Final = 1000
_MAX_KNOWN: Final = 20_000
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Series:
    name: str
    began: datetime
    count: int


class Recorder:
    """Writes Events; never fails a reconcile.

    Args:
        api: where to.
        now: wall clock, UTC.
        instance: name of this process.
    """

    def __init__(self, api: Api, now: Callable[[], datetime], *, instance: str) -> None:
        self._api = api
        self._now = now
        self._instance = instance
        self._known: dict[tuple[str, str, str], _Series] = {}

    async def announce(self, resource: ResourceView, told: Announce) -> None:
        """Write the Event, or count it up."""
        now = self._now()
        topic = (resource.uid, told.reason, told.message)
        known = self._known.get(topic)
        try:
            if known is not None and now - known.began < WINDOW:
                await self._count_up(resource, known, now)
            else:
                await self._begin(resource, told, topic, now)
        except ApiError as error:
            _log.warning("event_not_written", resource=str(resource.key), reason=told.reason, error=str(error))

    async def _begin(self, resource: ResourceView, told: Announce, topic: tuple[str, str, str], now: datetime) -> None:
        # Named by its content and window, so that a crash after the call does not make a second one.
        window = int(now.timestamp() // WINDOW.total_seconds())
        digest = hashlib.sha256("\x1f".join((*topic, str(window))).encode()).hexdigest()[:16]
        name = f"{resource.key.name}.{digest}"
        self._forget_old(now)
        self._known[topic] = _Series(name, now, 1)
        try:
            await self._api.create(EVENT, _event(resource, told, name=name, now=now, instance=self._instance))
        except ApiError as error:
            if not error.is_conflict:
                self._known.pop(topic, None)
                raise

    async def _count_up(self, resource: ResourceView, known: _Series, now: datetime) -> None:
        known.count += 1
        series = {"count": known.count, "lastObservedTime": _micro(now)}
        await self._api.patch(EVENT, resource.key.namespace, known.name, body={"series": series})

    def _forget_old(self, now: datetime) -> None:
        if len(self._known) > _MAX_KNOWN:
            self._known = {topic: each for topic, each in self._known.items() if now - each.began < WINDOW}


def _event(resource: ResourceView, told: Announce, *, name: str, now: datetime, instance: str) -> Manifest:
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": name, "namespace": resource.key.namespace},
        "eventTime": _micro(now),
        "type": "Warning" if told.warning else "Normal",
        "reason": told.reason,
        "action": told.reason,
        "note": told.message[:_MAX_NOTE],
        "reportingController": REPORTER,
        "reportingInstance": instance[:128] or REPORTER,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": MARKET_MAKER_KIND,
            "namespace": resource.key.namespace,
            "name": resource.key.name,
            "uid": resource.uid,
        },
    }


def _micro(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
