"""Fingerprints: how a credential may be spoken of (invariant 8)."""

from __future__ import annotations

import hashlib


def fingerprint(secret: str) -> str:
    """12 hex characters of a SHA-256: tells two listenKeys apart, tells nothing of either."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12] if secret else ""
