"""The comparison with hftbacktest: its bookkeeping on made-up fills, and our fills on the recorded tape against a digest of its."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TAPE = Path(os.environ.get("MM_TAPE") or ROOT.parent / "shared" / "data" / "ethusdt_20240808.gz")
# What hftbacktest 2.4.4 filled on ethusdt_20240808.gz, as benchmarks/fills_vs_hftbacktest.py had it on 2026-11-23.
START_NS, OFFSET_NS = 1_723_161_261_302_000_000, 1_272_228_703
THEIRS = {
    "at the touch, 100 ms": (634, 12_260, "be993439977e9d8154b5a9641bcd11b27a52dd703459c278f6e1661e2d69a142"),
    "1 ETH at the touch, 100 ms": (735, 575_067, "a3ad922fd62e84cc554284cb3da3dc54c66a07c4c4ed14b3f4149808034bfab9"),
}


@pytest.fixture(scope="module")
def bench():
    path = ROOT / "benchmarks" / "fills_vs_hftbacktest.py"
    spec = importlib.util.spec_from_file_location("fills_vs_hftbacktest", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_equal_fills_agree_whatever_their_order_numbers(bench):
    found = bench.compare([bench.Fill(1, 1, 100, 5, 1)], [bench.Fill(1, 1, 100, 5, 9)])
    assert (found.exact, found.close, found.agreement, found.by_quantity) == (1, 0, 1.0, 1.0)


def test_a_fill_some_milliseconds_or_a_lot_apart_is_close_not_exact(bench):
    ours = [bench.Fill(0, 1, 100, 5, 1), bench.Fill(10**9, -1, 101, 7, 2)]
    theirs = [bench.Fill(9_000_000, 1, 100, 5, 1), bench.Fill(10**9, -1, 101, 8, 2)]
    found = bench.compare(ours, theirs)
    assert (found.exact, found.close, found.agreement) == (0, 2, 1.0)
    assert found.by_quantity == pytest.approx(12 / 13)


@pytest.mark.parametrize("other", [(11_000_000, 1, 100, 5), (0, -1, 100, 5), (0, 1, 101, 5), (0, 1, 100, 7)])
def test_another_time_side_price_or_size_does_not_agree(bench, other):
    found = bench.compare([bench.Fill(0, 1, 100, 5, 1)], [bench.Fill(*other, 1)])
    assert (found.agreement, len(found.only_ours), len(found.only_theirs)) == (0.0, 1, 1)


def test_nothing_against_nothing_agrees(bench):
    assert bench.compare([], []).agreement == 1.0


def test_fills_of_one_order_in_one_millisecond_are_one(bench):
    fills = [bench.Fill(1, 1, 100, 2, 7), bench.Fill(1, 1, 100, 3, 7), bench.Fill(2, 1, 100, 1, 7)]
    assert sorted(bench.by_instant(fills)) == [bench.Fill(1, 1, 100, 5, 7), bench.Fill(2, 1, 100, 1, 7)]


@pytest.fixture(scope="module")
def feed(bench):
    if TAPE.name != "ethusdt_20240808.gz" or not TAPE.exists():
        pytest.skip(
            "hftbacktest's fills are known for ethusdt_20240808.gz only, which is not here (MM_TAPE, ../shared/data)"
        )
    return bench.read_feed(TAPE, OFFSET_NS)


@pytest.mark.parametrize("name", THEIRS)
def test_our_fills_on_the_tape_are_those_of_hftbacktest(bench, feed, name):
    scenario = next(one for one in bench.SCENARIOS if one.name == name)
    fills = bench.by_instant(bench.Simulation(feed, scenario, START_NS).run())
    rows = sorted((one.ns, one.side, one.price, one.lots) for one in fills)
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert (len(rows), sum(row[3] for row in rows), digest) == THEIRS[name]
