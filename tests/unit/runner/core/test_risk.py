"""The risk machine: causes with hysteresis, pauses, halts, and what outlives a restart."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import pytest
from core_world import INSTRUMENT, make_spec

from mm_contract.claim_state import ClaimState, HaltLatch
from mm_contract.states import RiskState
from mm_runner.core.messages import Instant
from mm_runner.core.risk import Exposure, RiskMachine
from mm_runner.core.settings import MS, SECOND, RiskSettings, settings_of

T0 = Instant(1_000 * SECOND, 1_790_000_000_000)
CALM = Exposure(
    position=0, unrealized=Decimal(0), equity=Decimal(1000), equity_known=True, margin_ratio=0.0, liquidation_distance=math.inf, volume=Decimal(0)
)  # fmt: skip


def later(seconds: float, start: Instant = T0) -> Instant:
    return Instant(start.boot_ns + int(seconds * SECOND), start.wall_ms + int(seconds * 1000))


def risk_settings(**risk: object) -> RiskSettings:
    return settings_of(make_spec(risk=risk), generation=1, instrument=INSTRUMENT).risk


def machine(state: ClaimState | None = None) -> RiskMachine:
    made = RiskMachine(claim_key="k")
    made.load(state or ClaimState(epoch=3), T0)
    return made


def exposed(**changes: object) -> Exposure:
    return msgspec.structs.replace(CALM, **changes)


def persist(made: RiskMachine) -> str | None:
    """The shell made it durable."""
    pending = made.pending_save()
    return made.persisted(pending[1]) if pending else None


# -- reduce_only -------------------------------------------------------------------------------------------------------


def test_position_enters_and_leaves_with_hysteresis_on_either_side():
    settings = risk_settings()
    for sign in (1, -1):
        made, states = machine(), []
        for size in (340, 350, 349, 251, 250, 249, 300, 350):
            made.assess(exposed(position=sign * size), settings, now=T0)
            states.append(made.state is RiskState.REDUCE_ONLY)
        assert states == [False, True, True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("risk", "over", "between", "under", "reason"),
    [
        ({}, {"margin_ratio": 0.61}, {"margin_ratio": 0.55}, {"margin_ratio": 0.45}, "margin_ratio"),
        (
            {},
            {"position": 1, "liquidation_distance": 0.04},
            {"position": 1, "liquidation_distance": 0.055},
            {"position": 1, "liquidation_distance": 0.07},
            "liquidation_distance",
        ),
        (
            {"profitLimit": "10"},
            {"unrealized": Decimal(10)},
            {"unrealized": Decimal(9)},
            {"unrealized": Decimal(7)},
            "profit_limit",
        ),
    ],
)
def test_other_causes_have_hysteresis_too(risk, over, between, under, reason):
    settings, made = risk_settings(**risk), machine()
    made.assess(exposed(**between), settings, now=T0)
    assert made.state is RiskState.NORMAL
    made.assess(exposed(**over), settings, now=T0)
    assert (made.state, made.reason) == (RiskState.REDUCE_ONLY, reason)
    made.assess(exposed(**between), settings, now=T0)
    assert made.state is RiskState.REDUCE_ONLY
    made.assess(exposed(**under), settings, now=T0)
    assert made.state is RiskState.NORMAL


def test_the_daily_volume_stops_opening_until_the_next_day():
    settings, made = risk_settings(maxDailyVolume="1000"), machine()
    made.assess(exposed(volume=Decimal(1000)), settings, now=T0)
    assert made.reason == "max_daily_volume"
    made.assess(CALM, settings, now=later(86_400))
    assert made.state is RiskState.NORMAL


def test_nearness_to_liquidation_is_a_stop_rule_and_a_large_position_is_not():
    settings, made = risk_settings(), machine()
    made.assess(exposed(position=400), settings, now=T0)
    assert not made.stop_rule
    made.assess(exposed(position=400, liquidation_distance=0.01), settings, now=T0)
    assert made.stop_rule


# -- pauses ------------------------------------------------------------------------------------------------------------


def test_a_shock_is_a_move_within_the_window_and_pauses_opening():
    settings, made = risk_settings(), machine()
    for step in range(11):  # 99 bps in 1 s is none
        made.on_mid(settings, 268_000 * (1 + 0.00099 * step), later(step * 0.1))
    made.assess(CALM, settings, now=later(1))
    assert made.state is RiskState.NORMAL
    made.on_mid(settings, 268_000 * 1.0125, later(1.1))
    made.assess(CALM, settings, now=later(1.1))
    assert (made.state, made.reason) == (RiskState.REDUCE_ONLY, "shock")
    made.assess(CALM, settings, now=later(31))
    assert made.state is RiskState.REDUCE_ONLY
    made.assess(CALM, settings, now=later(31.2))
    assert made.state is RiskState.NORMAL


def test_a_slow_move_of_any_size_is_no_shock():
    settings, made = risk_settings(), machine()
    for step in range(200):
        made.on_mid(settings, 268_000 * (1 + 0.0005 * step), later(step * 0.1))
    made.assess(CALM, settings, now=later(20))
    assert made.state is RiskState.NORMAL


def test_an_error_storm_pauses_opening():
    settings, made = risk_settings(), machine()
    for number in range(19):
        made.on_error(settings, later(number * 0.1))
    made.on_error(settings, later(12))  # the first ones are out of the window by now
    made.assess(CALM, settings, now=later(12))
    assert made.state is RiskState.NORMAL
    for number in range(20):
        made.on_error(settings, later(13 + number * 0.1))
    made.assess(CALM, settings, now=later(15))
    assert made.reason == "error_storm"
    made.assess(CALM, settings, now=later(46))
    assert made.state is RiskState.NORMAL


def test_a_slow_round_trip_stops_opening_for_a_while_and_zero_turns_that_off():
    made = machine()
    made.on_round_trip(risk_settings(), 1_000 * MS, T0)
    made.on_round_trip(risk_settings(maxLatencyMs=0), 9_000 * MS, T0)
    made.assess(CALM, risk_settings(), now=T0)
    assert made.state is RiskState.NORMAL
    made.on_round_trip(risk_settings(), 1_001 * MS, T0)
    made.assess(CALM, risk_settings(), now=T0)
    assert made.reason == "latency"
    made.assess(CALM, risk_settings(), now=later(5.1))
    assert made.state is RiskState.NORMAL


# -- halts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "exposure", "reason"),
    [
        (ClaimState(epoch=1), {"unrealized": Decimal(-20)}, "stop_loss"),
        (
            ClaimState(epoch=1, day="2026-09-21", day_baseline_equity="1050"),
            {"equity": Decimal(1000)},
            "max_daily_loss",
        ),
        (ClaimState(epoch=1, high_water_mark="1200"), {"equity": Decimal(1080)}, "max_drawdown"),
    ],
)
def test_halts_act_first_and_persist_their_latch(state, exposure, reason):
    made = machine(state)
    made.assess(exposed(**exposure), risk_settings(), now=T0)
    assert (made.state, made.reason, made.latched) == (RiskState.HALTED, reason, True)
    saved, _ = made.pending_save()
    assert saved.latch == HaltLatch(halt_id=made.halt.halt_id, reason=reason, since="2026-09-21T14:13:20.000Z")


def test_just_within_the_limits_nothing_halts():
    state = ClaimState(epoch=1, day="2026-09-21", day_baseline_equity="1049.99", high_water_mark="1111")
    made = machine(state)
    made.assess(exposed(unrealized=Decimal("-19.99")), risk_settings(), now=T0)
    assert made.state is RiskState.NORMAL


def test_a_latch_does_not_go_by_itself():
    made = machine()
    made.assess(exposed(unrealized=Decimal(-20)), risk_settings(), now=T0)
    made.assess(CALM, risk_settings(), now=later(86_400))
    assert made.state is RiskState.HALTED


def test_a_timed_halt_ends_after_its_time_and_begins_anew_while_its_cause_lasts():
    settings, made = risk_settings(haltPolicy="Timed", haltSeconds=30), machine()
    made.assess(exposed(unrealized=Decimal(-20)), settings, now=T0)
    first = made.halt.halt_id
    assert not made.latched
    made.assess(CALM, settings, now=later(29.9))
    assert made.state is RiskState.HALTED
    made.assess(exposed(unrealized=Decimal(-20)), settings, now=later(30))
    assert made.halt.halt_id != first
    made.assess(CALM, settings, now=later(60))
    assert made.state is RiskState.NORMAL


def test_an_acknowledgement_persists_first_and_acts_when_that_is_confirmed():
    made = machine()
    made.assess(exposed(unrealized=Decimal(-20)), risk_settings(), now=T0)
    persist(made)
    halt_id = made.halt.halt_id
    assert made.acknowledge(halt_id, Decimal(1000))
    state, token = made.pending_save()
    assert state.latch is None
    assert state.consumed_acknowledgements == (halt_id,)
    assert made.state is RiskState.HALTED
    assert made.persisted(token - 1) is None
    assert made.persisted(token) == halt_id
    assert made.state is RiskState.NORMAL


def test_an_acknowledgement_works_once_and_only_for_its_own_halt():
    made = machine()
    made.assess(exposed(unrealized=Decimal(-20)), risk_settings(), now=T0)
    first = made.halt.halt_id
    assert not made.acknowledge("7b0a4b5e-0000-4000-8000-000000000001", None)
    assert made.acknowledge(first, None)
    assert not made.acknowledge(first, None)
    persist(made)
    made.assess(exposed(unrealized=Decimal(-20)), risk_settings(), now=later(1))
    assert made.halt.halt_id != first
    assert not made.acknowledge(first, None)
    assert made.state is RiskState.HALTED


def test_an_acknowledgement_consumed_before_a_restart_stays_consumed():
    latch = HaltLatch(halt_id="7b0a4b5e-0000-4000-8000-000000000001", reason="stop_loss", since="")
    made = machine(ClaimState(epoch=1, latch=latch, consumed_acknowledgements=(latch.halt_id,)))
    assert not made.acknowledge(latch.halt_id, None)
    assert made.state is RiskState.HALTED


def test_acknowledging_a_loss_of_the_day_or_a_drawdown_measures_anew():
    made = machine(ClaimState(epoch=1, high_water_mark="1200"))
    made.assess(exposed(equity=Decimal(1000)), risk_settings(), now=T0)
    made.acknowledge(made.halt.halt_id, Decimal(1000))
    persist(made)
    made.assess(exposed(equity=Decimal(1000)), risk_settings(), now=later(1))
    assert made.state is RiskState.NORMAL
    made.assess(exposed(equity=Decimal(899)), risk_settings(), now=later(2))
    assert made.state is RiskState.HALTED


def test_state_that_cannot_be_read_means_halted():
    made = RiskMachine(claim_key="k")
    made.load(None, T0)
    assert (made.state, made.reason) == (RiskState.HALTED, "claim_state_unreadable")
    made.assess(CALM, risk_settings(), now=T0)
    assert made.state is RiskState.HALTED
    made.load(ClaimState(), T0)
    assert made.state is RiskState.NORMAL


def test_a_halt_id_is_a_uuid_that_never_repeats_between_epochs():
    ids = set()
    for epoch in range(20):
        made = machine(ClaimState(epoch=epoch))
        made.assess(exposed(unrealized=Decimal(-20)), risk_settings(), now=T0)
        ids.add(made.halt.halt_id)
    assert len(ids) == 20
    assert all(len(halt_id) == 36 for halt_id in ids)


def test_deposits_and_withdrawals_are_neither_profit_nor_loss():
    made = machine(ClaimState(epoch=1, day="2026-09-21", day_baseline_equity="1000", high_water_mark="1000"))
    made.adjust_baselines(Decimal(-400))
    made.assess(exposed(equity=Decimal(600)), risk_settings(), now=T0)
    assert made.state is RiskState.NORMAL
    assert made.claim_state.day_baseline_equity == "600"


def test_the_day_starts_anew_at_utc_midnight():
    made = machine(ClaimState(epoch=1, day="2026-09-21", day_baseline_equity="1040"))
    made.assess(CALM, risk_settings(), now=later(86_400))
    assert (made.claim_state.day, made.claim_state.day_baseline_equity) == ("2026-09-22", "1000")
