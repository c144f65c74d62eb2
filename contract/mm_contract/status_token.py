"""The bearer token of the status stream: an HMAC of the resource's uid under the operator's key (design, section 4)."""

from __future__ import annotations

import hashlib
import hmac


def status_token(key: bytes, uid: str) -> str:
    """64 hex characters; whoever knows the key can make every token, whoever knows a token can read one stream."""
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()


def key_id(key: bytes) -> str:
    """A short name for a key, safe to show: the token Secret is named by it, so that a rotated key makes a new Secret."""
    return hashlib.sha256(b"key-id:" + key).hexdigest()[:8]


def token_matches(expected: str, authorization: str | None) -> bool:
    """Whether an `Authorization: Bearer …` header carries the expected token (constant time)."""
    scheme, _, presented = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(presented.encode(), expected.encode())
