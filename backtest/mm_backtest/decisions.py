"""The decision log: every action of the engine with its instant, one JSON line each, and the digest over all of them.

An action's bytes are the journal's (`mm_runner.journal.codec.encode_action`): the same on every machine, Python and hash seed. `decisionsSha256`
is defined as there: the SHA-256 of all actions in order, each followed by a newline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from mm_runner.core.messages import Action
from mm_runner.journal.codec import encode_action

_BLOCK: Final = 2_000


class DecisionLog:
    """Takes actions as they are decided.

    Args:
        path: where the lines go; None keeps only the digest.
    """

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self._digest = hashlib.sha256()
        self._encoded: list[bytes] = []
        self._lines: list[bytes] = []
        self._file: BinaryIO | None = path.open("wb") if path is not None else None

    def add(self, boot_ns: int, actions: Sequence[Action]) -> None:
        """What the engine decided at one instant (its CLOCK_BOOTTIME)."""
        encoded = [encode_action(action) for action in actions]
        self._encoded += encoded
        if self._file is not None:
            self._lines += [b'{"bootNs":%d,"action":%b}\n' % (boot_ns, one) for one in encoded]
        if len(self._encoded) >= _BLOCK:
            self._flush()

    def sha256(self) -> str:
        """Over everything so far, in hex."""
        self._flush()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write what is left; may be called again."""
        if self._file is not None:
            self._flush()
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        if not self._encoded:
            return
        self.count += len(self._encoded)
        self._encoded.append(b"")  # a newline after the last one too
        self._digest.update(b"\n".join(self._encoded))
        self._encoded.clear()
        if self._file is not None:
            self._file.write(b"".join(self._lines))
            self._lines.clear()
