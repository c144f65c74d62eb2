"""An API server in memory, as far as reconciliation can tell: versions, preconditions, finalizers, graceful deletion, watches that lag.

Sieve's three faults can be put into it: the operator dies before or after any call, a watch event is lost, a cache is stale for as long as one likes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mm_operator.kube.api import ApiError, Listing, Manifest
from mm_operator.kube.kinds import CHILD_KINDS, MARKET_MAKER, POD, Kind

Name = tuple[str, str, str]


class OperatorDiedError(BaseException):
    """The process ended here: nothing after this call happened."""


@dataclass
class ApiModel:
    """`Api` over a dictionary."""

    objects: dict[Name, Manifest] = field(default_factory=dict)
    events: list[tuple[Kind, str, Manifest]] = field(default_factory=list)
    """What the watches have still to show, oldest first."""
    calls: list[str] = field(default_factory=list)
    dies_before: int | None = None
    dies_after: int | None = None
    away: bool = False
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # The operator's side.

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        with _Call(self, f"get {kind.plural}"):
            return copy.deepcopy(self._present((kind.plural, namespace, name)))

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> Listing:
        with _Call(self, f"list {kind.plural}"):
            found = [
                copy.deepcopy(each)
                for (plural, space, _), each in self.objects.items()
                if plural == kind.plural and namespace in (None, space) and _selected(each, labels)
            ]
            return Listing(tuple(found), "")

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        with _Call(self, f"create {kind.plural}"):
            return self.add(kind, manifest)

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        with _Call(self, f"apply {kind.plural}"):
            name = _name(kind, manifest)
            if name not in self.objects:
                return self.add(kind, manifest)
            return self._write(kind, name, _merged(self.objects[name], manifest))

    async def patch(self, kind: Kind, namespace: str, name: str, *, body: Manifest, subresource: str = "") -> Manifest:
        with _Call(self, f"patch {kind.plural}{'/' if subresource else ''}{subresource}"):
            return self.edit(kind, namespace, name, body)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        with _Call(self, f"delete {kind.plural}"):
            key = (kind.plural, namespace, name)
            if uid and self._present(key)["metadata"]["uid"] != uid:
                raise ApiError(409, "Conflict", "the UID in the precondition does not match")
            self.remove(kind, namespace, name)

    # Everybody else's side.

    def add(self, kind: Kind, manifest: Manifest) -> Manifest:
        name = _name(kind, manifest)
        if name in self.objects:
            raise ApiError(409, "AlreadyExists", f"{name} already exists")
        made = copy.deepcopy(manifest)
        version = next(self._versions)
        made["metadata"] |= {
            "uid": f"{version:05d}-uid",
            "creationTimestamp": f"2026-01-01T{version // 3600 % 24:02d}:{version // 60 % 60:02d}:{version % 60:02d}Z",
            "generation": 1,
        }
        return self._write(kind, name, made, event="ADDED", version=version)

    def edit(self, kind: Kind, namespace: str, name: str, body: Manifest) -> Manifest:
        key = (kind.plural, namespace, name)
        live = self._present(key)
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted is not None and wanted != live["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        after = _merged(live, body)
        _never_falls(live, after)
        if after.get("spec") != live.get("spec"):
            after["metadata"]["generation"] = live["metadata"]["generation"] + 1
        if after["metadata"].get("deletionTimestamp") and not after["metadata"].get("finalizers") and kind is not POD:
            self._erase(kind, key, after)
            return after
        return self._write(kind, key, after)

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        """A graceful deletion: pods wait for their kubelet, objects with finalizers for those."""
        key = (kind.plural, namespace, name)
        live = self._present(key)
        waits = bool(live["metadata"].get("finalizers")) or (kind is POD and not _finished(live))
        if not waits:
            self._erase(kind, key, live)
        elif not live["metadata"].get("deletionTimestamp"):
            after = copy.deepcopy(live)
            after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            after["metadata"]["generation"] += 1
            self._write(kind, key, after)

    def erase(self, kind: Kind, namespace: str, name: str) -> None:
        """The kubelet's or garbage collector's last step."""
        key = (kind.plural, namespace, name)
        self._erase(kind, key, self._present(key))

    def of(self, kind: Kind) -> list[Manifest]:
        return [each for (plural, _, _), each in self.objects.items() if plural == kind.plural]

    def collect_garbage(self) -> None:
        """Owned objects whose owner is gone."""
        owners = {each["metadata"]["uid"] for each in self.of(MARKET_MAKER)}
        for kind in (*CHILD_KINDS, POD):
            for each in list(self.of(kind)):
                references = each["metadata"].get("ownerReferences") or ()
                if references and not any(reference["uid"] in owners for reference in references):
                    self.remove(kind, each["metadata"]["namespace"], each["metadata"]["name"])

    def _present(self, key: Name) -> Manifest:
        if key not in self.objects:
            raise ApiError(404, "NotFound", f"{key} not found")
        return self.objects[key]

    def _write(
        self, kind: Kind, name: Name, manifest: Manifest, *, event: str = "MODIFIED", version: int | None = None
    ) -> Manifest:
        made = copy.deepcopy(manifest)
        made["metadata"]["resourceVersion"] = str(version if version is not None else next(self._versions))
        self.objects[name] = made
        self._tell(kind, event, made)
        return copy.deepcopy(made)

    def _erase(self, kind: Kind, name: Name, last: Manifest) -> None:
        del self.objects[name]
        gone = copy.deepcopy(last)
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self._tell(kind, "DELETED", gone)

    def _tell(self, kind: Kind, event: str, manifest: Manifest) -> None:
        if kind in (MARKET_MAKER, POD, *CHILD_KINDS):
            self.events.append((kind, event, copy.deepcopy(manifest)))


class _Call:
    """One call: the process can die on either side of its effect."""

    def __init__(self, model: ApiModel, what: str) -> None:
        self._model = model
        self._what = what

    def __enter__(self) -> None:
        model = self._model
        if model.away:
            raise ApiError(503, "ServiceUnavailable", "the API server is away")
        if model.dies_before == len(model.calls):
            raise OperatorDiedError(f"before {self._what}")
        model.calls.append(self._what)

    def __exit__(self, *_: object) -> None:
        if self._model.dies_after is not None and self._model.dies_after < len(self._model.calls):
            raise OperatorDiedError(f"after {self._what}")


def _never_falls(before: Manifest, after: Manifest) -> None:
    """The CRD's transition rule."""
    old = ((before.get("status") or {}).get("engine") or {}).get("attempt") or 0
    new = ((after.get("status") or {}).get("engine") or {}).get("attempt") or 0
    if "status" in before and before.get("kind") == MARKET_MAKER.kind and new < old:
        raise ApiError(422, "Invalid", "status.engine.attempt never falls")


def _name(kind: Kind, manifest: Manifest) -> Name:
    metadata = manifest["metadata"]
    return kind.plural, metadata.get("namespace", ""), metadata["name"]


def _finished(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _selected(manifest: Manifest, labels: str) -> bool:
    have = manifest["metadata"].get("labels") or {}
    return all(have.get(name) == value for name, value in (pair.split("=") for pair in labels.split(",") if pair))


def _merged(document: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
