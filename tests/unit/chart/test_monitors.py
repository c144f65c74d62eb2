"""ServiceMonitors, PodMonitor and when the kinds of the Prometheus operator are rendered at all."""

from __future__ import annotations

import pytest

from mm_contract import names
from support.chart import named, only

MONITORING = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
APIS = "monitoring.coreos.com/v1/"


@pytest.mark.parametrize("kind", MONITORING)
@pytest.mark.parametrize(
    ("enabled", "known", "expected"),
    [("false", True, False), ("true", False, True), ("true", True, True), ("auto", True, True), ("auto", False, False)],
)
def test_a_kind_is_rendered_as_its_toggle_and_the_cluster_say(render, kind, enabled, known, expected):
    value = kind[0].lower() + kind[1:]
    found = named(render(f"{value}.enabled={enabled}", apis=f"{APIS}{kind}" if known else ""), kind)
    assert bool(found) is expected


def test_runners_of_every_namespace_are_found_by_their_component(render):
    monitor = only(render("serviceMonitor.enabled=true"), "ServiceMonitor", "market-maker-runners")
    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    labels = {names.LABEL_NAME: names.APP_NAME, names.LABEL_COMPONENT: names.COMPONENT_RUNNER}
    assert monitor["spec"]["selector"]["matchLabels"] == labels
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (names.METRICS_PORT_NAME, names.METRICS_PATH)


def test_job_and_resource_are_labels_as_alerts_and_dashboards_expect_them(render):
    label = names.LABEL_RESOURCE.replace(".", "_").replace("/", "_")
    for kind, source in (("ServiceMonitor", "service"), ("PodMonitor", "pod")):
        value = kind[0].lower() + kind[1:]
        spec = only(render(f"{value}.enabled=true"), kind, "market-maker-runners")["spec"]
        assert spec["jobLabel"] == names.LABEL_COMPONENT
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert {
            "action": "replace",
            "sourceLabels": [f"__meta_kubernetes_{source}_label_{label}"],
            "targetLabel": "marketmaker",
        } in endpoint["relabelings"]


def test_namespaced_mode_looks_into_its_namespaces_only(render):
    monitor = only(
        render("serviceMonitor.enabled=true", "watchNamespaces={a,b}"), "ServiceMonitor", "market-maker-runners"
    )
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["a", "b"]}


def test_runners_are_never_scraped_twice(render):
    manifests = render("serviceMonitor.enabled=true", "podMonitor.enabled=true")
    assert [m["metadata"]["name"] for m in named(manifests, "ServiceMonitor")] == ["market-maker-operator"]
    assert [m["metadata"]["name"] for m in named(manifests, "PodMonitor")] == ["market-maker-runners"]


def test_the_operators_monitor_selects_the_operators_service(render):
    manifests = render("serviceMonitor.enabled=true")
    selector = only(manifests, "ServiceMonitor", "market-maker-operator")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= only(manifests, "Service")["metadata"]["labels"].items()


def test_ones_own_prometheus_finds_them_by_labels(render):
    manifests = render("serviceMonitor.enabled=true", "serviceMonitor.labels.release=prom")
    assert [m["metadata"]["labels"]["release"] for m in named(manifests, "ServiceMonitor")] == ["prom", "prom"]
