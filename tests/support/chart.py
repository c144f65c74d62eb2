"""What tests say of the chart's objects, and where its files and programs lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

CHART = Path(__file__).resolve().parents[2] / "charts/market-maker"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
RUNBOOKS = CHART.parents[1] / "docs/runbooks"

Manifest = dict[str, Any]


def find_program(name: str) -> str | None:
    """A program from PATH, or from where cluster/tools builds it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "market-maker-operator"
    return shutil.which(name) or shutil.which(name, path=cache / "bin")


def named(manifests: list[Manifest], kind: str, name: str = "") -> list[Manifest]:
    """Those of a kind, and of a name where one is given."""
    return [m for m in manifests if m["kind"] == kind and name in {"", m["metadata"]["name"]}]


def only(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one object of a kind (and name); more or none fails the test."""
    found = named(manifests, kind, name)
    assert len(found) == 1, f"{len(found)} of {kind} {name}: {[m['metadata']['name'] for m in named(manifests, kind)]}"
    return found[0]


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Every pod specification among the objects, by `Kind/name`."""
    found = {}
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            found[name] = manifest["spec"]
        elif manifest["kind"] in {"Deployment", "Job"}:
            found[name] = manifest["spec"]["template"]["spec"]
    return found
