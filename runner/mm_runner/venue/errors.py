"""What became of a request: refused, unknown, or never sent. The one place where a status, code or transport failure is judged.

The difference decides whether an order may exist: refused and not sent mean it certainly does not, unknown means it must be proven by query and
never resent blind. When in doubt it is unknown. Codes: venue documents "Error codes"; runner rules in the design, section 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

NOT_SENT: Final = 0
"""The code of `NotSentError`, equal to the core's LOCAL_REFUSAL."""

CODE_NAMES: Final[Mapping[int, str]] = {
    -1000: "UNKNOWN",
    -1001: "DISCONNECTED",
    -1003: "TOO_MANY_REQUESTS",
    -1006: "UNEXPECTED_RESP",
    -1007: "TIMEOUT",
    -1008: "THROTTLED",
    -1015: "TOO_MANY_ORDERS",
    -1021: "INVALID_TIMESTAMP",
    -1022: "INVALID_SIGNATURE",
    -1111: "BAD_PRECISION",
    -1121: "BAD_SYMBOL",
    -1125: "INVALID_LISTEN_KEY",
    -2010: "NEW_ORDER_REJECTED",
    -2011: "CANCEL_REJECTED",
    -2013: "NO_SUCH_ORDER",
    -2014: "BAD_API_KEY_FORMAT",
    -2015: "REJECTED_MBX_KEY",
    -2018: "BALANCE_NOT_SUFFICIENT",
    -2019: "MARGIN_NOT_SUFFICIENT",
    -2022: "REDUCE_ONLY_REJECT",
    -2025: "MAX_OPEN_ORDER_EXCEEDED",
    -4003: "QTY_LESS_THAN_ZERO",
    -4014: "PRICE_NOT_INCREASED_BY_TICK_SIZE",
    -4046: "NO_NEED_TO_CHANGE_MARGIN_TYPE",
    -4059: "NO_NEED_TO_CHANGE_POSITION_SIDE",
    -4061: "POSITION_SIDE_NOT_MATCH",
    -4131: "MARKET_ORDER_REJECT",
    -4164: "MIN_NOTIONAL",
    -5021: "FOK_ORDER_REJECT",
    -5022: "GTX_ORDER_REJECT",
    -5027: "SAME_ORDER",
}

_UNKNOWN_CODES: Final = frozenset({-1000, -1001, -1006, -1007})
"""The venue itself says that the execution status is unknown, or cannot be told from it."""
_DEFINITE_5XX_CODES: Final = frozenset({-1008})
"""Documented as "throttled by system-level protection", certainly not executed, though it comes with a 503."""
_BANNED_UNTIL: Final = re.compile(rb"until (\d{13})")
_DEFAULT_PAUSE_SECONDS: Final = {418: 120.0, 429: 60.0}
_MAX_TEXT: Final = 160


class VenueError(Exception):
    """A request that did not do what it was for. `code` is the venue's, 0 where the request never left."""

    code: int = NOT_SENT

    def __init__(self, text: str, code: int = NOT_SENT) -> None:
        super().__init__(text)
        self.code = code


class NotSentError(VenueError):
    """Nothing left this process: deadline passed, budget spent, ban obeyed, or no connection."""


class WithheldError(NotSentError):
    """We chose not to send: deadline, budget, ban or a clock that is not trusted. Counts neither as request nor as error."""


class RefusedError(VenueError):
    """The venue answered that it did not do it."""


class LimitedError(RefusedError):
    """429 or 418: not done, and nothing may be sent for a while."""

    def __init__(self, text: str, *, status: int, pause_seconds: float) -> None:
        super().__init__(text, -1003)
        self.status = status
        self.pause_seconds = pause_seconds


class UnknownError(VenueError):
    """It may or may not have been done."""


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str = ""


_error_body: msgspec.json.Decoder[_ErrorBody] = msgspec.json.Decoder(_ErrorBody)


def judge(status: int, body: bytes, *, retry_after: str = "", venue_ms: int = 0) -> VenueError | None:
    """The verdict on an answer; None means success (2xx).

    Args:
        status: HTTP status.
        body: as it came; HTML of a gateway in front of the venue is expected among others.
        retry_after: the header, in seconds.
        venue_ms: the venue's clock, to turn "banned until" into a pause.
    """
    if 200 <= status < 300:
        return None
    answer = _decode(body)
    if status in (418, 429):
        pause = _pause_seconds(status, body, retry_after=retry_after, venue_ms=venue_ms)
        return LimitedError(f"HTTP {status}: nothing is sent for {pause:.0f} s", status=status, pause_seconds=pause)
    if answer is None:
        text = f"HTTP {status} without a venue error"
        # 403 is the firewall, 404 a wrong base URL: neither reached the matching engine. 408 and 5xx may have.
        return UnknownError(text, -status) if status >= 500 or status == 408 else RefusedError(text, -status)
    text = describe(answer.code, answer.msg)
    doubtful = status >= 500 and answer.code not in _DEFINITE_5XX_CODES
    if doubtful or answer.code in _UNKNOWN_CODES:
        return UnknownError(text, answer.code)
    return RefusedError(text, answer.code)


def judge_item(code: int, message: str) -> VenueError:
    """The verdict on one refused item of a batch (HTTP 200 around it)."""
    return (
        UnknownError(describe(code, message), code)
        if code in _UNKNOWN_CODES
        else RefusedError(describe(code, message), code)
    )


def describe(code: int, message: str = "") -> str:
    """`-2011 CANCEL_REJECTED: Unknown order sent.`, shortened; the venue's text never holds our secrets but may be long."""
    name = CODE_NAMES.get(code, "")
    head = f"{code} {name}".rstrip()
    return f"{head}: {message[:_MAX_TEXT]}" if message else head


def _decode(body: bytes) -> _ErrorBody | None:
    try:
        return _error_body.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None


def _pause_seconds(status: int, body: bytes, *, retry_after: str, venue_ms: int) -> float:
    """Retry-After, else the "banned until" of the text, else a cautious default; never less than a second."""
    try:
        return max(1.0, float(retry_after))
    except ValueError:
        pass
    match = _BANNED_UNTIL.search(body)
    if match is not None and venue_ms > 0:
        return max(1.0, (int(match[1]) - venue_ms) / 1000)
    return _DEFAULT_PAUSE_SECONDS[status]
