"""The ledger against brute force, and which position is believed."""

from __future__ import annotations

from decimal import Decimal

from core_world import INSTRUMENT
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.ledger import Execution, Ledger, average_entry
from mm_runner.core.messages import Side

SECOND = 1_000_000_000
DAY_MS = 86_400_000


def make_ledger(position: int = 0, entry: str = "0") -> Ledger:
    ledger = Ledger(INSTRUMENT, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"))
    ledger.settle(position, Decimal(entry), now_ns=0)
    return ledger


def execution(
    trade_id: int, side: Side = Side.BUY, price: int = 268_000, lots: int = 10, **changes: object
) -> Execution:
    values: dict = {
        "trade_id": trade_id, "side": side, "price": price, "lots": lots, "commission": Decimal("0.01"), "commission_asset": "USDT",
        "realized_pnl": Decimal("0.5"), "maker": True, "time_ms": 1_790_000_000_000,
    }  # fmt: skip
    return Execution(**(values | changes))


fills = st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 50), st.integers(200_000, 300_000)), max_size=25)


@given(fills, st.integers(200_000, 300_000))
def test_money_agrees_with_cash_and_inventory_counted_by_hand(trades, mark):
    """Realised by average cost + unrealised = cash from all trades + what the inventory is worth."""
    position, entry, realized, cash = 0, Decimal(0), Decimal(0), Decimal(0)
    ledger = make_ledger()
    for side, lots, price in trades:
        money = INSTRUMENT.price(price)
        signed = side.sign * lots
        if position and (position > 0) != (signed > 0):
            closed = min(abs(position), lots)
            realized += INSTRUMENT.quantity(closed) * (money - entry) * (1 if position > 0 else -1)
        entry = average_entry(entry, position, signed, price=money)
        position += signed
        cash -= INSTRUMENT.quantity(signed) * money
        ledger.on_filled(side, lots, price=price, time_ms=1, now_ns=1)
    worth = cash + INSTRUMENT.quantity(position) * INSTRUMENT.price(mark)
    assert ledger.position == position
    assert abs(realized + ledger.unrealized(INSTRUMENT.price(mark)) - worth) < Decimal("1e-12")


@given(st.lists(st.integers(1, 10), max_size=30))
def test_each_trade_counts_once_however_often_it_is_told(ids):
    ledger = make_ledger()
    for trade_id in ids:
        ledger.on_trade(execution(trade_id))
    distinct = len(set(ids))
    assert (ledger.fills, ledger.realized, ledger.fees) == (
        distinct,
        distinct * Decimal("0.5"),
        distinct * Decimal("0.01"),
    )


def test_trades_before_the_start_count_for_the_volume_of_the_day_only():
    ledger = make_ledger()
    ledger.since_ms = 1_790_000_000_000
    ledger.on_trade(execution(1, time_ms=1_790_000_000_000 - 1))
    assert (ledger.fills, ledger.fees, ledger.volume_of(1_790_000_000_000)) == (0, 0, Decimal("26.80000"))


def test_the_volume_starts_anew_each_utc_day():
    ledger = make_ledger()
    ledger.on_trade(execution(1))
    assert ledger.volume_of(1_790_000_000_000) == Decimal("26.8")
    assert ledger.volume_of(1_790_000_000_000 + DAY_MS) == 0
    ledger.on_trade(execution(2, time_ms=1_790_000_000_000 + DAY_MS))
    ledger.on_trade(execution(3))  # yesterday's, late
    assert ledger.volume_of(1_790_000_000_000 + DAY_MS) == Decimal("26.8")


def test_a_commission_in_another_asset_is_estimated_from_the_fee_rate():
    ledger = make_ledger()
    ledger.on_trade(execution(1, commission=Decimal("0.0000001"), commission_asset="BNB"))
    assert ledger.fees == Decimal("26.8") * Decimal("0.0002")


# -- which position ----------------------------------------------------------------------------------------------------


def test_between_the_two_reports_of_a_fill_the_worse_end_counts():
    order_first, account_first = make_ledger(), make_ledger()
    order_first.on_filled(Side.BUY, 10, price=268_000, time_ms=5, now_ns=5)
    account_first.on_venue_position(10, Decimal(2680), time_ms=5, now_ns=5)
    for ledger in (order_first, account_first):
        assert (ledger.low, ledger.high, ledger.reducible(Side.SELL)) == (0, 10, 0)
        assert ledger.apart_since_ns == 5
    order_first.on_venue_position(10, Decimal(2680), time_ms=5, now_ns=6)
    account_first.on_filled(Side.BUY, 10, price=268_000, time_ms=5, now_ns=6)
    for ledger in (order_first, account_first):
        assert (ledger.low, ledger.high, ledger.reducible(Side.SELL)) == (10, 10, 10)
        assert ledger.apart_since_ns is None


def test_an_account_event_older_than_the_newest_fill_is_passed_over():
    ledger = make_ledger()
    ledger.on_filled(Side.BUY, 10, price=268_000, time_ms=50, now_ns=5)
    ledger.on_venue_position(10, None, time_ms=50, now_ns=6)
    ledger.on_venue_position(0, None, time_ms=40, now_ns=7)
    assert (ledger.low, ledger.high) == (10, 10)


def test_a_rest_position_older_than_the_newest_user_event_is_discarded():
    ledger = make_ledger()
    ledger.on_filled(Side.BUY, 10, price=268_000, time_ms=50, now_ns=5 * SECOND)
    assert not ledger.snapshot_is_current(sent_ns=6 * SECOND, update_ms=49)
    assert ledger.snapshot_is_current(sent_ns=6 * SECOND, update_ms=50)
    assert not ledger.snapshot_is_current(sent_ns=4 * SECOND, update_ms=50)  # the fill came while it was on its way
    assert ledger.snapshot_is_current(sent_ns=4 * SECOND, update_ms=51)
    assert ledger.snapshot_is_current(sent_ns=6 * SECOND, update_ms=0)  # flat: the venue lists no position at all


def test_settling_tells_by_how_much_it_was_wrong():
    ledger = make_ledger(position=5, entry="2680")
    assert ledger.settle(12, Decimal(2681), now_ns=1) == 7
    assert (ledger.position, ledger.entry) == (12, Decimal(2681))


def test_equity_does_not_jump_while_a_fill_is_told_only_half():
    ledger = make_ledger(position=100, entry="2700")
    ledger.wallet = Decimal(1000)
    assert ledger.hold_equity(Decimal(2680)) == Decimal(998)
    assert ledger.equity(Decimal(2600)) == Decimal(990), "whoever only reads changes nothing that is held"
    ledger.on_filled(Side.SELL, 100, price=268_000, time_ms=5, now_ns=5)
    assert ledger.equity(Decimal(2680)) == Decimal(998)  # not 1000: the realised loss is on its way
    ledger.wallet = Decimal(998)
    ledger.on_venue_position(0, Decimal(0), time_ms=5, now_ns=6)
    assert ledger.equity(Decimal(2680)) == Decimal(998)
