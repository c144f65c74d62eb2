"""The status streams: one WebSocket client per engine, snapshot first, then deltas; reconnects for ever.

It only listens. What it hears becomes a `Contact` in the controller's hands, which decides what of it is written.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from mm_contract.names import STATUS_PATH
from mm_contract.report import (
    SECTIONS,
    TRANSITION_SECTIONS,
    Delta,
    Message,
    ReportError,
    Snapshot,
    StatusReport,
    apply,
    decode,
)
from mm_operator.views import Key

_OPEN_SECONDS: Final = 5.0
_PING_SECONDS: Final = 5.0
_PONG_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.25
_RETRY_CAP_SECONDS: Final = 5.0
_MAX_FRAME: Final = 1 << 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Whose stream, and where."""

    resource_uid: str
    pod_uid: str
    host: str
    port: int
    token: str = field(repr=False)

    @property
    def uri(self) -> str:
        """`ws://<podIP>:8080/v1/status`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}{STATUS_PATH}"


class Listener(Protocol):
    """Who is told."""

    def heard(self, key: Key, pod_uid: str, report: StatusReport, *, transition: bool) -> None:
        """A report came; `transition` is False where only figures moved."""

    def lost(self, key: Key, pod_uid: str) -> None:
        """The stream is down (told once per loss)."""


class WrongEngineError(Exception):
    """Another engine answers at this address: pod addresses are used again."""


class Streams:
    """All status streams of this process.

    Args:
        tasks: owner of the clients.
        listener: who is told.
        failed: called at each failed or lost connection (for metrics).
    """

    def __init__(self, tasks: asyncio.TaskGroup, listener: Listener, *, failed: Callable[[], None]) -> None:
        self._tasks = tasks
        self._listener = listener
        self._failed = failed
        self._running: dict[Key, tuple[Target, asyncio.Task[None]]] = {}
        self._up: set[Key] = set()

    @property
    def up(self) -> int:
        """How many streams are up."""
        return len(self._up)

    def want(self, key: Key, target: Target | None) -> None:
        """Have this stream and no other for the resource; None: none."""
        current = self._running.get(key)
        if current is not None:
            if current[0] == target:
                return
            current[1].cancel()
            del self._running[key]
        if target is not None:
            task = self._tasks.create_task(self._follow(key, target), name=f"status stream of {key}")
            self._running[key] = (target, task)

    async def _follow(self, key: Key, target: Target) -> None:
        delay = _RETRY_SECONDS
        while True:
            heard = False
            try:
                async with connect(
                    target.uri,
                    additional_headers={"Authorization": f"Bearer {target.token}"},
                    open_timeout=_OPEN_SECONDS,
                    ping_interval=_PING_SECONDS,
                    ping_timeout=_PONG_SECONDS,
                    close_timeout=1,
                    max_size=_MAX_FRAME,
                    proxy=None,
                ) as connection:
                    heard = await self._read(key, target, connection)
            except (OSError, TimeoutError, WebSocketException, ReportError, WrongEngineError) as error:
                self._say(key, target, error)
            self._failed()
            delay = _RETRY_SECONDS if heard else min(_RETRY_CAP_SECONDS, delay * 2)
            await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311 - spreads reconnects

    async def _read(self, key: Key, target: Target, connection: ClientConnection) -> bool:
        """Read until the stream ends; whether anything usable was heard."""
        report: StatusReport | None = None
        sequence = 0
        try:
            async for frame in connection:
                message = decode(frame)
                report, transition = merge(report, message, expected=sequence + 1)
                sequence = message.sequence
                if report.engine.uid and report.engine.uid != target.resource_uid:
                    raise WrongEngineError(f"the engine of {report.engine.namespace}/{report.engine.name} answers")
                self._up.add(key)
                self._listener.heard(key, target.pod_uid, report, transition=transition)
        finally:
            self._up.discard(key)
            if report is not None:
                self._listener.lost(key, target.pod_uid)
        return report is not None

    def _say(self, key: Key, target: Target, error: Exception) -> None:
        # The exception of a refused handshake may hold headers, and so the token: only its status is told.
        reason = f"handshake refused: {type(error).__name__}" if isinstance(error, InvalidHandshake) else str(error)
        _log.debug("status_stream_failed", resource=str(key), address=f"{target.host}:{target.port}", error=reason)


def merge(report: StatusReport | None, message: Message, *, expected: int) -> tuple[StatusReport, bool]:
    """The report after a message, and whether more than figures moved.

    Raises:
        ReportError: a delta before the snapshot, or one is missing.
    """
    match message:
        case Snapshot():
            return message.report, True
        case Delta():
            if report is None or message.sequence != expected:
                raise ReportError(f"delta {message.sequence} came where {expected} was due")
            after = apply(report, message)
            moved = {name for name in SECTIONS if getattr(message, name) is not None}
            book_moved = after.market_data.synced != report.market_data.synced
            return after, bool(moved & TRANSITION_SECTIONS) or book_moved
