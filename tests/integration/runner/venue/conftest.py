"""A gateway against the real simulated exchange, with everything it delivers and says recorded."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import pytest

from mm_contract.claim import Claim, ClientOrderId
from mm_contract.events import Level
from mm_contract.resource import EndpointsSpec
from mm_runner.core.messages import (
    CancelOrder,
    Event,
    Instant,
    OrderType,
    PlaceOrder,
    Side,
    TimeInForce,
)
from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue import endpoints
from mm_runner.venue.gateway import GatewaySettings, UsdmGateway
from mm_runner.venue.signing import Credentials

SYMBOL = "ETHUSDT"
T = TypeVar("T")


def now() -> Instant:
    return Instant(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000)


class Lines:
    """A log sink in memory."""

    def __init__(self) -> None:
        self.raw = b""

    def write(self, lines: bytes) -> None:
        self.raw += lines

    def close(self) -> None:
        pass


def make_telemetry() -> tuple[Telemetry, Lines]:
    lines = Lines()
    return Telemetry(EventsLog([lines], context={"symbol": SYMBOL}, level=Level.DEBUG), Metrics(SYMBOL)), lines


@dataclass
class Desk:
    """A running gateway and what came of it."""

    gateway: UsdmGateway
    claim: Claim
    exchange: Any
    api_key: str
    telemetry: Telemetry
    lines: Lines
    events: list[Event] = field(default_factory=list)
    sequence: count = field(default_factory=lambda: count(1))
    task: asyncio.Task[None] | None = None

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def said(self, *names: str) -> list[dict[str, Any]]:
        self.telemetry.log.flush()
        lines = [json.loads(line) for line in self.lines.raw.splitlines()]
        return [line for line in lines if not names or line["event"] in names]

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.metrics.cell(name, **labels).value

    def ledger(self, **filters: object) -> list[dict[str, Any]]:
        return self.exchange.ledger(apiKey=self.api_key, limit=100000, **filters)

    def resting(self) -> list[dict[str, Any]]:
        return self.exchange.open_orders(apiKey=self.api_key)

    def order(
        self, *, side: Side = Side.BUY, away: float = 0.01, lots: int = 20, epoch: int = 1, **changes: Any
    ) -> PlaceOrder:
        """A post-only order, 1 % from the touch unless told."""
        bid, ask = self.exchange.book()
        price = bid * (1 - away) if side is Side.BUY else ask * (1 + away)
        fields: dict[str, Any] = {
            "client_order_id": str(ClientOrderId(self.claim.order_prefix, epoch, next(self.sequence))),
            "side": side,
            "type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTX,
            "price": round(price * 100),
            "quantity": lots,
            "reduce_only": False,
            "send_deadline_boot_ns": now().boot_ns + 10_000_000_000,
            "recv_window_ms": 2000,
        }
        return PlaceOrder(**{**fields, **changes})

    def cancel(self, order: PlaceOrder, *, order_id: int = 0) -> CancelOrder:
        return CancelOrder(client_order_id=order.client_order_id, order_id=order_id, recv_window_ms=2000)


@pytest.fixture
def open_desk(exchange: Any) -> Callable[..., Any]:
    """`async with open_desk(settings=…) as desk`: a fresh account, a running gateway."""

    @asynccontextmanager
    async def opened(*, settings: GatewaySettings | None = None, run: bool = True, **more: Any) -> AsyncIterator[Desk]:
        account = exchange.account()
        telemetry, lines = make_telemetry()
        events: list[Event] = []
        gateway = UsdmGateway(
            endpoints.resolve("simulated", EndpointsSpec(), exchange.env),
            Credentials(account["apiKey"], account["apiSecret"]),
            SYMBOL,
            deliver=events.append,
            telemetry=telemetry,
            now=now,
            chance=random.Random(1),
            settings=settings,
            **more,
        )
        claim = Claim("binance-usdm", "simulated", account["apiKey"][:12].lower(), SYMBOL)
        async with gateway:
            desk = Desk(gateway, claim, exchange, account["apiKey"], telemetry, lines, events)
            if not run:
                yield desk
                return
            desk.task = asyncio.create_task(gateway.run())
            try:
                await until_up(desk)
                yield desk
            finally:
                desk.task.cancel()
                await asyncio.gather(desk.task, return_exceptions=True)
                secrets = (account["apiKey"], account["apiSecret"], gateway._user.cycle.key)
                telemetry.log.flush()
                # Invariant 8, after each and every test: nothing secret in any line or metric.
                assert not any(
                    secret and secret.encode() in lines.raw + telemetry.metrics.render() for secret in secrets
                )
                assert b"_schema_error" not in lines.raw

    return opened


@dataclass
class Lateness:
    """How much later than asked the loop woke somebody up, at worst: what a busy machine adds to any bound that is kept on this loop."""

    worst_seconds: float = 0.0

    async def watch(self, every: float = 0.01) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(every)
            self.worst_seconds = max(self.worst_seconds, time.monotonic() - asked)


@pytest.fixture
def loop_lateness() -> Callable[..., Any]:
    """`async with loop_lateness() as lateness`: watched as long as the block lasts."""

    @asynccontextmanager
    async def watched() -> AsyncIterator[Lateness]:
        lateness = Lateness()
        watch = asyncio.create_task(lateness.watch())
        try:
            yield lateness
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    return watched


async def until_up(desk: Desk) -> None:
    async with asyncio.timeout(30):
        while len({line["stream"] for line in desk.said("ws_connect")}) < 3:
            assert desk.task is not None
            if desk.task.done():
                desk.task.result()
            await asyncio.sleep(0.02)
