"""The termination message: an engine's last word, which lets the operator take the finalizer off (design, section 6)."""

from __future__ import annotations

import msgspec


class TerminationMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Written to `/dev/termination-log` at the very end of an orderly exit.

    `zero_own_orders` is True only when no own order was open or unresolved, seen twice with a recvWindow between (invariant 7).
    """

    epoch: int
    zero_own_orders: bool
    time: str
    reason: str = ""
    dead_man_armed: bool = False
    """Whether the dead-man switch was armed when the engine stopped: then its time bounds what might be left."""


def encode(message: TerminationMessage) -> bytes:
    """JSON of at most 4,096 bytes, the kubelet's limit."""
    return msgspec.json.encode(message)


def decode(text: str) -> TerminationMessage | None:
    """None for an empty, cut or foreign message: no proof."""
    try:
        return msgspec.json.decode(text, type=TerminationMessage)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
