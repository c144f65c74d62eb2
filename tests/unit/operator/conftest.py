"""The operator's log is not what these tests are about, and formatting it costs more than they do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


def _drop(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent


@pytest.fixture(autouse=True, scope="session")
def _silent_log() -> Iterator[None]:
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()
