"""What a command changes, as manifests and patches. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mm_contract.names import API_VERSION, TRADING_HALT_KIND
from mm_contract.states import DesiredState, HaltState
from mm_operator.kube.api import Manifest

DESK_HALT: Final = "kubectl-mm"
"""Name of the TradingHalt that `halt --all` makes and `resume --all` removes."""


class UsageError(ValueError):
    """The command cannot be carried out as given; the message says what to type instead."""


def desired(state: DesiredState) -> Manifest:
    """Merge patch of `spec.desiredState`."""
    return {"spec": {"desiredState": state.value}}


def acknowledgement(manifest: Mapping[str, Any], halt_id: str | None) -> Manifest:
    """Merge patch that releases a latched halt.

    Args:
        manifest: the MarketMaker.
        halt_id: the halt that the person has looked at; None: the one that the status shows.

    Raises:
        UsageError: there is no latched halt, or another one.
    """
    risk = (manifest.get("status") or {}).get("risk") or {}
    name, shown = manifest["metadata"]["name"], risk.get("haltId") or ""
    if not shown:
        raise UsageError(f"{name} is not halted by its own risk machine; there is nothing to acknowledge")
    if halt_id is not None and halt_id != shown:
        raise UsageError(f"{name} is halted by {shown}, not {halt_id}; look at it again and give that id")
    return {"spec": {"risk": {"acknowledgedHalt": shown}}}


def trading_halt(namespace: str, name: str, *, state: HaltState, selector: Mapping[str, str], reason: str) -> Manifest:
    """A TradingHalt; an empty selector means all of the namespace."""
    return {
        "apiVersion": API_VERSION,
        "kind": TRADING_HALT_KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": dict(selector)} if selector else {},
            "state": state.value,
            "reason": reason,
        },
    }


def parse_selector(text: str) -> dict[str, str]:
    """`a=b,c=d` as labels.

    Raises:
        UsageError: anything else.
    """
    pairs = [part.partition("=") for part in text.split(",") if part]
    if not pairs or any(not separator or not key for key, separator, _ in pairs):
        raise UsageError(f"{text!r} is not a selector; write it as desk=a or desk=a,venue=x")
    return {key.strip(): value.strip() for key, _, value in pairs}


def halt_name(selector: Mapping[str, str]) -> str:
    """One name for each selector, so that the same command twice is the same halt."""
    parts = "-".join(f"{key.rpartition('/')[2]}-{value}" for key, value in sorted(selector.items()))
    return f"{DESK_HALT}-{parts}".lower()[:63].rstrip("-.") if parts else DESK_HALT
