"""What a person types at night, and what it changes."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from mm_contract.report import EffectiveSection, RiskSection
from mm_contract.resource import parse_trading_halt
from mm_contract.states import DesiredState, EffectiveState, HaltState, Phase, RiskState
from mm_operator.kubectl.changes import UsageError, acknowledgement, desired, halt_name, parse_selector, trading_halt
from mm_operator.kubectl.cli import main
from mm_operator.kubectl.tables import advice, listing, screen
from mm_operator.project import project
from support.operator_facts import NOW, manifest, report, situation, view

LATCHED = RiskSection(state=RiskState.HALTED, reason="stopLoss", halt_id="1f0e", latched=True)
BY_RISK = EffectiveSection(phase=Phase.HALTED, state=EffectiveState.HALTED, ruled_by="risk")


def halted() -> dict[str, Any]:
    said = report(risk=LATCHED, effective=BY_RISK)
    return manifest(status=project(situation(said, resource=view()), NOW, figures_due=True).status)


def test_an_acknowledgement_names_the_halt_that_was_looked_at() -> None:
    assert acknowledgement(halted(), None) == {"spec": {"risk": {"acknowledgedHalt": "1f0e"}}}
    assert acknowledgement(halted(), "1f0e") == acknowledgement(halted(), None)
    with pytest.raises(UsageError, match="not other"):
        acknowledgement(halted(), "other")
    with pytest.raises(UsageError, match="nothing to acknowledge"):
        acknowledgement(manifest(), None)


def test_a_halt_of_all_or_of_some_is_a_valid_trading_halt() -> None:
    for selector in ({}, {"desk": "a"}):
        made = trading_halt("trading", halt_name(selector), state=HaltState.HALTED, selector=selector, reason="x")
        halt = parse_trading_halt(made)
        assert halt.matches({"desk": "a"})
        assert halt.matches({}) is (not selector)
    assert halt_name({}) != halt_name({"desk": "a"})
    assert desired(DesiredState.FLAT) == {"spec": {"desiredState": "Flat"}}


def test_a_selector_is_read_or_refused_with_an_example() -> None:
    assert parse_selector("desk=a,venue=x") == {"desk": "a", "venue": "x"}
    with pytest.raises(UsageError, match="desk=a"):
        parse_selector("desk")


def test_the_screen_says_what_is_going_on_and_what_to_type_next() -> None:
    text = screen(halted())
    assert "ruled by risk" in text
    assert "kubectl mm acknowledge ethusdt -n trading" in text
    well = manifest(status=project(situation(), NOW, figures_due=True).status)
    assert advice(well) == []
    assert listing([well, halted()]).splitlines()[0].split()[:3] == ["NAMESPACE", "NAME", "SYMBOL"]
    assert len(listing([well, halted()]).splitlines()) == 3
    assert screen(manifest()), "a resource that nobody has looked at yet"


@pytest.mark.parametrize("arguments", [["halt"], ["halt", "a", "--all"], ["resume"], ["halt", "-l", "x"], ["flat"]])
def test_a_command_that_does_not_say_which_engines_is_refused(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2


def test_a_dry_run_says_what_it_would_do_and_needs_no_cluster() -> None:
    done = CliRunner().invoke(main, ["-n", "trading", "halt", "--all", "--dry-run"])
    assert done.exit_code == 0
    assert "TradingHalt kubectl-mm: Halted for all of trading" in done.output
