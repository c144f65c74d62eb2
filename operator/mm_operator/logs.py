"""The operator's log: one JSON object a line on standard output, kopf's and the libraries' lines included."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_QUIET: Final = ("kopf", "websockets", "aiohttp.access", "asyncio")


def configure(level: str) -> None:
    """Set up structlog and the standard library's root logger.

    Args:
        level: debug, info, warning or error.
    """
    shared: list[Processor] = [structlog.stdlib.add_log_level, _timestamp]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _foreign],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def last_words(error: BaseException) -> None:
    """Say in one line why the process ends: the innermost reasons of a group of exceptions, without their traces."""
    structlog.get_logger(__name__).error("operator_failed", error="; ".join(_reasons(error)))


def _reasons(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [reason for each in error.exceptions for reason in _reasons(each)]
    return [f"{type(error).__name__}: {error}"]


def _timestamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Nanoseconds as the engine's lines have them; the clock itself gives microseconds.
    event["ts"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    return event


def _foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A library's sentence becomes the message of one event."""
    record = event.get("_record")
    event["message"], event["event"] = event.get("event", ""), "library"
    if record is not None:
        event["logger"] = record.name
    return event


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(dict(event), default=_text).decode()


def _text(value: Any) -> str:
    return str(value)
