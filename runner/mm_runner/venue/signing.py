"""Signed requests: credentials that cannot be printed, and the venue's HMAC over the bytes as they travel.

The signature covers the query text exactly as sent (still percent-encoded), so a query is built as bytes once and never re-encoded. `urlencode`
would cost ten times the HMAC (trading-anchors 4.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from mm_contract.redaction import fingerprint

_BLOCK: Final = 64
_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Credentials:
    """An API key and its secret. Invariant 8: neither shows in a repr, a format string, an exception or a pickle."""

    __slots__ = ("_key", "_secret")

    def __init__(self, api_key: str, api_secret: str) -> None:
        self._key = api_key.strip()
        self._secret = api_secret.strip()
        if not self._key or not self._secret:
            raise ValueError("apiKey and apiSecret must both be present and not empty")

    @property
    def api_key(self) -> str:
        """For the header X-MBX-APIKEY only."""
        return self._key

    @property
    def api_secret(self) -> str:
        """For the signer and the log's redaction filter only."""
        return self._secret

    @property
    def fingerprint(self) -> str:
        """How these credentials may be spoken of."""
        return fingerprint(self._key)

    def __repr__(self) -> str:
        return f"Credentials(fingerprint={self.fingerprint})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self._key, self._secret) == (other._key, other._secret)

    def __hash__(self) -> int:
        return hash((self._key, self._secret))

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled")


class Signer:
    """HMAC-SHA256 with the key's pads hashed once (0.87 µs against 1.9 for `hmac.new`)."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: str) -> None:
        key = secret.encode()
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def signature(self, message: bytes) -> bytes:
        """64 lower-case hex characters."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest().encode()

    def signed(self, query: bytes, *, timestamp_ms: int, recv_window_ms: int) -> bytes:
        """`query` with recvWindow, timestamp and signature at its end."""
        separator = b"&" if query else b""
        message = b"%b%brecvWindow=%d&timestamp=%d" % (query, separator, recv_window_ms, timestamp_ms)
        return b"%b&signature=%b" % (message, self.signature(message))

    def __repr__(self) -> str:
        return "Signer()"


def query_bytes(parameters: Iterable[tuple[str, str | int]]) -> bytes:
    """`a=b&c=d` for parameters whose values need no escaping, which is all but lists (`encoded_list`)."""
    return "&".join(f"{name}={value}" for name, value in parameters).encode()


def encoded_list(values: Sequence[str | int]) -> str:
    """A JSON list without spaces, percent-encoded, as `origClientOrderIdList` wants it."""
    items = ",".join(str(value) if isinstance(value, int) else f'"{value}"' for value in values)
    return percent_encoded(f"[{items}]")


def percent_encoded(text: str) -> str:
    """RFC 3986 escaping of everything that is not unreserved."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode())
