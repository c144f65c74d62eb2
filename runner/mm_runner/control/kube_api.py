"""A narrow door to the API server: plain JSON in and out, one bounded request each, and watches.

`kubernetes.aio` brings configuration, token refresh and TLS; its generated models are passed by, because they parse what we do not need and refuse
microseconds of zero. Imported only in a pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from mm_contract import names

COORDINATION: Final = "/apis/coordination.k8s.io/v1"
CORE: Final = "/api/v1"
MARKET_MAKERS: Final = f"/apis/{names.API_VERSION}"


class KubeError(Exception):
    """The API server refused, failed, or was not reached; `status` is 0 where there was no HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class KubeApi:
    """JSON requests to one API server; use as an async context manager.

    Args:
        client: a `kubernetes.aio.client.ApiClient`, owned from now on.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def in_cluster(cls) -> Self:
        """With the pod's own ServiceAccount; outside a pod with the kubeconfig (tests against an API server)."""
        from kubernetes.aio import client, config  # noqa: PLC0415 - 25 MB that only a pod needs

        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        configuration.retries = False  # retries of ours only: a repeated PUT must not outlive its deadline
        return cls(client.ApiClient(configuration))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def get(self, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """GET an object or a list.

        Raises:
            KubeError: not found (404), refused, failed or not answered in time.
        """
        return await self._request("GET", path, timeout_seconds=timeout_seconds)

    async def replace(self, path: str, body: Mapping[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """PUT an object; its `metadata.resourceVersion` is the precondition (409 when it moved).

        Raises:
            KubeError: conflict, not found, refused, failed or not answered in time (the outcome is then unknown).
        """
        return await self._request("PUT", path, body=dict(body), timeout_seconds=timeout_seconds)

    async def watch(
        self, path: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncIterator[dict[str, Any]]:
        """Events of a watch, until the server ends it; the caller lists and watches anew.

        Args:
            path: collection path.
            query: selectors and `resourceVersion`.
            silence_seconds: after this long the server ends the watch by itself, and we give up a little later.

        Raises:
            KubeError: refused (410: the resourceVersion is too old), or the connection failed.
        """
        watched = {**query, "watch": "true", "timeoutSeconds": str(int(silence_seconds))}
        timeout = aiohttp.ClientTimeout(total=silence_seconds + 10, sock_connect=5)
        response = None
        try:
            response = await self._send("GET", path, query=watched, timeout=timeout)
            buffer = b""
            async for chunk in response.response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield msgspec.json.decode(line, type=dict[str, Any])
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            raise KubeError(0, _text(error)) from error
        finally:
            if response is not None:
                response.response.close()

    async def _request(
        self, method: str, path: str, *, timeout_seconds: float, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._send(method, path, body=body, timeout=timeout_seconds)
                return msgspec.json.decode(await response.read(), type=dict[str, Any])
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            raise KubeError(0, f"{method} {path}: {_text(error)}") from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout: float | aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed to aiohttp
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        parameters = await self._client.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self._client.call_api(*parameters, _request_timeout=timeout)
        if not 200 <= response.status < 300:
            raise KubeError(response.status, f"{method} {path}: {response.status} {_reason(await response.read())}")
        return response


def lease_path(namespace: str, name: str) -> str:
    """Path of a Lease."""
    return f"{COORDINATION}/namespaces/{namespace}/leases/{name}"


def config_map_path(namespace: str, name: str) -> str:
    """Path of a ConfigMap."""
    return f"{CORE}/namespaces/{namespace}/configmaps/{name}"


def market_makers_path(namespace: str, name: str = "") -> str:
    """Path of one MarketMaker, or of the namespace's collection."""
    return f"{MARKET_MAKERS}/namespaces/{namespace}/{names.MARKET_MAKER_PLURAL}" + (f"/{name}" if name else "")


def trading_halts_path(namespace: str) -> str:
    """Path of the namespace's TradingHalts."""
    return f"{MARKET_MAKERS}/namespaces/{namespace}/{names.TRADING_HALT_PLURAL}"


def _reason(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, Any]).get("message", ""))[:300]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:120].decode(errors="replace")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()
