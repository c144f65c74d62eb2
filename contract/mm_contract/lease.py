"""The Lease keeper: when to read, take, renew and give back a Lease, and until when an order may still be sent (invariant 4).

A pure object: the caller reads the clock, sends the requests and tells what became of them. The engine uses it for its claim and the
operator for its leader election; both wrap it in a thin loop around `coordination.k8s.io/v1`. Semantics are those of client-go's leader election
(a taker trusts only its own clock and an unchanged record), with what fencing needs on top: a clock that counts suspended time, requests that are
shorter than the retry period, a deadline that starts at the *send* of the last acknowledged renewal, and a release.

Times are nanoseconds of one clock of this machine (CLOCK_BOOTTIME); wall time only decorates the record for people.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from mm_contract.claim import renew_period_seconds, send_deadline_seconds

_SECOND: Final = 1_000_000_000
_MAX_RETRY_SECONDS: Final = 2.0
_RETRY_PART: Final = 2 / 15  # client-go's 15/10/2: a retry period of 2 s in a Lease of 15 s
_REQUEST_PART: Final = 0.75  # of the retry period: every request is shorter than it
_RELEASE_FAILURES: Final = 4


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a Lease says; compared whole, so that any change of it counts as a sign of life.

    `holder` is empty where nobody holds it. `renew_time` and `acquire_time` are RFC 3339 text and are never used for a decision.
    """

    holder: str
    transitions: int = 0
    renew_time: str = ""
    acquire_time: str = ""
    duration_seconds: int = 0
    resource_version: str = ""


class Verb(enum.Enum):
    """What a request does."""

    READ = "read"
    CREATE = "create"
    ACQUIRE = "acquire"
    RENEW = "renew"
    RELEASE = "release"


class LeasePhase(enum.Enum):
    """Where the keeper stands; LOST and RELEASED are final: a new holder identity is needed to try again."""

    WAITING = "waiting"
    HOLDING = "holding"
    RELEASING = "releasing"
    LOST = "lost"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Request:
    """Send this now, give up after `timeout_ns`, and tell the outcome with `answered`.

    For a write, `record.resource_version` is the precondition: the server must refuse (409) where the Lease has another one.
    `stamp_acquired` asks for `acquireTime`; `renewTime` is stamped on every write.
    """

    number: int
    verb: Verb
    timeout_ns: int
    record: LeaseRecord | None = None
    stamp_acquired: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this instant."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing to do ever again: the Lease is lost or released."""


Action = Request | Wait | Finished


@dataclass(frozen=True, slots=True)
class Observed:
    """The server answered with this record (of a read, or as the result of an acknowledged write)."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True)
class Missing:
    """404: there is no such Lease."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """409: somebody else wrote first."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Timeout, connection error, 403, 5xx: the outcome of a write is then unknown."""

    error: str


Outcome = Observed | Missing | Conflict | Failed


@dataclass(frozen=True, slots=True)
class _InFlight:
    request: Request
    sent_ns: int


class LeaseKeeper:
    """Keeps one Lease for one holder.

    Call `decide`; perform what it returns: for a `Request` call `sent` immediately before it leaves, then `answered`.

    Args:
        holder: identity of this process; unique per process, so that a record that names it is this process's own.
        lease_seconds: how long a taker must see the record unchanged; a record with a longer duration is waited for that long.
        create_when_missing: whether a missing Lease is created (leader election) or waited for (claims, which the operator creates).
        jitter: 0..1, stretches the waiting by up to a fifth, so that many takers do not read in step.
    """

    def __init__(
        self, holder: str, lease_seconds: float, *, create_when_missing: bool = False, jitter: float = 0.0
    ) -> None:
        if not holder:
            raise ValueError("a Lease needs a holder identity: an empty one means that nobody holds it")
        self.holder: Final = holder
        self.phase = LeasePhase.WAITING
        self.reason = ""
        self.last_error = ""
        self._create = create_when_missing
        self._lease_seconds = lease_seconds
        retry = min(_MAX_RETRY_SECONDS, lease_seconds * _RETRY_PART)
        self._retry_ns = round(retry * _SECOND)
        self._poll_ns = round(retry * (1 + 0.2 * jitter) * _SECOND)
        self._timeout_ns = round(retry * _REQUEST_PART * _SECOND)
        self._record: LeaseRecord | None = None
        self._missing = False
        self._reread = True
        self._unchanged_since_ns: int | None = None
        self._last_answer_ns: int | None = None
        self._renewed_sent_ns: int | None = None
        self._last_sent_ns: int | None = None
        self._in_flight: _InFlight | None = None
        self._numbers = 0
        self._release_failures = 0

    # What the caller asks.

    @property
    def record(self) -> LeaseRecord | None:
        """The record as last seen, or None before the first read and where there is none."""
        return self._record

    @property
    def transitions(self) -> int:
        """`leaseTransitions` under which this keeper holds; one witness of the epoch (invariant 5)."""
        return self._record.transitions if self._record else 0

    @property
    def send_deadline_ns(self) -> int | None:
        """Until when an order may leave: two thirds of the Lease after the send of the last acknowledged renewal; None while not holding."""
        if self.phase is not LeasePhase.HOLDING or self._renewed_sent_ns is None:
            return None
        return self._renewed_sent_ns + round(send_deadline_seconds(self._lease_seconds) * _SECOND)

    def held(self, now_ns: int) -> bool:
        """Whether an order may leave now. Invariant 4: false from the deadline on, whatever is still under way."""
        deadline = self.send_deadline_ns
        return deadline is not None and now_ns < deadline

    def decide(self, now_ns: int) -> Action:
        """What to do now; changes nothing, so it may be asked as often as one likes."""
        if self.phase in (LeasePhase.LOST, LeasePhase.RELEASED):
            return Finished()
        if self._in_flight is not None:
            expires = self._in_flight.sent_ns + self._in_flight.request.timeout_ns
            if now_ns < expires:
                return Wait(expires)
        due = self._due_ns(now_ns)
        return self._next_request(now_ns) if now_ns >= due else Wait(due)

    # What the caller tells.

    def sent(self, request: Request, now_ns: int) -> None:
        """The request is about to leave; whatever was in flight before is given up (its late answer will not count)."""
        if self._in_flight is not None:
            self._failed("no answer within the request's time")
        self._numbers = request.number
        self._last_sent_ns = now_ns
        self._in_flight = _InFlight(request, now_ns)

    def answered(self, request: Request, outcome: Outcome, *, now_ns: int) -> None:
        """What became of a request. An answer to a request that was given up is ignored: not counting a success is always safe."""
        if self._in_flight is None or self._in_flight.request.number != request.number:
            return
        flight, self._in_flight = self._in_flight, None
        match outcome:
            case Failed(error):
                self._failed(error)
            case Conflict():
                self._reread = True
                self._last_sent_ns = None  # the read follows at once
            case Missing():
                self._gone()
            case Observed(record):
                self._observe(record, now_ns)
                if request.verb is Verb.READ:
                    self._judge()
                else:
                    self._written(request, flight.sent_ns)

    def release(self) -> None:
        """Give the Lease back. Only call this once zero own orders are proven: the next holder takes it without waiting (invariant 4)."""
        if self.phase is LeasePhase.HOLDING:
            self.phase = LeasePhase.RELEASING
            self._last_sent_ns = None
        elif self.phase is LeasePhase.WAITING:
            self.phase = LeasePhase.RELEASED

    # When.

    def _due_ns(self, now_ns: int) -> int:
        if self._last_sent_ns is None:
            return now_ns
        if self.phase is LeasePhase.HOLDING and not self._reread and self._renewal_is_last_word():
            return self._last_sent_ns + round(renew_period_seconds(self._lease_seconds) * _SECOND)
        if self.phase is LeasePhase.WAITING:
            return self._take_due_ns(now_ns, self._last_sent_ns + self._poll_ns)
        return self._last_sent_ns + self._retry_ns

    def _take_due_ns(self, now_ns: int, poll_ns: int) -> int:
        """At the next poll, or earlier where the observed record expires before it."""
        expires = self._expires_ns()
        if expires is None or self._reread or self._was_blind(max(now_ns, expires)):
            return poll_ns
        return min(poll_ns, expires)

    def _renewal_is_last_word(self) -> bool:
        return self._renewed_sent_ns == self._last_sent_ns

    def _expires_ns(self) -> int | None:
        if self._record is None or self._unchanged_since_ns is None:
            return None
        if not self._record.holder:
            return self._unchanged_since_ns
        seconds = max(self._lease_seconds, float(self._record.duration_seconds))
        return self._unchanged_since_ns + round(seconds * _SECOND)

    # What.

    def _next_request(self, now_ns: int) -> Request:
        if self.phase is LeasePhase.HOLDING:
            return self._read() if self._reread else self._write(Verb.RENEW)
        if self.phase is LeasePhase.RELEASING:
            return self._read() if self._reread else self._write(Verb.RELEASE)
        if self._missing and self._create and not self._reread:
            return self._write(Verb.CREATE)
        if self._reread or not self._expired(now_ns):
            return self._read()
        return self._write(Verb.ACQUIRE)

    def _expired(self, now_ns: int) -> bool:
        """Whether the Lease may be taken: given back, or unchanged for its whole time on our own clock while the API answered."""
        expiry = self._expires_ns()
        return expiry is not None and now_ns >= expiry and not self._was_blind(now_ns)

    def _was_blind(self, now_ns: int) -> bool:
        """Whether so long passed since the last answer that the holder may have been cut off unseen (we were frozen, say)."""
        return self._last_answer_ns is None or now_ns - self._last_answer_ns > 2 * (self._poll_ns + self._timeout_ns)

    def _read(self) -> Request:
        return Request(self._numbers + 1, Verb.READ, self._timeout_ns)

    def _write(self, verb: Verb) -> Request:
        old = self._record or LeaseRecord(holder="")
        duration = round(self._lease_seconds)
        if verb is Verb.RELEASE:
            record = replace(old, holder="", duration_seconds=duration)
        elif verb is Verb.RENEW:
            record = replace(old, holder=self.holder, duration_seconds=duration)
        else:
            # A take-over counts up even from an empty holder: every process that ever held has a number of its own.
            record = replace(old, holder=self.holder, transitions=old.transitions + 1, duration_seconds=duration)
        acquiring = verb in (Verb.ACQUIRE, Verb.CREATE)
        return Request(self._numbers + 1, verb, self._timeout_ns, record=record, stamp_acquired=acquiring)

    # What an answer means.

    def _failed(self, error: str) -> None:
        self._in_flight = None
        self.last_error = error
        # A taker counts afresh: while the API was away the holder could not renew, which says nothing of it.
        self._unchanged_since_ns = None
        if self.phase is LeasePhase.RELEASING:
            self._release_failures += 1
            if self._release_failures >= _RELEASE_FAILURES:
                self._finish(
                    LeasePhase.RELEASED, "the release was not acknowledged; the next holder waits the Lease out"
                )
            self._reread = True
        if self.phase is LeasePhase.WAITING:
            self._reread = True

    def _gone(self) -> None:
        self._record = None
        self._missing, self._reread = True, False
        self._unchanged_since_ns = None
        if self.phase is LeasePhase.HOLDING:
            self._finish(LeasePhase.LOST, "the Lease was deleted")
        elif self.phase is LeasePhase.RELEASING:
            self._finish(LeasePhase.RELEASED, "the Lease was deleted")
        elif self._create:
            self._last_sent_ns = None

    def _observe(self, record: LeaseRecord, now_ns: int) -> None:
        if record != self._record or self._unchanged_since_ns is None or self._was_blind(now_ns):
            self._unchanged_since_ns = now_ns
        self._record = record
        self._missing, self._reread = False, False
        self._last_answer_ns = now_ns
        self.last_error = ""

    def _judge(self) -> None:
        """After a read: is the record still, or already, what we think?"""
        record = self._record
        if record is None:
            return
        if self.phase is LeasePhase.WAITING:
            if record.holder == self.holder:
                # An acquisition whose answer was lost did land. Holding begins with an acknowledged renewal, not with this read.
                self.phase = LeasePhase.HOLDING
                self._last_sent_ns = None
            return
        if record.holder != self.holder:
            if self.phase is LeasePhase.RELEASING:
                self._finish(LeasePhase.RELEASED, "")
            else:
                self._finish(
                    LeasePhase.LOST,
                    f"the Lease was taken by {record.holder}" if record.holder else "the Lease was cleared",
                )
            return
        self._last_sent_ns = None  # ours with a newer resourceVersion: write again at once

    def _written(self, request: Request, sent_ns: int) -> None:
        if request.verb is Verb.RELEASE:
            self._finish(LeasePhase.RELEASED, "")
            return
        if self.phase is LeasePhase.WAITING:
            self.phase = LeasePhase.HOLDING
        if self.phase is LeasePhase.HOLDING:
            self._renewed_sent_ns = sent_ns  # Invariant 4: the deadline counts from the send, not from the answer.

    def _finish(self, phase: LeasePhase, reason: str) -> None:
        self.phase = phase
        self.reason = reason
