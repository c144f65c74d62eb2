"""Proof that a deleted resource leaves no order behind (design, section 6; promise P9).

In this order: the engine's own last word; or its container has ended and the dead-man switch, whose time and the orders' recvWindow are over.
Without either the finalizer stays, which the status shows, until a person gives the proof up by annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from mm_contract.names import ABANDON_ANNOTATION
from mm_contract.resource import MarketMakerSpec
from mm_contract.termination import TerminationMessage
from mm_operator.views import PodView, ResourceView

MARGIN: Final = timedelta(seconds=2)
"""For clocks that tick apart: the node's `finishedAt` has whole seconds."""
_LONGEST_DEAD_MAN: Final = 120
_LONGEST_RECV_WINDOW_MS: Final = 2000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of pods that are gone by now (kept by the shell; after its restart the waiting begins anew, which is safe)."""

    attempt: int = 0
    """Attempt of the newest pod that was seen."""
    last_word: TerminationMessage | None = None
    dead_man_seconds: int | None = None
    """As that pod was rendered; 0: off; None: not known."""
    ended: datetime | None = None
    """When the container of that pod ended, or when the pod was first found gone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the finalizer may go, in a sentence for a person."""

    proven: bool
    message: str
    again_at: datetime | None = None
    blocked: bool = False
    """Time alone will not help."""

    @classmethod
    def waiting(cls, message: str, again_at: datetime | None = None) -> Self:
        """Not yet."""
        return cls(proven=False, message=message, again_at=again_at)

    @classmethod
    def abandoned(cls) -> Self:
        """Given up by a person."""
        return cls(proven=False, message="the proof was given up by annotation")


def judge(
    evidence: Evidence,
    resource: ResourceView,
    pods: Sequence[PodView],
    *,
    spec: MarketMakerSpec | None,
    now: datetime,
) -> Verdict:
    """Weigh what is known once no pod is live.

    Args:
        evidence: of pods that are gone.
        resource: being deleted.
        pods: finished ones that still exist.
        spec: None where it cannot be read; the longest times are then assumed.
        now: the operator's clock.
    """
    if resource.attempt == 0 and not pods and evidence.attempt == 0:
        return Verdict(proven=True, message="there never was an engine")
    newest = max(pods, key=lambda each: each.attempt, default=None)
    known = with_pod(evidence, newest) if newest is not None else evidence
    if known.attempt >= resource.attempt and known.last_word is not None and known.last_word.zero_own_orders:
        return Verdict(proven=True, message=f"the engine proved zero own orders at {known.last_word.time}")
    return _by_dead_man(known, spec, now)


def with_pod(evidence: Evidence, pod: PodView) -> Evidence:
    """The evidence after a pod was seen (again), alive or finished."""
    if pod.attempt < evidence.attempt:
        return evidence
    return Evidence(
        attempt=pod.attempt,
        last_word=pod.last_word if pod.finished or pod.deleting else None,
        dead_man_seconds=pod.dead_man_seconds,
        ended=pod.container.finished_at if pod.finished else None,
    )


def gone(evidence: Evidence, now: datetime) -> Evidence:
    """The evidence once no live pod is found: the first such moment counts, where no container's end is known."""
    if evidence.ended is not None:
        return evidence
    return Evidence(evidence.attempt, evidence.last_word, evidence.dead_man_seconds, now)


def _by_dead_man(known: Evidence, spec: MarketMakerSpec | None, now: datetime) -> Verdict:
    seconds = known.dead_man_seconds
    if seconds is None:
        # Unknown after a restart of the operator: what the spec says, and without one the longest that a spec could say.
        seconds = _LONGEST_DEAD_MAN if spec is None else _wanted_seconds(spec)
    if seconds == 0:
        return Verdict(
            proven=False,
            blocked=True,
            message="the engine ended without proving zero own orders and the dead-man switch is off; look at the account, then"
            f" annotate the resource with {ABANDON_ANNOTATION}=<its uid>",
        )
    window_ms = spec.exchange.recv_window_ms if spec else _LONGEST_RECV_WINDOW_MS
    # No order leaves unless the switch is armed (invariant 3) and none is accepted after its recvWindow, so after both nothing can rest.
    due = (known.ended or now) + timedelta(seconds=seconds, milliseconds=window_ms) + MARGIN
    if now >= due:
        return Verdict(proven=True, message=f"the engine ended and the dead-man switch's {seconds} s are over")
    return Verdict.waiting("the engine ended without a word; waiting for the dead-man switch", due)


def _wanted_seconds(spec: MarketMakerSpec) -> int:
    return spec.failover.dead_man_seconds if spec.failover.dead_man_switch else 0
