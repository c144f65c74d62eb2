"""The resource itself as the source of spec and halts: two watches, and a fresh read of both beside each Lease renewal.

A watch can hang half-open and say nothing for ever; the reads beside the renewals bound what that can hide. Works while the operator is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mm_contract.names import API_VERSION, MARKET_MAKER_KIND, TRADING_HALT_KIND
from mm_contract.resource import MarketMaker, SpecError, parse_market_maker, parse_trading_halt
from mm_runner.control.kube_api import KubeApi, KubeError, market_makers_path, trading_halts_path
from mm_runner.control.lease_loop import ControlPlaneError
from mm_runner.control.spec_source import (
    REASON_INVALID,
    Offer,
    Sink,
    SpecGate,
    closes_on_delete,
    matching_halts,
    unreadable_halt,
)
from mm_runner.core.messages import Halt, HaltsChanged, SpecRefused

_WATCH_SECONDS: Final = 120.0
_READ_SECONDS: Final = 1.5
_RETRY_SECONDS: Final = 1.0

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceIdentity:
    """Which resource this engine belongs to; an empty uid is learned at the first read."""

    namespace: str
    name: str
    uid: str = ""


class SpecResource:
    """Watches one MarketMaker and its namespace's TradingHalts.

    Args:
        deleted: told once when the resource is being deleted or gone; True where deletion also flattens.
        failed: told what could not be read, for the log; "" when all can be read again.
    """

    def __init__(
        self,
        api: KubeApi,
        identity: ResourceIdentity,
        *,
        deleted: Callable[[bool], None],
        failed: Callable[[str], None],
    ) -> None:
        self._api = api
        self._makers = market_makers_path(identity.namespace)
        self._path = market_makers_path(identity.namespace, identity.name)
        self._halts_path = trading_halts_path(identity.namespace)
        self._name = identity.name
        self._uid = identity.uid
        self._deleted = deleted
        self._failed = failed
        self.unusable: Callable[[SpecRefused], None] = lambda _: None
        """Told when the first spec cannot be used."""
        self._sink: Sink | None = None
        self._gate: SpecGate | None = None
        self._maker: MarketMaker | None = None
        self._maker_version = 0
        self._ending = False
        self._halts: dict[str, Object] = {}
        self._halts_version = 0
        self._halts_listed = False
        self._told: HaltsChanged | None = None

    async def first(self) -> MarketMaker:
        """See `SpecSource`; waits while the API server cannot be read, or holds a spec that cannot be used."""
        refused = -1
        while True:
            try:
                found = await self._own(_READ_SECONDS)
                self._failed("")
                maker = parse_market_maker(found)
                break
            except KubeError as error:
                self._failed(str(error))
            except SpecError as error:
                generation = int((found.get("metadata") or {}).get("generation") or 0)
                if generation != refused:
                    refused = generation
                    self.unusable(
                        SpecRefused(generation=generation, reason=REASON_INVALID, message="; ".join(error.problems))
                    )
            await asyncio.sleep(_RETRY_SECONDS)
        self._uid = self._uid or maker.metadata.uid
        self._gate = SpecGate(maker, maker.metadata.generation, replaced_from_outside=True)
        self._maker = maker
        return maker

    async def run(self, sink: Sink) -> None:
        """See `SpecSource`."""
        if self._gate is None:
            await self.first()
        self._sink = sink
        self._tell_halts()
        selector = f"metadata.name={self._name}"
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self._follow(self._makers, {"fieldSelector": selector}, self._list_maker, self._maker_event)
            )
            group.create_task(self._follow(self._halts_path, {}, self._list_halts, self._halt_event))

    async def guard(self, seconds: float) -> None:
        """See `SpecSource`."""
        reading = asyncio.create_task(self._api.get(self._halts_path, timeout_seconds=seconds))
        try:
            maker = await self._own(seconds)
            halts = await reading
        except KubeError as error:
            self._failed(str(error))
            raise ControlPlaneError(str(error)) from error
        finally:
            await _ended(reading)
        self._failed("")
        self._take_maker(maker)
        self._take_halts(halts)

    async def _own(self, seconds: float) -> Object:
        try:
            return await self._api.get(self._path, timeout_seconds=seconds)
        except KubeError as error:
            if error.status == 404:
                self._gone(close=False)
            raise

    # Following a collection: list, watch from there, again when the watch ends.

    async def _follow(
        self,
        path: str,
        query: dict[str, str],
        listed: Callable[[Object], None],
        changed: Callable[[str, Object], None],
    ) -> None:
        while True:
            try:
                collection = await self._list(path, query)
                listed(collection)
                version = str((collection.get("metadata") or {}).get("resourceVersion", ""))
                async for event in self._api.watch(
                    path, {**query, "resourceVersion": version}, silence_seconds=_WATCH_SECONDS
                ):
                    if event.get("type") == "ERROR":
                        await asyncio.sleep(_RETRY_SECONDS)  # 410: the resourceVersion is too old; list again
                        break
                    changed(str(event.get("type")), event.get("object") or {})
            except KubeError as error:
                self._failed(str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _list(self, path: str, query: dict[str, str]) -> Object:
        suffix = "?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else ""
        return await self._api.get(path + suffix, timeout_seconds=_READ_SECONDS)

    # The resource.

    def _list_maker(self, collection: Object) -> None:
        items = collection.get("items") or []
        if items:
            self._take_maker({"apiVersion": API_VERSION, "kind": MARKET_MAKER_KIND, **items[0]})
        else:
            self._gone(close=False)

    def _maker_event(self, kind: str, found: Object) -> None:
        if kind == "DELETED":
            self._gone(close=False)
        elif kind in ("ADDED", "MODIFIED"):
            self._take_maker(found)

    def _take_maker(self, found: Object) -> None:
        metadata = found.get("metadata") or {}
        version = _version(metadata)
        if version <= self._maker_version or self._gate is None or self._sink is None:
            return  # an older read that was overtaken by the watch
        self._maker_version = version
        if self._uid and metadata.get("uid") != self._uid:
            self._gone(close=False)
            return
        generation = int(metadata.get("generation") or 0)
        try:
            maker = parse_market_maker(found)
            self._maker = maker
            offer = Offer(generation, maker=maker.model_copy(update={"metadata": _ruling(maker), "status": None}))
        except SpecError as error:
            offer = Offer(generation, problems=error.problems)
        event = self._gate.offer(offer)
        if event is not None:
            self._sink(event)
        self._tell_halts()
        if metadata.get("deletionTimestamp") and self._maker is not None:
            self._gone(close=closes_on_delete(self._maker.spec))

    def _gone(self, *, close: bool) -> None:
        if not self._ending:
            self._ending = True
            self._deleted(close)

    # The halts.

    def _list_halts(self, collection: Object) -> None:
        self._take_halts(collection)

    def _take_halts(self, collection: Object) -> None:
        version = _version(collection.get("metadata") or {})
        if version < self._halts_version:
            return
        self._halts_version = version
        self._halts_listed = True
        self._halts = {_object_name(item): _typed(item) for item in collection.get("items") or []}
        self._tell_halts()

    def _halt_event(self, kind: str, found: Object) -> None:
        version = _version(found.get("metadata") or {})
        if version <= self._halts_version:
            return
        self._halts_version = version
        if kind == "DELETED":
            self._halts.pop(_object_name(found), None)
        elif kind in ("ADDED", "MODIFIED"):
            self._halts[_object_name(found)] = _typed(found)
        self._tell_halts()

    def _tell_halts(self) -> None:
        event = self._matching()
        if event != self._told and self._sink is not None:
            self._told = event
            self._sink(event)

    def _matching(self) -> HaltsChanged:
        if not self._halts_listed or self._maker is None:
            return HaltsChanged(unreadable=True)
        readable, unreadable = [], []
        for name, found in self._halts.items():
            try:
                readable.append(parse_trading_halt(found))
            except SpecError as error:
                unreadable.append(unreadable_halt(name, error))
        matching = matching_halts(readable, self._maker.metadata.labels)
        halts: tuple[Halt, ...] = (*matching.halts, *unreadable)
        return HaltsChanged(halts=halts)


async def _ended(reading: asyncio.Task[Object]) -> None:
    """No task is left behind, and no failure of it goes unseen with a warning."""
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def _ruling(maker: MarketMaker) -> Any:
    """The metadata without what changes with every status write, so that equal offers compare equal."""
    return maker.metadata.model_copy(update={"resource_version": "", "annotations": {}, "finalizers": ()})


def _typed(item: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": TRADING_HALT_KIND, **item}


def _object_name(found: Object) -> str:
    return str((found.get("metadata") or {}).get("name", ""))


def _version(metadata: Object) -> int:
    """Resource versions of one resource type are integers that grow (Kubernetes' API conventions since 1.35); 0 where unreadable."""
    text = str(metadata.get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
