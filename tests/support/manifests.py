"""A good manifest, and the many ways to spoil it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

BAD: list[Json] = yaml.safe_load((Path(__file__).parent / "bad_manifests.yaml").read_text())


def good(name: str = "ethusdt") -> Json:
    """The least that a MarketMaker must say."""
    return {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "MarketMaker",
        "metadata": {"name": name},
        "spec": {
            "symbol": "ETHUSDT",
            "exchange": {"account": "desk-a", "credentials": {"secretName": "mm-desk-a"}},
            "strategy": {"grid": {}},
        },
    }


def merged(document: Any, change: Any) -> Any:
    """JSON merge patch (RFC 7396): null removes."""
    if not isinstance(change, dict):
        return change
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def with_values(values: dict[str, Any]) -> Json:
    """A good manifest with values put at dotted paths."""
    made = copy.deepcopy(good())
    for path, value in values.items():
        *parents, leaf = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return made


def spoilt(bad: Json) -> Json:
    """The document of one row of the table."""
    document = merged(good(), bad["change"])
    assert document != good(), "a change that changes nothing tests nothing"
    return document
