"""What the engine may do: one function that decides from the table of design section 3, and who rules.

Opening is ruled by the strictest of spec, halts, risk and data; closing is done when any of them asks for it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from mm_contract.states import DesiredState, EffectiveState, HaltState, RiskState, Ruler, trading_halt_ruler
from mm_runner.core.messages import Halt


class Taker(Enum):
    """How a position may be reduced by taking."""

    NO = "no"
    BOUNDED = "bounded"
    """IOC limit within maxReduceSlippageBps of the touch."""
    MARKET = "market"
    """reduceOnly market order sized from a fresh REST position: the book cannot be trusted."""


class Permissions(msgspec.Struct, frozen=True, gc=False):
    """One row of the table."""

    open: bool
    reduce_maker: bool
    reduce_taker: Taker
    cancel: bool

    @property
    def quote(self) -> bool:
        """Whether any order may rest."""
        return self.open or self.reduce_maker


class Situation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything that the table asks about."""

    desired: DesiredState = DesiredState.HALTED
    halts: tuple[Halt, ...] = ()
    halts_readable: bool = False
    local_halt: bool = False
    close_asked_locally: bool = False
    """`mm-runner flatten --close`, or a deletion with onDelete: Flatten."""
    stopping: bool = False
    risk: RiskState = RiskState.NORMAL
    flatten_on_halt: bool = False
    stop_rule: bool = False
    """A rule of the risk machine asks for taking within bounds although nothing is to be closed whole."""
    book_usable: bool = False
    reconciled: bool = False
    lease_held: bool = False
    superseded: bool = False
    dead_man_ready: bool = False
    """Armed, or not wanted."""
    dry_run: bool = False
    dry_run_proven: bool = False
    """The engine has cancelled its own orders and seen that none is left."""


NOTHING: Final = Permissions(open=False, reduce_maker=False, reduce_taker=Taker.NO, cancel=False)
CANCEL_ONLY: Final = Permissions(open=False, reduce_maker=False, reduce_taker=Taker.NO, cancel=True)
BLIND_CLOSE: Final = Permissions(open=False, reduce_maker=False, reduce_taker=Taker.MARKET, cancel=True)
CLOSING: Final = Permissions(open=False, reduce_maker=True, reduce_taker=Taker.BOUNDED, cancel=True)
REDUCING: Final = Permissions(open=False, reduce_maker=True, reduce_taker=Taker.NO, cancel=True)
RUNNING: Final = Permissions(open=True, reduce_maker=True, reduce_taker=Taker.NO, cancel=True)
RUNNING_WITH_STOP: Final = Permissions(open=True, reduce_maker=True, reduce_taker=Taker.BOUNDED, cancel=True)


def decide(situation: Situation) -> Permissions:
    """The row of the table that holds.

    # Invariant 2: no order leaves against the table (tests/unit/runner/core/test_permissions.py walks all of it).
    """
    # The last two rows first: nothing pierces them.
    if situation.dry_run:
        return NOTHING if situation.dry_run_proven else CANCEL_ONLY
    if not (situation.reconciled and situation.lease_held and situation.dead_man_ready) or situation.superseded:
        return CANCEL_ONLY
    closing = close_asked(situation)
    if not situation.book_usable:
        return BLIND_CLOSE if closing else CANCEL_ONLY
    if closing:
        return CLOSING
    match ruling(situation)[0]:
        case EffectiveState.RUNNING:
            return RUNNING_WITH_STOP if situation.stop_rule else RUNNING
        case EffectiveState.REDUCE_ONLY:
            return CLOSING if situation.stop_rule else REDUCING
        case EffectiveState.FLAT | EffectiveState.HALTED:
            return CANCEL_ONLY


def close_asked(situation: Situation) -> bool:
    """Whether anybody asks for the position to be closed: a TradingHalt never does."""
    if situation.close_asked_locally or (situation.desired is DesiredState.FLAT and not situation.stopping):
        return True
    return situation.risk is RiskState.HALTED and situation.flatten_on_halt and not situation.stopping


_SPEC: Final = str(Ruler.SPEC)
_RANK: Final = {
    EffectiveState.RUNNING: 0,
    EffectiveState.REDUCE_ONLY: 1,
    EffectiveState.FLAT: 2,
    EffectiveState.HALTED: 3,
}
_DESIRED: Final = {
    DesiredState.RUNNING: EffectiveState.RUNNING,
    DesiredState.REDUCE_ONLY: EffectiveState.REDUCE_ONLY,
    DesiredState.FLAT: EffectiveState.FLAT,
    DesiredState.HALTED: EffectiveState.HALTED,
}
_HALT: Final = {HaltState.HALTED: EffectiveState.HALTED, HaltState.REDUCE_ONLY: EffectiveState.REDUCE_ONLY}
_RISK: Final = {
    RiskState.NORMAL: EffectiveState.RUNNING,
    RiskState.REDUCE_ONLY: EffectiveState.REDUCE_ONLY,
    RiskState.HALTED: EffectiveState.HALTED,
}


def ruling(situation: Situation) -> tuple[EffectiveState, str]:
    """The strictest state that anybody asks for, and who does; among equals people come first, then the engine's own reasons."""
    state, ruler = _DESIRED[situation.desired], _SPEC
    if situation.stopping:
        return EffectiveState.HALTED, _SPEC
    for candidate, name in _claims(situation):
        if _RANK[candidate] > _RANK[state]:
            state, ruler = candidate, name
    return state, ruler


def _claims(situation: Situation) -> list[tuple[EffectiveState, str]]:
    halted = EffectiveState.HALTED
    claims = [(_HALT[halt.state], trading_halt_ruler(halt.name)) for halt in situation.halts]
    if situation.local_halt:
        claims.append((halted, Ruler.LOCAL))
    if situation.close_asked_locally:
        claims.append((EffectiveState.FLAT, Ruler.LOCAL))
    if situation.risk is not RiskState.NORMAL:
        claims.append((_RISK[situation.risk], Ruler.RISK))
    if situation.dry_run:
        claims.append((halted, Ruler.DRY_RUN))
    if not situation.lease_held or situation.superseded:
        claims.append((halted, Ruler.LEASE))
    if not (situation.reconciled and situation.halts_readable):
        claims.append((halted, Ruler.RECONCILING))
    if not situation.dead_man_ready:
        claims.append((halted, Ruler.DEADMAN))
    if not situation.book_usable:
        claims.append((halted, Ruler.DATA))
    return claims
