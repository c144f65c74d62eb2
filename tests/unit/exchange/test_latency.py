"""Latency as numbers: constant or drawn from files, reproducible, in order."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_exchange.latency import InOrder, Latency, constant, sampled


def draws(delay, count=50):
    return [delay() for _ in range(count)]


def test_a_constant_is_the_same_each_way_and_zero_is_none():
    latency = constant(2.5)
    assert [way() for way in (latency.entry, latency.answer, latency.feed, latency.user)] == [2_500_000] * 4
    assert latency
    assert not constant(0)
    assert not Latency()


@pytest.mark.parametrize(
    ("name", "text", "entry", "feed"),
    [
        ("l.json", "[1, 2.5]", {1_000_000, 2_500_000}, {1_000_000, 2_500_000}),
        ("l.json", json.dumps({"entryMs": [3], "feedMs": [4, 5]}), {3_000_000}, {4_000_000, 5_000_000}),
        ("l.csv", "entryMs,feedMs\n3,4\n,5\n", {3_000_000}, {4_000_000, 5_000_000}),
        ("l.json", json.dumps({"feedMs": [1]}), None, {1_000_000}),
    ],
)
def test_samples_come_from_the_files_milliseconds(tmp_path, name, text, entry, feed):
    path = tmp_path / name
    path.write_text(text)
    latency = sampled(path, seed=1)
    assert (set(draws(latency.entry)) if latency.entry else None) == entry
    assert set(draws(latency.feed)) == feed


def test_the_same_seed_draws_the_same_and_ways_do_not_disturb_one_another(tmp_path):
    path = tmp_path / "l.json"
    path.write_text(json.dumps(list(range(100))))
    one, two, other = sampled(path, seed=1), sampled(path, seed=1), sampled(path, seed=2)
    draws(two.answer)
    assert draws(one.entry) == draws(two.entry)
    assert draws(one.feed) != draws(other.feed)
    assert draws(one.user) != draws(one.answer)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", "{}]"), ("l.json", '{"entry": [1]}'), ("l.json", "[-1]"), ("l.json", "[60001]"), ("l.json", '["1"]'),
        ("l.csv", "entry\n1\n"), ("l.csv", "entryMs\nx\n"), ("l.csv", "entryMs\nnan\n"),
    ],
)  # fmt: skip
def test_what_is_no_latency_file_is_refused_by_name(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=r"l\.(json|csv)"):
        sampled(path, seed=0)


def test_a_missing_file_is_refused_with_what_is_taken(tmp_path):
    with pytest.raises(ValueError, match="entryMs"):
        sampled(tmp_path / "none.json", seed=0)
    with pytest.raises(ValueError, match="milliseconds"):
        constant(-1)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1))
def test_messages_of_one_connection_never_overtake_one_another(messages):
    delays = iter([delay for _, delay in messages])
    order, leaves, last = InOrder(lambda: next(delays)), 0, 0
    for gap, delay in messages:
        leaves += gap
        arrival = order.arrival_ns(leaves)
        assert arrival >= max(last, leaves + delay)
        assert arrival in (last, leaves + delay)
        last = arrival
