"""The status report: what an engine says of itself on `/v1/status`, and the operator projects into the resource's status.

The engine sends one `Snapshot` on connect and then a `Delta` whenever a section changed; sections are whole, so that merging cannot go wrong.
All times are RFC 3339 UTC strings, all amounts exact decimal strings, as in the resource's status.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from mm_contract.states import EffectiveState, ListenKeyState, Phase, RiskState


class _Section(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=False):
    """A part of the report that is sent whole; unknown fields of a newer engine are passed over."""


class EngineSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """Who is speaking."""

    namespace: str
    name: str
    uid: str
    symbol: str
    pod_name: str = ""
    pod_uid: str = ""
    node_name: str = ""
    version: str = ""
    attempt: int = 0
    epoch: int = 0
    started_at: str = ""


class SpecSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """Which generation the engine acts on (invariant 9), and which one it refused and why."""

    observed_generation: int = 0
    applied_generation: int = 0
    refused_generation: int = 0
    """0: none refused. Otherwise the generation whose change was refused whole; the last good spec goes on."""
    refused_reason: str = ""
    refused_message: str = ""


class EffectiveSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """What the engine does now and who rules it; `phase` is the engine's own word for it."""

    phase: Phase = Phase.STARTING
    state: EffectiveState = EffectiveState.HALTED
    ruled_by: str = "reconciling"
    desired: str = "Running"
    reconciled: bool = False
    quoting_both_sides: bool = False
    flat: bool = False
    """Flat rules and nothing is left to close: the position is zero or less than one order."""
    message: str = ""
    """A sentence for a person: why the engine does not do what is desired, and what to do. Empty when all is well."""


class RiskSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """The engine's own risk machine."""

    state: RiskState = RiskState.NORMAL
    reason: str = ""
    since: str = ""
    halt_id: str = ""
    latched: bool = False


class ListenKeySection(_Section, frozen=True, kw_only=True, rename="camel"):
    """Health of the user stream's key. The key itself is a credential: only its fingerprint is ever shown (invariant 8)."""

    state: ListenKeyState = ListenKeyState.NOT_REQUIRED
    fingerprint: str = ""
    last_keepalive_time: str = ""
    expires_at: str = ""
    consecutive_failures: int = 0


class FiguresSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """Position and money; pnl = realized + unrealized - fees."""

    position: str = "0"
    open_orders: int = 0
    equity: str = "0"
    pnl: str = "0"
    unrealized_pnl: str = "0"
    realized_pnl: str = "0"
    fees: str = "0"
    last_fill_time: str = ""


class MarketDataSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """Whether the book can be trusted, and how old it is."""

    synced: bool = False
    age_seconds: float = 0.0
    spread_bps: float = 0.0


class LeaseSection(_Section, frozen=True, kw_only=True, rename="camel"):
    """The claim's Lease as this engine sees it (invariant 4)."""

    held: bool = False
    holder: str = ""
    claim: str = ""
    alias_of: str = ""
    """Name of another account in front of the same listenKey, or empty."""


class StatusReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything at once."""

    engine: EngineSection
    spec: SpecSection = SpecSection()
    effective: EffectiveSection = EffectiveSection()
    risk: RiskSection = RiskSection()
    listen_key: ListenKeySection = ListenKeySection()
    figures: FiguresSection = FiguresSection()
    market_data: MarketDataSection = MarketDataSection()
    lease: LeaseSection = LeaseSection()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag="snapshot", tag_field="type"):
    """First message after connect, and again whenever the engine finds a consumer too slow for deltas."""

    sequence: int
    report: StatusReport


class Delta(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag="delta", tag_field="type"):
    """The sections that changed; `sequence` is one above the previous message's, else the consumer reconnects."""

    sequence: int
    spec: SpecSection | None = None
    effective: EffectiveSection | None = None
    risk: RiskSection | None = None
    listen_key: ListenKeySection | None = None
    figures: FiguresSection | None = None
    market_data: MarketDataSection | None = None
    lease: LeaseSection | None = None
    engine: EngineSection | None = None


Message = Snapshot | Delta
SectionName = Literal["engine", "spec", "effective", "risk", "listen_key", "figures", "market_data", "lease"]
SECTIONS: Final[tuple[SectionName, ...]] = (
    "engine",
    "spec",
    "effective",
    "risk",
    "listen_key",
    "figures",
    "market_data",
    "lease",
)
TRANSITION_SECTIONS: Final[frozenset[SectionName]] = frozenset(
    {"engine", "spec", "effective", "risk", "listen_key", "lease"}
)
"""Changes of these reach the resource's status at once; figures and marketData are coalesced."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Snapshot | Delta] = msgspec.json.Decoder(Snapshot | Delta)


class ReportError(ValueError):
    """A status message that cannot be used; the consumer drops the stream and connects anew."""


def encode(message: Message) -> bytes:
    """One WebSocket text frame."""
    return _encoder.encode(message)


def decode(frame: bytes | str) -> Message:
    """Read one frame.

    Raises:
        ReportError: not JSON, or not a snapshot or delta.
    """
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ReportError(f"unusable status message: {error}") from error


def difference(old: StatusReport, new: StatusReport, *, sequence: int) -> Delta | None:
    """The delta that leads from old to new, or None where nothing moved."""
    changed = {name: getattr(new, name) for name in SECTIONS if getattr(old, name) != getattr(new, name)}
    return Delta(sequence=sequence, **changed) if changed else None


def apply(report: StatusReport, delta: Delta) -> StatusReport:
    """The report after a delta."""
    changed = {name: section for name in SECTIONS if (section := getattr(delta, name)) is not None}
    return msgspec.structs.replace(report, **changed)
