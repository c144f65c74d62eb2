"""Lease and claim state: made once per claim in the claims namespace, then the engine's alone.

Create-only, without owner reference: deleting and re-creating a resource must forget neither a halt nor an epoch (design, section 5).
"""

from __future__ import annotations

from typing import Any

from mm_contract import names
from mm_contract.claim import Claim
from mm_contract.claim_state import STATE_KEY, ClaimState, encode
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import CONFIG_MAP, LEASE


def lease(claim: Claim, *, namespace: str, lease_seconds: int) -> Manifest:
    """An empty Lease: nobody holds it yet. Only its claim's engines ever write to it again."""
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.kind,
        "metadata": _metadata(claim, namespace),
        "spec": {"leaseDurationSeconds": lease_seconds, "leaseTransitions": 0},
    }


def claim_state(claim: Claim, *, namespace: str) -> Manifest:
    """A fresh claim state."""
    return {
        "apiVersion": "v1",
        "kind": CONFIG_MAP.kind,
        "metadata": _metadata(claim, namespace),
        "data": {STATE_KEY: encode(ClaimState())},
    }


def _metadata(claim: Claim, namespace: str) -> dict[str, Any]:
    return {
        "name": claim.object_name,
        "namespace": namespace,
        "labels": {
            names.LABEL_NAME: names.APP_NAME,
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_CLAIM: claim.key,
        },
        "annotations": {
            f"{names.GROUP}/{part}": value
            for part, value in (
                ("venue", claim.venue),
                ("environment", claim.environment),
                ("account", claim.account),
                ("symbol", claim.symbol),
            )
        },
    }
