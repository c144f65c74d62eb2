"""Writes the journal of a live engine: the hot path appends to a ring, a thread encodes and writes.

Bounded in every way: the ring by its capacity, the file by its size, older journals by their number. Whatever goes wrong here ends the journal and
never the trading: it is said once, counted, and the file says that it is incomplete. A hole would be worse than an end, since nothing behind a hole
can be replayed.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from mm_runner.core import messages as m
from mm_runner.journal.codec import DecisionDigest, End, Header, Record, encode_action, encode_entry, frame, preamble

MAX_BYTES: Final = 4 * 1024**3
"""Of the file as it lies on the disk. At the pace of the recorded tape 6 GB a day, with `.gz` 1.4 GB."""
KEPT: Final = 3
"""Older journals beside the one that is written: FILE.1 (the newest) to FILE.3."""
CAPACITY: Final = 8_192
"""Records that may wait for the disk: half a minute of a busy market, about 6 MB."""
_POLL_SECONDS: Final = 0.05
_BATCH: Final = 512
_GZIP_LEVEL: Final = 3
_GZIP_WBITS: Final = 31
_SYNC_EVERY: Final = 20
"""Polls between two sync points of the compressed stream: what a crash may cost is a second."""
_CLOSE_SECONDS: Final = 3.0

_Entry = tuple[m.Event, m.Instant, Sequence[m.Action], str]

_TEXTS: Final[dict[type, str]] = {
    m.DepthSnapshotFailed: "error",
    m.StreamDown: "error",
    m.OrderRefused: "message",
    m.OrderUnknown: "error",
    m.CancelRefused: "message",
    m.CancelUnknown: "error",
    m.QueryFailed: "error",
    m.ReconcileFailed: "error",
    m.SpecRefused: "message",
    m.ControlPlane: "error",
}
"""Free text that somebody else wrote, and that might quote a request with its signature."""


class Secrets(Protocol):
    """Knows what must not be written (`telemetry.redaction.Redactor`)."""

    def clean(self, line: bytes) -> bytes:
        """The text without any secret."""

    def holds_secret(self, payload: bytes) -> bool:
        """Whether a known secret stands in it."""


class JournalWriter:
    """One journal, from its header to its last word.

    Args:
        path: the file; `.gz` at its end compresses. An older one of that name is kept as FILE.1, and so on.
        header: whose inputs.
        secrets: strikes them out of free text, and is asked before anything is written.
        failed: told once, with a sentence and the number of records lost at that moment; called on the writer's thread.
        max_bytes: the file's bound.
        capacity: records that may wait.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(  # noqa: PLR0913 - its collaborators and bounds, by name
        self,
        path: Path,
        header: Header,
        *,
        secrets: Secrets,
        failed: Callable[[str, int], None],
        max_bytes: int = MAX_BYTES,
        capacity: int = CAPACITY,
    ) -> None:
        self.lost = 0
        """Records that were not written since the journal became incomplete."""
        self._secrets = secrets
        self._failed = failed
        self._capacity = capacity
        self._ring: deque[_Entry] = deque()
        self._trouble = ""
        self._ended = False
        self._popped = 0
        self._records = 0
        self._digest = DecisionDigest()
        self._wake = threading.Event()
        self._closing = ""
        _keep_older(path)
        self._output = _Output(path, max_bytes)
        self._output.write(preamble(header), sync=True)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # -- hot path ------------------------------------------------------------------------------------------------------

    def clean(self, event: m.Event) -> m.Event:
        """The event without secrets in its text: what the core is given is what the journal has (invariant 8)."""
        name = _TEXTS.get(type(event))
        if name is None:
            return event
        text: str = getattr(event, name)
        cleaned = self._secrets.clean(text.encode(errors="replace")).decode(errors="replace")
        return event if cleaned == text else msgspec.structs.replace(event, **{name: cleaned})

    def append(self, event: m.Event, now: m.Instant, actions: Sequence[m.Action], *, error: str = "") -> None:
        """Take one call of the core; the event and the actions must not change afterwards."""
        if self._trouble or self._ended:
            self.lost += 1
        elif len(self._ring) >= self._capacity:
            self.lost += 1
            self._trouble = "the disk is too slow: records waited beyond the bound"
        else:
            self._ring.append((event, now, actions, error))

    # -- end -----------------------------------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """Write what waits and the last word; a writer stuck on a dead disk is left behind after a few seconds."""
        self._closing = reason or "closed"
        self._wake.set()
        self._thread.join(_CLOSE_SECONDS)

    # -- writer thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        polls = 0
        while not self._ended:
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()
            closing, polls = self._closing, polls + 1
            try:
                self._drain(sync=polls % _SYNC_EVERY == 0)
                while self._ring:
                    self._drain(sync=False)
                if self._trouble:
                    self._stop(self._trouble, complete=False)
                elif closing and not self._ring:
                    self._stop(closing, complete=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine trades on and is told
                self._stop(_sentence(error), complete=False)

    def _drain(self, *, sync: bool) -> None:
        lines, taken = bytearray(), []
        try:
            for _ in range(min(_BATCH, len(self._ring))):
                self._popped += 1
                payload, actions = self._payload(self._ring.popleft())
                if not self._output.has_room(len(lines) + len(payload)):
                    raise _EndedError(f"it has reached its bound of {self._output.max_bytes} bytes")
                lines += frame(payload)
                taken.append(actions)
        finally:
            self._output.write(bytes(lines), sync=sync)
            self._records += len(taken)
            for actions in taken:
                for action in actions:
                    self._digest.add_encoded(action)

    def _payload(self, entry: _Entry) -> tuple[bytes, tuple[bytes, ...]]:
        event, now, actions, error = entry
        encoded = tuple(encode_action(action) for action in actions)
        payload = encode_entry(Record(now.boot_ns, now.wall_ms, event, encoded, error))
        # Invariant 8: no secret in what leaves the process, belt and braces (tests/unit/runner/journal/test_writer.py).
        if self._secrets.holds_secret(payload):
            raise _EndedError(f"a {type(event).__name__} held a secret")
        return payload, encoded

    def _stop(self, reason: str, *, complete: bool) -> None:
        """The last word, as far as the disk takes it."""
        self._ended = True
        self.lost += len(self._ring) + self._popped - self._records  # what waits, and what was in hand
        self._ring.clear()
        end = End(reason, complete=complete, records=self._records, decisions_sha256=self._digest.hex)
        with contextlib.suppress(OSError, ValueError):
            self._output.write(frame(encode_entry(end)), sync=True)
        with contextlib.suppress(OSError, ValueError):
            self._output.close()
        if not complete:
            self._failed(f"{reason}; the journal ends here and replays up to record {self._records}", self.lost)


class _EndedError(Exception):
    """The journal cannot go on; the text says why."""


class _Output:
    """The file, compressed or not."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._file: IO[bytes] = path.open("wb")
        self._size = 0
        self._deflate = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS) if path.suffix == ".gz" else None

    def has_room(self, size: int) -> bool:
        """Whether so many more bytes fit, were none of them compressed."""
        return self._size + size <= self.max_bytes

    def write(self, lines: bytes, *, sync: bool) -> None:
        """Write; `sync` makes everything so far readable although the file goes on."""
        if self._deflate is not None:
            lines = self._deflate.compress(lines) + (self._deflate.flush(zlib.Z_SYNC_FLUSH) if sync else b"")
        if lines:
            self._file.write(lines)
            self._file.flush()
            self._size += len(lines)

    def close(self) -> None:
        """Finish the compressed stream and the file."""
        try:
            if self._deflate is not None:
                self._file.write(self._deflate.flush())
        finally:
            self._file.close()


def check_writable(path: Path) -> None:
    """Whether a journal may be opened here later; touches nothing that is there.

    Raises:
        OSError: it may not.
    """
    with path.open("ab"):
        pass


def _keep_older(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def _sentence(error: Exception) -> str:
    if isinstance(error, _EndedError):
        return str(error)
    if isinstance(error, OSError):
        return f"the disk refuses it ({error.strerror or type(error).__name__})"
    return f"it cannot be written ({type(error).__name__})"
