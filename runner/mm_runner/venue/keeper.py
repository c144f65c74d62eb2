"""Keeps one stream's socket alive: connects, notices silence, reconnects with back-off, and renews it before the venue's 24 hours without a gap.

A connection that is up but mute is the venue's commonest way of failing (a retired path, a dead shard): it is found by the age of the newest frame,
from the very first one on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from mm_runner.core.messages import Stream
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.sockets import Connection, Opener, SocketError, SocketSettings

_NS: Final = 1_000_000_000
_PROVEN_SECONDS: Final = 10.0
_RENEW_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Bounds in seconds."""

    mute_seconds: float | None = 2.0
    """No frame for so long, the first one included, means a dead connection; None for the legitimately silent user stream."""
    max_age_seconds: float = 23.5 * 3600
    """The venue cuts at 24 h; we move before that."""
    overlap_seconds: float = 1.0
    check_seconds: float = 0.1
    socket: SocketSettings = field(default_factory=SocketSettings)


class _Link:
    """One connection and the age of its newest frame."""

    def __init__(self, boot_ns: Callable[[], int], on_frame: Callable[[bytes], None]) -> None:
        self._boot_ns = boot_ns
        self._on_frame = on_frame
        self._connection: Connection | None = None
        self.opened_ns = self.newest_ns = boot_ns()
        self.first_frame = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hold(self, connection: Connection) -> None:
        """The connection that frames come from."""
        self._connection = connection
        self.ended = connection.ended

    def take(self, payload: bytes) -> None:
        self.newest_ns = self._boot_ns()
        if not self.first_frame.is_set():
            self.first_frame.set()
        self._on_frame(payload)

    def silent_seconds(self) -> float:
        return (self._boot_ns() - self.newest_ns) / _NS

    def age_seconds(self) -> float:
        return (self._boot_ns() - self.opened_ns) / _NS

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class StreamKeeper:
    """One stream, for ever.

    Args:
        url: asked for at each connect; may wait (the user stream's needs a listenKey).
        on_frame: called inside the read callback; while `overlapping`, frames of two connections arrive interleaved.
        on_up: a connection stands.
        on_down: it ended; gets the reason.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        stream: Stream,
        *,
        url: Callable[[], Awaitable[str]],
        opener: Opener,
        on_frame: Callable[[bytes], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        telemetry: Telemetry,
        backoff: Backoff,
        boot_ns: Callable[[], int],
        settings: KeeperSettings | None = None,
    ) -> None:
        self.stream = stream
        self.overlapping = False
        self.up = False
        self._url = url
        self._opener = opener
        self._on_frame = on_frame
        self._on_up = on_up
        self._on_down = on_down
        self._telemetry = telemetry
        self._backoff = backoff
        self._boot_ns = boot_ns
        self._settings = settings or KeeperSettings()
        self._asked = ""
        self._current: _Link | None = None
        self._connects = telemetry.metrics.cell("runner_ws_connects_total", stream=stream.value)
        self._failures = telemetry.metrics.cell("runner_ws_failures_total", stream=stream.value)

    def age_seconds(self) -> float:
        """Age of the newest frame of the connection that stands; 0 where none has been opened yet."""
        return self._current.silent_seconds() if self._current is not None else 0.0

    def reconnect(self, reason: str) -> None:
        """Drop the connection and make a new one."""
        self._asked = reason

    async def run(self) -> None:
        """Keep it alive until cancelled."""
        while True:
            try:
                link = await self._open()
            except SocketError as error:
                self._failed(f"not connected: {error}")
                await asyncio.sleep(self._backoff.next_seconds())
                continue
            reason = await self._live(link)
            self.up = False
            self._failed(reason)
            self._on_down(reason)
            await asyncio.sleep(self._backoff.next_seconds())

    async def _open(self) -> _Link:
        url = await self._url()
        link = _Link(self._boot_ns, self._on_frame)
        link.hold(await self._opener(url, link.take, self._settings.socket))
        self._connects.value += 1
        return link

    def _failed(self, reason: str) -> None:
        self._failures.value += 1
        self._telemetry.log.emit("ws_disconnect", stream=self.stream.value, error=reason)

    async def _live(self, link: _Link) -> str:
        """From a fresh connection to the end of its last successor; returns why it ended."""
        self._asked = ""
        self._current = link
        try:
            self.up = True
            self._telemetry.log.emit("ws_connect", stream=self.stream.value)
            self._on_up()
            while True:
                reason = await self._watch(self._current)
                if reason:
                    return reason
                self._current = await self._roll_over(self._current)
        finally:
            self._current.close()

    async def _watch(self, link: _Link) -> str:
        """Until it ends (returns why) or grows old (returns an empty string). Raises what `on_frame` raised."""
        settings = self._settings
        while True:
            await asyncio.wait({link.ended}, timeout=settings.check_seconds)
            if link.ended.done():
                return "closed by us" if link.ended.cancelled() else link.ended.result()
            if link.age_seconds() > _PROVEN_SECONDS and link.first_frame.is_set():
                self._backoff.reset()
            if self._asked:
                return self._asked
            if settings.mute_seconds is not None and link.silent_seconds() > settings.mute_seconds:
                return f"mute for {link.silent_seconds():.1f} s"
            if link.age_seconds() > settings.max_age_seconds:
                return ""

    async def _roll_over(self, old: _Link) -> _Link:
        """Open a successor while the old connection still delivers; where that fails, the old one goes on and it is tried again later."""
        try:
            new = await self._open()
        except SocketError as error:
            self._failed(f"not renewed: {error}")
            return self._postponed(old)
        self.overlapping = True
        try:
            await self._first_frame(new)
            await asyncio.sleep(self._settings.overlap_seconds)
        except TimeoutError:
            new.close()
            self._failed("not renewed: the new connection is mute")
            return self._postponed(old)
        except asyncio.CancelledError:
            new.close()
            raise
        finally:
            self.overlapping = False
        old.close()
        return new

    async def _first_frame(self, link: _Link) -> None:
        if self._settings.mute_seconds is None:
            return
        async with asyncio.timeout(self._settings.mute_seconds):
            await link.first_frame.wait()

    def _postponed(self, link: _Link) -> _Link:
        link.opened_ns += int(_RENEW_AGAIN_SECONDS * _NS)
        return link
