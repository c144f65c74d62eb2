"""ServiceAccount, Role and RoleBinding of an engine: it may watch its own resource and the namespace's halts, no more."""

from __future__ import annotations

from typing import Any, Final

from mm_contract import names
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import ROLE, ROLE_BINDING, SERVICE_ACCOUNT
from mm_operator.render.identity import child_metadata, labels
from mm_operator.views import ResourceView

_RBAC_GROUP: Final = "rbac.authorization.k8s.io"


def service_account(resource: ResourceView) -> Manifest:
    """The engine's identity; its token is mounted by the pod alone."""
    return {
        "apiVersion": "v1",
        "kind": SERVICE_ACCOUNT.kind,
        "metadata": child_metadata(resource),
        "automountServiceAccountToken": False,
    }


def role(resource: ResourceView) -> Manifest:
    """Read its own resource by name (a watch needs the field selector `metadata.name`) and all halts of the namespace."""
    return {
        "apiVersion": ROLE.api_version,
        "kind": ROLE.kind,
        "metadata": child_metadata(resource),
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "resources": [names.MARKET_MAKER_PLURAL],
                "resourceNames": [resource.key.name],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": [names.GROUP],
                "resources": [names.TRADING_HALT_PLURAL],
                "verbs": ["get", "list", "watch"],
            },
        ],
    }


def role_binding(resource: ResourceView) -> Manifest:
    """Binds the role to the engine."""
    return _binding(child_metadata(resource), resource, role_name=names.child_name(resource.key.name))


def claim_access_name(resource: ResourceView) -> str:
    """Name of Role and RoleBinding in the claims namespace, where engines of several namespaces meet."""
    return f"mm-{resource.key.namespace}-{resource.key.name}-{resource.uid[:5]}"


def claim_role(resource: ResourceView, *, claims_namespace: str, object_name: str) -> Manifest:
    """Renew its claim's Lease and keep its claim's state, both by name; the operator alone creates them."""
    return {
        "apiVersion": ROLE.api_version,
        "kind": ROLE.kind,
        "metadata": _claim_metadata(resource, claims_namespace),
        "rules": [
            {
                "apiGroups": [group],
                "resources": [plural],
                "resourceNames": [object_name],
                "verbs": ["get", "update", "patch"],
            }
            for group, plural in (("coordination.k8s.io", "leases"), ("", "configmaps"))
        ],
    }


def claim_role_binding(resource: ResourceView, *, claims_namespace: str) -> Manifest:
    """Binds the claim's role to the engine."""
    metadata = _claim_metadata(resource, claims_namespace)
    return _binding(metadata, resource, role_name=metadata["name"])


def _claim_metadata(resource: ResourceView, claims_namespace: str) -> dict[str, Any]:
    # No owner reference: an owner in another namespace would make the garbage collector delete it at once.
    return {"name": claim_access_name(resource), "namespace": claims_namespace, "labels": labels(resource)}


def _binding(metadata: dict[str, Any], resource: ResourceView, *, role_name: str) -> Manifest:
    return {
        "apiVersion": ROLE_BINDING.api_version,
        "kind": ROLE_BINDING.kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": _RBAC_GROUP, "kind": ROLE.kind, "name": role_name},
        "subjects": [
            {
                "kind": SERVICE_ACCOUNT.kind,
                "name": names.child_name(resource.key.name),
                "namespace": resource.key.namespace,
            }
        ],
    }
