"""The engine's pod: restricted, read-only, named by attempt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from mm_contract import names
from mm_contract.resource import Environment, FieldClass, MarketMakerSpec, field_class, to_manifest
from mm_operator.kube.api import Manifest
from mm_operator.render.children import Context
from mm_operator.render.identity import child_metadata, claim_of, labels
from mm_operator.render.logs import LOG_VOLUME, sidecar, sidecar_volumes
from mm_operator.views import ANNOTATION_DEAD_MAN, ANNOTATION_TOKEN_KEY, VOLUME_TOKEN, ResourceView

NON_ROOT: Final = 65532
STOP_MARGIN_SECONDS: Final = 15
"""Beyond `shutdown.graceSeconds`: the engine must write its last word, and a sidecar must ship it, before the kubelet kills."""


def pod(
    resource: ResourceView,
    spec: MarketMakerSpec,
    context: Context,
    *,
    attempt: int,
    avoid_nodes: tuple[str, ...] = (),
) -> Manifest:
    """The pod of one attempt.

    Args:
        resource: whose pod.
        spec: what the pod is rendered from.
        context: the deployment's settings.
        attempt: number of the pod, already written to the status.
        avoid_nodes: nodes that were lost; the replacement must not wait for them.
    """
    metadata = child_metadata(resource, names.pod_name(resource.key.name, resource.uid, attempt))
    own_labels = labels(resource) | {names.LABEL_ATTEMPT: str(attempt), names.LABEL_CLAIM: claim_of(spec).key}
    metadata["labels"] = dict(spec.pod.labels) | own_labels
    metadata["annotations"] = dict(spec.pod.annotations) | _annotations(spec, context)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": _spec(resource, spec, context, attempt=attempt, avoid_nodes=avoid_nodes),
    }


def restart_hash(spec: MarketMakerSpec) -> str:
    """A hash of the restart-class fields that differ from their defaults.

    Defaults stay out so that an operator that knows one more field does not restart every engine.
    """
    text = json.dumps(dict(_restart_fields(spec, "spec")), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _restart_fields(block: BaseModel, path: str) -> Iterator[tuple[str, Any]]:
    values = block.model_dump(mode="json", by_alias=False)
    for name, field in type(block).model_fields.items():
        value = getattr(block, name)
        match field_class(field):
            case FieldClass.RESTART:
                if value != field.get_default(call_default_factory=True):
                    yield f"{path}.{name}", values[name]
            case None if isinstance(value, BaseModel):
                yield from _restart_fields(value, f"{path}.{name}")
            case _:
                pass


def _annotations(spec: MarketMakerSpec, context: Context) -> dict[str, str]:
    failover = spec.failover
    return {
        names.ANNOTATION_RESTART_HASH: restart_hash(spec),
        ANNOTATION_TOKEN_KEY: context.settings.status_keys[0].id,
        ANNOTATION_DEAD_MAN: str(failover.dead_man_seconds if failover.dead_man_switch else 0),
    }


def _spec(
    resource: ResourceView, spec: MarketMakerSpec, context: Context, *, attempt: int, avoid_nodes: tuple[str, ...]
) -> dict[str, Any]:
    wanted = spec.pod
    shipper = sidecar(spec, context.settings, name=resource.key.name, security=_container_security())
    rendered: dict[str, Any] = {
        "serviceAccountName": names.child_name(resource.key.name),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        # A crash is answered by the kubelet, which works when the operator does not; an orderly end makes the pod Succeeded.
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": spec.shutdown.grace_seconds + STOP_MARGIN_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NON_ROOT,
            "runAsGroup": NON_ROOT,
            "fsGroup": NON_ROOT,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [shipper] if shipper else [],
        "containers": [_container(resource, spec, context, attempt=attempt)],
        "volumes": _volumes(resource, spec, context),
        "nodeSelector": dict(wanted.node_selector),
        "tolerations": [to_manifest(each) for each in wanted.tolerations],
        "affinity": _affinity(to_manifest(wanted.affinity), avoid_nodes),
        "topologySpreadConstraints": [to_manifest(each) for each in wanted.topology_spread_constraints],
        "priorityClassName": wanted.priority_class_name,
        "imagePullSecrets": [to_manifest(each) for each in wanted.image_pull_secrets],
    }
    return {name: value for name, value in rendered.items() if value not in ("", [], {}, None)}


def _container(resource: ResourceView, spec: MarketMakerSpec, context: Context, *, attempt: int) -> dict[str, Any]:
    return {
        "name": names.RUNNER_CONTAINER,
        "image": spec.pod.image or context.settings.runner_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["run"],
        "env": _env(resource, spec, context, attempt=attempt),
        "ports": [
            {"name": names.METRICS_PORT_NAME, "containerPort": names.METRICS_PORT, "protocol": "TCP"},
            {"name": names.STATUS_PORT_NAME, "containerPort": names.STATUS_PORT, "protocol": "TCP"},
        ],
        "resources": to_manifest(spec.pod.resources),
        "securityContext": _container_security(),
        "startupProbe": _probe(names.HEALTH_PATH, period=2, failures=30),
        "livenessProbe": _probe(names.HEALTH_PATH, period=5, failures=3),
        "readinessProbe": _probe(names.READY_PATH, period=2, failures=2),
        "terminationMessagePath": names.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": LOG_VOLUME, "mountPath": names.LOG_DIRECTORY},
            {"name": "state", "mountPath": names.STATE_DIRECTORY},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
            {"name": "credentials", "mountPath": names.CREDENTIALS_DIRECTORY, "readOnly": True},
            {"name": VOLUME_TOKEN, "mountPath": names.TOKEN_DIRECTORY, "readOnly": True},
        ],
    }


def _env(resource: ResourceView, spec: MarketMakerSpec, context: Context, *, attempt: int) -> list[dict[str, Any]]:
    settings = context.settings
    values = {
        names.ENV_RESOURCE_NAME: resource.key.name,
        names.ENV_RESOURCE_UID: resource.uid,
        names.ENV_CLAIMS_NAMESPACE: context.claims_namespace(resource),
        names.ENV_ATTEMPT: str(attempt),
        names.ENV_CREDENTIALS_DIR: names.CREDENTIALS_DIRECTORY,
        names.ENV_STATUS_TOKEN_DIR: names.TOKEN_DIRECTORY,
        names.ENV_STATE_DIR: names.STATE_DIRECTORY,
        names.ENV_LOG_FILE: names.LOG_FILE,
    }
    if spec.exchange.environment is Environment.SIMULATED:
        values |= {names.ENV_SIMULATED_REST: settings.simulated_rest, names.ENV_SIMULATED_WS: settings.simulated_ws}
    fields = {
        names.ENV_POD_NAME: "metadata.name",
        names.ENV_POD_UID: "metadata.uid",
        names.ENV_NODE_NAME: "spec.nodeName",
        names.ENV_NAMESPACE: "metadata.namespace",
    }
    return [
        *({"name": name, "value": value} for name, value in values.items() if value),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        *({"name": each.name, "value": each.value} for each in spec.pod.env),
    ]


def _volumes(resource: ResourceView, spec: MarketMakerSpec, context: Context) -> list[dict[str, Any]]:
    token = names.token_secret_name(resource.key.name, resource.uid, context.settings.status_keys[0].id)
    return [
        {"name": LOG_VOLUME, "emptyDir": {"sizeLimit": "512Mi"}},
        {"name": "state", "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        # A missing Secret keeps the pod Pending with an Event that names it, instead of an engine without keys.
        {"name": "credentials", "secret": {"secretName": spec.exchange.credentials.secret_name, "optional": False}},
        {"name": VOLUME_TOKEN, "secret": {"secretName": token, "optional": False}},
        *sidecar_volumes(spec, config_name=names.child_name(resource.key.name)),
    ]


def _affinity(wanted: dict[str, Any], avoid_nodes: tuple[str, ...]) -> dict[str, Any]:
    """The person's affinity, and away from lost nodes: each of the node selector's terms is an alternative, so each gets ours."""
    if not avoid_nodes:
        return wanted
    away = {"key": "metadata.name", "operator": "NotIn", "values": list(avoid_nodes)}
    node = dict(wanted.get("nodeAffinity") or {})
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = (node.get(required) or {}).get("nodeSelectorTerms") or [{}]
    node[required] = {"nodeSelectorTerms": [_away(term, away) for term in terms]}
    return wanted | {"nodeAffinity": node}


def _away(term: dict[str, Any], away: dict[str, Any]) -> dict[str, Any]:
    # A field requirement takes one value, so several nodes are several requirements.
    fields = [away | {"values": [node]} for node in away["values"]]
    return term | {"matchFields": [*(term.get("matchFields") or ()), *fields]}


def _container_security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": names.STATUS_PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
