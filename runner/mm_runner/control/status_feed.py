"""The status stream without its sockets: which message goes to which consumer, and when.

Transitions leave at once, figures at most once a second, and a consumer that falls behind gets a new snapshot instead of a growing queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec

from mm_contract import report
from mm_contract.report import SECTIONS, TRANSITION_SECTIONS, Delta, Snapshot, StatusReport
from mm_runner.control.clocks import SECOND_NS

FIGURES_EVERY_NS: Final = SECOND_NS
_MAX_PENDING: Final = 32


class Consumer:
    """One reader of the stream; `next_message` waits for what it has not had yet."""

    def __init__(self, feed: StatusFeed) -> None:
        self._feed = feed
        self._pending: deque[bytes] = deque()
        self._behind = True  # the first message is a snapshot
        self._ready = asyncio.Event()
        self._ready.set()

    def offer(self, frame: bytes) -> None:
        """A new delta; too many unread ones are dropped for a snapshot."""
        if self._behind:
            return
        if len(self._pending) >= _MAX_PENDING:
            self._pending.clear()
            self._behind = True
        else:
            self._pending.append(frame)
        self._ready.set()

    async def next_message(self) -> bytes:
        """The next frame to send."""
        await self._ready.wait()
        if self._behind:
            self._behind = False
            frame = self._feed.snapshot()
        else:
            frame = self._pending.popleft()
        if not self._pending:
            self._ready.clear()
        return frame


class StatusFeed:
    """Turns a report that changes into numbered messages."""

    def __init__(self, first: StatusReport) -> None:
        self._published = first
        self._sequence = 0
        self._figures_ns = -FIGURES_EVERY_NS
        self._consumers: set[Consumer] = set()

    @property
    def published(self) -> StatusReport:
        """What consumers know."""
        return self._published

    def join(self) -> Consumer:
        """A new consumer, whose first message is a snapshot."""
        consumer = Consumer(self)
        self._consumers.add(consumer)
        return consumer

    def leave(self, consumer: Consumer) -> None:
        """The consumer is gone."""
        self._consumers.discard(consumer)

    def snapshot(self) -> bytes:
        """Everything, at the current number."""
        return report.encode(Snapshot(sequence=self._sequence, report=self._published))

    def publish(self, current: StatusReport, now_ns: int) -> int | None:
        """Tell what changed. Returns when to call again for figures that were held back, or None."""
        delta = report.difference(self._published, current, sequence=self._sequence + 1)
        if delta is None:
            return None
        due_ns = self._figures_ns + FIGURES_EVERY_NS
        if now_ns < due_ns:
            held_back = any(getattr(delta, name) is not None for name in SECTIONS if name not in TRANSITION_SECTIONS)
            delta = _without_figures(delta)
            if delta is not None:
                self._send(delta)
            return due_ns if held_back else None
        if _has_figures(delta):
            self._figures_ns = now_ns
        self._send(delta)
        return None

    def _send(self, delta: Delta) -> None:
        self._sequence = delta.sequence
        self._published = report.apply(self._published, delta)
        frame = report.encode(delta)
        for consumer in self._consumers:
            consumer.offer(frame)


def _has_figures(delta: Delta) -> bool:
    return any(getattr(delta, name) is not None for name in SECTIONS if name not in TRANSITION_SECTIONS)


def _without_figures(delta: Delta) -> Delta | None:
    kept = msgspec.structs.replace(delta, **{name: None for name in SECTIONS if name not in TRANSITION_SECTIONS})
    return kept if any(getattr(kept, name) is not None for name in TRANSITION_SECTIONS) else None
