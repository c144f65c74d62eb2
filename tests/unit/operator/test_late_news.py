"""News that come in another order than things happened, or not at all: answers, watches and streams are connections of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from mm_contract import names
from mm_contract.report import FiguresSection
from mm_operator import cache as caches
from mm_operator import controller as controllers
from mm_operator import resync as resyncs
from mm_operator.cache import Cache
from mm_operator.controller import Controller
from mm_operator.kube.api import Listing, Manifest
from mm_operator.kube.kinds import MARKET_MAKER, POD, SERVICE, Kind
from mm_operator.memory import Desk, Memory
from mm_operator.metrics import Metrics
from mm_operator.recorder import Recorder
from mm_operator.resync import Resync
from mm_operator.views import Key, key_of
from support.api_model import ApiModel
from support.manifests import merged
from support.operator_facts import NOW, SETTINGS, UID, manifest, report

KEY = Key("trading", "ethusdt")


@dataclass
class ChattyModel(ApiModel):
    """An API server during whose calls something else happens: before the answer is read."""

    meanwhile: dict[str, Callable[[], None]] = field(default_factory=dict)

    def _happens(self, what: str) -> None:
        self.meanwhile.pop(what, lambda: None)()

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> Listing:
        answer = await super().list(kind, namespace, labels=labels)
        self._happens(f"list {kind.plural}")
        return answer

    async def patch(self, kind: Kind, namespace: str, name: str, *, body: Manifest, subresource: str = "") -> Manifest:
        answer = await super().patch(kind, namespace, name, body=body, subresource=subresource)
        self._happens(f"patch {kind.plural}")
        return answer


class Desks:
    """One operator with one resource."""

    def __init__(self) -> None:
        self.api = ChattyModel()
        self.metrics = Metrics()
        self.cache = Cache(SETTINGS)
        recorder = Recorder(self.api, lambda: NOW, instance="test")
        self.controller = Controller(
            self.api, self.cache, recorder=recorder, metrics=self.metrics, settings=SETTINGS, now=lambda: NOW
        )
        self.api.add(MARKET_MAKER, manifest())
        self.show()
        self.desk = Desk(Memory(self.cache.resources[KEY].uid))

    def show(self) -> None:
        """What the watches have to tell."""
        while self.api.events:
            kind, event, shown = self.api.events.pop(0)
            (self.cache.drop if event == "DELETED" else self.cache.put)(kind, shown)

    async def reconcile(self) -> datetime:
        """When to look again."""
        again_at = await self.controller._reconcile_safely(KEY, self.desk)
        assert "see its log" not in self.desk.memory.obstacle, "a defect in the reconcile"
        return again_at

    def goes(self) -> None:
        """The resource is gone, and the watch says so at once."""
        self.api.erase(MARKET_MAKER, *KEY)
        self.show()


async def test_a_resource_whose_end_is_shown_before_the_last_patch_is_answered_stays_gone() -> None:
    desks = Desks()
    desks.api.edit(MARKET_MAKER, *KEY, {"metadata": {"annotations": {names.ABANDON_ANNOTATION: desks.desk.memory.uid}}})
    desks.api.remove(MARKET_MAKER, *KEY)
    desks.show()
    desks.api.meanwhile["patch marketmakers"] = desks.show
    await desks.reconcile()
    assert not desks.api.of(MARKET_MAKER), "its finalizer went, and so did it"
    assert not desks.cache.resources, "or it would hold its claim against the next one"


async def test_a_resource_that_goes_while_its_pods_are_read_is_let_go() -> None:
    desks = Desks()
    desks.api.meanwhile["list pods"] = desks.goes
    await desks.reconcile()
    assert not desks.cache.resources


async def test_figures_of_an_engine_whose_resource_is_gone_end_nothing() -> None:
    desks = Desks()
    desks.controller._desks[KEY] = desks.desk
    desks.controller.heard(KEY, "pod-1", report(), transition=True)
    desks.desk.memory.figures_at = NOW
    desks.goes()
    desks.controller.heard(KEY, "pod-1", report(figures=FiguresSection(position="1")), transition=False)
    assert desks.desk.memory.contact.connected
    desks.desk.close()


async def test_what_went_while_the_resync_waited_for_the_watch_stays_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resyncs, "GRACE_SECONDS", 0.0)
    desks = Desks()
    desks.api.edit(MARKET_MAKER, *KEY, {"spec": {"dryRun": True}})  # the list is ahead of the watch
    desks.api.meanwhile["list marketmakers"] = lambda: asyncio.get_running_loop().call_soon(desks.goes) and None
    assert await Resync(desks.api, desks.cache, SETTINGS, desks.metrics).repair() == set()
    assert not desks.cache.resources


async def test_what_a_long_outage_stopped_goes_on_within_30_s_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controllers.random, "random", lambda: 1.0)
    desks = Desks()
    desks.api.away = True
    waits = [(await desks.reconcile() - NOW).total_seconds() for _ in range(20)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] < 30
    desks.api.away = False
    await desks.reconcile()
    assert desks.desk.memory.errors == 0


@pytest.mark.parametrize("kind", [MARKET_MAKER, POD, SERVICE])
def test_an_answer_about_an_object_that_is_gone_does_not_bring_it_back(kind: Kind) -> None:
    cache = Cache(SETTINGS)
    cache.put(MARKET_MAKER, manifest())
    labels = {names.LABEL_UID: UID, names.LABEL_ATTEMPT: "1"}
    child: Any = {
        "metadata": {"name": "c", "namespace": "trading", "uid": "c", "resourceVersion": "8", "labels": labels}
    }
    thing = manifest() if kind is MARKET_MAKER else child
    cache.put(kind, thing)
    before = cache.names(kind)
    cache.drop(kind, merged(thing, {"metadata": {"resourceVersion": "9"}}))
    assert cache.put(kind, thing) == set()
    assert before
    assert not cache.names(kind)


async def test_a_child_that_only_lost_its_label_is_known_again_once_it_is_repaired() -> None:
    desks = Desks()
    await desks.reconcile()
    desks.show()
    service = desks.api.of(SERVICE)[0]
    # The watch, which selects by that label, calls it the end.
    stripped = desks.api.edit(SERVICE, *key_of(service), {"metadata": {"labels": {names.LABEL_MANAGED_BY: None}}})
    desks.api.events.clear()
    version = {"metadata": {"resourceVersion": stripped["metadata"]["resourceVersion"]}}
    desks.cache.drop(SERVICE, merged(service, version))
    calls = len(desks.api.calls)
    await desks.reconcile()
    assert desks.api.calls[calls:] == ["apply services"]
    assert desks.api.of(SERVICE)[0]["metadata"]["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY


def test_the_dead_are_remembered_only_as_long_as_an_answer_may_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "GONE_KEPT", 3)
    cache = Cache(SETTINGS)
    for number in range(10):
        cache.put(MARKET_MAKER, manifest(uid=f"uid-{number}"))
        cache.drop(MARKET_MAKER, manifest(uid=f"uid-{number}"))
    assert list(cache._gone) == ["uid-7", "uid-8", "uid-9"]
