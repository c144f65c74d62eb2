"""The chart as Helm renders it: no cluster, so `lookup` finds nothing and every key is new."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import CHART, Manifest, find_program

Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Run helm; the result is the caller's to judge."""
    program = find_program("helm")
    if program is None:
        pytest.skip("helm is not built yet: cluster/tools builds it")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def template(helm: Helm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`helm template` with some settings, whatever comes of it."""

    def run(
        *settings: str, values: Path | None = None, apis: str = "", namespace: str = "mm-system"
    ) -> subprocess.CompletedProcess[str]:
        arguments = ["template", "market-maker", str(CHART), "--namespace", namespace, "--kube-version", "1.34.0"]
        arguments += [part for setting in settings for part in ("--set", setting)]
        arguments += ["--values", str(values)] if values else []
        arguments += ["--api-versions", apis] if apis else []
        return helm(*arguments)

    return run


@pytest.fixture(scope="session")
def render(template: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., list[Manifest]]:
    """Objects that the chart makes of some values: `render("serviceMonitor.enabled=true", values=path)`."""

    @functools.cache
    def objects(*settings: str, **options: Any) -> list[Manifest]:
        done = template(*settings, **options)
        if done.returncode != 0:
            pytest.fail(done.stderr)
        # The C parser: the CRDs alone take the Python one a second.
        return [manifest for manifest in yaml.load_all(done.stdout, yaml.CSafeLoader) if manifest]

    return objects
