"""A way to the API server that can be shut: a TCP relay on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading


class Door:
    """Relays every connection, each direction to its own end, until it is shut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._open = True
        self._lock = threading.Lock()
        """Held while a pair of sockets is let in and while all are cut: none slips through a door that is being shut."""
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def shut(self) -> None:
        """Cut every connection and take no new one."""
        with self._lock:
            self._open = False
            for each in self._sockets:
                _cut(each, socket.SHUT_RDWR)

    def open(self) -> None:
        with self._lock:
            self._open = True

    def close(self) -> None:
        """End it for good."""
        self.shut()
        _cut(self._listener, socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(inner,), daemon=True).start()

    def _join(self, inner: socket.socket) -> None:
        with inner, contextlib.suppress(OSError):
            if not self._open:
                return
            with socket.create_connection(self._target) as outer:
                if not self._let_in(inner, outer):
                    return
                try:
                    back = threading.Thread(target=_relay, args=(outer, inner), daemon=True)
                    back.start()
                    _relay(inner, outer)
                    back.join()
                finally:
                    with self._lock:
                        self._sockets -= {inner, outer}

    def _let_in(self, inner: socket.socket, outer: socket.socket) -> bool:
        with self._lock:
            if self._open:
                self._sockets |= {inner, outer}
            return self._open


def _relay(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, then its end: the other direction may still have an answer under way."""
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    except OSError:
        _cut(source, socket.SHUT_RDWR)
        _cut(sink, socket.SHUT_RDWR)
    else:
        _cut(sink, socket.SHUT_WR)


def _cut(each: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(how)
