"""The kinds of faults: what each does, on which targets, with which parameters. The one table of it.

Read by the fault plan (which refuses everything else), the command line, the live page and the documentation's test.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal, InvalidOperation
from typing import Any

TARGET_NAMES = ("rest", "market-stream", "user-stream", "ws-api")
_ALL = frozenset(TARGET_NAMES)
_STREAMS = frozenset({"market-stream", "user-stream"})
_SOCKETS = _STREAMS | {"ws-api"}
_REQUESTS = frozenset({"rest", "ws-api"})

# What every kind knows: whom it strikes, and by count.
_NARROWING = frozenset({"method", "path", "apiKey", "stream", "skip", "every"})
_LONGEST_MS = 3_600_000


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: its targets, the parameters of its own, and one sentence for people."""

    targets: frozenset[str]
    sentence: str
    params: frozenset[str] = frozenset()


KINDS: dict[str, Kind] = {
    "drop": Kind(_ALL, "the connection closes; a request is not executed"),
    "reset": Kind(_ALL, "as drop, with a TCP reset"),
    "stall": Kind(_ALL, "up but mute: frames are lost, a request hangs and is not executed"),
    "http-status": Kind(
        _ALL,
        "a request is answered, or a handshake refused, with `status` (default 503; 403 is HTML)",
        frozenset({"status", "retryAfter", "code", "msg"}),
    ),
    "maintenance": Kind(
        _ALL,
        "requests and handshakes are refused with 503 (`body` json or html), open sockets are closed",
        frozenset({"body", "code", "msg", "retryAfter"}),
    ),
    "delay": Kind(_ALL, "later by `ms` (default 1000) and up to `jitterMs` more", frozenset({"ms", "jitterMs"})),
    "reorder": Kind(_ALL, "comes after its successor, or after `ms` (default 1000) when none comes", frozenset({"ms"})),
    "gap": Kind(_STREAMS, "frames are left out"),
    "duplicate": Kind(_SOCKETS, "frames come twice"),
    "malformed": Kind(_ALL, "frames and answers are cut in half; the request was executed"),
    "clock-skew": Kind(
        _ALL, "the venue's clock is off by `ms` (default 10000): serverTime, -1021, event times", frozenset({"ms"})
    ),
    "dead-url": Kind(_SOCKETS, "handshake and SUBSCRIBE succeed; a socket it struck is silent until it is closed"),
    "listen-key-expired": Kind(frozenset({"user-stream"}), "listenKeys end; their streams are told"),
    "timeout-before": Kind(
        _REQUESTS, "no answer (`holdSeconds`, default 60), not executed", frozenset({"holdSeconds"})
    ),
    "timeout-after": Kind(_REQUESTS, "executed, but no answer (`holdSeconds`, default 60)", frozenset({"holdSeconds"})),
    "reject": Kind(_REQUESTS, "refused with any `code` and `msg` (and `status`)", frozenset({"code", "msg", "status"})),
    "filters-changed": Kind(
        frozenset({"rest", "ws-api", "market-stream"}),
        "other filters (without params: a tick ten times as large), told by contractInfo",
        frozenset({"tickSize", "stepSize", "minNotional", "minQty", "maxQty"}),
    ),
}
TARGETS: dict[str, frozenset[str]] = {name: kind.targets for name, kind in KINDS.items()}
FILTERS = frozenset({"tickSize", "stepSize", "minNotional", "minQty", "maxQty"})

# Integer parameters with their bounds; all others are text.
INTEGERS: dict[str, tuple[int, int]] = {
    "status": (400, 599),
    "retryAfter": (0, 10**6),
    "code": (-(10**6), 10**6),
    "ms": (0, _LONGEST_MS),
    "jitterMs": (0, _LONGEST_MS),
    "holdSeconds": (0, 3600),
    "skip": (0, 10**9),
    "every": (1, 10**9),
}


def known_params(kind: str) -> frozenset[str]:
    """What `params` of a kind may hold."""
    return KINDS[kind].params | _NARROWING


def check_pair(kind: str, target: str) -> None:
    """Does this kind act on this target?

    Raises:
        ValueError: with the sentence that the client reads.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown; use one of {', '.join(sorted(KINDS))}")
    if target not in KINDS[kind].targets:
        allowed = ", ".join(name for name in TARGET_NAMES if name in KINDS[kind].targets)
        raise ValueError(f"kind {kind!r} cannot act on target {target!r}; it acts on {allowed}")


def check_params(kind: str, params: dict[str, Any]) -> None:
    """Are these parameters of this kind, and sensible?

    Raises:
        ValueError: with the sentence that the client reads.
    """
    unknown = set(params) - known_params(kind)
    if unknown:
        allowed = ", ".join(sorted(known_params(kind)))
        raise ValueError(f"params {sorted(unknown)} mean nothing to {kind!r}; it knows {allowed}")
    for name, value in params.items():
        if name in INTEGERS:
            _check_integer(kind, name, value=value)
        elif not isinstance(value, str):
            # msgspec turns ValueError (not TypeError) into the refusal that the client reads.
            raise ValueError(f"params.{name} must be text, such as {_example(name)!r}")
        elif name in FILTERS:
            _check_amount(name, value)
    if params.get("body", "json") not in ("json", "html"):
        raise ValueError("params.body must be 'json' or 'html'")


def _check_integer(kind: str, name: str, *, value: object) -> None:
    low, high = INTEGERS[name]
    if (kind, name) == ("clock-skew", "ms"):
        # A clock may also run behind.
        low = -high
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"params.{name} must be an integer from {low} to {high}")


def _check_amount(name: str, text: str) -> None:
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"params.{name} must be a positive decimal in text, such as '0.10'") from error
    if not amount.is_finite() or amount <= 0:
        raise ValueError(f"params.{name} must be a positive decimal in text, such as '0.10'")


def _example(name: str) -> str:
    examples = {"method": "POST", "path": "/fapi/v1/order", "stream": "ethusdt@depth@100ms", "body": "html"}
    return examples.get(name, "0.10" if name in FILTERS else "text")
