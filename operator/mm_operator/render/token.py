"""The Secret with the status stream's bearer token: created once, never read back (the operator has no right to)."""

from __future__ import annotations

from mm_contract import names
from mm_contract.status_token import status_token
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import SECRET
from mm_operator.render.identity import child_metadata
from mm_operator.settings import StatusKey
from mm_operator.views import ResourceView


def token_secret(resource: ResourceView, key: StatusKey) -> Manifest:
    """Immutable and named by the key's id, so that 409 means that the right one is there."""
    name = names.token_secret_name(resource.key.name, resource.uid, key.id)
    return {
        "apiVersion": "v1",
        "kind": SECRET.kind,
        "metadata": child_metadata(resource, name),
        "type": "Opaque",
        "immutable": True,
        "stringData": {names.TOKEN_KEY: status_token(key.key, resource.uid)},
    }
