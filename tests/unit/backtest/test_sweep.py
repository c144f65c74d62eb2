"""Combinations, typed changes of a spec, segments and walk-forward, without running anything."""

from __future__ import annotations

import pytest

from mm_backtest.errors import BacktestError
from mm_backtest.sweep import Result, changed, combinations, parse_setting, segments, trials, walk_forward
from mm_backtest.tape import Stretch
from mm_contract.resource import SpecError
from support.backtests import maker


def test_every_combination_comes_in_order_the_last_setting_fastest():
    wanted = combinations([parse_setting("quoting.levels=1,2"), parse_setting("spec.quoting.minSpreadBps = 4, 6")])
    assert wanted == [
        {"quoting.levels": "1", "quoting.minSpreadBps": "4"},
        {"quoting.levels": "1", "quoting.minSpreadBps": "6"},
        {"quoting.levels": "2", "quoting.minSpreadBps": "4"},
        {"quoting.levels": "2", "quoting.minSpreadBps": "6"},
    ]


def test_nothing_set_is_one_run():
    assert combinations([]) == [{}]


@pytest.mark.parametrize("text", ["quoting.levels", "=1", "quoting.levels=", "quoting.levels=1,,2"])
def test_a_setting_that_is_no_setting_is_refused(text):
    with pytest.raises(BacktestError, match="PATH=VALUE"):
        parse_setting(text)


def test_a_path_set_twice_is_refused():
    with pytest.raises(BacktestError, match="twice"):
        combinations([("a.b", ["1"]), ("a.b", ["2"])])


def test_values_take_the_type_of_their_field():
    texts = {
        "quoting.baseSize": "0.10",
        "quoting.levels": "3",
        "quoting.minSpreadBps": "6",
        "quoting.postOnly": "false",
    }
    parameters, spec = changed(maker(), texts)
    assert parameters == {
        "quoting.baseSize": "0.10",
        "quoting.levels": 3,
        "quoting.minSpreadBps": 6,
        "quoting.postOnly": False,
    }
    assert (str(spec.quoting.base_size), spec.quoting.levels, spec.quoting.post_only) == ("0.10", 3, False)


@pytest.mark.parametrize("path", ["quoting.spread", "nothing.at.all", "quoting"])
def test_a_path_that_is_no_field_is_named(path):
    with pytest.raises(SpecError, match=path if path != "quoting" else "."):
        changed(maker(), {path: "1"})


def test_a_refused_combination_is_a_trial_with_its_reason_and_the_others_go_on():
    made = trials(maker(), combinations([("quoting.levels", ["2", "99"])]), {"a.gz": [Stretch()]})
    assert made[0].spec is not None
    assert made[1].spec is None
    assert "levels" in made[1].refusal


def test_segments_cover_the_tape():
    parts = segments(90.0, 3)
    assert parts == [Stretch(0.0, 30.0), Stretch(30.0, 60.0), Stretch(60.0, None)]
    assert segments(90.0, 1) == [Stretch()]


def result(combination, segment, pnl, *, tape=0):
    summary = None if pnl is None else {"pnl": pnl, "volume": 100.0, "maxDrawdown": 1.0}
    return Result((combination, tape, segment), {"x": combination}, f"{tape}.gz", Stretch(segment), summary)


def test_walk_forward_chooses_on_one_segment_and_tests_on_the_next():
    results = [
        result(0, 0, 5.0), result(1, 0, 3.0),
        result(0, 1, -2.0), result(1, 1, 4.0),
        result(0, 2, 1.0), result(1, 2, 0.5),
    ]  # fmt: skip
    first, second = walk_forward(results, "pnl")
    assert (first.parameters, first.in_sample, first.out_of_sample, first.best_out_of_sample) == (
        {"x": 0},
        5.0,
        -2.0,
        4.0,
    )
    assert (second.parameters, second.in_sample, second.out_of_sample, second.best_out_of_sample) == (
        {"x": 1},
        4.0,
        0.5,
        1.0,
    )


def test_a_failed_combination_is_never_chosen_and_a_failed_test_is_said():
    results = [result(0, 0, None), result(1, 0, -9.0), result(0, 1, 7.0), result(1, 1, None)]
    (fold,) = walk_forward(results, "pnl")
    assert fold.parameters == {"x": 1}
    assert fold.out_of_sample is None
    assert fold.best_out_of_sample == 7.0


def test_ties_go_to_the_earlier_combination_and_tapes_do_not_mix():
    results = [result(0, 0, 1.0), result(1, 0, 1.0), result(0, 1, 0.0), result(1, 1, 0.0), result(0, 0, 9.0, tape=1)]
    (fold,) = walk_forward(results, "pnl")
    assert fold.parameters == {"x": 0}
