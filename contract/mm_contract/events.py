"""The registry of log events: the only way to log is to name one of these.

The seed's table (`event`, required fields) holds to the letter; every other event of the engine is one entry below.
`mm_runner.telemetry` validates each line against it at run time (`_schema_error`), and `docs/reference/log-events.md` is made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """Severity of an event, as `telemetry.logLevel` filters it; required seed events are never below info."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One log event: its required fields (a line that lacks one carries `_schema_error`) and the optional ones that may appear."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    level: Level
    meaning: str

    def missing(self, fields: Mapping[str, object]) -> tuple[str, ...]:
        """The required fields that a line lacks (absent or None)."""
        return tuple(name for name in self.required if fields.get(name) is None)


def _event(name: str, required: str, meaning: str, *, optional: str = "", level: Level = Level.INFO) -> EventSpec:
    return EventSpec(name, tuple(required.split()), tuple(optional.split()), level, meaning)


_SEED: Final = (
    _event(
        "strategy_adjust",
        "symbol mid spread spreadRatio intervalMs",
        "Each quoting round: the final mid and spread (quote units), spread over mid, and the dynamic refresh interval.",
        optional="volFactor inventoryFactor net reduceOnly reservation takeProfit bid ask levels",
    ),
    _event(
        "risk_event",
        "symbol state",
        "The risk machine moved to normal, reduce_only or halted.",
        optional="reason previous haltId latched",
        level=Level.WARNING,
    ),
    _event(
        "order_update",
        "symbol status clientOrderId orderId",
        "An order report of the user stream.",
        optional="side lastQty lastPrice pnl commission commissionAsset maker filled price qty reduceOnly tradeId",
    ),
    _event(
        "depth_snapshot",
        "symbol bid ask",
        "The REST depth that the book was initialised from.",
        optional="lastUpdateId levels",
    ),
    _event(
        "listenkey_created", "listenKey", "A listenKey was created or returned (fingerprint only).", optional="symbol"
    ),
    _event("listenkey_keepalive_ok", "listenKey", "The half-hourly keepalive succeeded.", optional="symbol"),
    _event(
        "listenkey_keepalive_error",
        "listenKey",
        "The keepalive failed; one retry follows after 5 s.",
        optional="symbol error",
        level=Level.ERROR,
    ),
    _event("listenkey_keepalive_retry_ok", "listenKey", "The retry succeeded.", optional="symbol"),
    _event(
        "listenkey_keepalive_retry_failed",
        "listenKey",
        "The retry failed too; the key is created anew.",
        optional="symbol error",
        level=Level.ERROR,
    ),
    _event(
        "listenkey_expired",
        "listenKey",
        "The venue said listenKeyExpired (or -1125); the key is created anew.",
        optional="symbol error",
        level=Level.WARNING,
    ),
    _event("metrics_listen", "addr", "The metrics port is being served."),
    _event("metrics_error", "error", "The metrics port cannot be served.", optional="addr", level=Level.ERROR),
)

_ENGINE: Final = (
    _event(
        "runner_start",
        "symbol version",
        "The process began.",
        optional="epoch attempt environment account podName dryRun",
    ),
    _event("listening", "symbol metrics status", "The addresses of the ports that this process serves."),
    _event(
        "runner_exit",
        "symbol reason",
        "The process ends; what is left on the exchange is said here.",
        optional="zeroOwnOrders epoch seconds",
    ),
    _event(
        "journal_incomplete",
        "symbol path error",
        "The journal of this engine ends here, for the reason that is given; the engine goes on.",
        level=Level.ERROR,
    ),
    _event("spec_applied", "symbol generation", "The engine acts on this generation from now on.", optional="changed"),
    _event(
        "spec_refused",
        "symbol generation error",
        "A change was refused whole; the last good spec goes on.",
        level=Level.ERROR,
    ),
    _event(
        "effective_state", "symbol state ruledBy", "What the engine does changed.", optional="previous phase message"
    ),
    _event("book_synced", "symbol lastUpdateId", "The book is in step with the venue."),
    _event(
        "book_gap",
        "symbol expected got",
        "A depth event is missing: quotes are pulled, the book is synchronised anew.",
        level=Level.WARNING,
    ),
    _event(
        "data_stale",
        "symbol ageMs",
        "Market data is older than staleAfterMs: quotes are pulled.",
        optional="stream",
        level=Level.WARNING,
    ),
    _event("data_fresh", "symbol ageMs", "Market data is fresh again.", optional="stream"),
    _event("depth_refresh_error", "symbol error", "The REST depth fallback failed.", level=Level.WARNING),
    _event(
        "depth_snapshot_error",
        "symbol error",
        "The REST depth at start or resync failed; it is tried again.",
        level=Level.WARNING,
    ),
    _event("ws_connect", "stream", "A WebSocket is up.", optional="symbol"),
    _event("ws_disconnect", "stream", "A WebSocket ended.", optional="symbol error code", level=Level.WARNING),
    _event(
        "order_place",
        "symbol side price qty clientOrderId",
        "An order was sent.",
        optional="type timeInForce reduceOnly",
        level=Level.DEBUG,
    ),
    _event(
        "order_ack",
        "symbol clientOrderId orderId",
        "The venue accepted an order.",
        optional="status latencyMs",
        level=Level.DEBUG,
    ),
    _event(
        "order_reject",
        "symbol clientOrderId code",
        "The venue refused an order.",
        optional="error side price qty reduceOnly",
        level=Level.WARNING,
    ),
    _event("order_cancel", "symbol clientOrderId", "A cancel was sent.", optional="reason orderId", level=Level.DEBUG),
    _event(
        "order_unknown",
        "symbol clientOrderId error",
        "An order's result is unknown; it is proven by query.",
        level=Level.WARNING,
    ),
    _event("order_resolved", "symbol clientOrderId status", "An unknown result is known now."),
    _event(
        "order_place_dry_run",
        "symbol side price qty",
        "Dry run: this order was not sent.",
        optional="reduceOnly",
        level=Level.DEBUG,
    ),
    _event("order_cancel_dry_run", "symbol clientOrderId", "Dry run: this cancel was not sent.", level=Level.DEBUG),
    _event(
        "orders_cancelled", "symbol reason count", "All own orders were cancelled.", optional="zeroOwnOrders seconds"
    ),
    _event(
        "orphan_cancelled",
        "symbol clientOrderId",
        "An order of an earlier epoch of this claim was cancelled.",
        optional="orderId epoch",
        level=Level.WARNING,
    ),
    _event(
        "foreign_orders",
        "symbol count",
        "Orders that are not ours rest on the symbol.",
        optional="policy",
        level=Level.WARNING,
    ),
    _event(
        "foreign_trade",
        "symbol position",
        "The position moved by something that is not ours.",
        optional="error",
        level=Level.WARNING,
    ),
    _event(
        "fill",
        "symbol side price qty",
        "An own order was filled.",
        optional="clientOrderId position pnl commission maker tradeId",
    ),
    _event(
        "reconciled",
        "symbol position openOrders",
        "Position and open orders were read from the exchange.",
        optional="reason seconds corrected",
    ),
    _event(
        "reconcile_error",
        "symbol error",
        "Reconciliation failed; nothing is quoted until it succeeds.",
        level=Level.WARNING,
    ),
    _event(
        "position_drift",
        "symbol position expected",
        "The exchange's position differs from the engine's; the exchange's is taken.",
        level=Level.WARNING,
    ),
    _event(
        "account_update",
        "symbol position",
        "The user stream reported balances or positions.",
        optional="reason equity entryPrice",
        level=Level.DEBUG,
    ),
    _event(
        "account_config",
        "symbol",
        "Leverage, margin type or position mode as verified at start or changed by somebody.",
        optional="leverage marginType positionMode error",
        level=Level.INFO,
    ),
    _event("lease_acquired", "symbol epoch", "The claim's Lease is held.", optional="holder transitions"),
    _event("lease_waiting", "symbol holder", "Somebody else holds the claim's Lease.", level=Level.WARNING),
    _event(
        "lease_renew_error",
        "symbol error",
        "A renewal failed; at the deadline the quotes are pulled.",
        optional="remainingMs",
        level=Level.WARNING,
    ),
    _event("lease_lost", "symbol reason", "The Lease's send deadline passed: quotes are pulled.", level=Level.ERROR),
    _event(
        "superseded",
        "symbol epoch higherEpoch",
        "A higher epoch was seen on the claim: this engine stops.",
        level=Level.ERROR,
    ),
    _event("deadman_armed", "symbol seconds", "The dead-man switch is armed and acknowledged.", level=Level.DEBUG),
    _event(
        "deadman_error",
        "symbol error",
        "The dead-man switch could not be refreshed; at its deadline nothing is sent.",
        optional="remainingMs",
        level=Level.WARNING,
    ),
    _event(
        "halt_latched",
        "symbol haltId reason",
        "A halt was latched; acknowledge this haltId to lift it.",
        level=Level.ERROR,
    ),
    _event("halt_acknowledged", "symbol haltId", "A person acknowledged the halt."),
    _event(
        "local_halt",
        "symbol",
        "The local latch (`mm-runner halt`) was set or cleared.",
        optional="state close",
        level=Level.WARNING,
    ),
    _event(
        "trading_halt",
        "symbol name state",
        "A TradingHalt rules this engine, or no longer does.",
        optional="reason removed",
        level=Level.WARNING,
    ),
    _event(
        "control_plane_error",
        "symbol error",
        "The API server cannot be read; at the Lease deadline the quotes are pulled.",
        level=Level.WARNING,
    ),
    _event("credentials_rotated", "symbol", "A new API key was picked up.", optional="fingerprint"),
    _event(
        "rate_limited",
        "symbol code",
        "The venue answered 429 or 418; nothing is sent before the time it named.",
        optional="retryAfterSeconds",
        level=Level.ERROR,
    ),
    _event(
        "clock_skew",
        "symbol offsetMs",
        "The venue's clock differs from ours; requests carry its time.",
        level=Level.WARNING,
    ),
    _event(
        "malformed_input",
        "kind",
        "Something unusable arrived; said once per kind and minute.",
        optional="symbol error count source",
        level=Level.WARNING,
    ),
    _event("quote_error", "symbol error", "A quoting round failed; quotes are pulled.", level=Level.ERROR),
    _event(
        "risk_reject",
        "symbol reason",
        "The gate refused an order (invariants 1, 2).",
        optional="side qty price",
        level=Level.DEBUG,
    ),
    _event(
        "internal_error",
        "error",
        "A task of the engine failed; the engine cancels and restarts.",
        optional="symbol task",
        level=Level.ERROR,
    ),
    _event(
        "rest_error",
        "action error",
        "A REST request failed; said once per action and ten seconds.",
        optional="symbol code count",
        level=Level.WARNING,
    ),
    _event("library_log", "logger message", "A library warned.", optional="symbol error", level=Level.WARNING),
    _event("preflight", "symbol check ok", "One check of the exchange preflight.", optional="detail"),
)

EVENTS: Final[Mapping[str, EventSpec]] = {spec.name: spec for spec in (*_SEED, *_ENGINE)}
SEED_EVENTS: Final = frozenset(spec.name for spec in _SEED)
SCHEMA_ERROR: Final = "_schema_error"


def schema_error(event: str, fields: Mapping[str, object]) -> str | None:
    """The text of `_schema_error` for a line, or None where the line is as registered.

    An unregistered event is an error too; an unknown optional field is not (labels may be added).
    """
    spec = EVENTS.get(event)
    if spec is None:
        return f"unregistered event: {event}"
    missing = spec.missing(fields)
    return f"missing fields: {', '.join(missing)}" if missing else None


def markdown(specs: Iterable[EventSpec] = EVENTS.values()) -> str:
    """The table of `docs/reference/log-events.md`."""
    rows = ["| event | required | optional | level | meaning |", "| --- | --- | --- | --- | --- |"]
    rows.extend(
        f"| `{s.name}` | {_codes(s.required)} | {_codes(s.optional)} | {s.level} | {s.meaning} |" for s in specs
    )
    return "\n".join(rows) + "\n"


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
