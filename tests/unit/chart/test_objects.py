"""What the chart's objects must be whatever the values: named, labelled, hardened, of the ports that the contract names."""

from __future__ import annotations

import pytest

from mm_contract import names
from support.chart import CI_VALUES, named, only, pod_specs

ALL = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


def test_there_are_at_least_six_value_sets():
    assert len(CI_VALUES) >= 6


@ALL
def test_every_object_has_a_name_a_namespace_of_its_own_and_the_common_labels(render, values):
    cluster_wide = {"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
    manifests = render(values=values)
    seen = [(m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]) for m in manifests]
    assert len(seen) == len(set(seen))
    for manifest in manifests:
        if manifest["kind"] in cluster_wide or manifest["metadata"]["name"].endswith("-extra"):
            continue
        assert manifest["metadata"]["namespace"]
        assert manifest["metadata"]["labels"][names.LABEL_NAME] == names.APP_NAME
        assert manifest["metadata"]["labels"][names.LABEL_INSTANCE] == "market-maker"


@ALL
def test_every_pod_meets_the_restricted_pod_security_standard(render, values):
    specs = pod_specs(render(values=values))
    assert "Deployment/market-maker-operator" in specs
    for spec in specs.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert all({"secret", "emptyDir"} & volume.keys() for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]["memory"]
            assert container["resources"]["limits"]["memory"]


@ALL
def test_only_the_operator_and_its_uninstall_guard_hold_a_token_of_the_api_server(render, values):
    holders = {
        name
        for name, spec in pod_specs(render(values=values)).items()
        if spec.get("automountServiceAccountToken", True)
    }
    assert holders == {"Deployment/market-maker-operator", "Job/market-maker-uninstall-guard"}


def test_the_operator_is_told_what_the_release_knows(render):
    container = only(render(), "Deployment", "market-maker-operator")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["mm-operator"]
    assert container["args"][0] == "run"
    assert "--claims-namespace=mm-system" in container["args"]
    assert "--runner-image=market-maker/runner:0.1.0" in container["args"]
    assert not [argument for argument in container["args"] if argument.startswith(("--watch-namespace", "--simulated"))]


def test_the_operator_is_told_of_namespaces_images_and_the_simulated_exchange(render):
    manifests = render(
        "watchNamespaces={a,b}",
        "operator.allowedImages={registry.example.com/runner:*}",
        "simulatedExchange.enabled=true",
        "image.runner.repository=desk/runner",
        "image.runner.tag=abc123",
    )
    arguments = only(manifests, "Deployment", "market-maker-operator")["spec"]["template"]["spec"]["containers"][0][
        "args"
    ]
    assert {"--watch-namespace=a", "--watch-namespace=b"} <= set(arguments)
    assert "--allowed-image=registry.example.com/runner:*" in arguments
    assert "--runner-image=desk/runner:abc123" in arguments
    service = only(manifests, "Service", "market-maker-exchange")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert f"--simulated-rest=http://{host}:{ports['rest']}" in arguments
    assert f"--simulated-ws=ws://{host}:{ports['ws']}" in arguments


def test_a_digest_wins_over_a_tag(render):
    digest = "sha256:" + "a" * 64
    manifests = render("image.operator.tag=v9", f"image.operator.digest={digest}")
    image = only(manifests, "Deployment", "market-maker-operator")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"market-maker/operator@{digest}"


def test_the_operators_probes_and_ports_are_the_contracts(render):
    container = only(render(), "Deployment", "market-maker-operator")["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"metrics": names.METRICS_PORT, "health": names.STATUS_PORT}
    assert container["livenessProbe"]["httpGet"] == {"path": names.HEALTH_PATH, "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": names.READY_PATH, "port": "health"}


def test_services_select_the_pods_that_the_deployments_make(render):
    manifests = render("simulatedExchange.enabled=true")
    for name in ("market-maker-operator", "market-maker-exchange"):
        pod = only(manifests, "Deployment", name)["spec"]["template"]
        service = only(manifests, "Service", name)
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        container_ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= container_ports


def test_one_operator_needs_no_disruption_budget(render):
    assert named(render(), "PodDisruptionBudget") == []


def test_a_key_of_ones_own_replaces_the_charts(render):
    manifests = render("statusToken.existingSecret=my-key")
    assert named(manifests, "Secret") == []
    volumes = only(manifests, "Deployment", "market-maker-operator")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "status-key", "secret": {"secretName": "my-key", "defaultMode": 0o440}} in volumes


def test_the_uninstall_guard_runs_before_anything_is_deleted_and_can_be_switched_off(render):
    job = only(render("watchNamespaces={a}"), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert job["spec"]["backoffLimit"] == 0
    spec = job["spec"]["template"]["spec"]
    assert spec["containers"][0]["args"] == ["guard-uninstall", "--namespace=a"]
    assert spec["serviceAccountName"] == "market-maker-operator"
    assert named(render("uninstallGuard.enabled=false"), "Job") == []


def test_both_kinds_are_installed_kept_on_uninstall_and_can_be_left_out(render):
    kinds = named(render(), "CustomResourceDefinition")
    assert {crd["spec"]["names"]["plural"] for crd in kinds} == {names.MARKET_MAKER_PLURAL, names.TRADING_HALT_PLURAL}
    assert all(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for crd in kinds)
    dropped = named(render("crds.keep=false"), "CustomResourceDefinition")
    assert len(dropped) == 2
    assert all("helm.sh/resource-policy" not in crd["metadata"].get("annotations", {}) for crd in dropped)
    assert named(render("crds.install=false"), "CustomResourceDefinition") == []


def test_extra_objects_are_created_with_their_expressions_resolved(render):
    values = next(path for path in CI_VALUES if path.stem == "simulated-values")
    assert only(render(values=values), "ConfigMap", "market-maker-extra")["data"] == {"note": "kept beside the chart"}


def test_the_helm_test_asks_the_operators_own_service(render):
    manifests = render()
    pod = only(manifests, "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    script = pod["spec"]["containers"][1]["command"][-1]
    service = only(manifests, "Service", "market-maker-operator")
    assert f"http://{service['metadata']['name']}.mm-system.svc:{service['spec']['ports'][0]['port']}/metrics" in script
    compile(script, "helm test", "exec")
