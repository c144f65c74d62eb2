"""The risk machine: normal, reduce_only, halted.

Causes of reduce_only come and go with hysteresis or a pause. Halts wait for a person (Latched) or for their time (Timed). A latch is durable:
tightening acts first and persists with retry, loosening persists first and acts when that is confirmed (invariant 6).

Decided where the resource leaves it open:

- `reduceOnlyEnter/Exit` measure |position|, not its distance from `targetPosition`: what hurts is the position.
- `profitLimit` reaches reduce_only (the profit may be taken, not added to) and leaves it at 80 % of the limit.
- `shock`, `errorStorm` and `maxLatencyMs` pause opening: reduce_only with that reason, until the pause is over.
- Acknowledging a halt for daily loss or drawdown starts that measure anew from the equity at that moment; a stop loss that still holds halts again
  under a new haltId.
"""

from __future__ import annotations

import uuid
from collections import deque
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from mm_contract.claim_state import MAX_CONSUMED, ClaimState, HaltLatch
from mm_contract.states import RiskState
from mm_runner.core.messages import Instant
from mm_runner.core.settings import SECOND, RiskSettings
from mm_runner.core.timestamps import rfc3339, utc_day

_NAMESPACE: Final = uuid.UUID("5d0c8f0e-2c4e-5a55-9c39-0d8f6b7c1a11")
_LATENCY_PAUSE_NS: Final = 5 * SECOND
_HIGH_WATER_NS: Final = 60 * SECOND
_DAY_MS: Final = 86_400_000
_ZERO: Final = Decimal(0)
_RELEASE: Final = 0.8
_PROFIT_RELEASE: Final = Decimal("0.8")
"""Hysteresis of causes without an exit bound of their own: they end at this part of the bound."""
UNREADABLE: Final = "claim_state_unreadable"
STOP_RULES: Final = frozenset({"margin_ratio", "liquidation_distance"})
"""Causes of reduce_only for which waiting for a maker fill is too slow: bounded taking is allowed."""


class Exposure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the machine looks at; money in quote units, lots signed."""

    position: int
    unrealized: Decimal
    equity: Decimal
    equity_known: bool
    margin_ratio: float
    liquidation_distance: float
    """Part of the mark between mark and liquidation price; infinite without one."""
    volume: Decimal


class Halted(msgspec.Struct, frozen=True, gc=False):
    """A halt of the engine's own."""

    halt_id: str
    reason: str
    since_ms: int
    until_ns: int | None
    """None: latched."""


class RiskMachine:
    """States, pauses, halts and the durable claim state.

    Args:
        claim_key: part of a haltId, so that it is unique without chance.
    """

    def __init__(self, *, claim_key: str) -> None:
        self._claim_key = claim_key
        self.claim_state: ClaimState | None = None
        self.unreadable = False
        self.halt: Halted | None = None
        self.causes: dict[str, None] = {}
        self.since_ms = 0
        self._pauses: dict[str, int] = {}
        self._mids: deque[tuple[int, float]] = deque()
        self._errors: deque[int] = deque()
        self._halts = 0
        self._token = 0
        self._persisted = 0
        self._lifting: tuple[int, str] | None = None
        self._unsaved = False
        self._high_water_ns = 0
        self._day = -1

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> RiskState:
        """The machine's state."""
        if self.halt is not None or self.unreadable:
            return RiskState.HALTED
        return RiskState.REDUCE_ONLY if self.causes or self._pauses else RiskState.NORMAL

    @property
    def reason(self) -> str:
        """Why, in one word of this module; empty when normal."""
        if self.halt is not None:
            return self.halt.reason
        if self.unreadable:
            return UNREADABLE
        if not (self.causes or self._pauses):
            return ""
        return next(iter(self.causes or self._pauses))

    @property
    def stop_rule(self) -> bool:
        """Whether a cause asks for bounded taking."""
        return not STOP_RULES.isdisjoint(self.causes)

    @property
    def latched(self) -> bool:
        """Whether the halt waits for a person."""
        return self.halt is not None and self.halt.until_ns is None

    # -- claim state ---------------------------------------------------------------------------------------------------

    def load(self, state: ClaimState | None, now: Instant) -> None:
        """Take over what the claim must not forget.

        # Invariant 6: state that should exist and cannot be read means halted (tests/unit/runner/core/test_risk.py).
        """
        self.unreadable = state is None
        if state is None:
            return
        self.claim_state = state
        self._day = -1
        if state.latch is not None and self.halt is None:
            self.halt = Halted(state.latch.halt_id, state.latch.reason, now.wall_ms, None)

    def save(self, **changes: object) -> None:
        """Change the durable state; `pending_save` hands it out."""
        if self.claim_state is not None:
            self.claim_state = msgspec.structs.replace(self.claim_state, **changes)
            self._unsaved = True

    def pending_save(self) -> tuple[ClaimState, int] | None:
        """The state to persist, with its token, once per change."""
        if not self._unsaved or self.claim_state is None:
            return None
        self._unsaved = False
        self._token += 1
        if self._lifting is not None and self._lifting[0] == 0:
            self._lifting = (self._token, self._lifting[1])
        return self.claim_state, self._token

    @property
    def unsaved(self) -> bool:
        """Whether `pending_save` has something to hand out."""
        return self._unsaved

    def persisted(self, token: int) -> str | None:
        """A state is durable; returns the haltId that is lifted by it, if any."""
        self._persisted = max(self._persisted, token)
        if self._lifting is None or not 0 < self._lifting[0] <= self._persisted:
            return None
        halt_id, self._lifting = self._lifting[1], None
        if self.halt is None or self.halt.halt_id != halt_id:
            return None
        self.halt = None
        return halt_id

    @property
    def all_persisted(self) -> bool:
        """Whether the newest state handed out is durable."""
        return not self._unsaved and self._persisted >= self._token

    def acknowledge(self, halt_id: str, equity: Decimal | None) -> bool:
        """A person has looked at this halt: once per id, and only the one that stands.

        # Invariant 6: loosening persists first; the halt goes when `persisted` confirms (tests/unit/runner/core/test_risk.py).
        """
        state = self.claim_state
        if not halt_id or state is None or self.halt is None or self.halt.halt_id != halt_id or not self.latched:
            return False
        if halt_id in state.consumed_acknowledgements:
            return False
        consumed = (*state.consumed_acknowledgements, halt_id)[-MAX_CONSUMED:]
        self.save(latch=None, consumed_acknowledgements=consumed)
        if equity is not None and self.halt.reason == "max_daily_loss":
            self.save(day_baseline_equity=str(equity))
        if equity is not None and self.halt.reason == "max_drawdown":
            self.save(high_water_mark=str(equity))
        self._lifting = (0, halt_id)
        return True

    # -- inputs --------------------------------------------------------------------------------------------------------

    def on_error(self, settings: RiskSettings, now: Instant) -> None:
        """The venue refused or failed a request of ours."""
        self._errors.append(now.boot_ns)
        while self._errors and self._errors[0] <= now.boot_ns - settings.storm_window_ns:
            self._errors.popleft()
        if len(self._errors) >= settings.storm_errors:
            self._errors.clear()
            self._pauses["error_storm"] = now.boot_ns + settings.storm_pause_ns

    def on_round_trip(self, settings: RiskSettings, elapsed_ns: int, now: Instant) -> None:
        """An order was acknowledged, or has waited this long for it."""
        if 0 < settings.max_latency_ns < elapsed_ns:
            self._pauses["latency"] = now.boot_ns + _LATENCY_PAUSE_NS

    def on_mid(self, settings: RiskSettings, mid: float, now: Instant) -> None:
        """Watch for a shock: the largest move of the mid within the window."""
        mids = self._mids
        start = now.boot_ns - settings.shock_window_ns
        while mids and mids[0][0] < start:
            mids.popleft()
        if mids:
            # The oldest mid and the extremes bound every move of the window well enough when sampled; a window holds few samples.
            bound = settings.shock_move * mid
            for _, earlier in mids:
                if abs(mid - earlier) > bound:
                    self._pauses["shock"] = now.boot_ns + settings.shock_pause_ns
                    mids.clear()
                    break
        if not mids or mids[-1][0] + settings.shock_window_ns // 20 <= now.boot_ns:
            mids.append((now.boot_ns, mid))

    def forget_mids(self) -> None:
        """The book was lost: a move across the gap is no shock that could still be reacted to."""
        self._mids.clear()

    # -- assessment ----------------------------------------------------------------------------------------------------

    def assess(self, exposure: Exposure, settings: RiskSettings, *, now: Instant) -> None:
        """Look at everything and move."""
        self._expire(now)
        self._keep_day(exposure, now)
        self._reduce_causes(exposure, settings)
        reason = self._halt_reason(exposure, settings)
        if reason and self.halt is None:
            self._halt(reason, settings, now=now)

    def _expire(self, now: Instant) -> None:
        if self._pauses:
            self._pauses = {name: until for name, until in self._pauses.items() if until > now.boot_ns}
        if self.halt is not None and self.halt.until_ns is not None and now.boot_ns >= self.halt.until_ns:
            self.halt = None

    def _halt(self, reason: str, settings: RiskSettings, *, now: Instant) -> None:
        # Invariant 6: tightening acts first, the caller persists with retry (tests/unit/runner/core/test_risk.py).
        self._halts += 1
        epoch = self.claim_state.epoch if self.claim_state else 0
        halt_id = str(
            uuid.uuid5(_NAMESPACE, f"{self._claim_key}/{epoch}/{self._halts}/{now.wall_ms}/{now.boot_ns}/{reason}")
        )
        self.halt = Halted(halt_id, reason, now.wall_ms, None if settings.latched else now.boot_ns + settings.halt_ns)
        if settings.latched:
            self._lifting = None
            self.save(latch=HaltLatch(halt_id=halt_id, reason=reason, since=rfc3339(now.wall_ms)))

    def _halt_reason(self, exposure: Exposure, settings: RiskSettings) -> str:
        if exposure.unrealized <= -settings.stop_loss:
            return "stop_loss"
        state = self.claim_state
        if state is None or not exposure.equity_known:
            return ""
        if (
            state.day_baseline_equity
            and _amount(state.day_baseline_equity) - exposure.equity >= settings.max_daily_loss
        ):
            return "max_daily_loss"
        if self.drawdown(exposure.equity) >= settings.max_drawdown:
            return "max_drawdown"
        return ""

    def drawdown(self, equity: Decimal) -> float:
        """Lost part of the equity's high-water mark; 0 while none is known."""
        mark = _amount(self.claim_state.high_water_mark) if self.claim_state else _ZERO
        return 0.0 if mark <= 0 or equity >= mark else float(1 - equity / mark)

    def _keep_day(self, exposure: Exposure, now: Instant) -> None:
        state = self.claim_state
        if state is None or not exposure.equity_known:
            return
        number = now.wall_ms // _DAY_MS
        if number != self._day:  # the string is made once a day
            self._day = number
            day = utc_day(now.wall_ms)
            if state.day != day or not state.day_baseline_equity:
                self.save(day=day, day_baseline_equity=str(exposure.equity))
        mark = _amount(state.high_water_mark)
        if exposure.equity > mark and self.halt is None:
            # Written at most once a minute: losing a minute's rise loosens the drawdown by that rise only.
            first = not state.high_water_mark
            if first or now.boot_ns - self._high_water_ns >= _HIGH_WATER_NS:
                self._high_water_ns = now.boot_ns
                self.save(high_water_mark=str(exposure.equity))

    def _reduce_causes(self, exposure: Exposure, settings: RiskSettings) -> None:
        held = self.causes
        size = abs(exposure.position)
        position_bound = settings.reduce_only_exit if "position" in held else settings.reduce_only_enter
        profit_bound = settings.profit_limit * _PROFIT_RELEASE if "profit_limit" in held else settings.profit_limit
        margin_bound = settings.max_margin_ratio * (_RELEASE if "margin_ratio" in held else 1.0)
        distance_bound = settings.min_liquidation_distance / (_RELEASE if "liquidation_distance" in held else 1.0)
        causes: dict[str, None] = {}  # ordered: the first one is the reason that is told
        if size > 0 and exposure.liquidation_distance < distance_bound:
            causes["liquidation_distance"] = None
        if exposure.margin_ratio > margin_bound:
            causes["margin_ratio"] = None
        if size > 0 and size >= position_bound * settings.max_lots:
            causes["position"] = None
        if 0 < settings.max_daily_volume <= exposure.volume:
            causes["max_daily_volume"] = None
        if profit_bound > 0 and exposure.unrealized >= profit_bound:
            causes["profit_limit"] = None
        self.causes = causes

    def adjust_baselines(self, change: Decimal) -> None:
        """Money was put in or taken out: that is neither profit nor loss."""
        state = self.claim_state
        if state is None:
            return
        if state.day_baseline_equity:
            self.save(day_baseline_equity=str(Decimal(state.day_baseline_equity) + change))
        if state.high_water_mark:
            self.save(high_water_mark=str(Decimal(state.high_water_mark) + change))


@lru_cache(maxsize=32)
def _amount(text: str) -> Decimal:
    """An amount of the claim state, which is asked for at every look and changes once a minute at most; 0 where none is written."""
    return Decimal(text or 0)
