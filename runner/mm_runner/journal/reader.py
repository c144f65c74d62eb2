"""Reads a journal back: the header at once, then the records one by one; plain or gzip, told by the bytes and not by the name.

A journal that was cut off (kill -9, full disk) is read up to its last whole record, and `ending` says so. One that is damaged is read up to the
damage and then raises: what follows cannot be trusted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Self

from mm_runner.journal.codec import End, Frames, Header, JournalError, Record, decode_entry, decode_header

_CHUNK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
_MORSEL: Final = 512
"""Compressed bytes inflated at once: what comes out before a damaged place is still given."""


class Records(Iterator[Record]):
    """Every whole record, in order. After the last one `end` or `cut_off` tells how the journal ends."""

    def __init__(self, path: Path, chunks: Iterator[bytes], frames: Frames) -> None:
        self._path = path
        self._chunks = chunks
        self._frames = frames
        self.count = 0
        """Records read so far."""
        self.end: End | None = None
        """The writer's last word; None before it is read, or where it was cut off."""
        self.cut_off = ""
        """A sentence where the journal ends without a last word."""

    def __iter__(self) -> Self:
        """Itself: a journal is read once."""
        return self

    def __next__(self) -> Record:
        """The next record.

        Raises:
            JournalError: damaged from here on.
        """
        if self.end is not None or self.cut_off:
            raise StopIteration
        try:
            payload = _next_frame(self._frames, self._chunks)
            entry = decode_entry(payload) if payload is not None else None
        except JournalError as error:
            raise JournalError(
                f"{self._path}: record {self.count + 1}: {error}; the {self.count} records before it are whole"
            ) from error
        if isinstance(entry, Record):
            self.count += 1
            return entry
        if entry is None:
            self.cut_off = _cut_off(self._path, self.count, torn=self._frames.left > 0)
        else:
            self.end = entry
        raise StopIteration


def read_journal(path: Path) -> tuple[Header, Records]:
    """Open a journal.

    Raises:
        JournalError: not a journal, or one of another format.
        OSError: the file cannot be read.
    """
    frames = Frames()
    chunks = _chunks(path)
    begins_well = None
    for chunk in chunks:
        frames.feed(chunk)
        begins_well = frames.take_magic()
        if begins_well is not None:
            break
    if not begins_well:
        raise JournalError(f"{path} is not a journal of mm-runner run --journal")
    try:
        return _header(frames, chunks), Records(path, chunks, frames)
    except JournalError as error:
        raise JournalError(f"{path}: {error}") from error


def _header(frames: Frames, chunks: Iterator[bytes]) -> Header:
    payload = _next_frame(frames, chunks)
    if payload is None:
        raise JournalError("it ends within its header: the engine was killed at its start")
    return decode_header(payload)


def _next_frame(frames: Frames, chunks: Iterator[bytes]) -> bytes | None:
    while True:
        payload = frames.take()
        if payload is not None:
            return payload
        chunk = next(chunks, None)
        if chunk is None:
            return None
        frames.feed(chunk)


def _cut_off(path: Path, count: int, *, torn: bool) -> str:
    where = f"in the middle of record {count + 1}" if torn else f"after record {count}"
    return f"{path} is cut off {where} (the engine was killed, still runs, or the disk was full); everything before is whole"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        first = file.read(_CHUNK)
        if first[:2] == _GZIP:
            yield from _inflated(first, file)
            return
        while first:
            yield first
            first = file.read(_CHUNK)


def _inflated(first: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """Everything that can be inflated; a cut gzip stream gives what it has, a damaged one an error."""
    inflater = zlib.decompressobj(_GZIP_WBITS)
    chunk = first
    while chunk:
        for start in range(0, len(chunk), _MORSEL):
            try:
                plain = inflater.decompress(chunk[start : start + _MORSEL])
            except zlib.error as error:
                raise JournalError(f"its compressed bytes are damaged ({error})") from error
            if plain:
                yield plain
        chunk = file.read(_CHUNK)
