"""Puts the latency model on real connections: REST calls wait on their way in and out, frames of a socket in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from mm_exchange.latency import InOrder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import web
    from websockets.asyncio.server import ServerConnection

    from mm_exchange.latency import Delay, Latency

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    Write = Callable[[bytes], None]


def delayed_rest(handle: Handler, latency: Latency) -> Handler:
    """A REST handler behind the model. Requests of one connection are one after another by themselves."""
    entry, answer = latency.entry, latency.answer
    if entry is None and answer is None:
        return handle

    async def delayed(http: web.BaseRequest) -> web.StreamResponse:
        if entry is not None:
            await asyncio.sleep(entry() / 1e9)
        response = await handle(http)
        if answer is not None:
            await asyncio.sleep(answer() / 1e9)
        return response

    return delayed


def delayed_write(write: Write, delay: Delay | None) -> Write:
    """A socket's way out behind the model. Frames may be on their way together, and keep their order."""
    return write if delay is None else _Line(write, delay).push


class _Line:
    """Frames on their way."""

    def __init__(self, write: Write, delay: Delay) -> None:
        self._write = write
        self._order = InOrder(delay)
        self._frames: deque[tuple[float, bytes]] = deque()

    def push(self, payload: bytes) -> None:
        """Send one off."""
        loop = asyncio.get_running_loop()
        due = self._order.arrival_ns(int(loop.time() * 1e9)) / 1e9
        self._frames.append((due, payload))
        if len(self._frames) == 1:
            loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        loop = asyncio.get_running_loop()
        # The loop's clock may be a little short of the time that it woke for: the first one is due in any case.
        self._write(self._frames.popleft()[1])
        while self._frames and self._frames[0][0] <= loop.time():
            self._write(self._frames.popleft()[1])
        if self._frames:
            loop.call_at(self._frames[0][0], self._arrive)


async def delayed_messages(connection: ServerConnection, delay: Delay | None) -> AsyncIterator[str | bytes]:
    """A socket's messages behind the model, in order; several may be on their way together."""
    if delay is None:
        async for message in connection:
            yield message
        return
    order, loop = InOrder(delay), asyncio.get_running_loop()
    arriving: asyncio.Queue[tuple[float, str | bytes] | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async for message in connection:
                arriving.put_nowait((order.arrival_ns(int(loop.time() * 1e9)) / 1e9, message))
        finally:
            arriving.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (item := await arriving.get()) is not None:
            await asyncio.sleep(max(0.0, item[0] - loop.time()))
            yield item[1]
        await reader
    finally:
        reader.cancel()
