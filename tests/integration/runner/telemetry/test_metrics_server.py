"""The metrics port: served and said; taken and said, and then nothing else happens."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.metrics_server import MetricsServer


class Lines:
    def __init__(self) -> None:
        self.raw = b""

    def write(self, lines: bytes) -> None:
        self.raw += lines

    def close(self) -> None:
        pass


@asynccontextmanager
async def serving(port: int = 0, **more):
    lines = Lines()
    log = EventsLog([lines], context={"symbol": "ETHUSDT"})
    metrics = Metrics("ETHUSDT")
    server = MetricsServer(metrics, log, host="127.0.0.1", port=port)
    task = asyncio.create_task(server.run(**more))
    try:
        yield server, metrics, log, lines
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - bounded above
            await asyncio.sleep(0.01)


async def scrape(port: int) -> tuple[str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return await answer.text(), answer.headers["Content-Type"]


async def test_a_scrape_shows_what_was_set_and_the_port_is_said():
    async with serving() as (server, metrics, log, lines):
        await until(lambda: server.bound_port)
        metrics.cell("runner_mid_price").value = 2680.5
        log.emit("made_up_event")
        log.flush()
        text, content_type = await scrape(server.bound_port)
        values = {s.name: s.value for f in text_string_to_metric_families(text) for s in f.samples}
        assert values["runner_mid_price"] == 2680.5
        assert values["runner_log_schema_errors_total"] == 1
        assert content_type.startswith("text/plain; version=0.0.4")
        said = json.loads(lines.raw.splitlines()[0])
        assert (said["event"], said["addr"]) == ("metrics_listen", f"127.0.0.1:{server.bound_port}")


async def test_a_taken_port_is_said_and_served_once_it_is_free():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with serving(port, retry_seconds=0.1) as (server, _, log, lines):
            await until(lambda: log.flush() and b"metrics_error" in lines.raw)
            said = json.loads(lines.raw.splitlines()[0])
            assert "in use" in said["error"]
            assert said["addr"].endswith(str(port))
            assert server.bound_port is None
            other.close()
            await until(lambda: server.bound_port == port)
            await scrape(port)
