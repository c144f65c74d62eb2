"""What people and tools read in the status."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mm_contract.report import (
    EffectiveSection,
    FiguresSection,
    LeaseSection,
    ListenKeySection,
    MarketDataSection,
    RiskSection,
    SpecSection,
    StatusReport,
)
from mm_contract.resource import MarketMakerStatus
from mm_contract.states import EffectiveState, ListenKeyState, Phase, RiskState
from mm_operator.conditions import Situation
from mm_operator.contact import Contact
from mm_operator.project import UNKNOWN_AFTER, difference, project
from mm_operator.proof import Verdict
from mm_operator.tidings import tidings
from mm_operator.views import Container, Key
from support.operator_facts import NOW, lost, pod, report, situation, view


def status_of(facts: Situation) -> dict[str, Any]:
    return project(facts, NOW, figures_due=True).status


def condition(facts: Situation, kind: str) -> tuple[str, str]:
    found = next(each for each in status_of(facts)["conditions"] if each["type"] == kind)
    return found["status"], found["reason"]


def does(state: EffectiveState, phase: Phase, ruled_by: str = "spec") -> EffectiveSection:
    return EffectiveSection(phase=phase, state=state, ruled_by=ruled_by, reconciled=True)


HALTED = does(EffectiveState.HALTED, Phase.HALTED)
FLAT = EffectiveSection(phase=Phase.FLATTENING, state=EffectiveState.FLAT, ruled_by="spec", reconciled=True, flat=True)


@pytest.mark.parametrize(
    ("said", "desired", "ready"),
    [
        (report(), "Running", ("True", "Quoting")),
        (report(effective=HALTED), "Halted", ("True", "Halted")),
        (report(effective=does(EffectiveState.REDUCE_ONLY, Phase.REDUCE_ONLY)), "ReduceOnly", ("True", "ReduceOnly")),
        (report(effective=does(EffectiveState.FLAT, Phase.FLATTENING)), "Flat", ("False", "Flattening")),
        (report(effective=FLAT), "Flat", ("True", "Flat")),
        (
            report(effective=does(EffectiveState.HALTED, Phase.HALTED, "TradingHalt/desk")),
            "Running",
            ("True", "HaltedByTradingHalt"),
        ),
        (
            report(
                effective=does(EffectiveState.HALTED, Phase.HALTED, "risk"), risk=RiskSection(state=RiskState.HALTED)
            ),
            "Running",
            ("False", "RiskHalted"),
        ),
        (
            report(effective=does(EffectiveState.REDUCE_ONLY, Phase.REDUCE_ONLY, "risk")),
            "Running",
            ("False", "RiskReduceOnly"),
        ),
        (report(effective=does(EffectiveState.HALTED, Phase.HALTED, "data")), "Running", ("False", "MarketDataStale")),
        (report(effective=does(EffectiveState.HALTED, Phase.HALTED, "lease")), "Running", ("False", "LeaseNotHeld")),
        (report(effective=does(EffectiveState.HALTED, Phase.HALTED, "local")), "Running", ("False", "LocalHalt")),
        (report(effective=does(EffectiveState.RUNNING, Phase.QUOTING, "dryRun")), "Running", ("True", "DryRun")),
        (report(effective=HALTED), "Running", ("False", "NotAsDesired")),
    ],
)
def test_ready_means_that_the_engine_does_what_is_desired(
    said: StatusReport, desired: str, ready: tuple[str, str]
) -> None:
    facts = situation(said, resource=view({"desiredState": desired}))
    assert condition(facts, "Ready") == ready


def test_a_refused_spec_is_stalled_while_the_last_good_one_runs() -> None:
    said = report(spec=SpecSection(applied_generation=2, refused_generation=3, refused_message="no"))
    facts = situation(said)
    assert condition(facts, "Stalled") == ("True", "SpecRefused")
    assert condition(facts, "SpecApplied") == ("False", "SpecRefused")
    assert condition(facts, "Reconciling")[0] == "False"
    assert condition(facts, "Ready")[0] == "False"
    assert status_of(facts)["phase"] == "Quoting"
    assert status_of(facts)["appliedGeneration"] == 2


def test_a_change_under_way_is_reconciling() -> None:
    facts = situation(report(spec=SpecSection(applied_generation=2)))
    assert condition(facts, "Reconciling") == ("True", "NotAppliedYet")
    assert condition(facts, "Ready")[0] == "False"


def test_a_lost_stream_is_unknown_at_once_and_the_phase_after_its_grace() -> None:
    before = status_of(situation())
    just = lost(situation(resource=view(status=before)), NOW)
    assert condition(just, "Ready") == ("Unknown", "EngineUnreachable")
    assert condition(just, "EngineConnected") == ("False", "StreamLost")
    for kind in ("RiskNormal", "MarketDataSynced", "ListenKeyHealthy", "SpecApplied"):
        assert condition(just, kind)[0] == "Unknown"
    assert status_of(just)["phase"] == "Quoting"
    assert project(just, NOW, figures_due=True).again_at == NOW + UNKNOWN_AFTER
    late = lost(situation(resource=view(status=before)), NOW - UNKNOWN_AFTER)
    assert status_of(late)["phase"] == "Unknown"


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        (situation(pod=None, contact=Contact()), "Pending"),
        (situation(pod=pod(phase="Pending"), contact=Contact()), "Pending"),
        (situation(contact=Contact()), "Starting"),
        (situation(pod=pod(container=Container(waiting_reason="CrashLoopBackOff")), contact=Contact()), "Failed"),
        (situation(draining=True), "Stopping"),
        (situation(resource=view(deletionTimestamp="2026-01-01T00:00:00Z")), "Stopping"),
        (situation(), "Quoting"),
    ],
)
def test_the_phase_is_one_word_for_the_whole(facts: Situation, phase: str) -> None:
    assert status_of(facts)["phase"] == phase


def test_the_younger_resource_names_the_holder() -> None:
    facts = situation(pod=None, contact=Contact(), holder=Key("trading", "older"))
    assert condition(facts, "Exclusive") == ("False", "ClaimHeldBy")
    assert condition(facts, "Stalled") == ("True", "ClaimHeldBy")
    assert condition(facts, "Ready")[0] == "False"


def test_one_account_under_two_names_is_not_exclusive() -> None:
    assert condition(situation(report(lease=LeaseSection(alias_of="desk-b"))), "Exclusive") == ("False", "AccountAlias")


def test_a_blocked_deletion_is_stalled_with_the_way_out() -> None:
    verdict = Verdict(proven=False, message="annotate", blocked=True)
    facts = situation(resource=view(deletionTimestamp="2026-01-01T00:00:00Z"), verdict=verdict)
    assert condition(facts, "Stalled") == ("True", "ProofMissing")


def test_a_listen_key_that_fails_is_not_healthy() -> None:
    said = report(listen_key=ListenKeySection(state=ListenKeyState.RETRYING, fingerprint="abc"))
    assert condition(situation(said), "ListenKeyHealthy") == ("False", "Retrying")


def test_the_time_of_a_transition_moves_only_with_the_verdict() -> None:
    first = status_of(situation())
    later = NOW + timedelta(hours=1)
    again = project(situation(resource=view(status=first)), later, figures_due=True)
    assert again.patch == {}
    halted = report(risk=RiskSection(state=RiskState.HALTED, reason="stopLoss"))
    after = project(situation(halted, resource=view(status=first)), later, figures_due=True).status
    times = {each["type"]: each["lastTransitionTime"] for each in after["conditions"]}
    assert times["RiskNormal"] == "2026-01-01T13:00:00Z"
    assert times["Exclusive"] == "2026-01-01T12:00:00Z"


def test_figures_that_moved_wait_for_their_time_and_transitions_do_not() -> None:
    first = status_of(situation(report(figures=FiguresSection(position="1"))))
    moved = report(figures=FiguresSection(position="2"), market_data=MarketDataSection(synced=True, age_seconds=9))
    waiting = project(situation(moved, resource=view(status=first)), NOW, figures_due=False)
    assert waiting.patch == {}
    assert waiting.figures_pending
    due = project(situation(moved, resource=view(status=first)), NOW, figures_due=True)
    assert due.patch["position"] == "2"
    assert due.writes_figures
    unsynced = report(figures=FiguresSection(position="2"), market_data=MarketDataSection(synced=False))
    now = project(situation(unsynced, resource=view(status=first)), NOW, figures_due=False)
    assert now.patch["marketData"] == {"synced": False}
    assert "position" not in now.patch


def test_figures_are_quantised() -> None:
    figures = FiguresSection(position="0.0200", equity="9999.987654", pnl="-0.000049", fees="0.01234567")
    status = status_of(situation(report(figures=figures)))
    assert (status["position"], status["equity"], status["pnl"], status["fees"]) == ("0.02", "9999.99", "0", "0.0123")


def test_epoch_never_falls_in_the_status() -> None:
    facts = situation(resource=view(status={"engine": {"epoch": 9, "attempt": 2}}))
    engine = status_of(facts)["engine"]
    assert engine["epoch"] == 9
    assert engine["attempt"] == 2


def test_what_is_projected_is_what_the_contract_calls_a_status() -> None:
    said = report(
        risk=RiskSection(state=RiskState.HALTED, reason="x", since="2026-01-01T00:00:00Z", halt_id="u", latched=True),
        listen_key=ListenKeySection(state=ListenKeyState.ACTIVE, fingerprint="f", expires_at="2026-01-01T00:00:00Z"),
        figures=FiguresSection(last_fill_time="2026-01-01T00:00:00Z"),
    )
    status = status_of(situation(said))
    parsed = MarketMakerStatus.model_validate(status, strict=False)
    assert set(status) <= {field.alias or name for name, field in MarketMakerStatus.model_fields.items()}
    assert parsed.phase is Phase.QUOTING
    assert len(parsed.conditions) == 9


def test_a_merge_patch_leads_from_one_status_to_the_other() -> None:
    assert difference({"a": 1, "b": {"c": 1, "d": 2}, "e": 3}, {"a": 1, "b": {"c": 2}}) == {
        "e": None,
        "b": {"c": 2, "d": None},
    }


def test_each_transition_is_told_once() -> None:
    calm = status_of(situation())
    assert not list(tidings(calm, calm))
    halted = status_of(
        situation(
            report(
                risk=RiskSection(state=RiskState.HALTED, reason="stopLoss", halt_id="u", latched=True),
                listen_key=ListenKeySection(state=ListenKeyState.EXPIRED),
                effective=does(EffectiveState.HALTED, Phase.HALTED, "TradingHalt/x"),
            ),
            resource=view(status=calm),
        )
    )
    told = {each.reason: each.warning for each in tidings(calm, halted)}
    assert told == {"RiskHalted": True, "ListenKeyExpired": True, "NowHalted": False}
    assert not list(tidings(halted, halted))


def test_what_is_expected_is_no_warning() -> None:
    calm = status_of(situation())
    starting = report(
        listen_key=ListenKeySection(state=ListenKeyState.RETRYING),
        effective=does(EffectiveState.HALTED, Phase.STARTING, "reconciling"),
    )
    assert not list(tidings(calm, status_of(situation(starting, resource=view(status=calm)))))
    stopped = lost(situation(resource=view(status=calm, deletionTimestamp="2026-01-01T00:00:00Z")), NOW)
    assert not list(tidings(calm, status_of(stopped)))
    crashed = lost(situation(resource=view(status=calm)), NOW)
    assert [each.reason for each in tidings(calm, status_of(crashed))] == ["StreamLost"]
