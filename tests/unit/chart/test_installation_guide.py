"""docs/installation.md names values, files and roles that exist."""

from __future__ import annotations

import re

import yaml

from support.chart import CHART, named

ROOT = CHART.parents[1]
GUIDE = (ROOT / "docs/installation.md").read_text()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def test_every_value_that_is_set_exists():
    paths = re.findall(r"--set '?([A-Za-z.]+)=", GUIDE) + re.findall(r"^\| `([a-zA-Z.]+)`", GUIDE, re.MULTILINE)
    assert len(paths) > 10
    for path in paths:
        tree = VALUES
        for key in path.split("."):
            assert key in tree, path
            tree = tree[key]


def test_every_file_and_link_exists():
    files = re.findall(r"(?:-f|--file|apply -f) ((?:examples|images|crds)[\w./-]*)", GUIDE)
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", GUIDE) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_role_for_halting_is_the_charts(render):
    roles = {role["metadata"]["name"] for role in named(render(), "ClusterRole")}
    assert set(re.findall(r"--clusterrole=([\w-]+)", GUIDE)) <= roles
    assert "market-maker-halter" in roles
