"""What several faults together do to one request or one frame. Sans-I/O.

The order is fixed. A request: it is late (`delay`s add up) and may be overtaken (`reorder`); then the first fault
posted of those that end it does so; else it is executed, at the skewed clock, and its answer is lost, cut or sent twice.
A frame: lost (`stall`, `gap`), or its times are skewed, it is cut, copied, swapped with its successor, and late. What
cannot act beside another keeps its count.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from mm_exchange.faults import Fault, FaultPlan, Subject

_ENDING = frozenset({"drop", "reset", "stall", "timeout-before", "http-status", "maintenance", "reject"})
_LOSING = frozenset({"timeout-after"})
_WARPING = frozenset({"malformed", "duplicate"})
_LATE = frozenset({"delay", "reorder"})
REST_KINDS = (_ENDING | _LOSING | _LATE | {"malformed", "clock-skew"}) - {"duplicate"}
WS_API_KINDS = (_ENDING - {"drop", "reset"}) | _LOSING | _WARPING | _LATE | {"clock-skew"}
FRAME_KINDS = frozenset({"stall", "gap", "clock-skew", "malformed", "duplicate", "reorder", "delay"})
_DEFAULT_SKEW_MS = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class RequestStrike:
    """What happens to one request. `overtaken_s`: how long it waits to be overtaken, None for not at all."""

    delay_s: float = 0.0
    overtaken_s: float | None = None
    ending: Fault | None = None
    skew_ms: int = 0
    lost: Fault | None = None
    cut: bool = False
    copies: int = 1


def strike_request(
    plan: FaultPlan, subject: Subject, kinds: frozenset[str], *, now_ns: int, may_swap: bool = True
) -> RequestStrike | None:
    """Draw, compose and count; None when nothing strikes. `may_swap` is False while another one waits for this one."""
    found = [fault for fault in plan.drawn(subject, kinds, now_ns=now_ns) if may_swap or fault.spec.kind != "reorder"]
    if not found:
        return None
    end = next((fault for fault in found if fault.spec.kind in _ENDING), None)
    lost = None if end is not None else next((fault for fault in found if fault.spec.kind in _LOSING), None)
    acting = [fault for fault in found if fault.spec.kind in _LATE or fault is end or fault is lost]
    if end is None:
        acting += [fault for fault in found if fault.spec.kind == "clock-skew"]
    if end is None and lost is None:
        acting += [fault for fault in found if fault.spec.kind in _WARPING]
    for fault in acting:
        plan.hit(fault, subject, now_ns=now_ns)
    return RequestStrike(
        delay_s=_late_s(acting),
        overtaken_s=_overtaken_s(acting),
        ending=end,
        skew_ms=_skew_ms(acting),
        lost=lost,
        cut=_has(acting, "malformed"),
        copies=1 + sum(fault.spec.kind == "duplicate" for fault in acting),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class FrameStrike:
    """What becomes of one frame: the payloads to write (none: it is lost), how late, and whether behind its successor."""

    payloads: tuple[bytes, ...]
    delay_s: float = 0.0
    overtaken_s: float | None = None


def strike_frame(
    plan: FaultPlan, subject: Subject, payload: bytes, *, now_ns: int, may_swap: bool = True
) -> FrameStrike:
    """Draw, compose and count. `may_swap` is False while another frame waits to be overtaken: this one overtakes it."""
    found = plan.drawn(subject, FRAME_KINDS, now_ns=now_ns)
    losing = next((fault for fault in found if fault.spec.kind in ("stall", "gap")), None)
    acting = [losing] if losing is not None else [f for f in found if f.spec.kind != "reorder" or may_swap]
    for fault in acting:
        plan.hit(fault, subject, now_ns=now_ns)
    if losing is not None:
        return FrameStrike(())
    skew = _skew_ms(acting)
    if skew:
        payload = shifted(payload, skew)
    if _has(acting, "malformed"):
        payload = payload[: len(payload) // 2]
    copies = 1 + sum(fault.spec.kind == "duplicate" for fault in acting)
    return FrameStrike((payload,) * copies, _late_s(acting), _overtaken_s(acting))


def shifted(payload: bytes, skew_ms: int) -> bytes:
    """A frame, raw or combined, whose event and transaction times (`E`, `T`, an order's `T`) are off."""
    frame = orjson.loads(payload)
    inner = frame.get("data", frame)
    for holder in (inner, inner.get("o")):
        _shift(holder, skew_ms)
    return orjson.dumps(frame)


def _shift(holder: Any, skew_ms: int) -> None:
    if isinstance(holder, dict):
        for name in ("E", "T"):
            if isinstance(holder.get(name), int):
                holder[name] += skew_ms


def _has(faults: list[Fault], kind: str) -> bool:
    return any(fault.spec.kind == kind for fault in faults)


def _skew_ms(faults: list[Fault]) -> int:
    return sum(fault.spec.params.get("ms", _DEFAULT_SKEW_MS) for fault in faults if fault.spec.kind == "clock-skew")


def _late_s(faults: list[Fault]) -> float:
    late_ms = 0.0
    for fault in faults:
        if fault.spec.kind == "delay":
            jitter = fault.spec.params.get("jitterMs", 0)
            late_ms += fault.spec.params.get("ms", 1000) + (fault.rng.random() * jitter if jitter else 0.0)
    return late_ms / 1000


def _overtaken_s(faults: list[Fault]) -> float | None:
    return next((fault.spec.params.get("ms", 1000) / 1000 for fault in faults if fault.spec.kind == "reorder"), None)
