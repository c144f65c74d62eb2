"""Wall-clock milliseconds as the strings of report, claim state and log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(wall_ms: int) -> str:
    """RFC 3339 UTC with milliseconds; empty for 0 (never)."""
    if wall_ms <= 0:
        return ""
    moment = _EPOCH + timedelta(milliseconds=wall_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{wall_ms % 1000:03d}Z"


def utc_day(wall_ms: int) -> str:
    """YYYY-MM-DD of the UTC day."""
    return (_EPOCH + timedelta(milliseconds=wall_ms)).strftime("%Y-%m-%d")
