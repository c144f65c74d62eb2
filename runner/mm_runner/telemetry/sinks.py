"""Where log lines go: standard output and a rotated, bounded file, with identical bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

MAX_BYTES: Final = 16 * 1024 * 1024
BACKUPS: Final = 3


class Sink(Protocol):
    """Takes whole lines, each with its newline."""

    def write(self, lines: bytes) -> None:
        """Write them; raises OSError where it cannot."""

    def close(self) -> None:
        """Release what is held."""


class StreamSink:
    """Standard output, or any binary stream that somebody else owns."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, lines: bytes) -> None:
        """Write and flush, so that a crash loses nothing that was handed over."""
        self._stream.write(lines)
        self._stream.flush()

    def close(self) -> None:
        """Flush; the stream stays open."""
        self._stream.flush()


class RotatingFileSink:
    """`runner.log`, `runner.log.1` … `runner.log.N`: never more than (N + 1) * max_bytes, whatever the engine says.

    Rotation renames, which Promtail and Alloy follow. Used from the writer thread only.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> None:
        """Open for appending; raises OSError where the folder is missing or read-only."""
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._file = self._open()

    def write(self, lines: bytes) -> None:
        """Append; rotates first where the file would grow past its bound."""
        if self._size + len(lines) > self._max_bytes and self._size > 0:
            self._rotate()
        self._file.write(lines)
        self._size += len(lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        opened = self._path.open("ab", buffering=0)
        self._size = os.fstat(opened.fileno()).st_size
        return opened

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._backups - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        if self._backups > 0:
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()
        self._file = self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def write_all(sinks: Sequence[Sink], lines: bytes) -> list[Sink]:
    """Write to each; returns the sinks that failed, so that one full disk does not silence standard output."""
    failed: list[Sink] = []
    for sink in sinks:
        try:
            sink.write(lines)
        except (OSError, ValueError):  # ValueError: the stream was closed under us
            failed.append(sink)
    return failed
