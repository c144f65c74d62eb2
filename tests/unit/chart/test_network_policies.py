"""Who may talk to whom, where the network enforces it."""

from __future__ import annotations

import pytest

from mm_contract import names
from support.chart import named, only


def ports(rule: dict) -> set[int]:
    return {port["port"] for port in rule["ports"]}


@pytest.fixture(scope="module")
def policies(render):
    manifests = render(
        "networkPolicy.enabled=true", "networkPolicy.runnerNamespaces={desk}", "simulatedExchange.enabled=true"
    )
    return {(m["metadata"]["namespace"], m["metadata"]["name"]): m["spec"] for m in named(manifests, "NetworkPolicy")}


def test_there_are_none_unless_asked_for(render):
    assert named(render("simulatedExchange.enabled=true"), "NetworkPolicy") == []


def test_the_operator_reaches_name_service_api_server_and_status_streams_only(policies):
    egress = policies["mm-system", "market-maker-operator"]["egress"]
    assert [ports(rule) for rule in egress] == [{53}, {443, 6443}, {names.STATUS_PORT}]
    (peer,) = egress[2]["to"]
    assert peer["podSelector"]["matchLabels"][names.LABEL_COMPONENT] == names.COMPONENT_RUNNER


def test_a_runners_status_is_for_the_operator_and_its_metrics_for_the_monitoring(policies):
    for namespace in ("trading", "desk"):
        spec = policies[namespace, "market-maker-runners"]
        assert spec["policyTypes"] == ["Ingress"]
        status, scrape = spec["ingress"]
        assert ports(status) == {names.STATUS_PORT}
        (peer,) = status["from"]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "mm-system"}
        assert peer["podSelector"]["matchLabels"][names.LABEL_COMPONENT] == names.COMPONENT_OPERATOR
        assert ports(scrape) == {names.METRICS_PORT}


def test_the_simulated_exchange_answers_runners_and_calls_nobody(policies):
    spec = policies["mm-system", "market-maker-exchange"]
    assert spec["egress"] == []
    assert "Egress" in spec["policyTypes"]
    (rule,) = spec["ingress"]
    assert ports(rule) == {8081, 8082}  # not the admin port


def test_scraping_can_be_narrowed_to_ones_prometheus(render):
    manifests = render(
        "networkPolicy.enabled=true",
        "networkPolicy.monitoring.namespaceLabels.team=watch",
        "networkPolicy.monitoring.podLabels.app=prometheus",
    )
    peer = only(manifests, "NetworkPolicy")["spec"]["ingress"][0]["from"][0]
    assert peer == {
        "namespaceSelector": {"matchLabels": {"team": "watch"}},
        "podSelector": {"matchLabels": {"app": "prometheus"}},
    }


def test_namespaced_mode_covers_the_namespaces_it_serves(render):
    manifests = render("networkPolicy.enabled=true", "watchNamespaces={a,b}")
    found = {m["metadata"]["namespace"] for m in named(manifests, "NetworkPolicy", "market-maker-runners")}
    assert found == {"a", "b"}
