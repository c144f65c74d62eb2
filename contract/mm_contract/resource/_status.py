"""`status` of a MarketMaker: the shape in which the operator shows the engine's report.

The operator writes it, people and tools read it; nothing in it rules the engine, but for `engine.epoch` and `engine.attempt`, which never fall.
Amounts are decimal strings; the wire form of the engine's own report is `mm_contract.report`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from mm_contract.resource._fields import Format, OpenBlock, at_most, between, reported
from mm_contract.states import EffectiveState, ListenKeyState, Phase, RiskState

_INT64_MAX: Final = 2**53 - 1
Figure = Annotated[str, at_most(64)]
RULED_BY: Final = Format(
    pattern=r"^(spec|TradingHalt/[a-z0-9][-a-z0-9.]{0,252}|risk|data|lease|deadman|reconciling|local|dryRun)$",
    message="must be spec, TradingHalt/<name>, risk, data, lease, deadman, reconciling, local or dryRun",
    max_length=265,
)
CONDITION_TYPE: Final = Format(
    pattern=r"^[A-Za-z]([A-Za-z0-9]{0,62})$", message="must be a CamelCase word such as Ready", max_length=63
)
CONDITION_REASON: Final = Format(
    pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    message="must be a CamelCase word such as RiskHalted",
    max_length=128,
)


class ConditionStatus(StrEnum):
    """A condition's verdict."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(OpenBlock):
    """meta/v1 Condition."""

    type: Annotated[str, reported("What the condition is about."), CONDITION_TYPE]
    status: Annotated[ConditionStatus, reported("True, False or Unknown.")]
    reason: Annotated[str, reported("Why, in one CamelCase word."), CONDITION_REASON]
    message: Annotated[str, reported("Why, in a sentence."), at_most(4096)] = ""
    observed_generation: Annotated[
        int | None, reported("Generation of the spec that was judged."), between(0, _INT64_MAX)
    ] = None
    last_transition_time: Annotated[datetime, reported("When the verdict last changed.")]


class EffectiveStatus(OpenBlock):
    """What the engine acts on, and who decided it."""

    state: Annotated[EffectiveState | None, reported("What the engine acts on.")] = None
    ruled_by: Annotated[
        str | None,
        reported("spec, TradingHalt/<name>, risk, data, lease, deadman, reconciling, local or dryRun."),
        RULED_BY,
    ] = None


class RiskStatus(OpenBlock):
    """The engine's own risk machine."""

    state: Annotated[RiskState | None, reported("normal, reduce_only or halted.")] = None
    reason: Annotated[str | None, reported("Why."), at_most(1024)] = None
    since: Annotated[datetime | None, reported("Since when.")] = None
    halt_id: Annotated[
        str | None, reported("What to put into spec.risk.acknowledgedHalt to release the halt."), at_most(36)
    ] = None
    latched: Annotated[bool | None, reported("Whether the halt waits for a person.")] = None


class ListenKeyStatus(OpenBlock):
    """The user stream's key; the key itself is a credential and never shown."""

    state: Annotated[ListenKeyState | None, reported("Active, Retrying, Expired or NotRequired.")] = None
    fingerprint: Annotated[str | None, reported("Hash by which two keys can be told apart."), at_most(64)] = None
    last_keepalive_time: Annotated[datetime | None, reported("Last successful keepalive.")] = None
    expires_at: Annotated[datetime | None, reported("When the venue lets it expire without another keepalive.")] = None
    consecutive_failures: Annotated[
        int | None, reported("Keepalives that failed in a row."), between(0, _INT64_MAX)
    ] = None


class MarketDataStatus(OpenBlock):
    """The order book as the engine sees it."""

    synced: Annotated[bool | None, reported("Whether the book is complete and in sequence.")] = None
    age_seconds: Annotated[float | None, reported("Age of the newest frame in seconds.")] = None
    spread_bps: Annotated[float | None, reported("Spread of the touch in basis points.")] = None


class EngineStatus(OpenBlock):
    """The pod that trades."""

    pod_name: Annotated[str | None, reported("Pod of the engine."), at_most(253)] = None
    node_name: Annotated[str | None, reported("Node of that pod."), at_most(253)] = None
    version: Annotated[str | None, reported("Version of the engine."), at_most(128)] = None
    epoch: Annotated[
        int | None, reported("Epoch in the engine's client order ids; never falls."), between(0, _INT64_MAX)
    ] = None
    attempt: Annotated[int | None, reported("Number of the pod; never falls."), between(0, _INT64_MAX)] = None
    connected: Annotated[bool | None, reported("Whether the operator receives the engine's status stream.")] = None
    started_at: Annotated[datetime | None, reported("When this engine started.")] = None


class MarketMakerStatus(OpenBlock):
    """What the operator knows of the engine."""

    observed_generation: Annotated[
        int | None, reported("Generation of the spec that the operator saw."), between(0, _INT64_MAX)
    ] = None
    applied_generation: Annotated[
        int | None, reported("Generation of the spec that the engine runs."), between(0, _INT64_MAX)
    ] = None
    phase: Annotated[Phase | None, reported("One word for the whole.")] = None
    effective: Annotated[EffectiveStatus | None, reported("What the engine acts on, and who decided it.")] = None
    risk: Annotated[RiskStatus | None, reported("The engine's own risk machine.")] = None
    listen_key: Annotated[ListenKeyStatus | None, reported("The user stream's key.")] = None
    position: Annotated[Figure | None, reported("Position in base units; negative is short.")] = None
    open_orders: Annotated[int | None, reported("The engine's own open orders."), between(0, _INT64_MAX)] = None
    equity: Annotated[Figure | None, reported("Equity in quote units.")] = None
    pnl: Annotated[Figure | None, reported("Realised + unrealised - fees, in quote units.")] = None
    unrealized_pnl: Annotated[Figure | None, reported("Unrealised PnL in quote units.")] = None
    realized_pnl: Annotated[Figure | None, reported("Realised PnL in quote units.")] = None
    fees: Annotated[Figure | None, reported("Fees paid in quote units.")] = None
    last_fill_time: Annotated[datetime | None, reported("Time of the last fill.")] = None
    market_data: Annotated[MarketDataStatus | None, reported("The order book as the engine sees it.")] = None
    engine: Annotated[EngineStatus | None, reported("The pod that trades.")] = None
    conditions: Annotated[
        tuple[Condition, ...],
        reported(
            "Ready, Reconciling, Stalled, Exclusive, EngineConnected, MarketDataSynced, ListenKeyHealthy, RiskNormal, SpecApplied."
        ),
        at_most(32),
    ] = ()
