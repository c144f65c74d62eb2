"""The kinds that the operator touches, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mm_contract.names import (
    GROUP,
    MARKET_MAKER_KIND,
    MARKET_MAKER_PLURAL,
    TRADING_HALT_KIND,
    TRADING_HALT_PLURAL,
    VERSION,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource type; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As `apiVersion` spells it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, *, subresource: str = "") -> str:
        """URL path of a collection or an object; without a namespace the whole cluster's collection."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


_RBAC: Final = "rbac.authorization.k8s.io"
MARKET_MAKER: Final = Kind(GROUP, VERSION, MARKET_MAKER_PLURAL, MARKET_MAKER_KIND)
TRADING_HALT: Final = Kind(GROUP, VERSION, TRADING_HALT_PLURAL, TRADING_HALT_KIND)
POD: Final = Kind("", "v1", "pods", "Pod")
SERVICE: Final = Kind("", "v1", "services", "Service")
SERVICE_ACCOUNT: Final = Kind("", "v1", "serviceaccounts", "ServiceAccount")
CONFIG_MAP: Final = Kind("", "v1", "configmaps", "ConfigMap")
SECRET: Final = Kind("", "v1", "secrets", "Secret")
NODE: Final = Kind("", "v1", "nodes", "Node", namespaced=False)
ROLE: Final = Kind(_RBAC, "v1", "roles", "Role")
ROLE_BINDING: Final = Kind(_RBAC, "v1", "rolebindings", "RoleBinding")
LEASE: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENT: Final = Kind("events.k8s.io", "v1", "events", "Event")

CHILD_KINDS: Final = (SERVICE_ACCOUNT, ROLE, ROLE_BINDING, SERVICE, CONFIG_MAP)
"""Children kept by server-side apply; pods, the token Secret, the Lease and the claim state have rules of their own."""
BY_KIND: Final = {each.kind: each for each in (*CHILD_KINDS, MARKET_MAKER, TRADING_HALT, POD, SECRET, LEASE, EVENT)}
