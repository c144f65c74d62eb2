"""Who sent this, is it genuine, and is it fresh: key, signature and `recvWindow`, as the venue checks them.

The signature covers the bytes as they came, query string plus body, with `&signature=...` cut off wherever it
stands: decoding first would break batch orders and ids with special characters.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from mm_exchange.errors import VenueError, mandatory

DEFAULT_RECV_WINDOW_MS = 5_000
MAX_RECV_WINDOW_MS = 60_000
# The venue accepts a client clock this much ahead of its own.
MAX_AHEAD_MS = 1_000
_SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")


def signed_payload(query: str, body: str) -> tuple[str, str]:
    """The text that was signed and the signature that came with it ('' when there was none)."""
    signature = ""
    parts = []
    for part in (query, body):
        found = _SIGNATURE.search(part)
        if found is not None:
            signature = found.group(1)
            part = part[: found.start()] + part[found.end() :]  # noqa: PLW2901
            part = part.removeprefix("&")  # noqa: PLW2901
        parts.append(part)
    return "".join(parts), signature


def sign(secret: bytes, payload: str) -> str:
    """HMAC SHA256 in hex."""
    return hmac.new(secret, payload.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def check_signature(secret: bytes, payload: str, *, signature: str) -> None:
    """-1022 unless the signature is the payload's; hex case does not matter."""
    if not signature:
        raise mandatory("signature")
    if not hmac.compare_digest(sign(secret, payload).encode(), signature.lower().encode(errors="surrogateescape")):
        raise VenueError(-1022, "Signature for this request is not valid.")


def check_time(timestamp: str | None, recv_window: str | None, *, now_ms: int) -> int:
    """The client's timestamp, or -1021 / -1131 / -1102.

    The venue's rule: `timestamp < serverTime + 1000 and serverTime - timestamp <= recvWindow`.
    """
    sent = _integer(timestamp, "timestamp")
    window = DEFAULT_RECV_WINDOW_MS if recv_window in (None, "") else _integer(recv_window, "recvWindow")
    if not 0 < window <= MAX_RECV_WINDOW_MS:
        raise VenueError(-1131, f"recvWindow must be less than {MAX_RECV_WINDOW_MS}.")
    if sent >= now_ms + MAX_AHEAD_MS:
        raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent > window:
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")
    return sent


def _integer(text: str | None, name: str) -> int:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 20:
        raise mandatory(name)
    return int(text)
