"""kopf's part: it lists and watches, and hands every event to the cache and the controller. Nothing is decided here.

Only `on.event` handlers: no daemons, no indices, no change detection, so kopf writes neither finalizers nor annotations. Its default of giving up
after a minute of API errors is replaced by a capped back-off without end; a watch that it cannot go on with ends the process, which starts anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import kopf

from mm_operator.cache import Cache
from mm_operator.controller import Controller
from mm_operator.kube.kinds import CHILD_KINDS, MARKET_MAKER, POD, Kind
from mm_operator.resync import OURS

_REQUEST_SECONDS: Final = 10.0
_SERVER_SECONDS: Final = 290  # an integer on the wire
_BACKOFF_CAP_SECONDS: Final = 10.0


class EndlessBackoff:
    """Delays between retries of API errors: doubling up to a cap, jittered, without end; each `iter` begins anew."""

    def __init__(self, *, cap_seconds: float, chance: Callable[[], float] = random.random) -> None:
        self._cap = cap_seconds
        self._chance = chance

    def __iter__(self) -> Iterator[float]:
        """Seconds to wait, for ever."""
        delay = 0.5
        while True:
            yield delay * (0.75 + self._chance() / 2)
            delay = min(self._cap, delay * 2)


def operator_settings() -> kopf.OperatorSettings:
    """Settings of kopf, each against a measured trap."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # needs no right to namespaces and CRDs
    settings.networking.error_backoffs = EndlessBackoff(cap_seconds=_BACKOFF_CAP_SECONDS)
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.connect_timeout = _REQUEST_SECONDS
    settings.watching.server_timeout = _SERVER_SECONDS
    settings.watching.connect_timeout = _REQUEST_SECONDS
    settings.queueing.idle_timeout = 0.5
    for kind in (POD, *CHILD_KINDS):
        settings.watching.label_selectors[kopf_selector(kind)] = OURS
    return settings


def kopf_selector(kind: Kind) -> tuple[str, str, str]:
    """As kopf names a resource type."""
    return (kind.group, kind.version, kind.plural)


def registry(cache: Cache, controller: Controller) -> kopf.OperatorRegistry:
    """Registry of kopf with one event handler per kind, and an explicit login."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.TEMPORARY, backoff=1.0)(_login)
    for kind in (MARKET_MAKER, POD, *CHILD_KINDS):
        feed = _feeder(kind, cache, controller)
        kopf.on.event(*kopf_selector(kind), registry=handlers, id=f"feed-{kind.plural}")(feed)
    return handlers


def _feeder(kind: Kind, cache: Cache, controller: Controller) -> Callable[..., Any]:
    async def feed(event: Mapping[str, Any], **_: Any) -> None:
        manifest = {"apiVersion": kind.api_version, "kind": kind.kind} | dict(event["object"])
        affected = cache.drop(kind, manifest) if event["type"] == "DELETED" else cache.put(kind, manifest)
        controller.wake(affected)

    return feed


def _login(*, logger: kopf.Logger, settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """The pod's ServiceAccount, whose rotating token is read again at each login, else the kubeconfig."""
    found = kopf.login_with_service_account(logger=logger, settings=settings)
    return found or kopf.login_with_kubeconfig(logger=logger, settings=settings)
