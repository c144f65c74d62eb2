"""All children that are kept by server-side apply, in the order in which a pod needs them."""

from __future__ import annotations

from dataclasses import dataclass

from mm_contract.resource import LogSidecar, MarketMakerSpec
from mm_operator.kube.api import Manifest
from mm_operator.render import access
from mm_operator.render.identity import claim_of
from mm_operator.render.logs import log_config
from mm_operator.render.service import service
from mm_operator.settings import Settings
from mm_operator.views import ResourceView


@dataclass(frozen=True, slots=True)
class Context:
    """What rendering needs beside the resource."""

    settings: Settings

    def claims_namespace(self, resource: ResourceView) -> str:
        """Where this resource's Lease lives."""
        return self.settings.claims_namespace_of(resource.key.namespace)


def children(resource: ResourceView, spec: MarketMakerSpec, context: Context) -> tuple[Manifest, ...]:
    """ServiceAccount, Role, RoleBinding, Service, the claim's Role and RoleBinding, and the sidecar's ConfigMap where there is one."""
    rendered = [
        access.service_account(resource),
        access.role(resource),
        access.role_binding(resource),
        service(resource),
        *claim_access(resource, spec, context),
    ]
    if spec.telemetry.log_sidecar is not LogSidecar.NONE:
        rendered.append(log_config(resource))
    return tuple(rendered)


def claim_access(resource: ResourceView, spec: MarketMakerSpec, context: Context) -> tuple[Manifest, ...]:
    """Role and RoleBinding in the claims namespace: the only children that the planner itself must remove at the end."""
    namespace = context.claims_namespace(resource)
    return (
        access.claim_role(resource, claims_namespace=namespace, object_name=claim_of(spec).object_name),
        access.claim_role_binding(resource, claims_namespace=namespace),
    )
