"""Faults on order: what goes wrong, where, when and how often. Seeded, so that a run can be repeated exactly.

Sans-I/O: the plan decides, the servers act. A fault is active from `afterSeconds` on, for `seconds` (null: until it
is deleted), at most `count` times, each time with `probability`, on one `symbol` or all.

`drop`, `reset` on sockets and `listen-key-expired` are events rather than states: without `seconds` they strike
once, at what exists when they become active; with `seconds` they also strike whatever comes during that time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from mm_exchange.ledger import Ledger

_SOCKETS = frozenset({"market-stream", "user-stream", "ws-api"})
_STREAMS = frozenset({"market-stream", "user-stream"})
_ALL = _SOCKETS | {"rest"}
_REQUESTS = frozenset({"rest", "ws-api"})

# Which kind acts on which target. Everything else is refused with 400.
TARGETS: dict[str, frozenset[str]] = {
    "drop": _ALL,
    "stall": _ALL,
    "http-status": _ALL,
    "listen-key-expired": frozenset({"user-stream"}),
    "reset": _ALL,
    "delay": _ALL,
    "gap": _STREAMS,
    "duplicate": _STREAMS,
    "malformed": _STREAMS,
    "timeout-before": _REQUESTS,
    "timeout-after": _REQUESTS,
    "reject": _REQUESTS,
}
# Kinds of the design that this floor does not act on yet; named so that the refusal says so.
NOT_YET = frozenset({"reorder", "clock-skew", "filters-changed", "maintenance", "dead-url"})
PARAMS: dict[str, frozenset[str]] = {
    "http-status": frozenset({"status", "retryAfter", "method", "path", "apiKey", "code", "msg"}),
    "reject": frozenset({"code", "msg", "status", "method", "path", "apiKey"}),
    "delay": frozenset({"ms", "stream", "method", "path", "apiKey"}),
    "timeout-before": frozenset({"holdSeconds", "method", "path", "apiKey"}),
    "timeout-after": frozenset({"holdSeconds", "method", "path", "apiKey"}),
    "stall": frozenset({"method", "path", "apiKey", "stream"}),
    "drop": frozenset({"method", "path", "apiKey"}),
    "reset": frozenset({"method", "path", "apiKey"}),
    "gap": frozenset({"apiKey", "stream"}),
    "duplicate": frozenset({"apiKey", "stream"}),
    "malformed": frozenset({"apiKey", "stream"}),
    "listen-key-expired": frozenset({"apiKey"}),
}
_TYPES: dict[str, type] = {"status": int, "retryAfter": int, "code": int, "ms": int, "holdSeconds": int}
_ONE_SHOT = frozenset({"drop", "reset", "listen-key-expired"})


class FaultSpec(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A fault as it is posted. Times in seconds."""

    kind: str
    target: str
    symbol: str | None = None
    probability: float = 1.0
    count: int | None = None
    after_seconds: float = 0.0
    seconds: float | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind in NOT_YET:
            raise ValueError(f"kind {self.kind!r} is not built yet; this exchange has {', '.join(sorted(TARGETS))}")
        if self.kind not in TARGETS:
            raise ValueError(f"kind {self.kind!r} is unknown; use one of {', '.join(sorted(TARGETS))}")
        if self.target not in TARGETS[self.kind]:
            allowed = ", ".join(sorted(TARGETS[self.kind]))
            raise ValueError(f"kind {self.kind!r} cannot act on target {self.target!r}; it acts on {allowed}")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must be between 0 and 1")
        if (self.count is not None and self.count < 1) or self.after_seconds < 0:
            raise ValueError("count must be at least 1 and afterSeconds must not be negative")
        if self.seconds is not None and self.seconds <= 0:
            raise ValueError("seconds must be positive, or null for 'until deleted'")
        self._check_params()

    def _check_params(self) -> None:
        unknown = set(self.params) - PARAMS[self.kind]
        if unknown:
            allowed = ", ".join(sorted(PARAMS[self.kind]))
            raise ValueError(f"params {sorted(unknown)} mean nothing to {self.kind!r}; it knows {allowed}")
        for name, value in self.params.items():
            wanted = _TYPES.get(name, str)
            if not isinstance(value, wanted) or isinstance(value, bool):
                # msgspec turns ValueError (not TypeError) into the refusal that the client reads.
                raise ValueError(f"params.{name} must be of type {wanted.__name__}")  # noqa: TRY004
        if not 400 <= self.params.get("status", 503) <= 599:
            raise ValueError("params.status must be an HTTP error status, 400..599")


@dataclasses.dataclass(slots=True)
class Fault:
    """A planned fault and how often it struck."""

    fault_id: int
    spec: FaultSpec
    start_ns: int
    end_ns: int | None
    hits: int = 0
    struck: bool = False

    def shown(self, now_ns: int) -> dict[str, Any]:
        """As `GET /admin/faults` lists it."""
        state = "pending" if now_ns < self.start_ns else "active" if self.active(now_ns) else "over"
        return {"id": self.fault_id, "state": state, "hits": self.hits, **msgspec.to_builtins(self.spec)}

    def active(self, now_ns: int) -> bool:
        """May it strike now?"""
        if now_ns < self.start_ns or (self.end_ns is not None and now_ns >= self.end_ns):
            return False
        if self.spec.count is not None and self.hits >= self.spec.count:
            return False
        return not (self.struck and self.spec.seconds is None and self.one_shot)

    @property
    def one_shot(self) -> bool:
        """An event rather than a state; on REST every request is an event of its own, and only `count` ends it."""
        return self.spec.kind in _ONE_SHOT and self.spec.target != "rest"


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """What a fault may strike: a request, a frame or a socket."""

    target: str
    symbol: str | None = None
    api_key: str | None = None
    method: str | None = None
    path: str | None = None
    stream: str | None = None


class FaultPlan:
    """All faults, in the order they were posted."""

    def __init__(self, ledger: Ledger, *, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._faults: dict[int, Fault] = {}
        self._next_id = 1

    def __bool__(self) -> bool:
        """False while nothing is planned: the hot paths ask only this."""
        return bool(self._faults)

    def add(self, spec: FaultSpec, now_ns: int) -> Fault:
        """Plan a fault."""
        start = now_ns + int(spec.after_seconds * 1e9)
        end = None if spec.seconds is None else start + int(spec.seconds * 1e9)
        fault = self._faults[self._next_id] = Fault(self._next_id, spec, start, end)
        self._next_id += 1
        self._record(fault, "ADDED", now_ns)
        return fault

    def remove(self, fault_id: int | None, now_ns: int) -> int:
        """Remove one fault, or all; how many."""
        chosen = [fault for fault in self._faults.values() if fault_id in (None, fault.fault_id)]
        for fault in chosen:
            del self._faults[fault.fault_id]
            self._record(fault, "REMOVED", now_ns)
        return len(chosen)

    def shown(self, now_ns: int) -> list[dict[str, Any]]:
        """All faults with their state."""
        return [fault.shown(now_ns) for fault in self._faults.values()]

    def lives(self, fault: Fault, *, now_ns: int) -> bool:
        """Is a fault still planned and within its time? (What a held request waits for.)."""
        return fault.fault_id in self._faults and (fault.end_ns is None or now_ns < fault.end_ns)

    def strike(self, subject: Subject, kinds: frozenset[str], *, now_ns: int) -> Fault | None:
        """The first active fault of these kinds that strikes this subject now; counted and recorded."""
        for fault in self._faults.values():
            if fault.spec.kind in kinds and fault.active(now_ns) and _meets(fault.spec, subject):
                if fault.spec.probability < 1 and self._rng.random() >= fault.spec.probability:
                    continue
                self._hit(fault, now_ns)
                return fault
        return None

    def on_sockets(self, kinds: frozenset[str], *, now_ns: int) -> list[Fault]:
        """One-shot faults that have become active: the shell lets them strike every present socket with `hit_present`."""
        return [
            fault
            for fault in self._faults.values()
            if fault.spec.kind in kinds and fault.one_shot and not fault.struck and fault.active(now_ns)
        ]

    def hit_present(self, fault: Fault, subjects: list[Subject], *, now_ns: int) -> list[int]:
        """Let a one-shot fault strike what is there: the indexes of the subjects that it hits."""
        hit: list[int] = []
        for index, subject in enumerate(subjects):
            if not _meets(fault.spec, subject) or (fault.spec.count is not None and fault.hits >= fault.spec.count):
                continue
            if fault.spec.probability < 1 and self._rng.random() >= fault.spec.probability:
                continue
            self._hit(fault, now_ns)
            hit.append(index)
        fault.struck = True
        return hit

    def _hit(self, fault: Fault, now_ns: int) -> None:
        fault.hits += 1
        if fault.hits == 1 or fault.spec.target == "rest":
            self._record(fault, "STRUCK", now_ns)

    def _record(self, fault: Fault, status: str, now_ns: int) -> None:
        detail = {"id": fault.fault_id, "kind": fault.spec.kind, "target": fault.spec.target, "hits": fault.hits}
        self._ledger.add("fault", now_ns, symbol=fault.spec.symbol, status=status, detail=detail)


_FIELDS: dict[str, Callable[[Subject], str | None]] = {
    "apiKey": lambda subject: subject.api_key,
    "method": lambda subject: subject.method,
    "path": lambda subject: subject.path,
    "stream": lambda subject: subject.stream,
}


def _meets(spec: FaultSpec, subject: Subject) -> bool:
    if spec.target != subject.target:
        return False
    # A socket without a symbol of its own (a user stream, an empty stream socket) is everybody's.
    if spec.symbol is not None and subject.symbol is not None and spec.symbol != subject.symbol:
        return False
    return all(field(subject) in (None, spec.params[name]) for name, field in _FIELDS.items() if name in spec.params)
