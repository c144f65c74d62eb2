"""The log: the only way for the engine to say something, checked against the contract's event registry.

The hot path appends a tuple to a ring; a writer thread turns it into one bare JSON line, to standard output and to the log file alike, so that no
slow disk or stuck pipe ever holds up a quote. Where the writer falls behind, lines are dropped and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import orjson
import structlog

from mm_contract.events import EVENTS, SCHEMA_ERROR, Level, schema_error
from mm_runner.telemetry.redaction import Redactor, listen_key_field
from mm_runner.telemetry.sinks import Sink, write_all

_RANK: Final = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}
_EVENT_RANK: Final = {name: _RANK[spec.level] for name, spec in EVENTS.items()}
_POLL_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 0.2
"""How often a log that was silent is looked at: the writer's wake-ups are most of what an idle engine costs."""
_FLUSH_POLL_SECONDS: Final = 0.002
_BATCH: Final = 256
_NS: Final = 1_000_000_000

Record = tuple[int, str, Mapping[str, object]]


class EventsLog:
    """Events in, lines out.

    Args:
        sinks: where lines go, in order.
        context: fields that every line carries unless it names its own (`symbol`).
        capacity: lines that may wait for the writer; beyond it the newest are dropped and counted.
        now_ns: unix nanoseconds.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        context: Mapping[str, object] | None = None,
        level: Level = Level.INFO,
        capacity: int = 16_384,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.redactor = Redactor()
        self.dropped = 0
        self.schema_errors = 0
        self._sinks = list(sinks)
        self._context = dict(context or {})
        self._rank = _RANK[level]
        self._capacity = capacity
        self._now_ns = now_ns
        self._ring: deque[Record] = deque()
        self._render = _Renderer(self)
        self._wake = threading.Event()
        self._writing = False
        self._closing = False
        self._thread: threading.Thread | None = None

    # -- hot path ------------------------------------------------------------------------------------------------------

    def emit(self, event: str, **fields: object) -> None:
        """Log an event of the registry."""
        self.emit_fields(event, fields)

    def emit_fields(self, event: str, fields: Mapping[str, object]) -> None:
        """The same for fields that are a mapping already; the mapping must not change afterwards."""
        if _EVENT_RANK.get(event, 40) < self._rank:
            return
        if len(self._ring) >= self._capacity:
            self.dropped += 1
            return
        self._ring.append((self._now_ns(), event, fields))

    # -- control -------------------------------------------------------------------------------------------------------

    def set_level(self, level: Level | str) -> None:
        """`telemetry.logLevel`, hot."""
        self._rank = _RANK[Level(level)]

    def set_context(self, **fields: object) -> None:
        """Fields that every later line carries."""
        self._context = {**self._context, **fields}

    @property
    def context(self) -> Mapping[str, object]:
        """Fields that every line carries."""
        return self._context

    def start(self) -> None:
        """Start the writer. Without it lines wait in the ring until `flush`."""
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def flush(self, timeout_seconds: float = 2.0) -> bool:
        """Wait until everything that was emitted before is written; False where the time ran out."""
        if self._thread is None or not self._thread.is_alive():
            self._drain()
            return True
        deadline = time.monotonic() + timeout_seconds
        while self._ring or self._writing:
            if time.monotonic() > deadline:
                return False
            self._wake.set()
            time.sleep(_FLUSH_POLL_SECONDS)
        return True

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Write what is left and stop. A writer stuck on a dead pipe is left behind: it is a daemon thread."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                return
        self._drain()
        for sink in self._sinks:
            sink.close()
        self._sinks = []

    # -- writer thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        busy = True
        while not self._closing:
            self._wake.wait(_POLL_SECONDS if busy else _IDLE_SECONDS)
            self._wake.clear()
            busy = bool(self._ring)
            self._drain()

    def _drain(self) -> None:
        while self._ring:
            self._writing = True  # before the first pop, so that `flush` never sees an empty ring with lines in hand
            lines = bytearray()
            for _ in range(min(_BATCH, len(self._ring))):
                lines += self._render.line(self._ring.popleft())
            for failed in write_all(self._sinks, bytes(lines)):
                self._sinks.remove(failed)
        self._writing = False


class _Renderer:
    """A structlog processor chain, run on the writer's side: what a line becomes on its way out."""

    def __init__(self, log: EventsLog) -> None:
        self._log = log
        self._second = -1
        self._prefix = ""
        self._chain: tuple[structlog.typing.Processor, ...] = (
            self._validate,
            self._fingerprint,
            structlog.processors.JSONRenderer(serializer=_dumps),
        )

    def line(self, record: Record) -> bytes:
        """One bare JSON object and a newline; `event` and `ts` come first, for eyes and for grep."""
        ns, event, fields = record
        entry: Any = {"event": event, "ts": self._timestamp(ns), **self._log.context, **fields}
        entry["event"] = event
        for processor in self._chain:
            entry = processor(None, "", entry)
        return self._log.redactor.clean(entry) + b"\n"

    def _validate(self, _: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event = entry["event"]
        spec = EVENTS.get(event)
        entry["level"] = (spec.level if spec is not None else Level.ERROR).value
        text = schema_error(event, entry)
        if text is not None:
            entry[SCHEMA_ERROR] = text
            self._log.schema_errors += 1
        return entry

    def _fingerprint(self, _: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if "listenKey" in entry:
            entry["listenKey"] = listen_key_field(entry["listenKey"])
        return entry

    def _timestamp(self, ns: int) -> str:
        """RFC 3339 with nanoseconds and Z; the part down to the second is made once a second."""
        second, rest = divmod(ns, _NS)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{rest:09d}Z"


def _dumps(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)


class LibraryHandler(logging.Handler):
    """Warnings and errors of libraries become `library_log` lines, so that nothing but JSON reaches standard output."""

    def __init__(self, log: EventsLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; a traceback is reduced to its exception's name, whose text may hold a URL."""
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()[:400]}
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
        self._log.emit_fields("library_log", fields)
