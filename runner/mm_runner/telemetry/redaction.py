"""The last filter before a line leaves: known secrets and anything that looks like a signature or key parameter are struck out.

Belt and braces (invariant 8): nobody is supposed to log a secret, and this is what stands when somebody does.
"""

from __future__ import annotations

import re
from typing import Final

from mm_contract.redaction import fingerprint

STRUCK: Final = b"[redacted]"
_PARAMETER: Final = re.compile(rb"(?i)((?:signature|listenKey|apiKey|apiSecret)=)[^&\s\"'\\]+")
_FINGERPRINT_LENGTH: Final = len(fingerprint("x"))
_SHORTEST: Final = 6


class Redactor:
    """Knows the secrets of this process. `add` may be called from any thread: it swaps a tuple."""

    def __init__(self) -> None:
        self._secrets: tuple[bytes, ...] = ()

    def add(self, *secrets: str) -> None:
        """Strike these out from now on; very short ones would strike innocent text and are passed over."""
        fresh = {secret.encode() for secret in secrets if len(secret) >= _SHORTEST}
        self._secrets = tuple({*self._secrets, *fresh})

    def holds_secret(self, payload: bytes) -> bool:
        """Whether one of them stands in it."""
        return any(secret in payload for secret in self._secrets)

    def clean(self, line: bytes) -> bytes:
        """The line without any of them."""
        for secret in self._secrets:
            if secret in line:
                line = line.replace(secret, STRUCK)
        if b"=" in line:
            line = _PARAMETER.sub(rb"\1" + STRUCK, line)
        return line


def listen_key_field(value: object) -> str:
    """What the seed's field `listenKey` may carry: a fingerprint. A whole key given by mistake is turned into its fingerprint."""
    text = str(value)
    return text if len(text) <= _FINGERPRINT_LENGTH else fingerprint(text)
