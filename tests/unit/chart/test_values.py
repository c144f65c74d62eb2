"""values.yaml, its schema, its comments and the README's table say the same."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

import pytest
import yaml

from support.chart import CHART, CI_VALUES

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_readme", CHART / "ci/readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def resolved(node: dict) -> dict:
    reference = node.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else node


def test_every_value_is_documented(readme):
    documented = {value.path for value in readme.documented((CHART / "values.yaml").read_text())}
    leaves = readme.leaves(VALUES)
    assert len(leaves) > 50
    missing = [leaf for leaf in leaves if not any(leaf == path or leaf.startswith(f"{path}.") for path in documented)]
    assert missing == []


def test_the_readme_shows_the_values_as_they_are(readme):
    current = (CHART / "README.md").read_text()
    expected = readme.readme(current, readme.documented((CHART / "values.yaml").read_text()))
    assert current == expected, "run: python charts/market-maker/ci/readme.py"


def test_every_value_is_in_the_schema_and_every_schema_entry_is_a_value():
    def paths(node: dict, path: str = "") -> set[str]:
        node = resolved(node)
        if "properties" not in node:
            return {path}
        return {p for key, child in node["properties"].items() for p in paths(child, f"{path}.{key}" if path else key)}

    def values(tree: object, path: str = "") -> set[str]:
        if path in in_schema or not isinstance(tree, dict):
            return {path}
        return {p for key, child in tree.items() for p in values(child, f"{path}.{key}" if path else key)}

    in_schema = paths(SCHEMA)
    assert values(VALUES) <= in_schema
    # Kubernetes' own shapes may be left out of the defaults; ours may not.
    optional = ("global", "operator.resources", "operator.affinity", "simulatedExchange.resources")
    assert {p for p in in_schema - values(VALUES) if not p.startswith(optional)} == set()


def test_no_object_of_the_schema_takes_unknown_keys():
    def open_objects(node: object, path: str) -> list[str]:
        if isinstance(node, list):
            return [found for index, child in enumerate(node) for found in open_objects(child, f"{path}[{index}]")]
        if not isinstance(node, dict):
            return []
        mine = [path] if node.get("type") == "object" and "additionalProperties" not in node else []
        return mine + [found for key, child in node.items() for found in open_objects(child, f"{path}.{key}")]

    kubernetes_own = (".global", ".affinity", "extraObjects.items")
    found = [path for path in open_objects(SCHEMA, "") if not any(part in path for part in kubernetes_own)]
    assert found == []
    assert SCHEMA["additionalProperties"] is False


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("operator.replica=1", "replica"),
        ("operator.replicas=2", "leader election"),
        ("operator.logLevel=verbose", "logLevel"),
        ("watchNamespaces={Trading}", "watchNamespaces"),
        ("image.operator.digest=abc", "digest"),
        ("image.runner.pullPolicy=Always", "pullPolicy"),
        ("serviceMonitor.enabled=yes-please", "serviceMonitor"),
        ("serviceMonitor.interval=15", "interval"),
        (
            "simulatedExchange.accounts[0].namespace=trading,simulatedExchange.accounts[0].secretName=desk-a",
            "secretName",
        ),
        ("simulatedExchange.accounts[0].namespace=trading", "secretName"),
        ("simulatedExchange.speed=0", "speed"),
        ("networkPolicy.apiServerPorts={0}", "apiServerPorts"),
        ("runbookBaseUrl=docs/runbooks", "runbookBaseUrl"),
        ("prometheus.enabled=true", "prometheus"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(template, setting, word):
    done = template(setting)
    assert done.returncode != 0
    assert word in done.stderr


def test_an_older_cluster_is_refused(helm):
    done = helm("template", "market-maker", str(CHART), "--kube-version", "1.32.9")
    assert done.returncode != 0
    assert ">=1.33" in done.stderr


@pytest.mark.parametrize("values", [None, *CI_VALUES], ids=lambda path: path.stem if path else "none")
def test_lint_finds_nothing(helm, values):
    done = helm("lint", "--strict", str(CHART), *(["--values", str(values)] if values else []))
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout
