"""The CRDs are current, bounded everywhere, and say in words what every field means."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm_contract import crd
from mm_contract.resource import RULES, ConditionStatus
from mm_contract.states import DesiredState, HaltState, ListenKeyState, Phase, RiskState

ROOT = Path(__file__).resolve().parents[3]
CRDS = {"MarketMaker": crd.market_maker_crd(), "TradingHalt": crd.trading_halt_crd()}


def version(kind: str) -> dict[str, Any]:
    (only,) = CRDS[kind]["spec"]["versions"]
    return only


def nodes(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of the schema, with its path."""
    waiting = [("", version(kind)["schema"]["openAPIV3Schema"])]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        waiting += [(f"{path}.{name}", inner) for name, inner in node.get("properties", {}).items()]
        if "items" in node:
            waiting.append((f"{path}[]", node["items"]))
        if "additionalProperties" in node:
            waiting.append((f"{path}{{}}", node["additionalProperties"]))


def at(kind: str, path: str) -> dict[str, Any]:
    return dict(nodes(kind))[path]


@pytest.mark.parametrize("name", crd.generated_files())
def test_a_generated_file_is_current(name):
    assert (ROOT / name).read_text() == crd.generated_files()[name], "run: python -m mm_contract.crd --write"


def test_the_command_prints_both():
    done = subprocess.run(
        [sys.executable, "-m", "mm_contract.crd"], capture_output=True, text=True, check=True, timeout=60
    )
    assert list(yaml.safe_load_all(done.stdout)) == list(CRDS.values())


def test_the_command_refuses_what_it_does_not_know(capsys):
    assert crd.main(["--wirte"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "short"), [("MarketMaker", "mm"), ("TradingHalt", "th")])
def test_names(kind, short):
    spec = CRDS[kind]["spec"]
    assert spec["group"] == "marketmaker.io"
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["shortNames"] == [short]
    assert spec["names"]["categories"] == ["marketmaking"]
    assert CRDS[kind]["metadata"]["name"] == f"{kind.lower()}s.marketmaker.io"
    assert version(kind)["name"] == "v1alpha1"


def test_the_status_is_a_subresource():
    assert version("MarketMaker")["subresources"] == {"status": {}}


def test_the_columns():
    columns = version("MarketMaker")["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if "priority" not in column]
    assert shown == ["SYMBOL", "DESIRED", "PHASE", "RISK", "LISTENKEY", "POSITION", "PNL", "AGE"]
    assert [column["name"] for column in columns if column.get("priority") == 1] == [
        "NODE",
        "EPOCH",
        "SPREAD",
        "DATA-AGE",
    ]


@pytest.mark.parametrize("kind", CRDS)
def test_a_column_shows_a_field_that_exists(kind):
    known = dict(nodes(kind))
    for column in version(kind)["additionalPrinterColumns"]:
        path = column["jsonPath"]
        if path != ".metadata.creationTimestamp":
            assert known[path]["type"] == column["type"]


@pytest.mark.parametrize("kind", CRDS)
def test_nothing_unknown_is_preserved(kind):
    assert "x-kubernetes-preserve-unknown-fields" not in crd.to_yaml(CRDS[kind])
    objects = [path for path, node in nodes(kind) if node.get("type") == "object" and path != ".metadata"]
    assert [
        path for path in objects if not {"properties", "additionalProperties"} & dict(nodes(kind))[path].keys()
    ] == []


@pytest.mark.parametrize("kind", CRDS)
def test_everything_is_bounded(kind):
    unbounded = []
    for path, node in nodes(kind):
        if path in {".apiVersion", ".kind", ".metadata"} or path.startswith(".status.marketData."):
            continue
        match node.get("type"):
            case "string":
                bounded = "maxLength" in node or "enum" in node or node.get("format") == "date-time"
            case "array":
                bounded = "maxItems" in node
            case "integer" | "number":
                bounded = {"minimum", "maximum"} <= node.keys()
            case "object" if "additionalProperties" in node:
                bounded = "maxProperties" in node
            case _:
                bounded = True
        if not bounded:
            unbounded.append(path)
    assert unbounded == []


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_has_a_meaning(kind):
    mute = [
        path
        for path, node in nodes(kind)
        if not path.endswith(("[]", "{}", ".metadata")) and not node.get("description")
    ]
    assert mute == []


def test_every_leaf_of_the_spec_tells_its_class():
    blocks = {path for path, node in nodes("MarketMaker") if "properties" in node}
    for path, node in nodes("MarketMaker"):
        inside_kubernetes_shapes = re.match(r"\.spec\.pod\.\w+[.\[{]", path) or "[]" in path
        if path.startswith(".spec.") and path not in blocks and not inside_kubernetes_shapes:
            assert re.search(r"\[(hot|restart|immutable)\]$", node["description"]), path


def test_a_number_with_a_unit_says_so_in_its_name():
    for path, node in nodes("MarketMaker"):
        if path.startswith((".spec.quoting", ".spec.risk", ".spec.failover")) and node.get("type") == "integer":
            timed = re.search(r"\b(milli)?seconds\b", node["description"], re.IGNORECASE)
            assert not timed or path.endswith(("Ms", "Seconds")), path


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("MarketMaker", ".spec.desiredState", DesiredState),
        ("MarketMaker", ".status.phase", Phase),
        ("MarketMaker", ".status.risk.state", RiskState),
        ("MarketMaker", ".status.listenKey.state", ListenKeyState),
        ("MarketMaker", ".status.conditions[].status", ConditionStatus),
        ("TradingHalt", ".spec.state", HaltState),
    ],
)
def test_the_words_are_those_of_the_contract(kind, path, words):
    assert at(kind, path)["enum"] == [word.value for word in words]


@pytest.mark.parametrize(
    "path", [".spec.symbol", ".spec.exchange.venue", ".spec.exchange.environment", ".spec.exchange.account"]
)
def test_the_parts_of_the_claim_cannot_be_changed(path):
    assert "self == oldSelf" in [each["rule"] for each in at("MarketMaker", path)["x-kubernetes-validations"]]


def test_every_rule_of_the_parser_is_a_rule_of_the_crd():
    rules = [each for path in ("", ".spec") for each in at("MarketMaker", path)["x-kubernetes-validations"]]
    assert {(rule.cel, rule.message) for rule in RULES} <= {(each["rule"], each["message"]) for each in rules}


def test_a_fractional_bound_is_guarded_by_cel_too():
    # The API server truncates the bound when the value is written without a point.
    guarded = at("MarketMaker", ".spec.risk.maxMarginRatio")
    assert guarded["minimum"] == 0.01
    assert "self >= 0.01" in [each["rule"] for each in guarded["x-kubernetes-validations"]]


def test_required_is_only_what_cannot_be_guessed():
    required = {
        f"{path}.{name}"
        for path, node in nodes("MarketMaker")
        if path.startswith(".spec")
        for name in node.get("required", [])
    }
    ours = {path for path in required if not re.search(r"\.pod\.|\[\]", path)}
    assert ours == {
        ".spec.symbol",
        ".spec.exchange",
        ".spec.strategy",
        ".spec.exchange.account",
        ".spec.exchange.credentials",
        ".spec.exchange.credentials.secretName",
    }
    assert at("TradingHalt", ".spec")["required"] == ["selector"]


def test_conditions_merge_by_type():
    conditions = at("MarketMaker", ".status.conditions")
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_the_listen_key_itself_has_no_place_in_the_status():
    assert at("MarketMaker", ".status.listenKey")["properties"].keys() == {
        "state",
        "fingerprint",
        "lastKeepaliveTime",
        "expiresAt",
        "consecutiveFailures",
    }


def test_a_chart_template_survives_braces():
    made = crd.to_helm_template({"apiVersion": "v1", "metadata": {"name": "x"}, "rule": "a{{b"})
    assert 'rule: a{{ "{{" }}b' in made


def test_the_chart_templates_can_be_switched_off_and_are_kept():
    text = (ROOT / "charts/market-maker/templates/crd-marketmaker.yaml").read_text()
    assert "{{- if .Values.crds.install }}" in text
    assert "{{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}" in text
