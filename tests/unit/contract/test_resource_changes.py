"""What a change of the spec does to a running engine."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from mm_contract.resource import FieldClass, MarketMakerSpec, SpecChange, changes, field_class, parse_market_maker

SPEC: dict[str, Any] = {
    "symbol": "ETHUSDT",
    "exchange": {"account": "desk-a", "credentials": {"secretName": "mm-desk-a"}},
    "strategy": {"grid": {}},
}


def spec(*changed: tuple[str, Any]) -> MarketMakerSpec:
    made = copy.deepcopy(SPEC)
    for path, value in changed:
        *parents, leaf = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    resource = {"apiVersion": "marketmaker.io/v1alpha1", "kind": "MarketMaker", "metadata": {"name": "a"}, "spec": made}
    return parse_market_maker(resource).spec


def test_nothing_changed_is_no_change():
    assert not changes(spec(), spec())
    assert changes(spec(), spec()) == SpecChange()


def test_an_amount_written_otherwise_is_no_change():
    assert not changes(spec(("risk.maxPosition", "0.5")), spec(("risk.maxPosition", "0.500")))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (("desiredState", "Halted"), SpecChange(hot=("spec.desiredState",))),
        (("quoting.minSpreadBps", 5), SpecChange(hot=("spec.quoting.minSpreadBps",))),
        (("quoting.staticLeg.ticks", 5), SpecChange(hot=("spec.quoting.staticLeg.ticks",))),
        (("risk.drawdownBands", [{"drawdown": 0.1, "reduce": 0.5}]), SpecChange(hot=("spec.risk.drawdownBands",))),
        (("exchange.recvWindowMs", 1000), SpecChange(hot=("spec.exchange.recvWindowMs",))),
        (("exchange.leverage", 3), SpecChange(restart=("spec.exchange.leverage",))),
        (("exchange.credentials.secretName", "mm-b"), SpecChange(restart=("spec.exchange.credentials.secretName",))),
        (("exchange.endpoints.rest", "http://x"), SpecChange(restart=("spec.exchange.endpoints.rest",))),
        (("failover.leaseSeconds", 20), SpecChange(restart=("spec.failover.leaseSeconds",))),
        (("shutdown.graceSeconds", 20), SpecChange(restart=("spec.shutdown.graceSeconds",))),
        (("shutdown.onDelete", "Flatten"), SpecChange(hot=("spec.shutdown.onDelete",))),
        (("telemetry.lokiUrl", "http://x"), SpecChange(restart=("spec.telemetry.lokiUrl",))),
        (("pod.resources", {"limits": {"memory": "1Gi"}}), SpecChange(restart=("spec.pod.resources",))),
        (("pod.env", [{"name": "A"}]), SpecChange(restart=("spec.pod.env",))),
        (("symbol", "BTCUSDT"), SpecChange(immutable=("spec.symbol",))),
        (("exchange.account", "desk-b"), SpecChange(immutable=("spec.exchange.account",))),
        (("exchange.environment", "testnet"), SpecChange(immutable=("spec.exchange.environment",))),
        (("strategy.grid.skewFactor", 1), SpecChange(hot=("spec.strategy.grid.skewFactor",))),
        (("strategy", {"glft": {}}), SpecChange(hot=("spec.strategy.grid", "spec.strategy.glft"))),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_change_is_reported_by_path_and_class(changed, expected):
    assert changes(spec(), spec(changed)) == expected


def test_several_changes_are_sorted_by_class():
    found = changes(
        spec(), spec(("symbol", "BTCUSDT"), ("exchange.leverage", 3), ("dryRun", True), ("quoting.levels", 3))
    )
    assert found == SpecChange(
        hot=("spec.dryRun", "spec.quoting.levels"), restart=("spec.exchange.leverage",), immutable=("spec.symbol",)
    )
    assert len(found.paths) == 4


def leaves(model: type[BaseModel], path: str = "spec") -> Iterator[tuple[str, FieldClass | None]]:
    """Every field that has no block of ours below it."""
    for field in model.model_fields.values():
        here, own = f"{path}.{field.alias}", field_class(field)
        inner = field.annotation
        if own is None and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, here)
        else:
            yield here, own


def test_every_field_of_the_spec_has_a_class():
    found = dict(leaves(MarketMakerSpec))
    assert [path for path, own in found.items() if own is None] == []
    immutable = {path for path, own in found.items() if own is FieldClass.IMMUTABLE}
    assert immutable == {
        f"spec.{name}" for name in ("symbol", "exchange.venue", "exchange.environment", "exchange.account")
    }
    assert {own for path, own in found.items() if path.startswith("spec.pod.")} == {FieldClass.RESTART}
    assert {own for path, own in found.items() if path.startswith(("spec.risk.", "spec.quoting."))} == {FieldClass.HOT}
