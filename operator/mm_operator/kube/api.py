"""The verbs of the Kubernetes API that the operator uses, over `kubernetes.aio`.

Manifests are plain JSON dictionaries on purpose: server-side apply must send exactly the fields that we own, and models of the official
client would add or drop some. `Api` is the border that tests replace to crash, delay or reorder calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from mm_operator.kube.kinds import Kind

Manifest = dict[str, Any]
"""A Kubernetes object as JSON."""

_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json"
_REQUEST_SECONDS: Final = 10.0
_PAGE: Final = 500


class ApiError(Exception):
    """The API server refused or could not be reached; `status` is 0 where it gave no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})" if status else message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def is_missing(self) -> bool:
        """404."""
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        """409: somebody wrote first, or the object exists."""
        return self.status == 409

    @property
    def is_terminating_namespace(self) -> bool:
        """The namespace admits no new objects."""
        return self.status == 403 and "being terminated" in self.message


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection at one resource version."""

    items: tuple[Manifest, ...]
    resource_version: str


class Api(Protocol):
    """What reconciliation needs of an API server; every method raises `ApiError`."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """The object, read from the quorum."""

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> Listing:
        """The collection, read from the quorum."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """POST; 409 where it exists."""

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Server-side apply as the operator, taking over fields that others changed."""

    async def patch(self, kind: Kind, namespace: str, name: str, *, body: Manifest, subresource: str = "") -> Manifest:
        """JSON merge patch; a `metadata.resourceVersion` in the body is the precondition."""

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete gracefully, this very object (UID precondition)."""


Observer = Callable[[str, int], None]
"""Told of every request: verb and HTTP status (0: no answer)."""


class KubernetesApi:
    """`Api` over `kubernetes.aio`, with a bound on every request.

    Args:
        field_manager: owner of the fields that are applied or created.
        observer: for metrics.
    """

    def __init__(self, configuration: Configuration, *, field_manager: str, observer: Observer | None = None) -> None:
        self._client = ApiClient(configuration)
        self._field_manager = field_manager
        self._observe: Observer = observer or (lambda _verb, _status: None)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """The object, read from the quorum."""
        return await self._call("GET", kind.path(namespace, name), verb="get")

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> Listing:
        """The collection, read from the quorum, page by page at one resource version."""
        items: list[Manifest] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._call("GET", kind.path(namespace), verb="list", query=query)
            # The items of a list lack kind and apiVersion.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind} | item for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return Listing(tuple(items), str(metadata.get("resourceVersion", "")))
            query["continue"] = str(metadata["continue"])

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """POST; 409 where it exists."""
        path = kind.path(manifest["metadata"].get("namespace"))
        return await self._call("POST", path, verb="create", query={"fieldManager": self._field_manager}, body=manifest)

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Server-side apply as the operator, taking over fields that others changed."""
        metadata = manifest["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": self._field_manager, "force": "true"}
        return await self._call("PATCH", path, verb="apply", query=query, body=manifest, content_type=_APPLY)

    async def patch(self, kind: Kind, namespace: str, name: str, *, body: Manifest, subresource: str = "") -> Manifest:
        """JSON merge patch; a `metadata.resourceVersion` in the body is the precondition."""
        path = kind.path(namespace, name, subresource=subresource)
        query = {"fieldManager": self._field_manager + (f"-{subresource}" if subresource else "")}
        return await self._call("PATCH", path, verb="patch", query=query, body=body, content_type=_MERGE)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete gracefully, this very object (UID precondition); never with a grace period of zero."""
        body: Manifest = {"preconditions": {"uid": uid}} if uid else {}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"} | body
        await self._call("DELETE", kind.path(namespace, name), verb="delete", body=options)

    async def _call(  # noqa: PLR0913 - the parts of one HTTP request
        self,
        method: str,
        path: str,
        *,
        verb: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
    ) -> Manifest:
        status = 0
        try:
            status, answer = await self._request(method, path, query=query, body=body, content_type=content_type)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "NoAnswer", f"{verb} {path}: no answer from the API server: {error!r}") from error
        finally:
            self._observe(verb, status)
        if status >= 400:
            reason, message = _refusal(answer)
            raise ApiError(status, reason, f"{verb} {path}: {message}")
        return _json_object(answer, where=f"{verb} {path}")

    async def _request(
        self, method: str, path: str, *, query: Mapping[str, str] | None, body: Manifest | None, content_type: str
    ) -> tuple[int, bytes]:
        headers = {"Accept": _JSON, "Content-Type": content_type, "User-Agent": self._field_manager}
        serialized = await self._client.param_serialize(
            method,
            path + (f"?{urlencode(query)}" if query else ""),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self._client.call_api(
            *serialized, _request_timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        )
        return response.status, await response.read()  # type: ignore[no-untyped-call]


def _refusal(answer: bytes) -> tuple[str, str]:
    try:
        status = json.loads(answer)
    except ValueError:
        return "Unknown", answer[:200].decode(errors="replace")
    if not isinstance(status, dict):
        return "Unknown", "an answer that is not a Status"
    return str(status.get("reason", "")), str(status.get("message", ""))


def _json_object(answer: bytes, *, where: str) -> Manifest:
    try:
        parsed = json.loads(answer)
    except ValueError as error:
        raise ApiError(0, "Garbled", f"{where}: the answer is not JSON") from error
    if not isinstance(parsed, dict):
        raise ApiError(0, "Garbled", f"{where}: the answer is not an object")
    return parsed


async def configuration(*, kubeconfig: str | None = None, context: str | None = None) -> Configuration:
    """How to reach the API server: in a pod its ServiceAccount (token re-read as it rotates), else the kubeconfig.

    Raises:
        ConfigException: neither is there.
    """
    found = Configuration()
    if kubeconfig is None and context is None:
        try:
            load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
        except ConfigException:
            await load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]
        return found
    await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=kubeconfig, context=context, client_configuration=found
    )
    return found
