"""The listenKey's life as a pure object: what to do next and when, what to say, what the status shows.

A key belongs to the account: it is created (the venue hands out the living one), extended every half hour, and never deleted, because deleting it
would end the user stream of every other engine of that account. The events are the seed's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from mm_contract.redaction import fingerprint
from mm_contract.report import ListenKeySection
from mm_contract.states import ListenKeyState
from mm_runner.core.messages import Instant

_NS: Final = 1_000_000_000
LIFETIME_SECONDS: Final = 3600.0
"""The venue forgets a key so long after its last extension."""


class Step(Enum):
    """What is to be done with the key."""

    CREATE = "create"
    KEEP = "keep"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Saying:
    """A log event."""

    event: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Intervals in seconds."""

    interval_seconds: float = 1800.0
    retry_seconds: float = 5.0
    create_cap_seconds: float = 30.0


class ListenKeyCycle:
    """Create, keep every 30 min, retry once after 5 s, else create anew; create anew at once when the venue says it expired.

    `next_step` and `due_ns` say what the shell must do and when (boot clock); it answers with one of the methods below, each of which returns what
    to log, in order.
    """

    def __init__(self, now: Instant, settings: KeySettings | None = None) -> None:
        self.settings = settings or KeySettings()
        self.state = ListenKeyState.RETRYING
        self.next_step = Step.CREATE
        self.due_ns = now.boot_ns
        self.key = ""
        self.kept_wall_ms = 0
        self.kept_boot_ns = 0
        self.failures = 0

    # -- answers of the venue ------------------------------------------------------------------------------------------

    def created(self, key: str, now: Instant) -> list[Saying]:
        """POST answered with a key, perhaps the one we had."""
        self.key = key
        self._alive(now)
        return [self._say("listenkey_created")]

    def create_failed(self, now: Instant, error: str) -> list[Saying]:
        """POST failed: tried again with growing pauses."""
        del error  # the request's own failure is logged where it was made
        self.failures += 1
        self.state = ListenKeyState.EXPIRED if not self.key else self.state
        pause = min(self.settings.create_cap_seconds, float(1 << min(self.failures - 1, 10)))
        self._plan(Step.CREATE, now, pause)
        return []

    def kept(self, now: Instant) -> list[Saying]:
        """PUT succeeded."""
        retried = self.next_step is Step.RETRY
        self._alive(now)
        return [self._say("listenkey_keepalive_retry_ok" if retried else "listenkey_keepalive_ok")]

    def keep_failed(self, now: Instant, error: str, *, code: int = 0) -> list[Saying]:
        """PUT failed: one retry after 5 s, then a new key; -1125 (no such key) needs no retry."""
        self.failures += 1
        retried = self.next_step is Step.RETRY
        said = [self._say("listenkey_keepalive_retry_failed" if retried else "listenkey_keepalive_error", error)]
        if code == -1125:
            return [*said, *self.expired(now, error)]
        self.state = ListenKeyState.RETRYING
        if retried:
            self._plan(Step.CREATE, now, 0)
        else:
            self._plan(Step.RETRY, now, self.settings.retry_seconds)
        return said

    def expired(self, now: Instant, error: str = "listenKeyExpired") -> list[Saying]:
        """The venue ended the key: the user stream is deaf until there is a new one."""
        said = [self._say("listenkey_expired", error)]
        self.state = ListenKeyState.EXPIRED
        self.key = ""
        self._plan(Step.CREATE, now, 0)
        return said

    def suspect(self, now: Instant) -> None:
        """The user stream does not stay up: ask for the key again, it may have been ended behind our back."""
        if self.next_step is Step.KEEP:
            self._plan(Step.CREATE, now, 0)

    # -- what is shown -------------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """How the key may be spoken of (invariant 8)."""
        return fingerprint(self.key)

    def section(self) -> ListenKeySection:
        """For the status report."""
        return ListenKeySection(
            state=self.state,
            fingerprint=self.fingerprint,
            last_keepalive_time=_rfc3339(self.kept_wall_ms),
            expires_at=_rfc3339(self.kept_wall_ms + int(LIFETIME_SECONDS * 1000))
            if self.kept_wall_ms and self.key
            else "",
            consecutive_failures=self.failures,
        )

    def _alive(self, now: Instant) -> None:
        self.state = ListenKeyState.ACTIVE
        self.failures = 0
        self.kept_wall_ms, self.kept_boot_ns = now.wall_ms, now.boot_ns
        self._plan(Step.KEEP, now, self.settings.interval_seconds)

    def _plan(self, step: Step, now: Instant, seconds: float) -> None:
        self.next_step = step
        self.due_ns = now.boot_ns + int(seconds * _NS)

    def _say(self, event: str, error: str = "") -> Saying:
        fields: dict[str, object] = {"listenKey": self.fingerprint}
        if error:
            fields["error"] = error
        return Saying(event, fields)


def _rfc3339(wall_ms: int) -> str:
    if wall_ms <= 0:
        return ""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
