"""Alerts: the seed's to the letter, each on metrics and events that exist, each with severity, words and a runbook."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from mm_contract import events, metrics
from support.chart import CHART, RUNBOOKS, find_program, only

BASE = yaml.safe_load((CHART / "values.yaml").read_text())["runbookBaseUrl"]
SYNTHETIC = {"up"}  # made by Prometheus itself
SUFFIXES = ("_bucket", "_sum", "_count")
PROMETHEUS_WORDS = {
    *(
        "abs",
        "absent",
        "and",
        "by",
        "count",
        "ignoring",
        "increase",
        "label_replace",
        "max",
        "max_over_time",
        "min",
        "on",
    ),
    *("or", "rate", "sum", "time", "unless", "vector", "without"),
}
ENGINE_LABELS = {"symbol", "namespace", "marketmaker", "pod", "service", "job", "instance", "container", "endpoint"}


def rules_of(text: str) -> list[dict]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def spec(render):
    return only(render("prometheusRule.enabled=true"), "PrometheusRule")["spec"]


@pytest.fixture(scope="module")
def prometheus(spec):
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


@pytest.fixture(scope="module")
def loki(render):
    text = only(render("lokiRule.enabled=true"), "ConfigMap")["data"]["market-maker.yaml"]
    return {rule["alert"]: rule for rule in rules_of(text)}


def metric_names(expression: str) -> set[str]:
    """Identifiers that name a metric: neither functions nor labels nor what stands in quotes."""
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_][a-z0-9_]*\b", bare)) - PROMETHEUS_WORDS


def labels_of(expression: str) -> dict[str, set[str]]:
    """Labels that selectors of a metric name."""
    found: dict[str, set[str]] = {}
    for metric, selector in re.findall(r"([a-z_][a-z0-9_]*)\{([^}]*)\}", expression):
        found.setdefault(metric, set()).update(re.findall(r"([a-z_]+)\s*[=!]", selector))
    return found


def test_the_seeds_risk_rule_is_as_written(prometheus):
    rule = prometheus["MarketMakerRiskState"]
    assert (rule["expr"], rule["for"]) == ("runner_risk_state > 0", "1m")


def test_the_seeds_rest_error_rule_is_as_written(prometheus):
    expected = "increase(runner_rest_errors_total[5m]) / increase(runner_rest_requests_total[5m]) > 0.05"
    assert prometheus["MarketMakerRestErrors"]["expr"] == expected
    requests, errors = (metrics.METRICS[f"runner_rest_{kind}_total"].labels for kind in ("requests", "errors"))
    assert requests == errors  # else the division finds no partner


def test_the_seeds_keepalive_alert_exists_for_prometheus_and_for_loki(prometheus, loki):
    assert prometheus["MarketMakerListenKeyFailures"]["expr"] == "increase(runner_listenkey_failures_total[10m]) > 0"
    expression = loki["MarketMakerListenKeyKeepaliveError"]["expr"]
    assert 'event="listenkey_keepalive_error"}[10m]' in expression
    assert expression.endswith("> 0")


def test_a_schema_error_raises_an_alert_by_metric_and_by_log(prometheus, loki):
    assert "runner_log_schema_errors_total" in prometheus["MarketMakerLogSchemaError"]["expr"]
    assert f'| json | {events.SCHEMA_ERROR}!=""' in loki["MarketMakerLogLineSchemaError"]["expr"]


def test_every_metric_of_a_rule_is_registered_with_the_labels_that_it_is_selected_by(prometheus):
    for rule in prometheus.values():
        used = metric_names(rule["expr"])
        assert used, rule
        assert used - SYNTHETIC <= metrics.METRICS.keys(), rule["alert"]
        for metric, labels in labels_of(rule["expr"]).items():
            known = {"job"} if metric in SYNTHETIC else set(metrics.METRICS[metric].labels)
            assert labels <= known, (rule["alert"], metric)


def test_streams_that_rules_select_are_streams_of_the_registry(prometheus):
    selected = re.findall(r'stream=~?"([^"]+)"', " ".join(rule["expr"] for rule in prometheus.values()))
    assert selected
    assert {stream for choice in selected for stream in choice.split("|")} <= set(metrics.STREAMS)


def test_every_event_of_a_log_rule_is_registered(loki):
    named = {event for rule in loki.values() for event in re.findall(r'event="([^"]+)"', rule["expr"])}
    assert named
    assert named <= events.EVENTS.keys()


def test_every_alert_has_a_severity_a_summary_that_names_the_resource_and_words(prometheus, loki):
    for name, rule in {**prometheus, **loki}.items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert rule["annotations"]["description"].endswith("."), name
        if re.search(r"\brunner_(?!info)|job=\"runner\"", rule["expr"]):
            assert "{{ $labels.namespace }}/{{ $labels.marketmaker }}" in rule["annotations"]["summary"], name


def test_labels_of_the_words_survive_the_expressions_aggregation(prometheus):
    for name, rule in prometheus.items():
        used = set(re.findall(r"\$labels\.([a-z_]+)", " ".join(rule["annotations"].values())))
        own = {
            label
            for metric in metric_names(rule["expr"]) & metrics.METRICS.keys()
            for label in metrics.METRICS[metric].labels
        }
        kept = re.search(r"^(?:sum|max|count)\s+by \(([^)]*)\)", rule["expr"])
        allowed = set(kept[1].split(", ")) if kept else ENGINE_LABELS | own
        assert used <= allowed, name


def test_every_alert_leads_to_a_runbook_and_every_runbook_belongs_to_an_alert(prometheus, loki):
    alerts = {**prometheus, **loki}
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"{BASE}/{name}.md"
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("*.md") if path.stem != "README"}
    assert pages.keys() == alerts.keys()
    for name, page in pages.items():
        assert page.startswith(f"# {name}\n")
        headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
        assert headings == ["Meaning", "Impact", "Diagnosis", "Mitigation"], name
        assert "    kubectl" in page, f"{name}: no command to type"


def test_no_alert_on_a_raw_gauge_fires_at_once_but_for_those_that_must(prometheus):
    at_once = {name for name, rule in prometheus.items() if "for" not in rule and "increase(" not in rule["expr"]}
    # A halt pages at once; a rate limit is looked at over two minutes within the expression.
    assert at_once == {"MarketMakerHalted", "MarketMakerRateLimited"}


def test_rules_can_be_excluded_labelled_and_pointed_elsewhere(render):
    manifests = render(
        "prometheusRule.enabled=true",
        "prometheusRule.excludeRules={MarketMakerNoFills}",
        "prometheusRule.additionalRuleLabels.team=desk",
        "runbookBaseUrl=https://runbooks.example.com/",
    )
    rules = [rule for group in only(manifests, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert "MarketMakerNoFills" not in {rule["alert"] for rule in rules}
    assert all(rule["labels"]["team"] == "desk" and rule["labels"]["severity"] for rule in rules)
    assert rules[0]["annotations"]["runbook_url"] == f"https://runbooks.example.com/{rules[0]['alert']}.md"


def test_promtool_accepts_the_rules_as_rendered(spec, tmp_path):
    promtool = find_program("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; the tests above read the expressions by themselves")
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(spec))
    done = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_event_and_metric_of_a_runbook_is_registered():
    for path in RUNBOOKS.glob("*.md"):
        page = path.read_text()
        named = {event for group in re.findall(r'"event":"\(?([a-z_|]+)', page) for event in group.split("|")}
        assert named <= events.EVENTS.keys(), path.stem
        grouped = {f"runner_{end}" for group in re.findall(r"runner_\(([a-z_|]+)\)", page) for end in group.split("|")}
        alone = set(re.findall(r"\b(?:runner|mm_operator)_[a-z_]*[a-z]\b", page))
        families = {name.removesuffix("_count") if name not in metrics.METRICS else name for name in grouped | alone}
        assert families <= metrics.METRICS.keys() | events.EVENTS.keys(), path.stem


def test_every_runbook_is_listed_and_every_link_leads_somewhere():
    index = (RUNBOOKS / "README.md").read_text()
    for path in RUNBOOKS.glob("*.md"):
        assert path.stem == "README" or f"[{path.stem}]({path.name})" in index
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path.stem, target)
