"""Faults on order: what goes wrong, where, when and how often. Seeded, so that a run can be repeated exactly.

Sans-I/O: the plan decides, the servers act. A fault is active from `afterSeconds` on, for `seconds` (null: until it
is deleted), at most `count` times, each time with `probability`, on one `symbol` or all; its params `skip` and `every`
pass over the first subjects, and over all but each n-th after them.

Every fault draws from a random source of its own, made of the exchange's seed and the fault's number: the same
subjects in the same order are struck again with the same seed, and one fault more changes nobody else's draws.

`drop`, `reset` on sockets and `listen-key-expired` are events rather than states: without `seconds` they strike
once, at what exists when they become active; with `seconds` they also strike whatever comes during that time.
"""

from __future__ import annotations

import dataclasses
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from mm_exchange.fault_kinds import TARGETS, check_pair, check_params

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.ledger import Ledger

__all__ = ["TARGETS", "Fault", "FaultPlan", "FaultSpec", "Subject"]

_ONE_SHOT = frozenset({"drop", "reset", "listen-key-expired"})
# Kinds that also strike what is there when they become active.
_PRESENT = _ONE_SHOT | {"maintenance", "dead-url", "filters-changed"}
# Each strike is in the ledger up to this many; then, of frames, only the 1,000th, 10,000th, …: a mute stream is no news.
_EACH = 100


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
        check_pair(self.kind, self.target)
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must be between 0 and 1")
        if (self.count is not None and self.count < 1) or self.after_seconds < 0:
            raise ValueError("count must be at least 1 and afterSeconds must not be negative")
        if self.seconds is not None and self.seconds <= 0:
            raise ValueError("seconds must be positive, or null for 'until deleted'")
        if max(self.after_seconds, self.seconds or 0) > 10**9:
            raise ValueError("afterSeconds and seconds must be at most 1000000000")
        check_params(self.kind, self.params)


@dataclasses.dataclass(slots=True)
class Fault:
    """A planned fault, how many subjects it met, and how often it struck."""

    fault_id: int
    spec: FaultSpec
    start_ns: int
    end_ns: int | None
    rng: Random
    hits: int = 0
    met: int = 0
    struck: bool = False
    expired: bool = False

    def shown(self, now_ns: int) -> dict[str, Any]:
        """As `GET /admin/faults` lists it."""
        state = "pending" if now_ns < self.start_ns else "active" if self.active(now_ns) else "over"
        return {"id": self.fault_id, "state": state, "hits": self.hits, **msgspec.to_builtins(self.spec)}

    def active(self, now_ns: int) -> bool:
        """May it strike now?"""
        return now_ns >= self.start_ns and not self.over(now_ns)

    def over(self, now_ns: int) -> bool:
        """Will it never strike again?"""
        if self.end_ns is not None and now_ns >= self.end_ns:
            return True
        if self.spec.count is not None and self.hits >= self.spec.count:
            return not self.lasting
        return self.struck and self.spec.seconds is None and self.one_shot

    @property
    def lasting(self) -> bool:
        """Is what it did a state that lasts until its end? (Its `count` then limits whom it strikes, not its time.)."""
        return self.spec.kind == "filters-changed"

    @property
    def one_shot(self) -> bool:
        """An event rather than a state; on REST every request is an event of its own, and only `count` ends it."""
        return self.spec.kind in _ONE_SHOT and self.spec.target != "rest"

    def draw(self) -> bool:
        """Does it strike the next subject that it meets? Moves its counters and its chance on."""
        number, params = self.met - self.spec.params.get("skip", 0), self.spec.params
        self.met += 1
        if number < 0 or number % params.get("every", 1):
            return False
        return self.spec.probability >= 1 or self.rng.random() < self.spec.probability


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

    def __init__(self, ledger: Ledger, *, seed: int | str = 0) -> None:
        self._ledger = ledger
        self._seed = seed
        self._faults: dict[int, Fault] = {}
        self._open: list[Fault] = []
        self._next_id = 1

    def __bool__(self) -> bool:
        """False while nothing can strike: the hot paths ask only this."""
        return bool(self._open)

    def add(self, spec: FaultSpec, now_ns: int) -> Fault:
        """Plan a fault."""
        start = now_ns + int(spec.after_seconds * 1e9)
        end = None if spec.seconds is None else start + int(spec.seconds * 1e9)
        rng = Random(f"{self._seed}-fault-{self._next_id}")  # noqa: S311 - chance, not secrets
        fault = self._faults[self._next_id] = Fault(self._next_id, spec, start, end, rng)
        self._open.append(fault)
        self._next_id += 1
        self._record(fault, "ADDED", now_ns)
        return fault

    def remove(self, fault_id: int | None, now_ns: int) -> int:
        """Remove one fault, or all; how many."""
        chosen = [fault for fault in self._faults.values() if fault_id in (None, fault.fault_id)]
        for fault in chosen:
            del self._faults[fault.fault_id]
            self._record(fault, "REMOVED", now_ns)
        self._open = [fault for fault in self._open if fault.fault_id in self._faults]
        return len(chosen)

    def tick(self, now_ns: int) -> None:
        """Close faults that will never strike again; called by the clock."""
        over = [fault for fault in self._open if fault.over(now_ns)]
        for fault in over:
            self._open.remove(fault)
            self._record(fault, "EXPIRED", now_ns)

    def shown(self, now_ns: int) -> list[dict[str, Any]]:
        """All faults with their state."""
        return [fault.shown(now_ns) for fault in self._faults.values()]

    def lives(self, fault: Fault, *, now_ns: int) -> bool:
        """Is a fault still planned and within its time? (What a held request waits for.)."""
        return fault.fault_id in self._faults and (fault.end_ns is None or now_ns < fault.end_ns)

    def active(self, kind: str, now_ns: int) -> list[Fault]:
        """Active faults of one kind, in the order they were posted."""
        return [fault for fault in self._open if fault.spec.kind == kind and fault.active(now_ns)]

    def drawn(self, subject: Subject, kinds: frozenset[str], *, now_ns: int) -> list[Fault]:
        """Every active fault of these kinds that wants to strike this subject, in the order posted.

        Not counted yet: the caller composes them, and calls `hit` for those that really act. A fault that another
        one hides (nothing can be duplicated of a frame that is lost) keeps its count, but has made its draw.
        """
        return [
            fault
            for fault in self._open
            if fault.spec.kind in kinds and fault.active(now_ns) and _meets(fault.spec, subject) and fault.draw()
        ]

    def strike(self, subject: Subject, kinds: frozenset[str], *, now_ns: int) -> Fault | None:
        """The first fault of these kinds that strikes this subject now; counted and recorded."""
        found = self.drawn(subject, kinds, now_ns=now_ns)
        if not found:
            return None
        self.hit(found[0], subject, now_ns=now_ns)
        return found[0]

    def on_present(self, kinds: frozenset[str], *, now_ns: int) -> list[Fault]:
        """Faults that have become active and strike what is there: the shell calls `hit_present` for each, once."""
        return [
            fault
            for fault in self._open
            if fault.spec.kind in kinds & _PRESENT
            and (fault.spec.target != "rest" or fault.lasting)
            and not fault.struck
            and fault.active(now_ns)
        ]

    def hit_present(self, fault: Fault, subjects: list[Subject], *, now_ns: int) -> list[int]:
        """Let a fault strike what is there: the indexes of the subjects that it hits."""
        hit: list[int] = []
        for index, subject in enumerate(subjects):
            if not _meets(fault.spec, subject) or (fault.spec.count is not None and fault.hits >= fault.spec.count):
                continue
            if fault.draw():
                self.hit(fault, subject, now_ns=now_ns)
                hit.append(index)
        fault.struck = True
        return hit

    def hit(self, fault: Fault, subject: Subject, *, now_ns: int) -> None:
        """Count one strike, and record what it hit."""
        fault.hits += 1
        rare = subject.method is not None or fault.hits <= _EACH
        if rare or (fault.hits >= 1000 and str(fault.hits).strip("0") == "1"):
            self._record(fault, "STRUCK", now_ns, subject=subject)

    def _record(self, fault: Fault, status: str, now_ns: int, *, subject: Subject | None = None) -> None:
        detail = {"id": fault.fault_id, "kind": fault.spec.kind, "target": fault.spec.target, "hits": fault.hits}
        if subject is None:
            self._ledger.add("fault", now_ns, symbol=fault.spec.symbol, status=status, detail=detail)
            return
        seen = {"method": subject.method, "path": subject.path, "stream": subject.stream}
        detail |= {name: value for name, value in seen.items() if value is not None}
        symbol = subject.symbol or fault.spec.symbol
        self._ledger.add("fault", now_ns, symbol=symbol, api_key=subject.api_key, status=status, detail=detail)


_FIELDS: dict[str, Callable[[Subject], str | None]] = {
    "apiKey": lambda subject: subject.api_key,
    "method": lambda subject: subject.method,
    "stream": lambda subject: subject.stream,
}


def _meets(spec: FaultSpec, subject: Subject) -> bool:
    if spec.target != subject.target:
        return False
    # A socket without a symbol of its own (a user stream, an empty stream socket) is everybody's.
    if spec.symbol is not None and subject.symbol is not None and spec.symbol != subject.symbol:
        return False
    params = spec.params
    if not params:
        return True
    if subject.target == "rest" and subject.api_key is None and "apiKey" in params:
        return False
    if "path" in params and not _under(params["path"], subject):
        return False
    return all(field(subject) in (None, params[name]) for name, field in _FIELDS.items() if name in params)


def _under(path: str, subject: Subject) -> bool:
    """A request's path as a whole; of a socket the beginning of its path (`/public` names a base)."""
    if subject.path is None or subject.path == path:
        return True
    return subject.target != "rest" and subject.path.startswith(path.rstrip("/") + "/")
