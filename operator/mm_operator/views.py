"""What the planner sees of live objects: small frozen values instead of raw manifests.

Read at the edge from what the API server sent, so that a field that is missing there is a decision here and not an exception in the planner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mm_contract.names import (
    ABANDON_ANNOTATION,
    ANNOTATION_RESTART_HASH,
    GROUP,
    LABEL_ATTEMPT,
    LABEL_UID,
    RUNNER_CONTAINER,
)
from mm_contract.termination import TerminationMessage, decode

ANNOTATION_TOKEN_KEY: Final = f"{GROUP}/token-key"
"""On a pod: id of the key whose token its engine demands."""
ANNOTATION_DEAD_MAN: Final = f"{GROUP}/dead-man-seconds"
"""On a pod: the dead-man time that its engine arms, 0 where the switch is off."""
VOLUME_TOKEN: Final = "status-token"  # noqa: S105 - a volume's name


class Key(NamedTuple):
    """Which resource."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.namespace}/{self.name}"


class ChildRef(NamedTuple):
    """Which child."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ResourceView:
    """A MarketMaker's metadata, and the raw spec and status."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    created: str
    deleting: bool
    finalizers: tuple[str, ...]
    abandoned: bool
    """A person set the annotation that gives up the proof, with this very resource's uid."""
    labels: Mapping[str, str]
    manifest: Mapping[str, Any]

    @property
    def status(self) -> Mapping[str, Any]:
        """`status` as it is on the API server."""
        return _mapping(self.manifest.get("status"))

    @property
    def attempt(self) -> int:
        """`status.engine.attempt`; 0 before the first pod."""
        return int(_mapping(self.status.get("engine")).get("attempt") or 0)

    @property
    def seen_pod(self) -> str:
        """`status.engine.podName`: the newest pod that is known to have existed."""
        return str(_mapping(self.status.get("engine")).get("podName") or "")


@dataclass(frozen=True, slots=True)
class Container:
    """The engine's container as its kubelet last reported it."""

    running: bool = False
    waiting_reason: str = ""
    exit_code: int | None = None
    message: str = ""
    finished_at: datetime | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a MarketMaker."""

    name: str
    namespace: str
    uid: str
    owner_uid: str
    attempt: int
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    deleting: bool = False
    node: str = ""
    ip: str = ""
    created: datetime | None = None
    ready: bool = False
    restart_hash: str = ""
    token_key: str = ""
    dead_man_seconds: int | None = None
    resource_version: str = ""
    container: Container = field(default_factory=Container)

    @property
    def finished(self) -> bool:
        """Whether no container of it will ever run again; a terminated container of a live pod may be restarted."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def last_word(self) -> TerminationMessage | None:
        """The engine's termination message, where its container has ended and said one."""
        return decode(self.container.message) if not self.container.running else None


def resource_view(manifest: Mapping[str, Any]) -> ResourceView:
    """Read a MarketMaker."""
    metadata = _mapping(manifest.get("metadata"))
    uid = str(metadata.get("uid", ""))
    return ResourceView(
        key=key_of(manifest),
        uid=uid,
        generation=int(metadata.get("generation") or 0),
        resource_version=str(metadata.get("resourceVersion", "")),
        created=str(metadata.get("creationTimestamp", "")),
        deleting=bool(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        abandoned=bool(uid) and _mapping(metadata.get("annotations")).get(ABANDON_ANNOTATION) == uid,
        labels=_mapping(metadata.get("labels")),
        manifest=manifest,
    )


def pod_view(manifest: Mapping[str, Any]) -> PodView:
    """Read a pod."""
    metadata = _mapping(manifest.get("metadata"))
    labels, annotations = _mapping(metadata.get("labels")), _mapping(metadata.get("annotations"))
    spec, status = _mapping(manifest.get("spec")), _mapping(manifest.get("status"))
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    return PodView(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        owner_uid=str(labels.get(LABEL_UID, "")),
        attempt=_number(labels.get(LABEL_ATTEMPT)) or 0,
        phase=str(status.get("phase") or "Pending"),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        node=str(spec.get("nodeName") or ""),
        ip=str(status.get("podIP") or ""),
        created=parse_time(metadata.get("creationTimestamp")),
        ready=conditions.get("Ready") == "True",
        restart_hash=str(annotations.get(ANNOTATION_RESTART_HASH, "")),
        token_key=str(annotations.get(ANNOTATION_TOKEN_KEY, "")),
        dead_man_seconds=_number(annotations.get(ANNOTATION_DEAD_MAN)),
        resource_version=str(metadata.get("resourceVersion", "")),
        container=_container(status),
    )


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Namespace and name of an object."""
    metadata = _mapping(manifest.get("metadata"))
    return Key(str(metadata.get("namespace", "")), str(metadata.get("name", "")))


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time; None for anything else."""
    if not isinstance(text, str) or not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _container(status: Mapping[str, Any]) -> Container:
    for each in status.get("containerStatuses") or ():
        if each.get("name") == RUNNER_CONTAINER:
            break
    else:
        return Container()
    state, last = _mapping(each.get("state")), _mapping(each.get("lastState"))
    ended = _mapping(state.get("terminated")) or _mapping(last.get("terminated"))
    return Container(
        running="running" in state,
        waiting_reason=str(_mapping(state.get("waiting")).get("reason") or ""),
        exit_code=ended.get("exitCode"),
        message=str(ended.get("message") or ""),
        finished_at=parse_time(ended.get("finishedAt")),
        restarts=int(each.get("restartCount") or 0),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() else None
