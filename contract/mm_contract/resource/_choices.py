"""The words among which a field of the spec lets one choose (those that the states module does not already hold)."""

from __future__ import annotations

from enum import StrEnum


class Venue(StrEnum):
    """`spec.exchange.venue`."""

    BINANCE_USDM = "binance-usdm"


class Environment(StrEnum):
    """`spec.exchange.environment`."""

    PRODUCTION = "production"
    TESTNET = "testnet"
    SIMULATED = "simulated"


class OrderEntry(StrEnum):
    """`spec.exchange.orderEntry`: the way orders take to the venue."""

    REST = "Rest"
    WEB_SOCKET_API = "WebSocketApi"


class MarginType(StrEnum):
    """`spec.exchange.marginType`."""

    ISOLATED = "Isolated"
    CROSS = "Cross"


class ForeignOrders(StrEnum):
    """`spec.exchange.foreignOrders`: what the preflight does about orders of the symbol that are not ours."""

    REFUSE = "Refuse"
    TOLERATE = "Tolerate"


class OnHalt(StrEnum):
    """`spec.risk.onHalt`: what becomes of the position when the engine halts itself."""

    HOLD = "Hold"
    FLATTEN = "Flatten"


class HaltPolicy(StrEnum):
    """`spec.risk.haltPolicy`: whether a halt of the engine's own waits for a person."""

    LATCHED = "Latched"
    TIMED = "Timed"


class OnDelete(StrEnum):
    """`spec.shutdown.onDelete`."""

    CANCEL_ORDERS = "CancelOrders"
    FLATTEN = "Flatten"


class LogLevel(StrEnum):
    """`spec.telemetry.logLevel`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSidecar(StrEnum):
    """`spec.telemetry.logSidecar`."""

    NONE = "none"
    PROMTAIL = "promtail"
    ALLOY = "alloy"
