"""Serves `/metrics` on port 9100 and says so in the log (`metrics_listen`), or that it cannot (`metrics_error`).

A taken port must not stop an engine that holds positions: it goes on, `/readyz` stays untouched, and the port is tried again every half minute.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from mm_contract import names
from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import CONTENT_TYPE, Metrics

_RETRY_SECONDS: Final = 30.0


class MetricsServer:
    """The metrics port.

    Args:
        host: address to bind.
        port: 0 takes a free one; `bound_port` tells which.
    """

    def __init__(
        self, metrics: Metrics, log: EventsLog, *, host: str = "0.0.0.0", port: int = names.METRICS_PORT
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._host = host
        self._port = port
        self.bound_port: int | None = None
        self._dropped = metrics.cell("runner_log_dropped_total")
        self._schema_errors = metrics.cell("runner_log_schema_errors_total")

    async def run(self, *, retry_seconds: float = _RETRY_SECONDS) -> None:
        """Serve until cancelled; never raises for a port that cannot be had."""
        app = web.Application()
        app.router.add_get(names.METRICS_PATH, self._scrape)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await self._listen(runner, retry_seconds)
            await asyncio.Event().wait()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, retry_seconds: float) -> None:
        address = f"{self._host}:{self._port}"
        while True:
            try:
                await web.TCPSite(runner, self._host, self._port).start()
            except OSError as error:
                self._log.emit("metrics_error", error=error.strerror or type(error).__name__, addr=address)
                await asyncio.sleep(retry_seconds)
                continue
            self.bound_port = int(runner.addresses[0][1])
            self._log.emit("metrics_listen", addr=f"{self._host}:{self.bound_port}")
            return

    async def _scrape(self, _: web.Request) -> web.Response:
        self._dropped.value = self._log.dropped
        self._schema_errors.value = self._log.schema_errors
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})
