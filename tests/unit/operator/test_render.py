"""The children as the API server and the engine get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm_contract import names
from mm_contract.claim_state import decode
from mm_contract.status_token import status_token
from mm_operator.drift import matches, sealed
from mm_operator.render import children, claim_state, lease, pod, restart_hash, token_secret
from mm_operator.render.identity import claim_of
from mm_operator.render.logs import PROMTAIL_CONFIG
from support.operator_facts import CONTEXT, UID, spec, view

ROOT = Path(__file__).resolve().parents[3]


def rendered(change: Any = None, **options: Any) -> dict[str, Any]:
    return pod(view(change), spec(change), CONTEXT, attempt=4, **options)


def runner(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"]["containers"][0]


def test_every_container_meets_the_restricted_pod_security_standard() -> None:
    manifest = rendered({"telemetry": {"logSidecar": "alloy", "lokiUrl": "http://loki"}})
    assert manifest["spec"]["securityContext"]["runAsNonRoot"] is True
    assert manifest["spec"]["securityContext"]["runAsUser"] == 65532
    assert manifest["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*manifest["spec"]["containers"], *manifest["spec"]["initContainers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert all("hostPath" not in volume for volume in manifest["spec"]["volumes"])


def test_the_pod_says_whose_it_is_and_what_it_was_rendered_from() -> None:
    metadata = rendered({"pod": {"labels": {"desk": "a"}}})["metadata"]
    assert metadata["name"] == f"ethusdt-{UID[:5]}-4"
    assert metadata["labels"][names.LABEL_ATTEMPT] == "4"
    assert metadata["labels"][names.LABEL_UID] == UID
    assert metadata["labels"]["desk"] == "a"
    assert metadata["ownerReferences"][0]["uid"] == UID
    assert metadata["annotations"][names.ANNOTATION_RESTART_HASH] == restart_hash(
        spec({"pod": {"labels": {"desk": "a"}}})
    )


def test_the_engine_is_told_who_it_is_and_where_everything_lies() -> None:
    given = {each["name"]: each.get("value") for each in runner(rendered())["env"]}
    assert given[names.ENV_RESOURCE_NAME] == "ethusdt"
    assert given[names.ENV_RESOURCE_UID] == UID
    assert given[names.ENV_CLAIMS_NAMESPACE] == "claims"
    assert given[names.ENV_ATTEMPT] == "4"
    assert given[names.ENV_SIMULATED_REST] == "http://exchange"
    for name in (names.ENV_POD_NAME, names.ENV_POD_UID, names.ENV_NODE_NAME, names.ENV_NAMESPACE):
        assert name in given


def test_only_a_simulated_environment_hears_of_the_simulated_exchange() -> None:
    given = {each["name"] for each in runner(rendered({"exchange": {"environment": "testnet"}}))["env"]}
    assert names.ENV_SIMULATED_REST not in given


def test_secrets_are_mounted_files_and_never_environment() -> None:
    manifest = rendered()
    volumes = {each["name"]: each for each in manifest["spec"]["volumes"]}
    assert volumes["credentials"]["secret"] == {"secretName": "mm-desk-a", "optional": False}
    assert volumes["status-token"]["secret"]["optional"] is False
    assert all("secretKeyRef" not in json.dumps(each) for each in runner(manifest)["env"])


def test_the_grace_period_outlasts_the_engines_own() -> None:
    manifest = rendered({"shutdown": {"graceSeconds": 60}})
    assert manifest["spec"]["terminationGracePeriodSeconds"] > 60
    assert manifest["spec"]["restartPolicy"] == "OnFailure"


def test_liveness_and_readiness_ask_different_questions() -> None:
    container = runner(rendered())
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["terminationMessagePath"] == names.TERMINATION_LOG


def test_a_replacement_avoids_the_lost_node_whatever_the_person_prefers() -> None:
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
            }
        }
    }
    manifest = rendered({"pod": {"affinity": affinity}}, avoid_nodes=("n1", "n2"))
    required = manifest["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    assert [each["values"] for each in term["matchFields"]] == [["n1"], ["n2"]]
    assert term["matchExpressions"][0]["key"] == "zone"


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"quoting": {"levels": 5}}, False),
        ({"desiredState": "Halted"}, False),
        ({"risk": {"maxPosition": "0.9"}}, False),
        ({"strategy": {"grid": {"skewFactor": 0.9}}}, False),
        ({"exchange": {"leverage": 9}}, True),
        ({"exchange": {"credentials": {"secretName": "mm-other"}}}, True),
        ({"failover": {"deadManSeconds": 20}}, True),
        ({"pod": {"image": "other:1"}}, True),
        ({"pod": {"resources": {"limits": {"memory": "1Gi"}}}}, True),
        ({"telemetry": {"logSidecar": "promtail", "lokiUrl": "http://loki"}}, True),
    ],
)
def test_only_restart_class_fields_move_the_restart_hash(change: dict[str, Any], *, restarts: bool) -> None:
    assert (restart_hash(spec(change)) != restart_hash(spec())) is restarts


def test_the_pipeline_is_the_charts_to_the_letter_and_the_seeds_in_content() -> None:
    assert (ROOT / "charts/market-maker/files/promtail.yaml").read_text() == PROMTAIL_CONFIG
    (job,) = yaml.safe_load(PROMTAIL_CONFIG)["scrape_configs"]
    assert job["job_name"] == "runner"
    assert job["static_configs"][0]["labels"] == {"job": "runner", "__path__": "/var/log/market-maker/runner.log"}
    assert job["pipeline_stages"][0]["json"]["expressions"]["_schema_error"] == "_schema_error"
    assert list(job["pipeline_stages"][1]["labels"]) == ["event", "symbol", "state"]
    assert job["pipeline_stages"][2]["timestamp"] == {"source": "ts", "format": "RFC3339Nano"}


def test_the_sidecar_is_native_so_that_it_outlives_the_engine() -> None:
    (sidecar,) = rendered({"telemetry": {"logSidecar": "promtail", "lokiUrl": "http://loki"}})["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert {"name": "LOKI_URL", "value": "http://loki"} in sidecar["env"]


def test_children_come_in_the_order_in_which_a_pod_needs_them() -> None:
    kinds = [each["kind"] for each in children(view(), spec(), CONTEXT)]
    assert kinds == ["ServiceAccount", "Role", "RoleBinding", "Service", "Role", "RoleBinding"]
    with_log = children(view(), spec({"telemetry": {"logSidecar": "promtail", "lokiUrl": "http://x"}}), CONTEXT)
    assert with_log[-1]["kind"] == "ConfigMap"


def test_an_engine_may_read_its_own_resource_and_write_its_own_claim_only() -> None:
    own, claims = (each for each in children(view(), spec(), CONTEXT) if each["kind"] == "Role")
    assert own["rules"][0]["resourceNames"] == ["ethusdt"]
    assert {verb for rule in own["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert claims["metadata"]["namespace"] == "claims"
    assert "ownerReferences" not in claims["metadata"]
    for rule in claims["rules"]:
        assert rule["resourceNames"] == [claim_of(spec()).object_name]
        assert set(rule["verbs"]) == {"get", "update", "patch"}


def test_a_claim_outlives_its_resource() -> None:
    claim = claim_of(spec())
    for manifest in (lease(claim, namespace="claims", lease_seconds=15), claim_state(claim, namespace="claims")):
        assert "ownerReferences" not in manifest["metadata"]
        assert manifest["metadata"]["name"] == claim.object_name
    assert decode(claim_state(claim, namespace="claims")["data"]["state.json"]).epoch == 0


def test_the_token_secret_is_named_by_key_and_cannot_be_changed() -> None:
    key = CONTEXT.settings.status_keys[0]
    secret = token_secret(view(), key)
    assert secret["metadata"]["name"].endswith(key.id)
    assert secret["immutable"] is True
    assert secret["stringData"] == {"token": status_token(key.key, UID)}
    assert "0123456789abcdef" not in repr(CONTEXT), "a key is never shown"


def test_drift_is_what_we_render_and_nothing_else() -> None:
    wanted = sealed(children(view(), spec(), CONTEXT)[3])
    live = json.loads(json.dumps(wanted))
    live["metadata"] |= {"uid": "x", "resourceVersion": "1"}
    live["spec"] |= {"sessionAffinity": "None"}
    live["metadata"]["labels"]["somebody"] = "else"
    assert matches(live, wanted)
    live["spec"]["ports"].append({"name": "more", "port": 1})
    assert not matches(live, wanted)
    assert not matches(None, wanted)
    assert not matches(wanted, sealed(wanted)), "a child rendered otherwise has another hash"
