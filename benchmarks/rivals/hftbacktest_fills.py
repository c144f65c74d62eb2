"""The rival's half of fills_vs_hftbacktest.py: runs under the interpreter of benchmarks/rivals-venv, prints one JSON line.

    python hftbacktest_fills.py TAPE '[{"name": …, "source": "depth", …}, …]'

For each scenario: every fill as [exchange ns, side, price tick, quantity lots, order number], orders sent, and when the
first decision was made. `offset_ns` is what the library's converter added to the recorder's clock so that no feed latency
is negative.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import sys
from typing import Any

import numpy as np
from hftbacktest import (
    ALL_ASSETS,
    EXCH_EVENT,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.data.utils.binancefutures import convert
from numba import njit

# Order.status and Order.req of hftbacktest.order.
PENDING, NEW, PARTIALLY_FILLED = 0, 1, 5
CANCEL = 4
MAX_ORDERS = 200_000
MAX_FILLS = 100_000


@njit
def note_fills(hbt: Any, leaves: Any, fills: Any, count: int, lot: float) -> int:
    """Append what filled since the last look: [ns, side, tick, lots, order].

    Quantities are half a lot short of what they stand for (see `backtest`), hence the ceilings.
    """
    values = hbt.orders(0).values()
    while values.has_next():
        order = values.get()
        left = order.leaves_qty
        if left < leaves[order.order_id] - 1e-9:
            fills[count, 0] = order.exch_timestamp
            fills[count, 1] = order.side
            fills[count, 2] = order.price_tick
            fills[count, 3] = math.ceil(leaves[order.order_id] / lot - 1e-9) - math.ceil(left / lot - 1e-9)
            fills[count, 4] = order.order_id
            leaves[order.order_id] = left
            count += 1
    return count


@njit
def decide(hbt: Any, leaves: Any, order_id: int, offset: int, quantity: float) -> int:
    """One decision: one post-only order a side, `offset` ticks behind the touch; a changed price means cancel and send."""
    hbt.clear_inactive_orders(ALL_ASSETS)
    depth = hbt.depth(0)
    bid, ask = depth.best_bid_tick - offset, depth.best_ask_tick + offset
    has_bid, has_ask = False, False
    values = hbt.orders(0).values()
    while values.has_next():
        order = values.get()
        if order.status not in (PENDING, NEW, PARTIALLY_FILLED):
            continue
        if order.req == CANCEL:
            continue
        wanted = bid if order.side == 1 else ask
        if order.price_tick == wanted:
            if order.side == 1:
                has_bid = True
            else:
                has_ask = True
        elif order.cancellable:
            hbt.cancel(0, order.order_id, False)
    if not has_bid:
        order_id += 1
        leaves[order_id] = quantity
        hbt.submit_buy_order(0, order_id, bid * depth.tick_size, quantity, GTX, LIMIT, False)
    if not has_ask:
        order_id += 1
        leaves[order_id] = quantity
        hbt.submit_sell_order(0, order_id, ask * depth.tick_size, quantity, GTX, LIMIT, False)
    return order_id


@njit
def quote(hbt: Any, leaves: Any, fills: Any, warmup: int, interval: int, offset: int, quantity: float) -> Any:  # noqa: PLR0913, PLR0917
    """Run to the end of the feed; (fills, orders, decisions, first decision ns)."""
    count, order_id, decisions = 0, 0, 0
    if hbt.elapse(warmup) != 0:
        return count, order_id, decisions, 0
    start = hbt.current_timestamp
    due = start
    while True:
        if hbt.current_timestamp >= due:
            order_id = decide(hbt, leaves, order_id, offset, quantity)
            decisions += 1
            due += interval
        # 0: time is up, 1: end of the feed, 2: feed, 3: an answer to an order; others are errors
        code = hbt.wait_next_feed(True, due - hbt.current_timestamp)
        count = note_fills(hbt, leaves, fills, count, hbt.depth(0).lot_size)
        if code not in (0, 2, 3):
            if code != 1:
                start = -code
            return count, order_id, decisions, start


def backtest(events: Any, scenario: dict[str, Any], *, tick: float, lot: float) -> dict[str, Any]:
    asset = (
        BacktestAsset().data([events]).linear_asset(1.0).trading_value_fee_model(0.0, 0.0).tick_size(tick).lot_size(lot)
        .constant_order_latency(scenario["entry_ns"], scenario["answer_ns"]).partial_fill_exchange()
    )  # fmt: skip
    conservative = scenario["queue"] == "conservative"
    asset = asset.risk_adverse_queue_model() if conservative else asset.power_prob_queue_model(scenario["power"])
    hbt = HashMapMarketDepthBacktest([asset])
    # Version 2.4.4 forgets to take an order off its book when a trade fills exactly what is left of it, and fails with
    # InvalidOrderStatus (14) at its next fill. Half a lot less fills at the same trades in whole lots, but never exactly.
    quantity = (scenario["lots"] - 0.4999) * lot
    leaves, fills = np.zeros(MAX_ORDERS), np.zeros((MAX_FILLS, 5), np.int64)
    count, orders, decisions, start = quote(
        hbt, leaves, fills, scenario["warmup_ns"], scenario["interval_ns"], scenario["offset"], quantity,
    )  # fmt: skip
    hbt.close()
    if start < 0:
        sys.exit(f"hftbacktest ended with error {-start} in {scenario['name']}")
    return {"fills": sorted(fills[:count].tolist()), "orders": orders, "decisions": decisions, "start_ns": int(start)}


def first_receipt(tape: str) -> int:
    """Receive time of the first row that the converter takes."""
    with gzip.open(tape) as lines:
        return int(next(lines).partition(b" ")[0])


def main() -> None:
    tape, scenarios = sys.argv[1], json.loads(sys.argv[2])
    with contextlib.redirect_stdout(sys.stderr):
        events = convert(tape, buffer_size=5_000_000)
        local = events[(events["ev"] & LOCAL_EVENT) != 0]
        answer: dict[str, Any] = {
            "rows": len(events),
            "offset_ns": int(local["local_ts"][0]) - first_receipt(tape),
            "last_exchange_ns": int(events["exch_ts"][(events["ev"] & EXCH_EVENT) != 0][-1]),
        }
        for scenario in scenarios:
            tick, lot = scenario["tick"], scenario["lot"]
            answer[scenario["name"]] = backtest(events, scenario, tick=tick, lot=lot)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
