"""How long the venue puts up with a socket: pings and pongs, the cut after 24 hours, too many messages.

Source: the venue's documents. It pings every 3 minutes and cuts a client that sent no pong for 10; a connection lives
24 hours; PING, PONG and control messages of a client together must not exceed 10 a second, or it is disconnected.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

if TYPE_CHECKING:
    from websockets.http11 import Request

_COUNTED = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG})
# A client that does not answer the closing handshake is cut off after this.
_GOODBYE_S = 1.0


@dataclasses.dataclass(frozen=True)
class SocketRules:
    """The venue's rules for sockets; tests make them shorter. `messages_per_second` holds on stream sockets only."""

    ping_seconds: float = 180.0
    pong_seconds: float = 600.0
    lifetime_seconds: float = 24 * 3600.0
    messages_per_second: int = 10
    streams: int = 1024


class WatchedConnection(ServerConnection):
    """A connection that knows when it began, when it was last heard, and how much its client sends.

    Any pong counts as a sign of life, whatever it holds: a stock client answers with empty ones.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        now = asyncio.get_running_loop().time()
        self.began = self.pong_at = self.ping_at = now
        self.messages_per_second = 0
        self._arrivals: deque[float] = deque()

    def process_event(self, event: Frame | Request) -> None:  # type: ignore[override]
        """One incoming frame."""
        if isinstance(event, Frame):
            now = asyncio.get_running_loop().time()
            if event.opcode is Opcode.PONG:
                self.pong_at = now
            if event.opcode in _COUNTED and self._too_many(now):
                self.end(CloseCode.POLICY_VIOLATION, "Too many requests")
                return
        super().process_event(event)

    def _too_many(self, now: float) -> bool:
        if not self.messages_per_second:
            return False
        arrivals = self._arrivals
        arrivals.append(now)
        while arrivals[0] <= now - 1.0:
            arrivals.popleft()
        return len(arrivals) > self.messages_per_second

    def ping_now(self) -> None:
        """Send a ping without waiting for anything."""
        self.ping_at = asyncio.get_running_loop().time()
        self.protocol.send_ping(str(int(self.ping_at * 1000)).encode())
        self.send_data()

    def end(self, code: CloseCode, reason: str) -> None:
        """Close, without waiting for the client."""
        if self.protocol.state is not State.OPEN:
            return
        self.protocol.send_close(code, reason)
        self.send_data()
        asyncio.get_running_loop().call_later(_GOODBYE_S, self.transport.abort)


class Keeper:
    """Applies the rules to all sockets. `sweep` is called often and looks around ten times a second at most."""

    def __init__(self, rules: SocketRules) -> None:
        self.rules = rules
        self._connections: set[WatchedConnection] = set()
        self._next_sweep = 0.0

    def add(self, connection: WatchedConnection, *, limited: bool) -> None:
        """Watch a connection from its handshake on; `limited` ones may send only so many messages."""
        connection.messages_per_second = self.rules.messages_per_second if limited else 0
        self._connections.add(connection)

    def remove(self, connection: WatchedConnection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)

    def sweep(self) -> None:
        """Ping whom it is time to ping; end who is too old or too silent."""
        now = asyncio.get_running_loop().time()
        if now < self._next_sweep:
            return
        self._next_sweep = now + 0.1
        rules = self.rules
        for connection in self._connections:
            if connection.protocol.state is not State.OPEN:
                continue
            if now - connection.began >= rules.lifetime_seconds:
                connection.end(CloseCode.GOING_AWAY, "connection lifetime reached")
            elif now - connection.pong_at >= rules.pong_seconds:
                connection.end(CloseCode.POLICY_VIOLATION, "pong timeout")
            elif now - connection.ping_at >= rules.ping_seconds:
                connection.ping_now()
