"""The claim state: what a claim must not forget when pods, resources and nodes come and go.

One small ConfigMap per claim in the claims namespace (a file outside Kubernetes), created by the operator, updated only by the engine.
Without owner reference, so that deleting and re-creating a resource forgets no halt (design, section 5).
"""

from __future__ import annotations

from typing import Final

import msgspec

STATE_KEY: Final = "state.json"
MAX_CONSUMED: Final = 64
"""How many used acknowledgements are remembered; a haltId is a fresh UUID, so an older one can no longer match a halt."""


class HaltLatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A latched halt: it outlives restarts until a person acknowledges that very `halt_id` (invariant 6)."""

    halt_id: str
    reason: str
    since: str


class ClaimState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Durable facts of one claim. Amounts are decimal strings, times RFC 3339 UTC."""

    epoch: int = 0
    latch: HaltLatch | None = None
    consumed_acknowledgements: tuple[str, ...] = ()
    day: str = ""
    """The UTC date (YYYY-MM-DD) that `day_baseline_equity` belongs to."""
    day_baseline_equity: str = ""
    high_water_mark: str = ""
    ban_until: str = ""


class ClaimStateError(ValueError):
    """The state exists but cannot be read: that means halted (invariant 6)."""


def encode(state: ClaimState) -> str:
    """JSON text for the ConfigMap's `state.json` or the file."""
    return msgspec.json.encode(state).decode()


def decode(text: str) -> ClaimState:
    """Read the state; an empty object is a fresh claim.

    Raises:
        ClaimStateError: the text is not a claim state.
    """
    try:
        return msgspec.json.decode(text, type=ClaimState)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ClaimStateError(
            f"claim state cannot be read: {error}; restore it or remove it after looking at the account"
        ) from error
