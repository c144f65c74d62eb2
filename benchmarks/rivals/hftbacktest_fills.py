"""The rival's half of fills_vs_hftbacktest.py: runs under the interpreter of benchmarks/rivals-venv, prints one JSON line.

    python hftbacktest_fills.py TAPE '[{"name": …, "source": "depth", …}, …]'

For each scenario: every fill as [exchange ns, side, price tick, quantity lots, order number], orders sent, when the first
decision was made, and `offset_ns`, what the library's converter added to the recorder's clock so that no feed latency is
negative.
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
    BUY_EVENT,
    DEPTH_BBO_EVENT,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.data import FuseMarketDepth
from hftbacktest.data.utils.binancefutures import convert
from hftbacktest.data.validation import correct_event_order
from numba import njit

# Order.status and Order.req of hftbacktest.order.
PENDING, NEW, PARTIALLY_FILLED = 0, 1, 5
CANCEL = 4
_BEST_BID, _BEST_ASK = 103, 104  # the converter's own numbers for bookTicker
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


@njit
def fuse(rows: Any, tick: float, lot: float) -> Any:
    """The library's own way of using a bookTicker: depth and best prices as one depth stream, the newer wins."""
    depth = FuseMarketDepth(tick, lot)
    for index in range(len(rows)):
        depth.process_event(rows, index, True)
    events = depth.fused_events.copy()
    depth.close()
    return events


def with_touches(tape: str, *, tick: float, lot: float) -> Any:
    """The tape with bookTicker fused into its depth, in the library's format."""
    converted = convert(tape, opt="t", buffer_size=5_000_000)
    # Every row once, in the order of the tape; `ival` carries that order through the fusing.
    rows = converted[(converted["ev"] & LOCAL_EVENT) != 0].copy()
    kind, sides = rows["ev"] & 0xFF, np.uint64(BUY_EVENT | SELL_EVENT)
    plain = kind | (rows["ev"] & sides)
    plain[kind == _BEST_BID] = DEPTH_BBO_EVENT | BUY_EVENT
    plain[kind == _BEST_ASK] = DEPTH_BBO_EVENT | SELL_EVENT
    rows["ev"], rows["ival"] = plain, np.arange(1, len(rows) + 1)
    trades = rows[kind == TRADE_EVENT]
    depth = fuse(rows[kind != TRADE_EVENT], tick, lot)
    # Deletions that the fusing adds carry no number: they belong to the row before.
    depth["ival"] = np.maximum.accumulate(depth["ival"])
    both = np.concatenate((depth, trades))
    by_exchange, by_local = (np.lexsort((both["ival"], both[name])) for name in ("exch_ts", "local_ts"))
    both["ival"] = 0
    return correct_event_order(both, by_exchange, by_local)


def first_receipt(tape: str) -> int:
    """Receive time of the first row that the converter takes."""
    with gzip.open(tape) as lines:
        return int(next(lines).partition(b" ")[0])


def main() -> None:
    tape, scenarios = sys.argv[1], json.loads(sys.argv[2])
    with contextlib.redirect_stdout(sys.stderr):
        events, fused = convert(tape, buffer_size=5_000_000), None
        answer: dict[str, Any] = {}
        for scenario in scenarios:
            tick, lot = scenario["tick"], scenario["lot"]
            if scenario["touches"] and fused is None:
                fused = with_touches(tape, tick=tick, lot=lot)
            feed = fused if scenario["touches"] else events
            local = feed["local_ts"][(feed["ev"] & LOCAL_EVENT) != 0]
            offset = {"offset_ns": int(local[0]) - first_receipt(tape)}
            answer[scenario["name"]] = offset | backtest(feed, scenario, tick=tick, lot=lot)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
