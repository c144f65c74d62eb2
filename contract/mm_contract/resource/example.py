"""`examples/full.yaml`: every field of the spec with its default and its meaning, rendered from the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from mm_contract.names import API_VERSION, MARKET_MAKER_KIND
from mm_contract.resource._spec import MarketMakerSpec
from mm_contract.resource.schema import structural_schema

Schema = dict[str, Any]

_HEADER: Final = f"""\
# Generated from mm_contract.resource by `python -m mm_contract.crd --write`; do not edit.
# Every field of a MarketMaker, with its default where it has one. Start from examples/mm.yaml; take from here what you need.
# [hot] the running engine takes a change over; [restart] it drains and a new pod starts; [immutable] cannot be changed.
apiVersion: {API_VERSION}
kind: {MARKET_MAKER_KIND}
metadata:
  name: ethusdt
  namespace: trading
spec:
"""
_REQUIRED: Final = {
    "spec.symbol": "ETHUSDT",
    "spec.exchange.account": "desk-a",
    "spec.exchange.credentials.secretName": "mm-desk-a",
}
"""What has no default stands here with an example."""
_CHOSEN_STRATEGY: Final = "grid"


def render_full_example() -> str:
    """The file's text; parsed, it equals a MarketMaker of nothing but defaults."""
    return _HEADER + "\n".join(_lines(structural_schema(MarketMakerSpec), path="spec", prefix="  ")) + "\n"


def _lines(schema: Schema, *, path: str, prefix: str) -> Iterator[str]:
    for name, field in schema["properties"].items():
        here = f"{path}.{name}"
        if path == "spec.strategy" and name != _CHOSEN_STRATEGY:
            yield from _block(name, field, here, prefix + "# ")
        elif "properties" in field and not _is_leaf(here):
            yield from _block(name, field, here, prefix)
        else:
            value = _REQUIRED.get(here, field.get("default"))
            yield f"{f'{prefix}{name}: {_yaml(value)}':<44} # {field['description']}"


def _block(name: str, field: Schema, path: str, prefix: str) -> Iterator[str]:
    yield f"{f'{prefix}{name}:':<44} # {field['description']}"
    yield from _lines(field, path=path, prefix=prefix + "  ")


def _is_leaf(path: str) -> bool:
    # Kubernetes' own shapes are shown as one value.
    return path.startswith("spec.pod.")


def _yaml(value: object) -> str:
    if isinstance(value, dict) and value:
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str) and value[:1].isalpha():
        return value
    return json.dumps(value)
