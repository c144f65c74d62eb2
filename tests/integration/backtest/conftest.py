"""Tapes that several tests play, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mm_backtest.tape import Tape, open_tape
from support.backtests import SPEC
from support.tapes import write_tape


@pytest.fixture(scope="session")
def tape_file(tmp_path_factory) -> Path:
    """Half a minute of synthetic flow."""
    return write_tape(tmp_path_factory.mktemp("tapes") / "flow.gz", seconds=30)


@pytest.fixture(scope="session")
def tape(tape_file) -> Tape:
    return open_tape(tape_file, "ETHUSDT")


@pytest.fixture
def spec_file(tmp_path) -> Path:
    path = tmp_path / "mm.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return path
