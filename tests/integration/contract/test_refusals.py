"""A bad manifest is refused by the API server with a sentence that helps; the parser's side is in tests/unit/contract."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from support.manifests import BAD, good, merged, spoilt

pytestmark = pytest.mark.apiserver

Json = dict[str, Any]


def test_the_table_holds_at_least_thirty_kinds_of_mistakes():
    assert len({each["mistake"] for each in BAD}) == len(BAD) >= 30


@pytest.mark.parametrize("bad", BAD, ids=[each["mistake"] for each in BAD])
def test_kubectl_apply_refuses(apiserver, namespace, bad):
    done = apiserver.kubectl(
        "apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=json.dumps(spoilt(bad)), ok=False
    )
    assert done.returncode != 0
    assert bad["server"] in done.stderr
    assert "rule evaluation error" not in done.stderr, "a rule stumbled over a mistake that another one reports"


HALT: Json = {
    "apiVersion": "marketmaker.io/v1alpha1",
    "kind": "TradingHalt",
    "metadata": {"name": "stop"},
    "spec": {"selector": {}, "state": "Halted", "reason": "test"},
}


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"spec": {"selector": None}}, "spec.selector: Required value"),
        ({"spec": None}, "spec: Required value"),
        ({"spec": {"state": "Flat"}}, 'supported values: "Halted", "ReduceOnly"'),
        ({"spec": {"selector": {"labels": {"desk": "a"}}}}, 'unknown field "spec.selector.labels"'),
        ({"spec": {"selector": {"matchLabels": {"desk": 1}}}}, 'must be of type string: "integer"'),
        ({"spec": {"selector": {"matchExpressions": [{"key": "desk", "operator": "In"}]}}}, "In and NotIn need values"),
        (
            {"spec": {"selector": {"matchExpressions": [{"key": "desk", "operator": "Exists", "values": ["a"]}]}}},
            "Exists and DoesNotExist take none",
        ),
        ({"spec": {"reason": "x" * 513}}, "may not be more than 512"),
    ],
)
def test_a_bad_trading_halt_is_refused(apiserver, namespace, change, phrase):
    document = merged(HALT, change)
    done = apiserver.kubectl(
        "apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=json.dumps(document), ok=False
    )
    assert done.returncode != 0
    assert phrase in done.stderr


IMMUTABLE = {
    "symbol": {"symbol": "BTCUSDT"},
    "environment": {"exchange": {"environment": "testnet"}},
    "account": {"exchange": {"account": "desk-b"}},
}


@pytest.fixture(scope="module")
def resource(apiserver, namespace) -> str:
    apiserver.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(good("kept")))
    return "kept"


@pytest.mark.parametrize("field", IMMUTABLE)
def test_an_immutable_field_stays_as_it_is(apiserver, namespace, resource, field):
    patch = json.dumps({"spec": IMMUTABLE[field]})
    done = apiserver.kubectl("patch", "mm", resource, "-n", namespace, "--type=merge", "-p", patch, ok=False)
    assert done.returncode != 0
    assert f"{field}: Invalid value" in done.stderr
    assert "this field cannot be changed; delete the resource and create another one" in done.stderr


def test_a_refused_patch_changes_nothing(apiserver, namespace, resource):
    before = json.loads(apiserver.kubectl("get", "mm", resource, "-n", namespace, "-o", "json").stdout)
    patch = json.dumps({"spec": {"desiredState": "Halted", "quoting": {"minSpreadBps": 100}}})
    done = apiserver.kubectl("patch", "mm", resource, "-n", namespace, "--type=merge", "-p", patch, ok=False)
    assert "minSpreadBps must not be above maxSpreadBps" in done.stderr
    after = json.loads(apiserver.kubectl("get", "mm", resource, "-n", namespace, "-o", "json").stdout)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.mark.parametrize("counter", ["attempt", "epoch"])
class TestStatusCounters:
    def patch_status(self, apiserver, namespace, name: str, status: Any) -> str:
        """The refusal, or the empty string."""
        patch = json.dumps({"status": status})
        done = apiserver.kubectl(
            "patch", "mm", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch, ok=False
        )
        return done.stderr.strip()

    @pytest.fixture
    def counted(self, apiserver, namespace, counter) -> str:
        name = f"counted-{counter}"
        apiserver.kubectl("delete", "mm", name, "-n", namespace, "--ignore-not-found")
        apiserver.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(good(name)))
        assert self.patch_status(apiserver, namespace, name, {"engine": {counter: 3}}) == ""
        return name

    def test_rises(self, apiserver, namespace, counter, counted):
        assert self.patch_status(apiserver, namespace, counted, {"engine": {counter: 4}}) == ""

    def test_stays(self, apiserver, namespace, counter, counted):
        assert self.patch_status(apiserver, namespace, counted, {"engine": {counter: 3}, "phase": "Quoting"}) == ""

    @pytest.mark.parametrize("status", ["lower", "no counter", "no engine", "no status"])
    def test_never_falls(self, apiserver, namespace, counter, counted, status):
        shrunk = {
            "lower": {"engine": {counter: 2}},
            "no counter": {"engine": {counter: None}},
            "no engine": {"engine": None},
            "no status": None,
        }[status]
        assert f"status.engine.{counter} never falls" in self.patch_status(
            apiserver, namespace, counted, copy.copy(shrunk)
        )
