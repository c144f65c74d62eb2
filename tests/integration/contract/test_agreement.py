"""Parser and API server are one contract: the same verdict on the same document, and the same defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_contract.resource import RULES, SpecError, load_manifest, parse_market_maker, parse_trading_halt, to_manifest
from support.manifests import good, with_values
from support.soak import SOAK

pytestmark = pytest.mark.apiserver

Json = dict[str, Any]
EXAMPLES = 5000 if SOAK else 200
ROOT = Path(__file__).resolve().parents[3]
MINIMAL = good()


def problem(candidate: Json) -> str | None:
    """What the parser says of a document."""
    try:
        parse_market_maker(candidate)
    except SpecError as error:
        return str(error)
    return None


# For each rule, by its message's beginning: values for which it just holds, and values for which it just does not.
BOUNDARIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the name must have at most": ({"metadata.name": "n" * 40}, {"metadata.name": "n" * 41}),
    "the name must not contain a dot": ({"metadata.name": "a-b"}, {"metadata.name": "a.b"}),
    "exactly one of": ({"spec.strategy": {"asmm": {}}}, {"spec.strategy": {"asmm": {}, "glft": {}}}),
    "minSpreadBps": ({"spec.quoting.minSpreadBps": 60}, {"spec.quoting.minSpreadBps": 60.001}),
    "minIntervalMs": ({"spec.quoting.minIntervalMs": 500}, {"spec.quoting.minIntervalMs": 501}),
    "baseSize": ({"spec.quoting.baseSize": "0.5"}, {"spec.quoting.baseSize": "0.500000001"}),
    "targetPosition": ({"spec.risk.targetPosition": "-0.5"}, {"spec.risk.targetPosition": "-0.500000001"}),
    "reduceOnlyExit": ({"spec.risk.reduceOnlyExit": 0.69}, {"spec.risk.reduceOnlyExit": 0.7}),
    "pinningThreshold": ({"spec.strategy.grid.pinningThreshold": 0.59}, {"spec.strategy.grid.pinningThreshold": 0.6}),
    "grindingThreshold": (
        {"spec.strategy.grid.grindingThreshold": 0.69},
        {"spec.strategy.grid.grindingThreshold": 0.7},
    ),
    "drawdownBands": (
        {"spec.risk.drawdownBands": [{"drawdown": 0.05, "reduce": 1}, {"drawdown": 0.06, "reduce": 0.5}]},
        {"spec.risk.drawdownBands": [{"drawdown": 0.05, "reduce": 0.1}, {"drawdown": 0.05, "reduce": 0.5}]},
    ),
    "haltSeconds": (
        {"spec.risk.haltPolicy": "Latched", "spec.risk.haltSeconds": 0},
        {"spec.risk.haltPolicy": "Timed", "spec.risk.haltSeconds": 0},
    ),
    "minFactor": (
        {"spec.risk.adaptive": {"minFactor": 0.5, "maxFactor": 0.5}},
        {"spec.risk.adaptive": {"minFactor": 0.5, "maxFactor": 0.49}},
    ),
    # Within the bounds of both fields the rule always holds; the bounds and the rule guard each other.
    "two thirds of leaseSeconds": (
        {"spec.failover.leaseSeconds": 10, "spec.exchange.recvWindowMs": 2000},
        {"spec.failover.leaseSeconds": 9, "spec.exchange.recvWindowMs": 2000},
    ),
    "lokiUrl": (
        {"spec.telemetry": {"logSidecar": "alloy", "lokiUrl": "http://loki:3100/loki/api/v1/push"}},
        {"spec.telemetry": {"logSidecar": "alloy"}},
    ),
    "names that begin with MM_": (
        {"spec.pod.env": [{"name": "XMM_A"}]},
        {"spec.pod.env": [{"name": "MM_A"}]},
    ),
    "each name may occur once": (
        {"spec.pod.env": [{"name": "A"}, {"name": "B"}]},
        {"spec.pod.env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]},
    ),
    "labels that begin with": ({"spec.pod.labels": {"app": "x"}}, {"spec.pod.labels": {"app.kubernetes.io/name": "x"}}),
    "annotations that begin with": (
        {"spec.pod.annotations": {"a/marketmaker.io": ""}},
        {"spec.pod.annotations": {"marketmaker.io/a": ""}},
    ),
}


@pytest.mark.parametrize("rule", RULES, ids=[rule.message[:30] for rule in RULES])
def test_a_rule_draws_the_same_line_for_both(refusal, rule):
    holding, breaking = next(pair for start, pair in BOUNDARIES.items() if rule.message.startswith(start))
    assert problem(with_values(holding)) is None
    assert refusal(with_values(holding)) is None
    assert problem(with_values(breaking)) is not None
    assert rule.message in (refusal(with_values(breaking)) or "")


AMOUNTS = st.sampled_from(
    ["0", "0.1", "0.50", "0.500000001", "2", "-0.3", "-0", "1e3", "", "01", ".5", "5.", "9" * 16, 0.5, 1, True]
)
RATIOS = st.sampled_from([0, 0.2, 0.45, 0.5, 0.6, 0.7, 1, 1.0, 1.01, -0.1, "0.5", False, []])
COUNTS = st.sampled_from([0, 1, 5, 20, 21, 50, 500, 2000, 2001, 60_001, -1, 2.5, "5", True, {}])
TEXTS = st.sampled_from(["", "mm-a", "desk-a", "A", "a.b", "http://x", "ws://x", "https://x y", "x\n", "é", 3, None])
VALUES = {
    "spec.symbol": TEXTS,
    "spec.desiredState": st.sampled_from(["Running", "Flat", "running", "", None, 1]),
    "spec.dryRun": st.sampled_from([True, False, "true", 0, None]),
    "spec.exchange.account": TEXTS,
    "spec.exchange.credentials.secretName": TEXTS,
    "spec.exchange.endpoints.rest": TEXTS,
    "spec.exchange.endpoints.wsApi": TEXTS,
    "spec.exchange.leverage": COUNTS,
    "spec.exchange.recvWindowMs": COUNTS,
    "spec.exchange.weightShare": RATIOS,
    "spec.quoting.baseSize": AMOUNTS,
    "spec.quoting.levels": COUNTS,
    "spec.quoting.intervalMs": COUNTS,
    "spec.quoting.minIntervalMs": COUNTS,
    "spec.quoting.minSpreadBps": COUNTS,
    "spec.quoting.maxSpreadBps": COUNTS,
    "spec.quoting.staticLeg.fraction": RATIOS,
    "spec.strategy.grid.pinningThreshold": RATIOS,
    "spec.strategy.grid.grindingThreshold": RATIOS,
    "spec.strategy": st.sampled_from(["grid", "asmm", "glft", "avellanedaStoikov"]).flatmap(
        lambda name: st.sampled_from(
            [
                {name: {}},
                {name: {"riskAversion": 0}},
                {name: {"kappa": None}},
                {name: {"kappa": 0}},
                {name: None},
                {name: {}, "grid": {}},
            ]
        )
    ),
    "spec.risk.drawdownBands": st.lists(
        st.fixed_dictionaries({"drawdown": RATIOS, "reduce": st.just(0.5)}), max_size=3
    ),
    "spec.pod.env": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["A", "B", "MM_C", "1", ""])}), max_size=3),
    "spec.pod.labels": st.dictionaries(
        st.sampled_from(["a", "marketmaker.io/x", "app.kubernetes.io/name"]), TEXTS, max_size=2
    ),
    "spec.risk.maxPosition": AMOUNTS,
    "spec.risk.targetPosition": AMOUNTS,
    "spec.risk.maxDailyVolume": AMOUNTS,
    "spec.risk.stopLoss": AMOUNTS,
    "spec.risk.reduceOnlyEnter": RATIOS,
    "spec.risk.reduceOnlyExit": RATIOS,
    "spec.risk.acknowledgedHalt": st.sampled_from(["", "x", "7f9c24e8-3b12-4fef-91e0-5a2f0c1d6e7a", None]),
    "spec.risk.unknownField": COUNTS,
    "spec.failover.leaseSeconds": COUNTS,
    "spec.shutdown.graceSeconds": COUNTS,
    "spec.telemetry.logSidecar": st.sampled_from(["none", "alloy", None]),
    "spec.telemetry.lokiUrl": TEXTS,
    "spec.pod.image": TEXTS,
    "spec.pod.nodeSelector": st.sampled_from([{}, {"zone": "a"}, {"zone": 1}, [], None]),
    "spec.pod.resources": st.sampled_from(
        [{}, {"limits": {"cpu": 1}}, {"limits": {"cpu": "x"}}, {"requests": {"memory": True}}]
    ),
    "spec.pod.tolerations": st.sampled_from(
        [[], [{"operator": "Exists"}], [{}], [{"key": "a", "tolerationSeconds": None}], {}]
    ),
}

# A strategy replaced whole leaves no place for a field of the grid.
PATHS = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True).filter(
    lambda paths: "spec.strategy" not in paths or not any(path.startswith("spec.strategy.") for path in paths)
)


@pytest.mark.timeout(1200 if SOAK else 120)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not SOAK,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(paths=PATHS, choice=st.data())
def test_on_any_manifest_both_reach_the_same_verdict(refusal, paths, choice):
    candidate = with_values({path: choice.draw(VALUES[path], label=path) for path in paths})
    ours, theirs = problem(candidate), refusal(candidate)
    assert (ours is None) == (theirs is None), f"parser: {ours}\nAPI server: {theirs}"


@pytest.mark.parametrize("strategy", ["grid", "asmm", "avellanedaStoikov", "glft"])
def test_the_api_server_fills_in_the_same_defaults(apiserver, namespace, strategy):
    asked = with_values({"spec.strategy": {strategy: {}}})
    answer = apiserver.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(asked)
    )
    filled = json.loads(answer.stdout)
    assert filled["spec"] == to_manifest(parse_market_maker(asked))["spec"]
    assert parse_market_maker(filled).spec == parse_market_maker(asked).spec


def test_an_empty_block_is_filled_like_an_absent_one(apiserver, namespace):
    blocks = ("quoting", "risk", "failover", "shutdown", "telemetry", "pod")
    asked = with_values(
        {f"spec.{name}": {} for name in blocks} | {"spec.risk.shock": {}, "spec.exchange.endpoints": {}}
    )
    answer = apiserver.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(asked)
    )
    assert json.loads(answer.stdout)["spec"] == to_manifest(parse_market_maker(MINIMAL))["spec"]


def test_a_pod_with_every_scheduling_wish_passes_unchanged(apiserver, namespace):
    selector = {
        "matchLabels": {"app": "x"},
        "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}],
    }
    term = {
        "labelSelector": selector, "topologyKey": "kubernetes.io/hostname", "namespaces": ["trading"], "namespaceSelector": selector,
        "matchLabelKeys": ["app"], "mismatchLabelKeys": ["tier"],
    }  # fmt: skip
    node = {
        "matchExpressions": [{"key": "cpu", "operator": "Gt", "values": ["4"]}],
        "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}],
    }
    pods = {
        "requiredDuringSchedulingIgnoredDuringExecution": [term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": term}],
    }
    spread = {
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector,
        "minDomains": 2, "nodeAffinityPolicy": "Honor", "nodeTaintsPolicy": "Ignore", "matchLabelKeys": ["app"],
    }  # fmt: skip
    wishes = {
        "image": "registry.example.com:5000/desk/mm-runner@sha256:" + "0" * 64,
        "resources": {
            "requests": {"cpu": 1, "memory": "1.5Gi", "ephemeral-storage": "1Gi"},
            "limits": {"cpu": "1500m"},
        },
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [
            {"key": "desk", "operator": "Equal", "value": "a", "effect": "NoExecute", "tolerationSeconds": 5}
        ],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": node}],
            },
            "podAffinity": pods,
            "podAntiAffinity": pods,
        },
        "topologySpreadConstraints": [spread],
        "priorityClassName": "trading",
        "labels": {"desk": "a"},
        "annotations": {"example.com/note": "two words"},
        "env": [{"name": "TZ", "value": "UTC"}],
        "imagePullSecrets": [{"name": "registry"}],
    }
    asked = with_values({"spec.pod": wishes})
    answer = apiserver.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(asked)
    )
    assert json.loads(answer.stdout)["spec"]["pod"] == wishes
    assert to_manifest(parse_market_maker(asked))["spec"]["pod"] == wishes


@pytest.mark.parametrize("name", ["mm.yaml", "full.yaml", "halt.yaml"])
def test_the_examples_are_accepted(apiserver, name):
    apiserver.kubectl("create", "namespace", "trading", ok=False)
    apiserver.kubectl("apply", "--dry-run=server", "-f", str(ROOT / "examples" / name))


def test_a_halt_without_a_state_halts(apiserver, namespace):
    asked = {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "TradingHalt",
        "metadata": {"name": "stop"},
        "spec": {"selector": {}},
    }
    answer = apiserver.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-f", "-", "-o", "json", stdin=json.dumps(asked)
    )
    filled = json.loads(answer.stdout)
    assert filled["spec"] == to_manifest(parse_trading_halt(asked))["spec"]
    assert filled["spec"]["state"] == "Halted"


STATUS: Json = {
    "observedGeneration": 2,
    "appliedGeneration": 1,
    "phase": "Quoting",
    "effective": {"state": "Running", "ruledBy": "TradingHalt/desk-a"},
    "risk": {"state": "normal", "reason": "", "since": "2026-01-01T00:00:00Z", "haltId": "", "latched": False},
    "listenKey": {
        "state": "Active", "fingerprint": "3f2a", "lastKeepaliveTime": "2026-01-01T00:00:00Z",
        "expiresAt": "2026-01-01T01:00:00Z", "consecutiveFailures": 0,
    },
    "position": "-0.02", "openOrders": 4, "equity": "10001.5", "pnl": "1.50", "unrealizedPnl": "0.5", "realizedPnl": "1.2",
    "fees": "0.2", "lastFillTime": "2026-01-01T00:00:00.123456Z",
    "marketData": {"synced": True, "ageSeconds": 0.1, "spreadBps": 4.2},
    "engine": {
        "podName": "ethusdt-abcde-1", "nodeName": "worker", "version": "0.1.0", "epoch": 7, "attempt": 1, "connected": True,
        "startedAt": "2026-01-01T00:00:00Z",
    },
    "conditions": [
        {
            "type": "Ready", "status": "True", "reason": "Quoting", "message": "both sides", "observedGeneration": 2,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}  # fmt: skip


def test_a_whole_status_is_kept_shown_and_awaited(apiserver, namespace):
    asked = with_values({"metadata.name": "shown"})
    apiserver.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(asked))
    patch = json.dumps({"status": STATUS})
    apiserver.kubectl("patch", "mm", "shown", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    kept = json.loads(apiserver.kubectl("get", "mm", "shown", "-n", namespace, "-o", "json").stdout)
    assert kept["status"] == STATUS
    assert parse_market_maker(kept).status is not None
    apiserver.kubectl("wait", "-n", namespace, "mm/shown", "--for=condition=Ready", "--timeout=5s")
    header, row = apiserver.kubectl("get", "mm", "shown", "-n", namespace, "-o", "wide").stdout.splitlines()
    assert header.split() == [
        "NAME", "SYMBOL", "DESIRED", "PHASE", "RISK", "LISTENKEY", "POSITION", "PNL", "AGE", "NODE", "EPOCH", "SPREAD", "DATA-AGE",
    ]  # fmt: skip
    assert row.split()[1:8] == ["ETHUSDT", "Running", "Quoting", "normal", "Active", "-0.02", "1.50"]
    assert row.split()[-4:] == ["worker", "7", "4.2", "0.1"]
    header = apiserver.kubectl("get", "mm", "shown", "-n", namespace).stdout.splitlines()[0]
    assert header.split()[-1] == "AGE"


def test_the_last_applied_manifest_of_the_api_server_is_a_manifest_again(apiserver, namespace):
    stored = apiserver.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-f", "-", "-o", "yaml", stdin=json.dumps(MINIMAL)
    )
    assert load_manifest(stored.stdout).spec == parse_market_maker(MINIMAL).spec
    assert yaml.safe_load(stored.stdout)["spec"]["quoting"]["baseSize"] == "0.02"


def test_kubectl_delete_all_leaves_market_makers_alone(apiserver, namespace):
    everything = apiserver.kubectl("api-resources", "--categories=all", "-o", "name").stdout
    assert "marketmaker" not in everything
    ours = apiserver.kubectl("api-resources", "--categories=marketmaking", "-o", "name").stdout.split()
    assert sorted(ours) == ["marketmakers.marketmaker.io", "tradinghalts.marketmaker.io"]
