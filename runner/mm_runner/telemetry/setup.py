"""Puts the pieces of telemetry together for a process: log to standard output and file, library warnings caught, metrics made."""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mm_contract import names
from mm_contract.events import Level
from mm_runner.telemetry.events_log import EventsLog, LibraryHandler
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.sinks import RotatingFileSink, Sink, StreamSink

_ONCE_NS: Final = 60 * 1_000_000_000


@dataclass(slots=True)
class Telemetry:
    """The log and the metrics of one engine, and the rule that garbage is counted always and said once a minute."""

    log: EventsLog
    metrics: Metrics
    boot_ns: Callable[[], int] = field(default=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    _said: dict[str, tuple[int, int]] = field(default_factory=dict)

    def malformed(self, kind: str, *, source: str, error: str = "") -> None:
        """Something unusable arrived: count it, log it once per kind and minute with how many there were."""
        self.metrics.cell("runner_malformed_total", kind=kind).value += 1
        self.once(f"malformed/{kind}", "malformed_input", {"kind": kind, "source": source, "error": error})

    def once(self, key: str, event: str, fields: Mapping[str, object], *, every_ns: int = _ONCE_NS) -> None:
        """Emit at most once per key and interval; `count` says how often it happened since the last line."""
        now = self.boot_ns()
        said_at, unsaid = self._said.get(key, (now - every_ns, 0))
        if now - said_at < every_ns:
            self._said[key] = (said_at, unsaid + 1)
            return
        self._said[key] = (now, 0)
        self.log.emit_fields(event, {**fields, "count": unsaid + 1})


def make_telemetry(symbol: str, env: Mapping[str, str], *, level: Level | str = Level.INFO) -> Telemetry:
    """Log to standard output and, where its folder can be written, to the log file (`MM_LOG_FILE`, else the seed's path).

    Outside a pod the seed's folder is usually missing; that is no error, standard output carries every line.
    """
    sinks: list[Sink] = [StreamSink(sys.stdout.buffer)]
    chosen = env.get(names.ENV_LOG_FILE, "")
    trouble = ""
    try:
        sinks.append(RotatingFileSink(Path(chosen or names.LOG_FILE)))
    except OSError as error:
        trouble = error.strerror or type(error).__name__
    log = EventsLog(sinks, context={"symbol": symbol}, level=Level(level))
    _catch_libraries(log)
    atexit.register(log.close)  # whatever way out the process takes, what was said is written
    if trouble and chosen:
        log.emit("library_log", logger="telemetry", message=f"log file {chosen} cannot be opened: {trouble}")
    return Telemetry(log, Metrics(symbol))


def _catch_libraries(log: EventsLog) -> None:
    root = logging.getLogger()
    root.handlers = [LibraryHandler(log)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
