"""What the engine shows of itself: the status report put together, the probes' answers, and the gauges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from mm_contract.report import (
    EffectiveSection,
    EngineSection,
    LeaseSection,
    ListenKeySection,
    SpecSection,
    StatusReport,
)
from mm_runner.control.clocks import SECOND_NS, boot_ns, instant
from mm_runner.control.driver import Driver
from mm_runner.control.lease_loop import LeaseStatus
from mm_runner.control.status_feed import StatusFeed
from mm_runner.control.status_server import Health
from mm_runner.control.watchdog import Watchdog
from mm_runner.core.engine import Engine, Gauges
from mm_runner.core.messages import SpecRefused

_METERS_SECONDS: Final = 0.5
_STALL_SECONDS: Final = 5.0
_OLD_DATA_SECONDS: Final = 30.0


@dataclass(slots=True)
class Facts:
    """What the shell knows and the core does not."""

    engine: EngineSection
    lease: LeaseSection = field(default_factory=LeaseSection)
    lease_status: LeaseStatus | None = None


class Reporter:
    """Publishes the report when something changed, and figures that were held back once they are due.

    Args:
        facts: changed in place by the wiring.
        listen_key: the user stream's section.
    """

    def __init__(
        self, driver: Driver, feed: StatusFeed, facts: Facts, *, listen_key: Callable[[], ListenKeySection]
    ) -> None:
        self._driver = driver
        self._feed = feed
        self._facts = facts
        self._listen_key = listen_key
        self._scheduled = False
        self._later: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Something may read differently: publish after the current callback, once for all that it changed."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.publish)

    def publish(self) -> None:
        """Publish now."""
        self._scheduled = False
        if self._driver.is_broken:
            return
        due_ns = self._feed.publish(self.report(), boot_ns())
        if due_ns is not None and self._later is None:
            delay = max(0.0, (due_ns - boot_ns()) / SECOND_NS)
            self._later = asyncio.get_running_loop().call_later(delay, self._catch_up)

    def _catch_up(self) -> None:
        self._later = None
        self.publish()

    def report(self) -> StatusReport:
        """Everything, as of now."""
        core = self._driver.engine.report(instant())
        return StatusReport(
            engine=self._facts.engine,
            spec=core.spec,
            effective=core.effective,
            risk=core.risk,
            listen_key=self._listen_key(),
            figures=core.figures,
            market_data=core.market_data,
            lease=self._facts.lease,
        )

    def stop(self) -> None:
        """Publish no more."""
        if self._later is not None:
            self._later.cancel()
            self._later = None


class Probes:
    """`/healthz` and `/readyz`.

    Liveness fails only when the loop stalls, or data is old *and* the engine has neither cancelled its orders nor is reconnecting: venue
    maintenance must not restart a fleet (design, section 5).
    """

    def __init__(self, engine: Engine, watchdog: Watchdog, *, data_age_seconds: Callable[[], float]) -> None:
        self._engine = engine
        self._watchdog = watchdog
        self._data_age_seconds = data_age_seconds
        self.stopping = False
        self.waiting_for = "the claim's Lease is not held yet"

    def health(self) -> Health:
        """Both answers."""
        return Health(unhealthy=self._unhealthy(), unready=self._unready())

    def _unhealthy(self) -> str:
        if self._watchdog.stalled_seconds > _STALL_SECONDS:
            return f"the event loop stalled for {self._watchdog.stalled_seconds:.1f} s"
        age = self._data_age_seconds()
        if age > _OLD_DATA_SECONDS and not self._engine.safe_without_data:
            return (
                f"market data is {age:.0f} s old, and own orders are neither cancelled nor is the stream reconnecting"
            )
        return ""

    def _unready(self) -> str:
        if self.stopping:
            return "the engine is stopping"
        if self.waiting_for:
            return self.waiting_for
        return "" if self._engine.ready else "market data is not synced, or the account is not reconciled"


class Meters:
    """Copies the core's figures into the metrics twice a second: nothing of it costs the hot path."""

    def __init__(self, driver: Driver, facts: Facts) -> None:
        self._driver = driver
        self._facts = facts
        metrics = driver.telemetry.metrics
        self._plain = {figure: metrics.cell(name) for figure, name in _GAUGES.items()}
        self._metrics = metrics
        self._attempts = [
            metrics.cell(name, stream="public") for name in ("runner_ws_connects_total", "runner_ws_failures_total")
        ]
        self._attempted = 0.0
        self._attempted_ns = boot_ns()
        self._book_age_seconds = 0.0

    @property
    def data_age_seconds(self) -> float:
        """Age of the book, or time since the stream last tried to connect, whichever is less: a stream that reconnects is alive."""
        return min(self._book_age_seconds, (boot_ns() - self._attempted_ns) / SECOND_NS)

    async def run(self) -> None:
        """For ever."""
        while True:
            if not self._driver.is_broken:
                self.update(self._driver.engine.gauges(instant()))
            await asyncio.sleep(_METERS_SECONDS)

    def update(self, gauges: Gauges) -> None:
        """Set every series once."""
        for figure, cell in self._plain.items():
            cell.value = float(getattr(gauges, figure))
        self._book_age_seconds = gauges.book_age_seconds
        attempts = sum(cell.value for cell in self._attempts)
        if attempts != self._attempted:
            self._attempted, self._attempted_ns = attempts, boot_ns()
        metrics = self._metrics
        metrics.set("runner_open_orders", gauges.open_buys, side="BUY")
        metrics.set("runner_open_orders", gauges.open_sells, side="SELL")
        metrics.set("runner_worst_case_position", gauges.worst_case_long, side="BUY")
        metrics.set("runner_worst_case_position", gauges.worst_case_short, side="SELL")
        metrics.set("runner_pnl", gauges.realized_pnl + gauges.unrealized_pnl - gauges.fees)
        metrics.set("runner_epoch", self._facts.engine.epoch)
        status = self._facts.lease_status
        if status is not None:
            remaining = max(0.0, (status.send_deadline_ns - boot_ns()) / SECOND_NS)
            metrics.set("runner_lease_held", float(status.held and remaining > 0))
            metrics.set("runner_lease_remaining_seconds", remaining)


_GAUGES: Final = {
    "mid_price": "runner_mid_price",
    "spread": "runner_spread",
    "spread_bps": "runner_spread_bps",
    "quote_interval_seconds": "runner_quote_interval_seconds",
    "risk_state": "runner_risk_state",
    "effective_state": "runner_effective_state",
    "position": "runner_position",
    "max_position": "runner_max_position",
    "unrealized_pnl": "runner_unrealized_pnl",
    "realized_pnl": "runner_realized_pnl",
    "fees": "runner_fees",
    "equity": "runner_equity",
    "drawdown_ratio": "runner_drawdown_ratio",
    "market_bid_price": "runner_market_bid_price",
    "market_ask_price": "runner_market_ask_price",
    "book_synced": "runner_book_synced",
    "book_resyncs": "runner_book_resyncs_total",
    "quoting_both_sides": "runner_quoting_both_sides",
    "quotes": "runner_quotes_total",
    "risk_rejects": "runner_risk_rejects_total",
    "last_fill_timestamp_seconds": "runner_last_fill_timestamp_seconds",
    "applied_generation": "runner_applied_generation",
    "foreign_orders": "runner_foreign_orders_total",
}


def with_epoch(section: EngineSection, epoch: int) -> EngineSection:
    """The engine's section once its epoch is known."""
    return msgspec.structs.replace(section, epoch=epoch)


def with_refusal(report: StatusReport, event: SpecRefused) -> StatusReport:
    """The report of an engine that has no spec to run yet, because the first one was refused."""
    spec = SpecSection(
        observed_generation=event.generation,
        refused_generation=event.generation,
        refused_reason=event.reason,
        refused_message=event.message,
    )
    effective = EffectiveSection(message="waiting for a spec that this engine can act on")
    return msgspec.structs.replace(report, spec=spec, effective=effective)
