"""What the watches have shown so far: plain dictionaries, kept by uid of the owning resource.

No `kopf.index` (its cost grows with the square of the objects). Older versions of an object never replace newer ones, because answers to our own
calls reach the cache before the watch shows the same change; and what is gone never comes back, because they may also reach it long after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mm_contract.names import LABEL_UID
from mm_contract.resource import MarketMakerSpec, SpecError, parse_market_maker
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import CHILD_KINDS, MARKET_MAKER, POD, Kind
from mm_operator.render.identity import claim_of
from mm_operator.settings import Settings
from mm_operator.views import ChildRef, Key, PodView, ResourceView, key_of, pod_view, resource_view

_NOISE: Final = ("managedFields", "selfLink")
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
GONE_KEPT: Final = 16_384
"""Ends that are remembered: more than 1,000 resources leave behind, with all their children, within one request's bound."""
_FOR_GOOD: Final = ""


@dataclass(frozen=True, slots=True)
class ParsedSpec:
    """The spec of one generation, or why it is refused."""

    uid: str
    generation: int
    spec: MarketMakerSpec | None
    refusal: str
    claim: str
    """Claims namespace and claim key; empty where the spec cannot be read."""


_NOTHING: Final = ParsedSpec("", 0, None, "", "")


class Cache:
    """Live objects of all watched resources."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.resources: dict[Key, ResourceView] = {}
        self._parsed: dict[Key, ParsedSpec] = {}
        self._pods: dict[str, dict[str, PodView]] = {}
        self._children: dict[str, dict[ChildRef, Manifest]] = {}
        self._keys: dict[str, Key] = {}
        self._claims: dict[str, set[Key]] = {}
        self._departed: dict[str, list[PodView]] = {}
        self._gone: dict[str, str] = {}
        """`resourceVersion` of their end, by uid, the latest last; `_FOR_GOOD` where no later version can be. A uid is never given twice."""

    # Reading.

    def pods(self, uid: str) -> tuple[PodView, ...]:
        """All pods of a resource, oldest attempt first."""
        return tuple(sorted(self._pods.get(uid, {}).values(), key=lambda each: each.attempt))

    def children(self, uid: str) -> Mapping[ChildRef, Manifest]:
        """All children of a resource that are kept by server-side apply."""
        return self._children.get(uid, {})

    def parsed(self, key: Key) -> ParsedSpec:
        """The resource's spec, parsed once per generation; no spec and no refusal where it is gone, as it may be after any await."""
        return self._parsed.get(key, _NOTHING)

    def holder(self, key: Key) -> Key | None:
        """The older resource that has this one's claim; None where it is this one (invariant 4)."""
        claim = self.parsed(key).claim
        rivals = [self.resources[each] for each in self._claims.get(claim, ()) if each in self.resources]
        oldest = min(rivals, key=lambda each: (each.created, each.uid), default=None)
        return None if oldest is None or oldest.key == key else oldest.key

    def rivals(self, key: Key) -> Iterator[Key]:
        """Other resources on the same claim."""
        return (each for each in self._claims.get(self.parsed(key).claim, ()) if each != key)

    def take_departed(self, uid: str) -> list[PodView]:
        """Last views of pods that went since the last call: they may carry the engine's last word."""
        return self._departed.pop(uid, [])

    def known_version(self, kind: Kind, manifest: Mapping[str, Any]) -> str | None:
        """`resourceVersion` of our copy of an object; None where there is none."""
        uid, owner = _uid(manifest), _owner(manifest)
        if kind is MARKET_MAKER:
            view = self.resources.get(key_of(manifest))
            return view.resource_version if view is not None and view.uid == uid else None
        if kind is POD:
            pod = self._pods.get(owner, {}).get(key_of(manifest).name)
            return pod.resource_version if pod is not None and pod.uid == uid else None
        child = self._children.get(owner, {}).get(_ref(kind, manifest))
        return _version(child) if child is not None and _uid(child) == uid else None

    def knows_owner(self, manifest: Mapping[str, Any]) -> bool:
        """Whether an object belongs to a resource that we have."""
        return _owner(manifest) in self._keys

    def names(self, kind: Kind) -> set[tuple[str, Key]]:
        """Owner uid and key of every object of a kind that we have."""
        if kind is MARKET_MAKER:
            return {(view.uid, key) for key, view in self.resources.items()}
        if kind is POD:
            return {(uid, Key(pod.namespace, pod.name)) for uid, pods in self._pods.items() for pod in pods.values()}
        return {
            (uid, Key(ref.namespace, ref.name))
            for uid, refs in self._children.items()
            for ref in refs
            if ref.kind == kind.kind
        }

    # Writing; each returns the resources that must be looked at.

    def put(self, kind: Kind, manifest: Mapping[str, Any]) -> set[Key]:
        """Take over an object unless we have a newer one, or know that it is gone."""
        if self._is_past(manifest):
            return set()
        known = self.known_version(kind, manifest)
        if known is not None and _is_older(_version(manifest), known):
            return set()
        if kind is MARKET_MAKER:
            return self._put_resource(manifest)
        owner = _owner(manifest)
        if not owner:
            return set()
        if kind is POD:
            view = pod_view(manifest)
            self._pods.setdefault(owner, {})[view.name] = view
        elif kind in CHILD_KINDS:
            self._children.setdefault(owner, {})[_ref(kind, manifest)] = _without_noise(manifest)
        return self._owner_key(owner)

    def drop(self, kind: Kind, manifest: Mapping[str, Any]) -> set[Key]:
        """An object is gone."""
        # What is watched by its labels also ends when it loses them, and then may come back as a later version.
        self._bury(_uid(manifest), _FOR_GOOD if kind is MARKET_MAKER else _version(manifest))
        if kind is MARKET_MAKER:
            return self._drop_resource(key_of(manifest), _uid(manifest))
        owner = _owner(manifest)
        if kind is POD:
            view = pod_view(manifest)
            known = self._pods.get(owner, {}).get(view.name)
            if known is not None and known.uid == view.uid:
                del self._pods[owner][view.name]
                self._depart(owner, view)
        else:
            self._children.get(owner, {}).pop(_ref(kind, manifest), None)
        self._sweep(owner)
        return self._owner_key(owner)

    def _bury(self, uid: str, version: str) -> None:
        if uid:
            self._gone[uid] = version
            if len(self._gone) > GONE_KEPT:
                del self._gone[next(iter(self._gone))]

    def _is_past(self, manifest: Mapping[str, Any]) -> bool:
        ended = self._gone.get(_uid(manifest))
        return ended is not None and (ended == _FOR_GOOD or _is_older(_version(manifest), ended))

    def _sweep(self, owner: str) -> None:
        """What the garbage collector removes after its resource must not leave empty places behind."""
        if owner not in self._keys:
            for kept in (self._pods, self._children):
                if not kept.get(owner):
                    kept.pop(owner, None)

    def forget(self, kind: Kind, owner: str, key: Key) -> set[Key]:
        """An object is not there any more, and nobody told us its last state."""
        if kind is MARKET_MAKER:
            self._bury(owner, _FOR_GOOD)
            return self._drop_resource(key, owner)
        if kind is POD:
            pod = self._pods.get(owner, {}).pop(key.name, None)
            if pod is not None:
                self._depart(owner, pod)
        else:
            self._children.get(owner, {}).pop(ChildRef(kind.kind, key.namespace, key.name), None)
        return self._owner_key(owner)

    def replace_pods(self, uid: str, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Take over a fresh list of one resource's pods: what is not in it is gone."""
        listed = list(manifests)
        present = {key_of(each).name for each in listed}
        for name in [name for name in self._pods.get(uid, {}) if name not in present]:
            self._depart(uid, self._pods[uid].pop(name))
        for each in listed:
            self.put(POD, each)

    def _depart(self, owner: str, pod: PodView) -> None:
        if owner in self._keys:
            self._departed.setdefault(owner, []).append(pod)

    def _put_resource(self, manifest: Mapping[str, Any]) -> set[Key]:
        key = key_of(manifest)
        if not self._settings.watches(key.namespace):
            return set()
        view = resource_view(_without_noise(manifest))
        old = self.resources.get(key)
        affected = {key}
        if old is not None and old.uid != view.uid:
            affected |= self._drop_resource(key, old.uid)
        self.resources[key] = view
        self._keys[view.uid] = key
        parsed = self._parsed.get(key)
        if parsed is None or (parsed.uid, parsed.generation) != (view.uid, view.generation):
            self._parsed[key] = self._parse(view, parsed)
            self._claim(key, was=parsed.claim if parsed is not None else "")
        return affected | set(self.rivals(key) if old is None else ())

    def _claim(self, key: Key, *, was: str) -> None:
        self._claims.get(was, set()).discard(key)
        claim = self._parsed[key].claim
        if claim:  # two specs that cannot be read are no rivals for it
            self._claims.setdefault(claim, set()).add(key)

    def _parse(self, view: ResourceView, previous: ParsedSpec | None) -> ParsedSpec:
        # The status is ours to write and none of the parser's business here.
        readable = {name: value for name, value in view.manifest.items() if name != "status"}
        try:
            spec = parse_market_maker(readable).spec
        except SpecError as error:
            # The claim's fields are immutable, so an earlier generation's claim still is this one's.
            claim = previous.claim if previous is not None and previous.uid == view.uid else ""
            return ParsedSpec(view.uid, view.generation, None, "; ".join(error.problems), claim)
        namespace = self._settings.claims_namespace_of(view.key.namespace)
        claim = f"{namespace}/{claim_of(spec).key}"
        image = spec.pod.image
        if image and not self._settings.allows_image(image):
            refusal = (
                f"spec.pod.image: {image} is not among the operator's allowed images; use one of them or leave it empty"
            )
            return ParsedSpec(view.uid, view.generation, None, refusal, claim)
        return ParsedSpec(view.uid, view.generation, spec, "", claim)

    def _drop_resource(self, key: Key, uid: str) -> set[Key]:
        view = self.resources.get(key)
        if view is None or view.uid != uid:
            return set()
        rivals = set(self.rivals(key))
        parsed = self._parsed.pop(key, None)
        if parsed is not None:
            self._claims.get(parsed.claim, set()).discard(key)
        del self.resources[key]
        self._keys.pop(uid, None)
        for kept in (self._pods, self._children, self._departed):
            kept.pop(uid, None)
        return {key} | rivals

    def _owner_key(self, owner: str) -> set[Key]:
        key = self._keys.get(owner)
        return set() if key is None else {key}


def _owner(manifest: Mapping[str, Any]) -> str:
    labels = (manifest.get("metadata") or {}).get("labels") or {}
    return str(labels.get(LABEL_UID, ""))


def _uid(manifest: Mapping[str, Any]) -> str:
    return str((manifest.get("metadata") or {}).get("uid", ""))


def _version(manifest: Mapping[str, Any]) -> str:
    return str((manifest.get("metadata") or {}).get("resourceVersion", ""))


def _ref(kind: Kind, manifest: Mapping[str, Any]) -> ChildRef:
    key = key_of(manifest)
    return ChildRef(kind.kind, key.namespace, key.name)


def _is_older(version: str, known: str) -> bool:
    """Of one object, resource versions are etcd's revisions and can be compared; where they are not numbers, the newcomer counts."""
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)


def _without_noise(manifest: Mapping[str, Any]) -> Manifest:
    metadata = {name: value for name, value in (manifest.get("metadata") or {}).items() if name not in _NOISE}
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    return dict(manifest) | {"metadata": metadata}
