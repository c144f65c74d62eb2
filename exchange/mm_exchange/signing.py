"""Who sent this, is it genuine, and is it fresh: key, signature and `recvWindow`, as the venue checks them.

The signature covers the bytes as they came, query string plus body, with `&signature=...` cut off wherever it
stands: decoding first would break batch orders and ids with special characters.

An account has either a secret that it shares with the venue (HMAC SHA256, hex) or a public key whose private half
stays with the client (Ed25519, or RSA with PKCS #1 v1.5 and SHA256; base64). Both are kept as bytes, the public key as PEM.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from mm_exchange.errors import VenueError, mandatory

DEFAULT_RECV_WINDOW_MS = 5_000
MAX_RECV_WINDOW_MS = 60_000
# The venue accepts a client clock this much ahead of its own.
MAX_AHEAD_MS = 1_000
_PEM = b"-----BEGIN PUBLIC KEY-----"
_SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")


class KeyType(Enum):
    """How an account signs."""

    HMAC = "HMAC_SHA256"
    ED25519 = "ED25519"
    RSA = "RSA"


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


def key_type(secret: bytes) -> KeyType:
    """What kind of key an account has.

    Raises:
        ValueError: PEM that is no Ed25519 or RSA public key.
    """
    if not secret.lstrip().startswith(_PEM):
        return KeyType.HMAC
    return KeyType.ED25519 if isinstance(_public_key(secret), Ed25519PublicKey) else KeyType.RSA


@lru_cache(maxsize=1024)
def _public_key(pem: bytes) -> Ed25519PublicKey | RSAPublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the public key is no PEM that can be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey | RSAPublicKey):
        raise ValueError("the public key must be Ed25519 or RSA")  # noqa: TRY004 - what came in was text
    return key


def check_signature(secret: bytes, payload: str, *, signature: str) -> None:
    """-1022 unless the signature is the payload's; hex case does not matter, base64 may be percent-encoded."""
    if not signature:
        raise mandatory("signature")
    if key_type(secret) is KeyType.HMAC:
        signed = hmac.compare_digest(sign(secret, payload).encode(), signature.lower().encode(errors="surrogateescape"))
    else:
        signed = _verified(_public_key(secret), payload, signature=signature)
    if not signed:
        raise VenueError(-1022, "Signature for this request is not valid.")


def _verified(key: Ed25519PublicKey | RSAPublicKey, payload: str, *, signature: str) -> bool:
    try:
        raw = base64.b64decode(unquote(signature), validate=True)
        text = payload.encode(errors="surrogateescape")
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, text)
        else:
            key.verify(raw, text, PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        return False
    return True


def check_time(timestamp: str | None, recv_window: str | None, *, now_ms: int) -> int:
    """The client's timestamp, or -1021 / -1131 / -1102.

    The venue's rule: `timestamp < serverTime + 1000 and serverTime - timestamp <= recvWindow`.
    """
    sent = _integer(timestamp, "timestamp")
    window = DEFAULT_RECV_WINDOW_MS if recv_window in (None, "") else _integer(recv_window, "recvWindow")
    if not 0 < window <= MAX_RECV_WINDOW_MS:
        raise VenueError(-1131, f"recvWindow must be less than {MAX_RECV_WINDOW_MS}")
    if sent >= now_ms + MAX_AHEAD_MS:
        raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent > window:
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")
    return sent


def _integer(text: str | None, name: str) -> int:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 20:
        raise mandatory(name)
    return int(text)
