"""Statistics of synthetic flow: each parameter does what it says, and the same seed does it again."""

import math
import random
import statistics
from pathlib import Path

import pytest

from mm_exchange.flow.parameters import FlowParameters, read_flow
from mm_exchange.flow.synthetic import SyntheticFlow, rules_of
from mm_exchange.market import DepthUpdate, Market, Touch, Trade

EXAMPLES = Path(__file__).parents[3] / "examples" / "flow.json"
SCENARIOS = read_flow(EXAMPLES)


class Run:
    """A market of some seconds: per step the mid, spread and depth, and every trade with its step."""

    def __init__(self, seconds, *, symbol="AAAUSDT", seed=1, **parameters):
        self.parameters = FlowParameters(**({"price": "100"} | parameters))
        flow = SyntheticFlow(rules_of(symbol, self.parameters), self.parameters, rng=random.Random(seed))
        self.market = Market(flow.rules)
        self.mids, self.spreads, self.behind, self.counts, self.trades = [], [], [], [], []
        for event in flow.begin(0):
            self.market.apply(event)
        for step in range(round(seconds * 1000 / self.parameters.interval_ms)):
            for event in flow.step(step * self.parameters.interval_ms):
                if isinstance(event, Trade):
                    self.trades.append((step, event))
                self.market.apply(event)
            self._note()

    def _note(self):
        book, rules = self.market.book, self.market.rules
        bids = list(book.bids())
        self.mids.append(self.market.mid())
        self.spreads.append((book.best_ask()[0] - bids[0][0]) // rules.tick)
        scale = rules.prices.one * rules.quantities.one
        self.behind.append(statistics.mean(price * size / scale for price, size in bids[1:]))
        self.counts.append(len(bids))

    def moves_bps(self):
        return [1e4 * math.log(after / before) for before, after in zip(self.mids, self.mids[1:], strict=False)]

    def markouts_bps(self, seconds):
        """What the aggressors of trades have won against the mid some seconds later, on average."""
        ahead = round(seconds * 1000 / self.parameters.interval_ms)
        won = [
            1e4 * (self.mids[step + ahead] / trade.price - 1) * (-1 if trade.buyer_is_maker else 1)
            for step, trade in self.trades
            if step + ahead < len(self.mids)
        ]
        assert len(won) > 100
        return statistics.mean(won)


def test_jumps_come_as_often_and_as_large_as_asked_for():
    run = Run(1_000, volatility_bps=0, jumps_per_hour=1800, jump_bps=40, reversion_seconds=0, stress_seconds=0)
    jumps = [abs(move) for move in run.moves_bps() if abs(move) > 10]
    # 500 expected: four standard deviations of a Poisson count, less the few that fall into one interval.
    assert abs(len(jumps) - 500) < 4 * math.sqrt(500) + 25
    assert statistics.median(jumps) == pytest.approx(40, rel=0.08)
    ups = sum(move > 10 for move in run.moves_bps())
    assert abs(ups - len(jumps) / 2) < 2.5 * math.sqrt(len(jumps))


def test_without_jumps_there_are_none():
    assert max(map(abs, Run(300, volatility_bps=0, reversion_seconds=0).moves_bps())) == 0


def test_the_volatility_is_per_square_root_second():
    moves = Run(600, volatility_bps=3.0, reversion_seconds=0, price="2680", symbol="ETHUSDT").moves_bps()
    assert statistics.pstdev(moves) / math.sqrt(0.1) == pytest.approx(3.0, rel=0.05)


def test_informed_traders_win_against_makers_at_their_horizon_and_noise_loses():
    informed = {"trades_per_second": 0, "informed_per_second": 3, "informed_horizon_seconds": 5, "volatility_bps": 2}
    run = Run(600, **informed)
    assert run.markouts_bps(5) > 2.0
    assert run.markouts_bps(1) > 0.2
    assert run.markouts_bps(5) > run.markouts_bps(1)
    noise = Run(600, trades_per_second=8, volatility_bps=2)
    # Noise pays half the spread (one tick of 1 bp here) and knows nothing.
    assert -1.5 < noise.markouts_bps(1) < 0


def test_informed_traders_stay_away_when_the_move_does_not_pay():
    assert not Run(120, trades_per_second=0, informed_per_second=5, volatility_bps=0).trades
    few, many = (
        len(Run(300, trades_per_second=0, informed_per_second=3, informed_edge_bps=edge).trades) for edge in (4, 0.5)
    )
    assert few < many / 2


def test_stress_widens_the_spread_thins_the_book_and_moves_the_price():
    stress = {"stress_per_hour": 120, "stress_seconds": 15, "stress_spread": 6, "stress_depth": 0.25}
    run = Run(2_000, symbol="ETHUSDT", price="2680", stress_volatility=3, reversion_seconds=0, **stress)
    assert set(run.spreads) == {1, 6}
    wide = [spread == 6 for spread in run.spreads]
    # Renewal: calm lasts 30 s on average, stress 15 s (a little more: it can be renewed).
    assert 0.25 < sum(wide) / len(wide) < 0.5
    depth = {
        state: statistics.mean(d for d, w in zip(run.behind, wide, strict=True) if w is state)
        for state in (True, False)
    }
    assert depth[True] / depth[False] == pytest.approx(0.25, rel=0.05)
    moves = {
        state: [m for m, w in zip(run.moves_bps(), wide[1:], strict=True) if w is state] for state in (True, False)
    }
    assert statistics.pstdev(moves[True]) / statistics.pstdev(moves[False]) == pytest.approx(3, rel=0.1)


def test_a_jump_is_followed_by_stress():
    run = Run(600, jumps_per_hour=120, jump_bps=80, stress_seconds=5, stress_spread=3, volatility_bps=0.1)
    jumps = [step for step, move in enumerate(run.moves_bps(), start=1) if abs(move) > 20]
    assert len(jumps) > 5
    assert all(run.spreads[step] == 3 for step in jumps)
    assert run.spreads.count(1) > run.spreads.count(3)


def test_levels_are_as_deep_as_asked_for_and_thin_books_have_holes():
    run = Run(300, level_size=20_000, levels=20, volatility_bps=0.5, trades_per_second=0)
    # The mean of a lognormal lies above its median.
    assert statistics.mean(run.behind) == pytest.approx(20_000 * math.exp(0.6**2 / 2), rel=0.06)
    assert set(run.counts) == {20}
    holes = Run(300, level_size=20_000, levels=20, volatility_bps=0.5, holes=0.5)
    assert statistics.mean(holes.counts) == pytest.approx(1 + 19 / 2, rel=0.06)


def test_what_is_traded_is_gone_from_the_book_until_somebody_refills_it():
    parameters = FlowParameters(
        price="100", volatility_bps=0, reversion_seconds=0, trades_per_second=3, trade_size=500, level_size=10**6
    )
    flow = SyntheticFlow(rules_of("AAAUSDT", parameters), parameters, rng=random.Random(5))
    market, seen, falls = Market(flow.rules), 0, 0
    for event in flow.begin(0):
        market.apply(event)
    for step in range(600):
        before, traded = dict(market.book.bids()), {}
        for event in flow.step(step * 100):
            if isinstance(event, Trade) and event.buyer_is_maker:
                traded[event.price] = traded.get(event.price, 0) + event.quantity
            market.apply(event)
        for price, quantity in traded.items():
            assert quantity <= before[price]
            seen += 1
            falls += market.book.size_at(price, buy=True) == before[price] - quantity
    assert seen > 60
    assert falls > 0.75 * seen


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_example_is_documented_sound_and_reproducible(name):
    parameters = SCENARIOS[name]
    symbol = "OTHERUSDT" if name == "default" else name
    assert len(parameters.note) > 40
    rules = rules_of(symbol, parameters)
    one, two, other = (SyntheticFlow(rules, parameters, rng=random.Random(seed)) for seed in (7, 7, 8))
    market, told = Market(rules), ([], [])
    for event in one.begin(0):
        market.apply(event)
    two.begin(0)
    other.begin(0)
    for step in range(1_500):
        events = one.step(step * 100)
        assert events == two.step(step * 100)
        told[0].extend(events)
        told[1].extend(other.step(step * 100))
        for event in events:
            if isinstance(event, DepthUpdate):
                assert event.previous_id == market.book.last_update_id
            market.apply(event)
            if isinstance(event, Touch):
                assert ((event.bid, event.bid_quantity), (event.ask, event.ask_quantity)) == (
                    market.book.best_bid(), market.book.best_ask()
                )  # fmt: skip
                assert 0 < event.bid < event.ask
    assert told[0] != told[1]


def test_the_toxic_example_is_toxic_and_the_calm_one_is_not():
    def run(name):
        fields = {field: getattr(SCENARIOS[name], field) for field in FlowParameters.__struct_fields__}
        return Run(600, symbol=name, **fields)

    assert run("TOXICUSDT").markouts_bps(5) > 1.0
    assert run("CALMUSDT").markouts_bps(5) < 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"holes": 1.0},
        {"stress_spread": 0.5},
        {"informed_size": 0},
        {"jumps_per_hour": -1},
        {"sweep": 1.5},
        {"levels": 0},
    ],
)
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        FlowParameters(**wrong)


def test_a_flow_file_with_an_unknown_name_is_refused_by_name(tmp_path):
    path = tmp_path / "flow.json"
    path.write_text('{"AAAUSDT": {"jumpsPerDay": 3}}')
    with pytest.raises(ValueError, match="jumpsPerDay"):
        read_flow(path)
