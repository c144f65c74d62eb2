"""The grid against its closed form (module docstring of strategy/grid.py)."""

from __future__ import annotations

import dataclasses
import math

import pytest
from core_world import INSTRUMENT, make_spec
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.messages import Side
from mm_runner.core.settings import QuoteSettings, RiskSettings, settings_of
from mm_runner.core.strategy.grid import distances, quotes
from mm_runner.core.strategy.quotes import View

WIDE = {"pinningThreshold": 0.98, "grindingThreshold": 0.99}


def compiled(**changes: object) -> tuple[QuoteSettings, RiskSettings]:
    changes = {"strategy": {"grid": WIDE}, "risk": {"reduceOnlyEnter": 1.0}} | changes
    settings = settings_of(make_spec(**changes), generation=1, instrument=INSTRUMENT)
    return settings.quote, settings.risk


def view(**changes: object) -> View:
    values: dict = {
        "best_bid": 267_999, "best_ask": 268_001, "position": 0, "entry": 0.0, "volatility": 0.0, "volatility_unit": 0.01,
        "funding_rate": 0.0, "maker_fee": 0.0002,
    }  # fmt: skip
    return View(**(values | changes))


@given(
    position=st.integers(-600, 600),
    target=st.integers(-400, 400),
    volatility=st.floats(0, 0.1),
    skew=st.floats(0, 3),
    minimum=st.floats(4, 50),
    spacing=st.floats(0.5, 50),
    ratio=st.floats(1, 2),
    levels=st.integers(1, 8),
    funding=st.floats(-0.001, 0.001),
    bias=st.floats(0, 5),
)
def test_prices_and_sizes_follow_the_closed_form(
    *, position, target, volatility, skew, minimum, spacing, ratio, levels, funding, bias
):
    quote, risk = compiled()
    quote = dataclasses.replace(
        quote, skew_factor=skew, min_spread=minimum / 1e4, max_spread=0.05, spacing=spacing / 1e4, spacing_ratio=ratio, levels=levels,
        size_ratio=1.2, funding_bias=bias, pinning=2.0, grinding=2.0,
    )  # fmt: skip
    risk = dataclasses.replace(risk, target_lots=target)
    answer = quotes(view(position=position, volatility=volatility, funding_rate=funding), quote, risk)
    i = max(-1, min(1, (position - target) / risk.max_lots))
    v = min(quote.volatility_factor * volatility / 0.01, 3)
    s = max(min(max(minimum / 1e4, 0.0004) * (1 + v) * (1 + abs(i)), 0.05), 0.0004)
    c = 268_000 * (1 - i * s * skew - bias * funding)
    assert math.isclose(answer.spread, s, rel_tol=1e-9)
    assert math.isclose(answer.reservation, c, rel_tol=1e-12)
    d = 0.0
    for k in range(levels):
        d += 0 if k == 0 else spacing / 1e4 * ratio ** (k - 1)
        bid = min(math.floor(c * (1 - s / 2 - d) + 1e-6), 268_000)
        ask = max(math.ceil(c * (1 + s / 2 + d) - 1e-6), 268_000)
        assert abs(answer.bids[k].price - bid) <= 0
        assert abs(answer.asks[k].price - ask) <= 0
        assert answer.bids[k].lots == answer.asks[k].lots == int(20 * 1.2**k + 0.5)


def test_a_flat_position_quotes_symmetrically_around_the_mid():
    answer = quotes(view(), *compiled())
    assert [w.price for w in answer.bids] == [267_946, 267_866]  # -2 bps rounded down, 3 bps further
    assert [w.price for w in answer.asks] == [268_054, 268_134]


def test_arithmetic_and_geometric_distances():
    quote, _ = compiled(quoting={"levels": 4, "levelSpacingBps": 10.0})
    assert distances(quote) == pytest.approx([0, 0.001, 0.002, 0.003])
    assert distances(dataclasses.replace(quote, spacing_ratio=2.0)) == pytest.approx([0, 0.001, 0.003, 0.007])


def test_volatility_widens_and_works_at_all():
    calm, wild = quotes(view(), *compiled()), quotes(view(volatility=0.005), *compiled())
    assert wild.spread == pytest.approx(1.5 * calm.spread)
    assert quotes(view(volatility=1.0), *compiled()).volatility_factor == 3.0


@given(st.floats(0, 10), st.booleans())
def test_the_spread_never_undercuts_round_trip_fees_unless_allowed(minimum, allowed):
    quote, risk = compiled(quoting={"allowBelowFees": allowed})
    quote = dataclasses.replace(quote, min_spread=minimum / 1e4, max_spread=minimum / 1e4)
    spread = quotes(view(), quote, risk).spread
    assert spread == pytest.approx(minimum / 1e4 if allowed else max(minimum / 1e4, 0.0004))


def test_a_long_position_leans_both_sides_down_and_a_short_one_up():
    flat, long, short = (quotes(view(position=p), *compiled()) for p in (0, 250, -250))
    assert long.reservation < flat.reservation < short.reservation
    assert long.asks[0].price < short.asks[0].price
    assert long.inventory_factor == 0.5


def test_post_only_quotes_never_reach_the_opposite_touch():
    for position in (-500, 500):
        answer = quotes(view(position=position), *compiled(strategy={"grid": WIDE | {"skewFactor": 10.0}}))
        assert all(w.price < 268_001 for w in answer.bids)
        assert all(w.price > 267_999 for w in answer.asks)


def test_pinning_joins_the_touch_and_grinding_steps_inside_it_and_shrinks_the_adding_side():
    grid = {"pinningThreshold": 0.4, "grindingThreshold": 0.6, "skewFactor": 0.0}
    market = {"best_bid": 267_990, "best_ask": 268_010}
    calm, pinned, ground = (
        quotes(view(position=p, **market), *compiled(strategy={"grid": grid})) for p in (100, 250, 350)
    )
    assert calm.asks[0].price > 268_010
    assert pinned.asks[0].price == 268_010
    assert ground.asks[0].price == 268_009
    assert pinned.bids[0].lots == 20
    assert ground.bids[0].lots == round(20 * 0.3)
    mirrored = quotes(view(position=-350, **market), *compiled(strategy={"grid": grid}))
    assert mirrored.bids[0].price == 267_991


def test_take_profit_offers_the_whole_position_once_the_gain_is_there():
    settings = compiled(quoting={"takeProfitBps": 10.0})
    assert quotes(view(position=150, entry=267_800.0), *settings).asks[0].lots == 20
    assert quotes(view(position=150, entry=267_000.0), *settings).asks[0].lots == 150
    assert quotes(view(position=-150, entry=269_000.0), *settings).bids[0].lots == 150
    assert quotes(view(position=-150, entry=267_000.0), *settings).bids[0].lots == 20


def test_the_static_leg_stands_behind_the_dynamic_one():
    answer = quotes(
        view(), *compiled(quoting={"staticLeg": {"fraction": 0.25, "ticks": 10, "restMs": 2500}, "levels": 1})
    )
    assert [(w.price, w.lots, w.static) for w in answer.bids] == [(267_946, 15, False), (267_936, 5, True)]
    assert [(w.price, w.lots, w.static) for w in answer.asks] == [(268_054, 15, False), (268_064, 5, True)]


def test_sides_name_their_own_quotes():
    answer = quotes(view(), *compiled())
    assert {w.side for w in answer.bids} == {Side.BUY}
    assert {w.side for w in answer.asks} == {Side.SELL}
