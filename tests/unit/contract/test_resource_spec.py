"""The models read exactly what a manifest says, and write it back unchanged."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mm_contract.resource import (
    CredentialsSpec,
    Environment,
    ExchangeSpec,
    GridSpec,
    MarketMakerSpec,
    QuotingSpec,
    StrategySpec,
    format_amount,
    load_manifest,
    parse_market_maker,
    to_manifest,
)
from mm_contract.states import DesiredState

ROOT = Path(__file__).resolve().parents[3]


def minimal() -> dict[str, Any]:
    return {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "MarketMaker",
        "metadata": {"name": "ethusdt", "uid": "u", "generation": 3, "managedFields": [{"manager": "kubectl"}]},
        "spec": {
            "symbol": "ETHUSDT",
            "exchange": {"account": "desk-a", "credentials": {"secretName": "mm-desk-a"}},
            "strategy": {"grid": {}},
        },
    }


def test_the_least_that_can_be_said_is_enough():
    spec = parse_market_maker(minimal()).spec
    assert spec.desired_state is DesiredState.RUNNING
    assert spec.exchange.environment is Environment.SIMULATED, "a forgotten field never trades real money"
    assert spec.risk.max_position == Decimal("0.50")
    assert spec.strategy.chosen == ("grid", GridSpec())


def test_the_full_example_holds_every_field_at_its_default():
    full = yaml.safe_load((ROOT / "examples/full.yaml").read_text())
    assert full["spec"]["strategy"].keys() == {"grid"}
    assert full["spec"] == to_manifest(parse_market_maker(minimal()))["spec"]


def test_the_newcomers_example_is_valid_and_differs_from_the_defaults_in_nothing_dangerous():
    market_maker = load_manifest((ROOT / "examples/mm.yaml").read_text())
    assert (market_maker.metadata.namespace, market_maker.metadata.name) == ("trading", "ethusdt")
    assert market_maker.spec == parse_market_maker(minimal()).spec


def test_a_spec_can_be_built_in_python_by_its_own_names():
    spec = MarketMakerSpec(
        symbol="BTCUSDT",
        exchange=ExchangeSpec(account="a", credentials=CredentialsSpec(secret_name="mm-a")),
        quoting=QuotingSpec(base_size=Decimal("0.001"), min_spread_bps=2),
        strategy=StrategySpec(grid=GridSpec()),
    )
    assert spec.quoting.min_spread_bps == 2.0


def test_a_spec_cannot_be_changed_in_place():
    spec = parse_market_maker(minimal()).spec
    with pytest.raises(ValidationError, match="frozen"):
        spec.symbol = "BTCUSDT"  # type: ignore[misc]


def test_no_two_specs_share_a_map():
    one, other = parse_market_maker(minimal()).spec, parse_market_maker(minimal()).spec
    one.pod.labels["a"] = "b"
    assert other.pod.labels == {}
    assert MarketMakerSpec.model_validate(minimal()["spec"], strict=False).pod.labels == {}


AMOUNTS = st.from_regex(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?", fullmatch=True)


@given(AMOUNTS)
def test_an_amount_is_written_as_it_was_read(text):
    document = minimal()
    document["spec"]["risk"] = {"maxDailyVolume": text}
    spec = parse_market_maker(document).spec
    assert spec.risk.max_daily_volume == Decimal(text)
    assert to_manifest(spec)["risk"]["maxDailyVolume"] == text


def test_a_tiny_amount_has_no_exponent():
    assert str(Decimal("0.000000001")) == "1E-9", "what format_amount is there to avoid"
    assert format_amount(Decimal("0.000000001")) == "0.000000001"


def test_what_the_status_holds_beyond_our_knowledge_is_passed_over():
    document = minimal() | {"status": {"phase": "Quoting", "fromTheFuture": 1, "engine": {"epoch": 7, "colour": "red"}}}
    status = parse_market_maker(document).status
    assert status is not None
    assert status.engine is not None
    assert (status.phase, status.engine.epoch) == ("Quoting", 7)


def test_a_strategy_is_named_by_its_block():
    document = minimal()
    document["spec"]["strategy"] = {"avellanedaStoikov": {"kappa": 1.5}}
    name, block = parse_market_maker(document).spec.strategy.chosen
    assert name == "avellanedaStoikov"
    assert to_manifest(block) == {
        "riskAversion": 0.1,
        "horizonSeconds": 60,
        "kappa": 1.5,
        "volatilityHalfLifeSeconds": 30,
    }


def test_an_unparsed_strategy_of_two_blocks_has_no_name():
    with pytest.raises(ValueError, match="exactly one strategy block must be set, found 0"):
        _ = StrategySpec().chosen
