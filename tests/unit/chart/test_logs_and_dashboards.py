"""Promtail's pipeline is the seed's word for word; dashboards show the seed's panels from metrics and events that exist."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re

import pytest
import yaml

from mm_contract import events, metrics, names
from support.chart import CHART, named, only

PROMTAIL = (CHART / "files/promtail.yaml").read_text()
SEED_PIPELINE = """\
scrape_configs:
  - job_name: runner
    static_configs:
      - targets: [localhost]
        labels:
          job: runner
          __path__: /var/log/market-maker/runner.log
    pipeline_stages:
      - json:
          expressions:
            event: event
            ts: ts
            symbol: symbol
            state: state
            listenKey: listenKey
            _schema_error: _schema_error
            spread: spread
      - labels:
          event:
          symbol:
          state:
      - timestamp:
          source: ts
          format: RFC3339Nano
"""
DASHBOARDS = sorted((CHART / "files/dashboards").glob("*.json"))


def expressions(dashboard: dict, kind: str) -> list[str]:
    return [
        target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        if target["datasource"]["type"] == kind
    ]


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request):
    return json.loads(request.param.read_text())


def test_the_pipeline_is_the_seeds_to_the_letter():
    assert PROMTAIL.endswith(SEED_PIPELINE)
    assert names.LOG_FILE in SEED_PIPELINE


def test_each_line_says_which_resource_it_comes_from():
    (client,) = yaml.safe_load(PROMTAIL)["clients"]
    assert client["url"] == "${LOKI_URL}"
    labels = {"namespace": names.ENV_NAMESPACE, "marketmaker": names.ENV_RESOURCE_NAME, "pod": names.ENV_POD_NAME}
    assert client["external_labels"] == {label: f"${{{variable}}}" for label, variable in labels.items()}


def test_the_chart_ships_the_file_as_it_is(render):
    assert only(render("promtail.enabled=true"), "ConfigMap")["data"] == {"promtail.yaml": PROMTAIL}


def test_the_operator_gives_its_sidecars_the_same_text():
    package = importlib.import_module("mm_operator.render")
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(package.__path__, "mm_operator.render.")]
    texts = [module.PROMTAIL_CONFIG for module in modules if hasattr(module, "PROMTAIL_CONFIG")]
    assert texts
    assert all(text == PROMTAIL for text in texts)


def test_there_are_no_config_maps_unless_asked_for(render):
    assert named(render(), "ConfigMap") == []


def test_each_dashboard_is_a_config_map_that_grafanas_sidecar_finds(render):
    maps = named(render("dashboards.enabled=true", "dashboards.namespace=monitoring"), "ConfigMap")
    assert len(maps) == len(DASHBOARDS) > 0
    for config_map in maps:
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config_map["metadata"]["namespace"] == "monitoring"
        ((name, text),) = config_map["data"].items()
        assert name.endswith(".json")
        assert json.loads(text)["title"]


def test_data_sources_namespace_and_symbol_are_variables(dashboard):
    variables = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    assert variables == {"prometheus": "datasource", "loki": "datasource", "namespace": "query", "symbol": "query"}
    for panel in dashboard["panels"]:
        for source in [panel.get("datasource"), *(target["datasource"] for target in panel.get("targets", []))]:
            assert source is None or source["uid"] in {"${prometheus}", "${loki}"}


def test_every_metric_and_event_of_a_dashboard_is_registered(dashboard):
    for expression in expressions(dashboard, "prometheus"):
        used = set(re.findall(r"\b(?:runner|mm_operator)_[a-z_]+\b", expression))
        assert used, expression
        assert used <= metrics.METRICS.keys(), expression
    for expression in expressions(dashboard, "loki"):
        for operator, event in re.findall(r'event(=~?)"([^"]+)"', expression):
            matching = [name for name in events.EVENTS if re.fullmatch(event, name)] if operator == "=~" else [event]
            assert matching, expression
            assert set(matching) <= events.EVENTS.keys()


def test_panels_have_unique_ids_and_do_not_overlap(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_runner_board_has_the_seeds_panels():
    board = json.loads((CHART / "files/dashboards/runner.json").read_text())

    def panel(kind: str, *parts: str) -> dict:
        found = [
            p
            for p in board["panels"]
            if p["type"] == kind and all(any(part in target["expr"] for target in p["targets"]) for part in parts)
        ]
        assert found, (kind, parts)
        return found[0]

    table = panel("table", 'event="strategy_adjust"')
    shown = next(t for t in table["transformations"] if t["id"] == "organize")["options"]["includeByName"]
    assert {"mid", "spread", "intervalMs"} <= shown.keys()
    assert {"mid", "spread", "intervalMs"} <= set(events.EVENTS["strategy_adjust"].required)
    panel("stat", "count_over_time(", 'event=~"listenkey_keepalive_.+"}[30m]')
    panel("timeseries", "runner_spread{", "runner_quote_interval_seconds{")
    two_axes = panel("timeseries", "runner_risk_state{", "runner_position{")
    sides = [
        p["value"]
        for o in two_axes["fieldConfig"]["overrides"]
        for p in o["properties"]
        if p["id"] == "custom.axisPlacement"
    ]
    assert (two_axes["fieldConfig"]["defaults"]["custom"]["axisPlacement"], sides) == ("left", ["right"])
    for metric in ("runner_rest_errors_total", "runner_ws_failures_total"):
        steps = panel("stat", metric)["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert len(steps) > 1
