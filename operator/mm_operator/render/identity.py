"""Labels and owner references: how a child shows whose it is."""

from __future__ import annotations

from typing import Any

from mm_contract import names
from mm_contract.claim import Claim
from mm_contract.resource import MarketMakerSpec
from mm_operator.views import ResourceView


def claim_of(spec: MarketMakerSpec) -> Claim:
    """The territory that the resource's engine writes in (design, invariant 4)."""
    exchange = spec.exchange
    return Claim(exchange.venue.value, exchange.environment.value, exchange.account, spec.symbol)


def selector_labels(resource: ResourceView) -> dict[str, str]:
    """What selects the pods of one resource and of no other, not even of an earlier one of the same name."""
    return {
        names.LABEL_NAME: names.APP_NAME,
        names.LABEL_COMPONENT: names.COMPONENT_RUNNER,
        names.LABEL_RESOURCE: resource.key.name,
        names.LABEL_UID: resource.uid,
    }


def labels(resource: ResourceView) -> dict[str, str]:
    """On every child."""
    return selector_labels(resource) | {
        names.LABEL_INSTANCE: resource.key.name,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


def owner_references(resource: ResourceView) -> list[dict[str, Any]]:
    """On every child of the resource's own namespace; the garbage collector then removes it with the resource.

    `blockOwnerDeletion` is left out: our finalizer guards deletion, and setting it would need one more right.
    """
    return [
        {
            "apiVersion": names.API_VERSION,
            "kind": names.MARKET_MAKER_KIND,
            "name": resource.key.name,
            "uid": resource.uid,
            "controller": True,
        }
    ]


def child_metadata(resource: ResourceView, name: str | None = None) -> dict[str, Any]:
    """Metadata of a child in the resource's namespace."""
    return {
        "name": name or names.child_name(resource.key.name),
        "namespace": resource.key.namespace,
        "labels": labels(resource),
        "ownerReferences": owner_references(resource),
    }
