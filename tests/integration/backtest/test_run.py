"""A backtest's sums and decisions, on synthetic flow everywhere and on the recorded tape where it is present."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mm_backtest.errors import BacktestError
from mm_backtest.recorder import Money
from mm_backtest.run import Options
from mm_backtest.tape import Stretch, open_tape
from mm_exchange.scales import MONEY
from support.backtests import run, world_of
from support.tapes import recorded_tape, write_tape

KEYS = {
    "frames", "framesPerSecond", "orders", "fills", "fees", "realizedPnl", "maxAbsPosition", "violations", "decisionsSha256",
}  # fmt: skip


def recomputed(entries):
    """Position, realised PnL and fees from the ledger's fills alone: average cost, in exact fractions of the venue's texts."""
    position = cost = realized = fees = largest = Decimal(0)
    for entry in entries:
        if entry.kind != "fill":
            continue
        quantity = Decimal(entry.last_quantity) * (1 if entry.side == "BUY" else -1)
        price = Decimal(entry.last_price)
        fees += Decimal(entry.commission)
        closing = min(abs(quantity), abs(position)) if position * quantity < 0 else Decimal(0)
        if closing:
            entry_price = cost / position
            realized += closing * (price - entry_price) * (1 if position > 0 else -1)
            cost -= entry_price * closing * (1 if position > 0 else -1)
        opening = abs(quantity) - closing
        cost += opening * price * (1 if quantity > 0 else -1)
        position += quantity
        largest = max(largest, abs(position))
    return position, realized, fees, largest


def assert_sums_agree(world):
    money = Money.of(world.counter)
    position, realized, fees, largest = recomputed(world.venue.ledger.read())
    units = world.counter.trading.account.position(world.counter.rules).quantity
    assert world.counter.rules.quantities.decimal(units) == position == world.observer.position
    assert abs(MONEY.decimal(money.realized) - realized) < Decimal("1e-6")
    assert MONEY.decimal(money.fees) == fees
    assert world.observer.max_abs_position == largest
    assert money.wallet == world.counter.start_balance + money.realized - money.fees + money.funding


def assert_the_engine_agrees(world):
    """What the engine believes of its account is what the exchange's books say."""
    ledger, rules = world.engine.account.ledger, world.counter.rules
    position = world.counter.trading.account.position(rules).quantity
    assert ledger.position * rules.step == position
    assert not world.counter.trading.live


def test_a_summary_has_the_keys_that_outside_checks_read(tape):
    summary = run(tape).summary
    assert summary.keys() >= KEYS
    assert summary["frames"] > 1_000
    assert summary["orders"] > 20
    assert summary["fills"] > 0
    assert summary["framesPerSecond"] > 0
    assert len(summary["decisionsSha256"]) == 64


def test_sums_agree_with_the_exchanges_ledger(tape):
    world = world_of(tape)
    assert_sums_agree(world)
    assert_the_engine_agrees(world)
    assert world.observer.total == 0, world.observer.shown
    assert world.zero_own_orders


def test_the_recorded_tape_is_quoted_without_a_violation_and_its_sums_agree():
    world = world_of(open_tape(recorded_tape(), "ETHUSDT"))
    assert_sums_agree(world)
    assert_the_engine_agrees(world)
    assert world.observer.total == 0, world.observer.shown
    assert world.loop.frames > 70_000


def test_the_same_input_gives_the_same_decisions_and_another_seed_changes_nothing_where_nothing_is_left_to_chance(tape):
    first, again, seeded = (run(tape, options=Options(seed=seed)).summary for seed in (0, 0, 5))
    assert first["decisionsSha256"] == again["decisionsSha256"] == seeded["decisionsSha256"]


def test_a_tape_in_memory_gives_the_decisions_of_the_file_as_often_as_it_is_played(tape):
    loaded = tape.in_memory()
    wanted = run(tape).summary["decisionsSha256"]
    assert [run(loaded).summary["decisionsSha256"] for _ in range(2)] == [wanted] * 2


def test_latency_costs_what_latency_costs(tape):
    """Acknowledgements come one way and back later; quotes that arrive late are refused more often or filled by those who know more."""
    near, far = (run(tape, options=Options(latency_ms=ms)) for ms in (0.0, 50.0))
    assert near.summary["decisionsSha256"] != far.summary["decisionsSha256"]
    assert set(near.recording.entry_latencies_ms) == {0.0}
    assert min(far.recording.entry_latencies_ms) == pytest.approx(100.0)
    assert 0.2 < far.summary["orders"] / near.summary["orders"] <= 1.05


def test_latencies_are_drawn_from_a_file_by_seed(tape, tmp_path):
    file = tmp_path / "latency.json"
    file.write_text('{"entryMs": [1, 2, 30], "answerMs": [1, 2, 30], "feedMs": [0.5, 20]}')
    shas = [run(tape, options=Options(latency_file=file, seed=seed)).summary["decisionsSha256"] for seed in (1, 1, 2)]
    assert shas[0] == shas[1] != shas[2]


def test_a_stretch_begins_with_the_book_as_it_stands_then(tape):
    whole, part = run(tape).summary, run(tape, options=Options(stretch=Stretch(10, 20))).summary
    assert part["orders"] > 5
    assert part["violations"] == 0
    assert part["frames"] < whole["frames"] / 2
    assert part["startMs"] == whole["startMs"] + 10_000


def test_a_stretch_of_a_tape_in_memory_is_the_stretch_of_the_file(tape):
    options = Options(stretch=Stretch(10, 20))
    in_memory, from_file = (run(one, options=options).summary["decisionsSha256"] for one in (tape.in_memory(), tape))
    assert in_memory == from_file


def test_a_stretch_beyond_the_tape_is_said_so(tape):
    with pytest.raises(BacktestError, match="nothing to play"):
        run(tape, options=Options(stretch=Stretch(4_000)))


def test_a_halted_spec_sends_no_order(tape):
    summary = run(tape, desiredState="Halted").summary
    assert (summary["orders"], summary["fills"], summary["violations"]) == (0, 0, 0)


def test_a_dry_run_sends_no_order_but_decides(tape):
    summary = run(tape, dryRun=True).summary
    assert (summary["orders"], summary["violations"]) == (0, 0)
    assert summary["decisions"] > 50


def test_without_the_dead_man_switch_none_is_armed(tape):
    world = world_of(tape, failover={"deadManSwitch": False})
    kinds = {entry.kind for entry in world.venue.ledger.read()}
    assert "order" in kinds
    assert "countdown" not in kinds
    assert world.observer.total == 0, world.observer.shown


def test_margin_type_and_leverage_are_set_before_the_first_order(tape):
    world = world_of(tape, exchange={"leverage": 7, "marginType": "Cross"})
    position = world.counter.trading.account.position(world.counter.rules)
    assert (position.leverage, position.isolated) == (7, False)
    kinds = [entry.kind for entry in world.venue.ledger.read()]
    assert kinds.index("config") < kinds.index("order")


def test_a_stop_loss_halts_and_no_order_leaves_from_then_on(tmp_path):
    falling = write_tape(tmp_path / "wild.gz", seconds=60, seed=3)
    world = world_of(
        open_tape(falling, "ETHUSDT"),
        risk={"stopLoss": "0.02", "maxDailyLoss": "50"},
        quoting={"baseSize": "0.05", "minSpreadBps": 4.0},
    )
    halts = [band for band in world.recorder.finish("", {}, world.loop.now_ns).risk_bands if band.state == "halted"]
    assert halts, "the stop loss was never reached: the test's market is too calm"
    late = [
        entry for entry in world.venue.ledger.read() if entry.kind == "order" and entry.time > halts[0].start_ms + 10
    ]
    assert not late
    assert world.observer.total == 0, world.observer.shown


def test_fills_come_from_the_market_and_never_before_the_queue_is_gone(tape):
    """Between two looks at an order that was filled as a maker, a trade at its price or better, or a touch through it, must have happened."""
    steps = list(tape.steps())
    world = world_of(tape)
    prices, checked = world.counter.rules.prices, 0
    for entry in world.venue.ledger.read():
        if entry.kind != "fill" or not entry.maker:
            continue
        checked += 1
        price, buys = prices.parse(entry.last_price), entry.side == "BUY"
        now = [event for at, event, _ in steps if at == entry.time_ns]
        reached = [
            event
            for event in now
            if (hasattr(event, "price") and (event.price <= price if buys else event.price >= price))
            or (hasattr(event, "ask") and (event.ask <= price if buys else event.bid >= price))
            or hasattr(event, "asks")
        ]
        assert reached, f"nothing reached {entry.last_price} at {entry.time_ns}"
    assert checked


def test_the_recording_tells_of_every_order_and_fill_with_its_markouts(tape):
    outcome = run(tape)
    recording, summary = outcome.recording, outcome.summary
    assert len(recording.fills) == summary["fills"]
    accepted = [one for one in recording.orders if one.end != "REJECTED"]
    assert len(accepted) == summary["orders"]
    assert all(one.acknowledged_ms is not None and one.end for one in accepted)
    assert all(one.queue_ahead is not None and one.queue_ahead >= 0 for one in accepted)
    early = [fill for fill in recording.fills if fill.time_ms < recording.samples[-1].time_ms - 31_000 + 30_000 - 1_000]
    assert all(fill.markouts[0] is not None for fill in early)
    assert sum(fill.commission for fill in recording.fills) == pytest.approx(summary["fees"])
    last = recording.samples[-1]
    assert last.equity == pytest.approx(last.gross_pnl - last.fees + last.funding)
    assert [band.state for band in recording.effective_bands][-1] == "Halted"  # told to stop at the tape's end


def test_other_symbols_and_plain_files_are_played_as_well(tmp_path):
    from mm_exchange.flow.synthetic import FlowParameters

    parameters = FlowParameters(price="0.6", volatility_bps=4.0, interval_ms=100)
    path = write_tape(tmp_path / "xrp.tape", seconds=10, symbol="XRPUSDT", parameters=parameters)
    summary = run(
        open_tape(path, "XRPUSDT"),
        symbol="XRPUSDT",
        quoting={"baseSize": "50", "minSpreadBps": 6.0},
        risk={"maxPosition": "1000"},
    ).summary
    assert summary["orders"] > 0
    assert summary["violations"] == 0
