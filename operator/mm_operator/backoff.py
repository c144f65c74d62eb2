"""How long the next attempt waits. Pure; the first replacement is immediate, each one after a short life waits twice as long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from mm_operator.planner import Backoff

SHORT_LIFE: Final = timedelta(minutes=1)
_BASE_SECONDS: Final = 2.0
_CAP_SECONDS: Final = 60.0


def after_attempt(previous: Backoff, *, born: datetime | None, now: datetime) -> Backoff:
    """The back-off once the pod of an attempt has ended by itself.

    Args:
        previous: before it.
        born: when that pod was created; None where it was never seen.
        now: when its end was seen.
    """
    if born is not None and now - born >= SHORT_LIFE:
        return Backoff()
    failures = previous.failures + 1
    if failures == 1:
        return Backoff(failures=1)
    wait = min(_CAP_SECONDS, _BASE_SECONDS * 2 ** (failures - 2))
    return Backoff(failures=failures, not_before=now + timedelta(seconds=wait))
