"""The states that resource, engine and operator speak of, each with one spelling everywhere.

Read by every other module; holds no behaviour beyond ordering.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class DesiredState(StrEnum):
    """`spec.desiredState`: what a person wants of the engine."""

    RUNNING = "Running"
    REDUCE_ONLY = "ReduceOnly"
    FLAT = "Flat"
    HALTED = "Halted"


class HaltState(StrEnum):
    """`TradingHalt.spec.state`: a halt can tighten, never close a position."""

    HALTED = "Halted"
    REDUCE_ONLY = "ReduceOnly"


class EffectiveState(StrEnum):
    """`status.effective.state`: what the engine acts on after spec, halts, risk and data had their say."""

    RUNNING = "Running"
    REDUCE_ONLY = "ReduceOnly"
    FLAT = "Flat"
    HALTED = "Halted"


class RiskState(StrEnum):
    """The engine's own risk machine; spelled and numbered as the seed's `runner_risk_state`."""

    NORMAL = "normal"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"

    @property
    def gauge(self) -> int:
        """The seed's number for `runner_risk_state`: 0 normal, 1 reduce_only, 2 halted."""
        return _RISK_GAUGE[self]


_RISK_GAUGE: Final = {RiskState.NORMAL: 0, RiskState.REDUCE_ONLY: 1, RiskState.HALTED: 2}


class Phase(StrEnum):
    """`status.phase`: one word for a person; the operator alone says Pending, Failed and Unknown."""

    PENDING = "Pending"
    STARTING = "Starting"
    QUOTING = "Quoting"
    REDUCE_ONLY = "ReduceOnly"
    FLATTENING = "Flattening"
    HALTED = "Halted"
    STOPPING = "Stopping"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class ListenKeyState(StrEnum):
    """`status.listenKey.state`."""

    ACTIVE = "Active"
    RETRYING = "Retrying"
    EXPIRED = "Expired"
    NOT_REQUIRED = "NotRequired"


class Ruler(StrEnum):
    """`status.effective.ruledBy`, but for `TradingHalt/<name>`, which `trading_halt_ruler` spells."""

    SPEC = "spec"
    RISK = "risk"
    DATA = "data"
    LEASE = "lease"
    DEADMAN = "deadman"
    RECONCILING = "reconciling"
    LOCAL = "local"
    DRY_RUN = "dryRun"


def trading_halt_ruler(name: str) -> str:
    """How `status.effective.ruledBy` names a TradingHalt."""
    return f"TradingHalt/{name}"


class ConditionType(StrEnum):
    """`status.conditions[].type`; the first three are read by kstatus-aware tools."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    EXCLUSIVE = "Exclusive"
    ENGINE_CONNECTED = "EngineConnected"
    MARKET_DATA_SYNCED = "MarketDataSynced"
    LISTEN_KEY_HEALTHY = "ListenKeyHealthy"
    RISK_NORMAL = "RiskNormal"
    SPEC_APPLIED = "SpecApplied"
