"""The registry of metrics: names, types, labels and meaning of everything that `/metrics` can show.

The seed's names hold to the letter; labels may be added. `mm_runner.telemetry` and `mm_operator` make their collectors from these
entries, the chart's rules and dashboards are tested against them, and `docs/reference/metrics.md` is made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MetricType(StrEnum):
    """Prometheus types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric family as it is exposed (counters end in `_total`, units are in the name)."""

    name: str
    type: MetricType
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LATENCY: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SYMBOL: Final = ("symbol",)


def _counter(name: str, meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, MetricType.COUNTER, meaning, (*_SYMBOL, *labels))


def _gauge(name: str, meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, MetricType.GAUGE, meaning, (*_SYMBOL, *labels))


def _seconds(name: str, meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, MetricType.HISTOGRAM, meaning, (*_SYMBOL, *labels), _LATENCY)


_SEED: Final = (
    _gauge("runner_mid_price", "Mid price that the strategy uses, in quote units."),
    _gauge("runner_spread", "Distance between our best ask and best bid, in quote units."),
    _gauge("runner_quote_interval_seconds", "Dynamic quote refresh interval."),
    _gauge("runner_risk_state", "The engine's own risk machine: 0 normal, 1 reduce_only, 2 halted."),
    _gauge("runner_position", "Signed position in base units, as the exchange knows it."),
    _counter("runner_orders_placed_total", "Orders sent to the venue."),
    _counter("runner_risk_rejects_total", "Orders that the risk gate refused."),
    _counter("runner_rest_requests_total", "REST requests by action.", "action"),
    _counter(
        "runner_rest_errors_total",
        "REST requests that failed, by action; same label sets as runner_rest_requests_total.",
        "action",
    ),
    _counter("runner_ws_connects_total", "WebSocket connections made, by stream.", "stream"),
    _counter("runner_ws_failures_total", "WebSocket connections that failed or were lost, by stream.", "stream"),
)

_ENGINE: Final = (
    _gauge("runner_spread_bps", "Width of our best quotes over mid, in basis points."),
    _gauge("runner_effective_state", "What the engine may do: 0 Running, 1 ReduceOnly, 2 Flat, 3 Halted."),
    _gauge("runner_open_orders", "Own orders that rest on the venue, by side.", "side"),
    _gauge(
        "runner_worst_case_position", "Position if every open and in-flight order of one side filled, by side.", "side"
    ),
    _gauge("runner_max_position", "spec.risk.maxPosition in base units."),
    _gauge("runner_unrealized_pnl", "Unrealised profit in quote units."),
    _gauge("runner_realized_pnl", "Realised profit since start in quote units, before fees."),
    _gauge("runner_fees", "Commissions paid since start in quote units."),
    _gauge("runner_pnl", "Realised + unrealised - fees, in quote units."),
    _gauge("runner_equity", "Wallet balance + unrealised profit in quote units."),
    _gauge("runner_drawdown_ratio", "1 - equity over its high-water mark."),
    _gauge("runner_market_bid_price", "Best bid of the market, in quote units."),
    _gauge("runner_market_ask_price", "Best ask of the market, in quote units."),
    _gauge("runner_market_data_age_seconds", "Age of the newest frame, by stream.", "stream"),
    _gauge("runner_book_synced", "1 while the book is in step with the venue."),
    _counter("runner_book_resyncs_total", "Times the book was synchronised anew."),
    _gauge("runner_quoting_both_sides", "1 while at least one own order rests on each side."),
    _counter("runner_quotes_total", "Quoting rounds."),
    _counter("runner_fills_total", "Fills of own orders, by side.", "side"),
    _counter("runner_filled_quantity_total", "Base units filled, by side.", "side"),
    _gauge("runner_last_fill_timestamp_seconds", "Unix time of the newest own fill; 0 before the first."),
    _counter("runner_orders_cancelled_total", "Cancels sent to the venue."),
    _counter("runner_order_rejects_total", "Orders that the venue refused, by code.", "code"),
    _counter("runner_orders_unknown_total", "Orders whose result was unknown and had to be proven."),
    _counter("runner_ws_api_requests_total", "Requests over the WebSocket API, by action.", "action"),
    _counter("runner_ws_api_errors_total", "Failed requests over the WebSocket API, by action.", "action"),
    _seconds("runner_rest_latency_seconds", "REST round trip, by action.", "action"),
    _seconds("runner_order_latency_seconds", "Order sent to acknowledged."),
    _seconds("runner_tick_seconds", "CPU time of one market event from frame to actions."),
    _gauge("runner_used_weight", "Request weight of the last minute as the venue counts it for this address."),
    _gauge("runner_order_count", "Orders of the current window as the venue counts them, by window.", "window"),
    _gauge("runner_rate_limited", "1 while a 429 or 418 is obeyed."),
    _gauge("runner_clock_offset_seconds", "Venue clock minus ours."),
    _gauge("runner_listenkey_age_seconds", "Time since the last successful keepalive or creation."),
    _counter("runner_listenkey_failures_total", "Failed keepalives and creations."),
    _gauge("runner_lease_held", "1 while the claim's Lease is held."),
    _gauge("runner_lease_remaining_seconds", "Time to the send deadline of the Lease."),
    _counter("runner_lease_renew_errors_total", "Failed Lease renewals."),
    _gauge("runner_deadman_remaining_seconds", "Time to the armed-until deadline of the dead-man switch."),
    _counter("runner_deadman_errors_total", "Failed refreshes of the dead-man switch."),
    _gauge("runner_epoch", "Epoch of this engine."),
    _gauge("runner_applied_generation", "Generation of the spec that the engine acts on."),
    _counter("runner_specs_refused_total", "Spec changes that were refused."),
    _counter("runner_foreign_orders_total", "Orders of somebody else seen on the symbol."),
    _counter("runner_malformed_total", "Unusable frames and answers, by kind.", "kind"),
    _counter("runner_log_schema_errors_total", "Log lines that carried _schema_error."),
    _counter("runner_log_dropped_total", "Log lines dropped because the writer fell behind."),
    _counter("runner_journal_lost_total", "Inputs that a journal asked for by --journal does not have."),
    _gauge("runner_tasks", "Tasks of the engine that are alive."),
    MetricSpec(
        "runner_info",
        MetricType.GAUGE,
        "1, with the version and account of the engine as labels.",
        (*_SYMBOL, "version", "account", "environment"),
    ),
)

_OPERATOR: Final = (
    MetricSpec("mm_operator_resources", MetricType.GAUGE, "MarketMakers by phase.", ("phase",)),
    MetricSpec("mm_operator_reconciles_total", MetricType.COUNTER, "Reconciles by result.", ("result",)),
    MetricSpec("mm_operator_reconcile_seconds", MetricType.HISTOGRAM, "Time of one reconcile.", (), _LATENCY),
    MetricSpec("mm_operator_actions_total", MetricType.COUNTER, "Actions of the planner by kind.", ("action",)),
    MetricSpec("mm_operator_status_writes_total", MetricType.COUNTER, "Writes of a resource's status.", ()),
    MetricSpec(
        "mm_operator_status_write_errors_total", MetricType.COUNTER, "Failed writes of a resource's status.", ()
    ),
    MetricSpec(
        "mm_operator_resync_drift_total", MetricType.COUNTER, "Repairs that only the periodic resync found.", ("kind",)
    ),
    MetricSpec("mm_operator_streams", MetricType.GAUGE, "Status streams that are up.", ()),
    MetricSpec("mm_operator_stream_failures_total", MetricType.COUNTER, "Status streams that failed or were lost.", ()),
    MetricSpec(
        "mm_operator_api_requests_total",
        MetricType.COUNTER,
        "Requests to the API server by verb and code.",
        ("verb", "code"),
    ),
    MetricSpec("mm_operator_leader", MetricType.GAUGE, "1 while this replica leads.", ()),
    MetricSpec("mm_operator_info", MetricType.GAUGE, "1, with the operator's version as label.", ("version",)),
)

METRICS: Final[Mapping[str, MetricSpec]] = {spec.name: spec for spec in (*_SEED, *_ENGINE, *_OPERATOR)}
SEED_METRICS: Final = frozenset(spec.name for spec in _SEED)
REST_ACTIONS: Final = (
    "place",
    "cancel",
    "query",
    "open_orders",
    "depth",
    "account",
    "position",
    "exchange_info",
    "time",
    "listen_key",
    "deadman",
    "trades",
    "config",
)
"""Values of the label `action`, all initialised at 0 so that the seed's division works as written."""
STREAMS: Final = ("public", "market", "user")
"""Values of the label `stream`."""


def markdown(specs: Iterable[MetricSpec] = METRICS.values()) -> str:
    """The table of `docs/reference/metrics.md`."""
    rows = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    rows.extend(
        f"| `{s.name}` | {s.type} | {', '.join(f'`{label}`' for label in s.labels)} | {s.meaning} |" for s in specs
    )
    return "\n".join(rows) + "\n"
