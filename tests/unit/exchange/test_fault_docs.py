"""The table of faults in docs/exchange.md is the table that the exchange enforces."""

import re
from pathlib import Path

from mm_exchange.fault_kinds import KINDS, TARGET_NAMES, known_params

TEXT = (Path(__file__).parents[3] / "docs" / "exchange.md").read_text()
SECTION = TEXT[TEXT.index("## Faults") : TEXT.index("## Not there yet")]
ROW = re.compile(r"^\| `(?P<kind>[a-z-]+)` \|(?P<marks>( x? ?\|){4}) (?P<words>.*) \|$", re.MULTILINE)


def rows():
    return {found["kind"]: found for found in ROW.finditer(SECTION)}


def test_every_kind_is_documented_on_the_targets_that_it_acts_on():
    documented = {
        kind: {name for name, mark in zip(TARGET_NAMES, row["marks"].split("|"), strict=False) if "x" in mark}
        for kind, row in rows().items()
    }
    assert documented == {kind: set(table.targets) for kind, table in KINDS.items()}


def test_every_parameter_is_documented():
    for kind, row in rows().items():
        missing = [name for name in KINDS[kind].params if f"`{name}`" not in row["words"] and kind != "timeout-after"]
        assert missing == [], kind
    assert all(f"`{name}`" in SECTION for name in known_params("gap") - {"symbol"})
