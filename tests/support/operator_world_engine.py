"""An engine's status stream, as the operator sees one: a WebSocket server that says what a test wants it to say."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import msgspec
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from mm_contract import report as reports
from mm_contract.report import Snapshot, StatusReport
from mm_contract.status_token import status_token, token_matches

KEY = b"0123456789abcdef0123456789abcdef"


@dataclass
class Engine:
    """A runner's status stream on a loopback address of its own."""

    host: str
    port: int
    uid: str
    report: StatusReport
    sequence: int = 0
    connections: list[ServerConnection] = field(default_factory=list)
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a client joins and while something is said: what is said falls into the snapshot or follows it, never between."""
    _serving: bool = False

    def start(self) -> None:
        self._serving = True
        self._server = serve(self._handle, self.host, self.port, process_request=self._authorize)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _authorize(self, _connection: ServerConnection, request: Request) -> Response | None:
        if token_matches(status_token(KEY, self.uid), request.headers.get("Authorization")):
            return None
        self.refused += 1
        return Response(401, "Unauthorized", Headers())

    def _handle(self, connection: ServerConnection) -> None:
        with self._lock:
            if not self._serving:
                return  # its handshake ended after the engine
            connection.send(reports.encode(Snapshot(sequence=self.sequence, report=self.report)).decode())
            self.connections.append(connection)
        with contextlib.suppress(ConnectionClosed):
            for _ in connection:
                pass

    def say(self, **sections: Any) -> None:
        """Change sections of the report and send the delta."""
        with self._lock:
            after = msgspec.structs.replace(self.report, **sections)
            delta = reports.difference(self.report, after, sequence=self.sequence + 1)
            if delta is None:
                return
            self.report, self.sequence = after, delta.sequence
            for connection in self.connections:
                with contextlib.suppress(ConnectionClosed):  # a client that went and came back has a newer connection
                    connection.send(reports.encode(delta).decode())

    def stop(self) -> None:
        self._server.shutdown()
        with self._lock:
            self._serving = False
            connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()
