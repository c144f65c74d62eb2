"""The chart against a real API server: every object is valid, keys survive upgrades, the operator's rights are enough and no more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm_contract.resource import parse_market_maker
from mm_operator.render.children import Context, children
from mm_operator.settings import Settings
from mm_operator.views import resource_view
from support.chart import CHART, CI_VALUES, find_program
from support.cluster import wait_for

pytestmark = pytest.mark.apiserver

SYSTEM = "chart-system"
NAMESPACES = (SYSTEM, "trading", "trading-b", "lab", "monitoring", "elsewhere")
EXAMPLE = CHART.parents[1] / "examples/mm.yaml"
STUBS = Path(__file__).parent / "prometheus-operator-crds.yaml"
OPERATOR = f"system:serviceaccount:{SYSTEM}:market-maker-operator"
MONITORING = (
    "servicemonitors.monitoring.coreos.com",
    "podmonitors.monitoring.coreos.com",
    "prometheusrules.monitoring.coreos.com",
)

Helm = Callable[..., str]


def established(apiserver: Any, crd: str) -> bool:
    condition = '{.status.conditions[?(@.type=="Established")].status}'
    return apiserver.kubectl("get", "crd", crd, "-o", f"jsonpath={condition}").stdout == "True"


@pytest.fixture(scope="module")
def cluster(apiserver) -> Iterator[Any]:
    """The API server with restricted namespaces and the Prometheus operator's kinds."""
    restricted = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    for name in NAMESPACES:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted}}
        apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    apiserver.kubectl("apply", "-f", str(STUBS))
    wait_for(lambda: all(established(apiserver, name) for name in MONITORING), seconds=30, what="monitoring kinds")
    yield apiserver
    apiserver.kubectl("delete", "-f", str(STUBS), "--ignore-not-found")


@pytest.fixture(scope="module")
def helm(cluster) -> Helm:
    program = find_program("helm")
    if program is None:
        pytest.fail("helm is not built yet: cluster/tools builds it")

    def run(*arguments: str) -> str:
        command = [program, "--kubeconfig", str(cluster.kubeconfig), "--namespace", SYSTEM, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        if done.returncode != 0:
            pytest.fail(f"helm {arguments[0]}: {done.stderr}")
        return done.stdout

    return run


@pytest.fixture
def release(helm) -> Iterator[Callable[..., None]]:
    """Install or upgrade; removed afterwards. Hooks need a kubelet and are left to the tests on kind."""

    def install(*settings: str, values: str = "default") -> None:
        arguments = [part for setting in settings for part in ("--set", setting)]
        path = str(CHART / f"ci/{values}-values.yaml")
        # The CRDs are there already, from crds/; the chart's are the same.
        helm(
            "upgrade",
            "--install",
            "market-maker",
            str(CHART),
            "--take-ownership",
            "--disable-openapi-validation",
            "--values",
            path,
            *arguments,
        )

    yield install
    helm("uninstall", "market-maker", "--no-hooks", "--ignore-not-found")


@pytest.fixture
def secret(cluster) -> Callable[[str, str], dict[str, str]]:
    def read(namespace: str, name: str) -> dict[str, str]:
        return json.loads(cluster.kubectl("get", "secret", name, "-n", namespace, "-o", "json").stdout)["data"]

    return read


@pytest.fixture
def may(cluster) -> Callable[..., bool]:
    """Ask the API server what the operator may do."""

    def ask(verb: str, resource: str, namespace: str = "") -> bool:
        scope = ["-n", namespace] if namespace else ["--all-namespaces"]
        done = cluster.kubectl("auth", "can-i", verb, resource, *scope, f"--as={OPERATOR}", ok=False)
        return done.stdout.strip() == "yes"

    return ask


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_the_api_server_accepts_every_object_strictly_and_warns_of_nothing(cluster, helm, values):
    text = helm("template", "market-maker", str(CHART), "--kube-version", "1.34.0", "--values", str(values))
    # A ServiceAccount of one's own is there before the chart is.
    cluster.kubectl("create", "serviceaccount", "trading-operator", "-n", SYSTEM, ok=False)
    done = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert len(done.stdout.splitlines()) == sum(1 for m in yaml.load_all(text, yaml.CSafeLoader) if m)
    warnings = [line for line in done.stderr.splitlines() if "last-applied-configuration" not in line]
    assert warnings == []


def test_a_misspelt_field_would_be_refused(cluster, helm):
    text = helm("template", "m", str(CHART), "--kube-version", "1.34.0", "--set", "serviceMonitor.enabled=true")
    for wrong in (text.replace("scrapeTimeout:", "scrapeTimeOut:"), text.replace("readinessProbe:", "readyProbe:")):
        assert wrong != text
        done = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=wrong, ok=False)
        assert "unknown field" in done.stderr


def test_keys_are_random_once_and_kept_on_upgrade(release, secret):
    release(values="demo")
    key, account = secret(SYSTEM, "market-maker-status-key"), secret("trading", "mm-desk-a")
    accounts = secret(SYSTEM, "market-maker-exchange-accounts")
    release("operator.logLevel=debug", values="demo")
    assert secret(SYSTEM, "market-maker-status-key") == key
    assert secret("trading", "mm-desk-a") == account
    assert secret(SYSTEM, "market-maker-exchange-accounts") == accounts


def test_credentials_that_a_person_made_are_used_and_left_alone(cluster, release, secret):
    own = ["--from-literal=apiKey=my-key", "--from-literal=apiSecret=my-secret"]
    cluster.kubectl("create", "secret", "generic", "mm-desk-a", "-n", "trading", *own)
    try:
        release(values="demo")
        text = cluster.kubectl(
            "get",
            "secret",
            "market-maker-exchange-accounts",
            "-n",
            SYSTEM,
            "-o",
            'go-template={{index .data "accounts.json" | base64decode}}',
        ).stdout
        assert [(each["apiKey"], each["apiSecret"]) for each in json.loads(text)] == [("my-key", "my-secret")]
        labels = cluster.kubectl(
            "get", "secret", "mm-desk-a", "-n", "trading", "-o", "jsonpath={.metadata.labels}"
        ).stdout
        assert labels == ""
    finally:
        cluster.kubectl("delete", "secret", "mm-desk-a", "-n", "trading", "--ignore-not-found")


def test_uninstalling_leaves_the_kinds_and_the_namespace(cluster, helm, release):
    release(values="demo")
    helm("uninstall", "market-maker", "--no-hooks", "--wait")
    cluster.kubectl("get", "crd", "marketmakers.marketmaker.io", "tradinghalts.marketmaker.io")
    cluster.kubectl("get", "namespace", "trading")


def test_monitors_appear_by_themselves_where_the_cluster_knows_them(cluster, release):
    release("serviceMonitor.enabled=auto", "prometheusRule.enabled=auto")
    found = cluster.kubectl("get", ",".join(MONITORING), "-n", SYSTEM, "-o", "name").stdout.split()
    assert len(found) == 3


def test_in_the_cluster_the_operator_may_do_its_work_and_read_no_secret(release, may):
    release()
    for verb, resource in (
        ("patch", "marketmakers.marketmaker.io"),
        ("create", "pods"),
        ("create", "secrets"),
        ("watch", "tradinghalts.marketmaker.io"),
    ):
        assert may(verb, resource), (verb, resource)
    assert may("update", "leases.coordination.k8s.io", SYSTEM)
    assert not may("update", "leases.coordination.k8s.io", "trading")
    for verb in ("get", "list", "watch", "patch", "update", "delete"):
        assert not may(verb, "secrets"), verb
    for verb, resource in (
        ("patch", "pods"),
        ("update", "marketmakers.marketmaker.io"),
        ("delete", "marketmakers.marketmaker.io"),
        ("list", "nodes"),
    ):
        assert not may(verb, resource), (verb, resource)


def test_namespaced_the_operator_may_work_there_and_nowhere_else(release, may):
    release("watchNamespaces={trading,trading-b}")
    for namespace in ("trading", "trading-b"):
        assert may("create", "pods", namespace)
        assert may("patch", "marketmakers.marketmaker.io", namespace)
    assert not may("list", "marketmakers.marketmaker.io")
    assert not may("create", "pods", "elsewhere")
    assert not may("get", "marketmakers.marketmaker.io", "elsewhere")
    assert may("create", "leases.coordination.k8s.io", SYSTEM)


@pytest.fixture
def resource(cluster) -> Iterator[dict[str, Any]]:
    """A MarketMaker with a log sidecar, as the API server keeps it; its children go with it."""
    document = yaml.safe_load(EXAMPLE.read_text())
    document["spec"]["telemetry"] = {
        "logSidecar": "promtail",
        "lokiUrl": "http://loki.monitoring:3100/loki/api/v1/push",
    }
    created = cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(document))
    yield json.loads(created.stdout)
    cluster.kubectl("delete", "mm", document["metadata"]["name"], "-n", document["metadata"]["namespace"])


@pytest.mark.parametrize("setting", ["", "watchNamespaces={trading}"], ids=["cluster", "namespaced"])
def test_the_operator_may_apply_every_child_that_it_renders(cluster, release, resource, setting):
    release(*([setting] if setting else []))
    settings = Settings(runner_image="market-maker/runner:0.1.0", status_keys=(), claims_namespace=SYSTEM)
    rendered = children(resource_view(resource), parse_market_maker(resource).spec, Context(settings))
    assert {child["kind"] for child in rendered} == {"ServiceAccount", "Role", "RoleBinding", "Service", "ConfigMap"}
    documents = yaml.safe_dump_all(rendered)
    # The API server refuses a Role with a right that the operator itself lacks.
    cluster.kubectl(
        "apply", "--server-side", "--field-manager=mm-operator", f"--as={OPERATOR}", "-f", "-", stdin=documents
    )
    cluster.kubectl("delete", f"--as={OPERATOR}", "-f", "-", stdin=documents)
