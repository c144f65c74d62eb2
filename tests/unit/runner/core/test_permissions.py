"""The table of design section 3, walked whole: every combination of what it asks about."""

from __future__ import annotations

from itertools import product

import pytest
from core_world import written_table

from mm_contract.states import DesiredState, EffectiveState, HaltState, RiskState
from mm_runner.core.messages import Halt
from mm_runner.core.permissions import Permissions, Situation, Taker, close_asked, decide, ruling

HALTS = {
    "none": (),
    "reduce": (Halt(name="r", state=HaltState.REDUCE_ONLY),),
    "halted": (Halt(name="h", state=HaltState.HALTED),),
    "both": (Halt(name="r", state=HaltState.REDUCE_ONLY), Halt(name="h", state=HaltState.HALTED)),
}
MACHINERY = ("reconciled", "lease_held", "dead_man_ready", "book_usable", "superseded", "dry_run", "dry_run_proven")
PEOPLE = list(
    product(
        DesiredState,
        HALTS,
        (True, False),
        (True, False),
        (True, False),
        RiskState,
        (True, False),
        (True, False),
        (True, False),
    )
)


def situation(person: tuple, machine: dict[str, bool]) -> Situation:
    desired, halts, readable, local, close, risk, flatten, stop_rule, stopping = person
    return Situation(
        desired=desired, halts=HALTS[halts], halts_readable=readable, local_halt=local, close_asked_locally=close, risk=risk,
        flatten_on_halt=flatten, stop_rule=stop_rule, stopping=stopping, **machine,
    )  # fmt: skip


@pytest.mark.parametrize("machine", [dict(zip(MACHINERY, values, strict=True)) for values in product((True, False), repeat=len(MACHINERY))],
                         ids=lambda machine: "".join("+" if machine[name] else "-" for name in MACHINERY))  # fmt: skip
def test_every_situation_gets_the_row_that_the_design_writes(machine):
    for person in PEOPLE:
        asked = situation(person, machine)
        got = decide(asked)
        assert (got.open, got.reduce_maker, got.reduce_taker.value, got.cancel) == written_table(asked), asked


def test_what_may_not_run_is_never_shown_as_running():
    for person in PEOPLE[::5]:
        for values in product((True, False), repeat=len(MACHINERY)):
            asked = situation(person, dict(zip(MACHINERY, values, strict=True)))
            if ruling(asked)[0] is EffectiveState.RUNNING:
                assert decide(asked).open
            if decide(asked).open:
                assert ruling(asked) == (EffectiveState.RUNNING, "spec")


READY = {"reconciled": True, "lease_held": True, "dead_man_ready": True, "book_usable": True, "halts_readable": True}


@pytest.mark.parametrize(
    ("changes", "state", "ruler"),
    [
        ({}, "Running", "spec"),
        ({"desired": DesiredState.HALTED, "halts": HALTS["halted"]}, "Halted", "spec"),
        ({"halts": HALTS["both"]}, "Halted", "TradingHalt/h"),
        ({"halts": HALTS["reduce"]}, "ReduceOnly", "TradingHalt/r"),
        ({"desired": DesiredState.FLAT, "halts": HALTS["reduce"]}, "Flat", "spec"),
        ({"halts_readable": False}, "Halted", "reconciling"),
        ({"local_halt": True}, "Halted", "local"),
        ({"risk": RiskState.REDUCE_ONLY}, "ReduceOnly", "risk"),
        ({"risk": RiskState.HALTED}, "Halted", "risk"),
        ({"lease_held": False}, "Halted", "lease"),
        ({"superseded": True}, "Halted", "lease"),
        ({"dead_man_ready": False}, "Halted", "deadman"),
        ({"reconciled": False}, "Halted", "reconciling"),
        ({"book_usable": False}, "Halted", "data"),
        ({"dry_run": True, "dry_run_proven": True}, "Halted", "dryRun"),
    ],
)
def test_the_strictest_rules_and_is_named(changes, state, ruler):
    asked = Situation(**({"desired": DesiredState.RUNNING} | READY | changes))
    assert ruling(asked) == (EffectiveState(state), ruler)


def test_a_trading_halt_never_closes_but_does_not_stop_a_close_that_somebody_asked_for():
    halted = Situation(desired=DesiredState.RUNNING, halts=HALTS["halted"], **READY)
    assert not close_asked(halted)
    assert decide(halted) == Permissions(open=False, reduce_maker=False, reduce_taker=Taker.NO, cancel=True)
    flat = Situation(desired=DesiredState.FLAT, halts=HALTS["halted"], **READY)
    assert decide(flat).reduce_taker is Taker.BOUNDED
