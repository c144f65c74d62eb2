"""Delays, constant and drawn."""

import pytest

from mm_backtest.errors import BacktestError
from mm_backtest.latency import constant, sampled

MS = 1_000_000


def test_a_constant_delay_is_the_same_in_every_direction():
    latency = constant(2.5)
    assert {latency.feed(), latency.entry(), latency.answer(), latency.user(), latency.feed_constant_ns} == {2_500_000}


def test_drawn_delays_come_from_the_files_lists_and_the_rest_is_constant(tmp_path):
    file = tmp_path / "latency.json"
    file.write_text('{"entryMs": [1, 2.5], "feedMs": [7]}')
    latency = sampled(file, otherwise_ms=4, seed=3)
    assert {latency.entry() for _ in range(50)} == {1 * MS, 2_500_000}
    assert latency.feed() == 7 * MS
    assert latency.answer() == latency.user() == 4 * MS
    assert latency.feed_constant_ns is None


def test_the_same_seed_draws_the_same_and_each_way_has_a_chance_of_its_own(tmp_path):
    file = tmp_path / "latency.json"
    file.write_text('{"entryMs": [1, 2, 3, 4, 5], "answerMs": [1, 2, 3, 4, 5]}')

    def drawn(seed):
        latency = sampled(file, otherwise_ms=0, seed=seed)
        return [latency.entry() for _ in range(20)], [latency.answer() for _ in range(20)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1)[0] != drawn(1)[1]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"entryMs": ["x"]}', '{"entryMs": [-1]}', '{"entryMs": [99999]}', '{"entry": [1]}']
)
def test_a_file_that_is_none_is_a_sentence(tmp_path, text):
    file = tmp_path / "latency.json"
    file.write_text(text)
    with pytest.raises(BacktestError, match=r"latency\.json"):
        sampled(file, otherwise_ms=0, seed=0)
