"""Writes the reference pages that are made from the registries: `python -m mm_contract.reference --write`.

Without `--write` it only says whether they are stale (exit code 1). A test calls it, so that no event or metric goes undocumented.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mm_contract import events, metrics

FOLDER: Final = Path("docs/reference")
_COMMAND: Final = "`python -m mm_contract.reference --write`"

_EVENTS_HEAD: Final = f"""# Log events

Made from `mm_contract.events` by {_COMMAND}; do not edit.

Every line of the engine is one bare JSON object with `event`, `ts` (RFC 3339 with nanoseconds, UTC), `symbol` and `level`, on standard output and in
`/var/log/market-maker/runner.log` alike. A line that lacks a required field, or names an event that is not listed here, carries `_schema_error`.
`listenKey` is always a fingerprint.

"""
_METRICS_HEAD: Final = f"""# Metrics

Made from `mm_contract.metrics` by {_COMMAND}; do not edit.

Names that begin with `runner_` are served by each engine on port 9100, those with `mm_operator_` by the operator. `runner_rest_requests_total` and
`runner_rest_errors_total` carry the same label sets, each at 0 from the start. Post-only rejections (-5022) and cancels of orders that are already gone
(-2011, -2013) are an engine's everyday life and count as requests, not as errors.

"""


def pages() -> dict[str, str]:
    """File name to text."""
    return {"log-events.md": _EVENTS_HEAD + events.markdown(), "metrics.md": _METRICS_HEAD + metrics.markdown()}


def stale(folder: Path) -> list[str]:
    """Names of the pages that differ from the registries or are missing."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Write, or tell; returns the exit code."""
    if list(arguments) not in ([], ["--write"]):
        sys.stderr.write("usage: python -m mm_contract.reference [--write]\n")
        return 2
    if arguments:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name, text in pages().items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    for name in (found := stale(FOLDER)):
        sys.stderr.write(f"{FOLDER / name} is stale: run {_COMMAND}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
