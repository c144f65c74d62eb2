"""What the planner may ask for: each action is one call of the API server, so that a crash can fall between any two.

`execute` (in `executor`) performs them in order and stops at the first that fails; the next reconcile then plans afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import Kind
from mm_operator.views import ChildRef


@dataclass(frozen=True, slots=True)
class Refresh:
    """Read resource, pods and Lease from the quorum before anything that a stale cache could make dangerous."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Before the first pod."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Only after proof, or where a person gave the proof up."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class ApplyChild:
    """Server-side apply."""

    kind: Kind
    manifest: Manifest
    repairs: bool
    """Whether the child was there and is other than it should be, or is gone: drift, as against a first creation."""


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """A child that is no longer wanted."""

    kind: Kind
    ref: ChildRef
    uid: str


@dataclass(frozen=True, slots=True)
class CreateOnce:
    """Create; 409 means that it is there, which is as good (token Secret, Lease, claim state)."""

    kind: Kind
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class WriteAttempt:
    """`status.engine.attempt`, with a resourceVersion, before the pod of that attempt is created."""

    attempt: int
    resource_version: str
    reason: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """POST: the name carries the attempt, so a second operator gets 409."""

    attempt: int
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Graceful, with UID precondition. Never forced."""

    name: str
    namespace: str
    uid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Announce:
    """A Kubernetes Event on the resource."""

    reason: str
    message: str
    warning: bool = False


Action = (
    Refresh
    | AddFinalizer
    | RemoveFinalizer
    | ApplyChild
    | DeleteChild
    | CreateOnce
    | WriteAttempt
    | CreatePod
    | DeletePod
    | Announce
)
