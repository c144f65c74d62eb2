"""The operator's two HTTP ports: `/metrics`, and `/healthz` and `/readyz` for the kubelet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from mm_contract.names import HEALTH_PATH, METRICS_PATH, READY_PATH

_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serve(host: str, port: int, routes: dict[str, Answer]) -> AsyncIterator[int]:
    """Serve these paths; yields the port (which may have been asked for as 0)."""
    application = web.Application()
    application.add_routes([web.get(path, answer) for path, answer in routes.items()])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        addresses = runner.addresses
        yield int(addresses[0][1]) if addresses else port
    finally:
        await runner.cleanup()


def metrics_route(exposition: Callable[[], bytes]) -> dict[str, Answer]:
    """`/metrics`."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": _EXPOSITION})

    return {METRICS_PATH: answer}


def health_routes(problem: Callable[[], str], unready: Callable[[], str]) -> dict[str, Answer]:
    """`/healthz` and `/readyz`; an empty sentence means well."""

    def route(judge: Callable[[], str]) -> Answer:
        async def answer(_request: web.Request) -> web.Response:
            sentence = judge()
            return web.Response(status=503 if sentence else 200, text=sentence or "ok\n")

        return answer

    return {HEALTH_PATH: route(problem), READY_PATH: route(unready)}
