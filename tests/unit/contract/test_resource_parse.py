"""Whatever stands in a file, the answer is a MarketMaker or sentences that say what to change."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_contract.resource import SpecError, load_manifest, parse_market_maker, parse_trading_halt
from mm_contract.states import DesiredState

GOOD = """\
apiVersion: marketmaker.io/v1alpha1
kind: MarketMaker
metadata: {name: ethusdt}
spec:
  symbol: ETHUSDT
  exchange: {account: desk-a, credentials: {secretName: mm-desk-a}}
  strategy: {grid: {}}
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: mm-desk-a}\n"
LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_manifest(text)
    return str(caught.value)


def test_the_market_maker_is_found_among_other_documents():
    assert load_manifest(f"{SECRET}---\n{GOOD}---\n").spec.symbol == "ETHUSDT"


def test_a_time_stays_text():
    stored = GOOD.replace("{name: ethusdt}", "{name: ethusdt, creationTimestamp: 2026-01-01T00:00:00Z}")
    assert load_manifest(stored).metadata.creation_timestamp == "2026-01-01T00:00:00Z"


def test_an_object_that_is_not_plain_json_is_refused():
    document = yaml.safe_load(GOOD)
    document["metadata"]["creationTimestamp"] = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(SpecError, match="a value that JSON cannot express"):
        parse_market_maker(document)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "holds no MarketMaker but nothing; add a document with kind: MarketMaker"),
        (SECRET, "holds no MarketMaker but a Secret"),
        ("just words", 'holds no MarketMaker but "just words"'),
        ("- a\n- b\n", "holds no MarketMaker but a list"),
        ("{}", "a document without kind"),
        (f"{GOOD}---\n{GOOD}", "holds 2 MarketMakers, and one engine runs one"),
        ("kind: [", "not valid YAML: line 1"),
        ("kind: \tMarketMaker: x", "not valid YAML"),
        (GOOD + "spec: {}\n", "line 8, column 1: the key spec occurs twice; remove one"),
        (GOOD.replace("{grid: {}}", "{grid: {}, grid: {}}"), "the key grid occurs twice"),
        (GOOD.replace("v1alpha1", "v2"), 'apiVersion: is "marketmaker.io/v2"; change it to marketmaker.io/v1alpha1'),
        ("!!python/object:os.system {}", "not valid YAML"),
        ("x: " + "[" * 5000, "nested too deeply"),
        ("x" * 1_048_577, "larger than 1048576 bytes"),
        (LAUGHS, "unfolds to more than 100000 values"),
        ("&a [*a]", "unfolds to more than"),
        (GOOD.replace("ETHUSDT", "! {a: 1}"), "spec.symbol: is a block of fields; change it to a string"),
        (GOOD.replace("{grid: {}}", "{grid: {skewFactor: .nan}}"), "spec.strategy.grid.skewFactor: is NaN, not a finite number"),
        (GOOD.replace("{grid: {}}", "{grid: {skewFactor: 1e999}}"), "skewFactor"),
        (GOOD.replace("{name: ethusdt", "{name: ''"), "metadata.name: is shorter than allowed"),
        (GOOD.replace("metadata", "metadta"), "metadta: there is no such field; change it to metadata"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(text, phrase):
    assert phrase in refusal(text)


def test_every_problem_is_told_at_once():
    document = yaml.safe_load(GOOD)
    document["spec"] |= {"desiredState": "Run", "quoting": {"levels": 0, "baseSize": 1}}
    document["spec"]["exchange"]["leverage"] = 500
    with pytest.raises(SpecError) as caught:
        parse_market_maker(document)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "spec.desiredState",
        "spec.exchange.leverage",
        "spec.quoting.baseSize",
        "spec.quoting.levels",
    ]
    assert all("change it to" in problem for problem in caught.value.problems)


def test_every_broken_rule_is_told_at_once():
    document = yaml.safe_load(GOOD)
    document["spec"]["quoting"] = {"minSpreadBps": 70, "minIntervalMs": 600, "baseSize": "9"}
    with pytest.raises(SpecError) as caught:
        parse_market_maker(document)
    assert len(caught.value.problems) == 3


def test_a_null_is_read_as_absent_but_does_not_excuse_an_unknown_field():
    document = yaml.safe_load(GOOD)
    document["spec"]["risk"] = {"stopLoss": None, "drawdownBands": None}
    assert parse_market_maker(document).spec == load_manifest(GOOD).spec
    document["spec"]["risk"] = {"stopLos": None}
    with pytest.raises(SpecError, match="change it to stopLoss"):
        parse_market_maker(document)


def test_an_old_engine_obeys_a_halt_beside_a_field_that_is_newer_than_itself():
    document = yaml.safe_load(GOOD)
    document["spec"] |= {
        "desiredState": "Halted",
        "fromTheFuture": {"x": 1},
        "risk": {"newLimit": None, "maxPosition": "2"},
    }
    with pytest.raises(SpecError, match="there is no such field"):
        parse_market_maker(document)
    spec = parse_market_maker(document, unknown_fields="ignore").spec
    assert spec.desired_state is DesiredState.HALTED
    assert spec.risk.max_position == 2
    document["spec"]["risk"]["maxPosition"] = "-2"
    with pytest.raises(SpecError, match="more than zero"):
        parse_market_maker(document, unknown_fields="ignore")


def test_a_long_value_is_cut_in_the_sentence():
    document = yaml.safe_load(GOOD)
    document["spec"]["symbol"] = "x" * 10_000
    with pytest.raises(SpecError) as caught:
        parse_market_maker(document)
    assert len(str(caught.value)) < 300


def test_a_trading_halt_is_read_and_refused_alike():
    halt: dict[str, Any] = {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "TradingHalt",
        "metadata": {"name": "stop"},
        "spec": {"selector": {}},
    }
    assert parse_trading_halt(halt).matches({"any": "thing"})
    bad = copy.deepcopy(halt)
    del bad["spec"]["selector"]
    with pytest.raises(SpecError, match=r"spec\.selector: is required and missing; add it"):
        parse_trading_halt(bad)
    with pytest.raises(SpecError, match='kind: is "TradingHalt"; change it to MarketMaker'):
        parse_market_maker(halt)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(
    ["symbol", "exchange", "quoting", "strategy", "risk", "failover", "telemetry", "pod", "grid", "env", "x"]
)
SPECS = st.recursive(JSON, lambda inner: st.dictionaries(NAMES, inner, max_size=5), max_leaves=10)


@settings(max_examples=300, deadline=None)
@given(spec=SPECS, metadata=JSON, status=JSON)
def test_no_object_makes_the_parser_crash(spec, metadata, status):
    document = {
        "apiVersion": "marketmaker.io/v1alpha1", "kind": "MarketMaker", "metadata": metadata, "spec": spec, "status": status,
    }  # fmt: skip
    problems: tuple[str, ...] = ("a: b",)
    try:
        parse_market_maker(document)
    except SpecError as error:
        problems = error.problems
    assert problems
    assert all(": " in problem for problem in problems)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("abk: {}[]&*!'\"#-\n\t0.\x00\\%@|>?,"), max_size=60))
def test_no_text_makes_the_reader_crash(text):
    with pytest.raises(SpecError):
        load_manifest(text)
