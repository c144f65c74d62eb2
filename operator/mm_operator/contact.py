"""What is known of an engine by its status stream and its Lease, and when a pod counts as lost. Pure.

A pod is lost when its node is, or when its engine is silent in every way that the operator can see: the stream is down, and the Lease was not renewed
for its whole time on the operator's own clock while the API answered. Neither is needed for safety (the Lease fences), only for a quick replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mm_contract.report import StatusReport
from mm_operator.views import PodView

LEASE_MARGIN: Final = timedelta(seconds=1)
START_MARGIN: Final = timedelta(seconds=60)
"""A pod that was never heard may still be starting; its startup probe ends that by then."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The status stream of one pod."""

    pod_uid: str = ""
    connected: bool = False
    report: StatusReport | None = None
    """The last one; says nothing of now while not connected."""
    lost_since: datetime | None = None
    """Since when this pod is not heard, be it since its stream went down or since one was first wanted."""

    @property
    def was_up(self) -> bool:
        """Whether this pod's stream was ever up."""
        return self.report is not None


@dataclass(frozen=True, slots=True)
class LeaseSight:
    """The same Lease record, seen again and again; forgotten whenever the API server does not answer."""

    version: str
    """`resourceVersion`: any write of the holder moves it."""
    since: datetime
    """When this version was first seen."""


def seen(previous: LeaseSight | None, version: str, now: datetime) -> LeaseSight:
    """After one more read."""
    return previous if previous is not None and previous.version == version else LeaseSight(version, now)


def is_lost(  # noqa: PLR0913 - each is a sign of life of its own
    pod: PodView,
    contact: Contact,
    *,
    node_ready: bool | None,
    lease: LeaseSight | None,
    lease_seconds: int,
    now: datetime,
) -> bool:
    """Whether a replacement need not wait for this pod.

    Args:
        pod: not finished.
        contact: of this or another pod.
        node_ready: the Ready condition of its node; None where it is not known.
        lease: the claim's Lease as last seen.
        lease_seconds: its duration.
        now: the operator's clock.
    """
    if not pod.node or (contact.connected and contact.pod_uid == pod.uid):
        return False
    if node_ready is False:
        return True
    if contact.pod_uid != pod.uid or contact.lost_since is None or not pod.container.running:
        # A container that its kubelet reports as ended is the kubelet's to restart.
        return False
    silent = timedelta(seconds=lease_seconds) + (LEASE_MARGIN if contact.was_up else START_MARGIN)
    return lease is not None and now - max(lease.since, contact.lost_since) >= silent
