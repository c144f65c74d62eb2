"""The rival's half of throughput_vs_nautilus.py: runs under the interpreter of benchmarks/rivals-venv, prints one JSON line per round.

    python nautilus_backtest.py TAPE   (then one line on standard input per round; end of input ends it)

The tape is turned into NautilusTrader's own objects once, outside every timing. A round is `BacktestEngine.run` over all of
them: its L2 book (Rust), matching engine, latency model, risk and execution engines, cache, message bus, and a Python strategy
that quotes two levels a side as the other side's engine does. Depth goes in as one `OrderBookDeltas` per message.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import nautilus_trader
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, QuoteTick, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    RecordFlag,
    TimeInForce,
)
from nautilus_trader.model.identifiers import TradeId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT = TestInstrumentProvider.ethusdt_perp_binance()
LATENCY_NS = 5_000_000
REFRESH_NS = 500_000_000
HALF_SPREAD_BPS, SPACING_BPS, TOLERANCE_BPS = 2.0, 3.0, 0.075
SIZE = Quantity(0.02, INSTRUMENT.size_precision)


def price(text: str) -> Price:
    return Price.from_str(text)


def levels(rows: list[list[str]], side: OrderSide, sequence: int, at: int) -> Iterator[OrderBookDelta]:
    for text, size in rows:
        quantity = Quantity.from_str(size)
        action = BookAction.UPDATE if float(size) else BookAction.DELETE
        yield OrderBookDelta(INSTRUMENT.id, action, BookOrder(side, price(text), quantity, 0), 0, sequence, at, at)


def book_message(message: dict[str, Any], at: int, *, snapshot: bool) -> OrderBookDeltas:
    """One depth message (or the snapshot) as one batch, its last delta flagged as such."""
    sequence = message["lastUpdateId"] if snapshot else message["u"]
    bids, asks = (message["bids"], message["asks"]) if snapshot else (message["b"], message["a"])
    deltas = [OrderBookDelta.clear(INSTRUMENT.id, sequence, at, at)] if snapshot else []
    deltas += [*levels(bids, OrderSide.BUY, sequence, at), *levels(asks, OrderSide.SELL, sequence, at)]
    last = deltas[-1]
    deltas[-1] = OrderBookDelta(INSTRUMENT.id, last.action, last.order, RecordFlag.F_LAST, sequence, at, at)
    return OrderBookDeltas(INSTRUMENT.id, deltas)


def load(tape: str) -> tuple[list[Any], int]:
    """The tape's events as NautilusTrader's objects, from its snapshot on, and how many level updates are in them."""
    events: list[Any] = []
    updates = 0
    synced = False
    with gzip.open(tape) as lines:
        for line in lines:
            received, _, text = line.partition(b" ")
            at, message = int(received), json.loads(text)
            if "lastUpdateId" in message:
                events.append(book_message(message, at, snapshot=True))
                synced = True
                continue
            body = message.get("data", message)
            if not synced:
                continue
            match body["e"]:
                case "depthUpdate" if body["b"] or body["a"]:
                    events.append(book_message(body, at, snapshot=False))
                    updates += len(body["b"]) + len(body["a"])
                case "bookTicker":
                    sizes = Quantity.from_str(body["B"]), Quantity.from_str(body["A"])
                    events.append(QuoteTick(INSTRUMENT.id, price(body["b"]), price(body["a"]), *sizes, at, at))
                case "trade" if body["X"] == "MARKET":
                    taker = AggressorSide.SELLER if body["m"] else AggressorSide.BUYER
                    identity = TradeId(str(body["t"]))
                    events.append(
                        TradeTick(
                            INSTRUMENT.id, price(body["p"]), Quantity.from_str(body["q"]), taker, identity, at, at
                        )
                    )
    return events, updates


class Quoter(Strategy):
    """Two post-only levels a side around the mid, looked at every half second; moved quotes are cancelled and sent anew."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(strategy_id="MM"))
        self.frames = self.sent = self.fills = 0
        self._due = 0
        self._resting: dict[tuple[OrderSide, int], Any] = {}

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(INSTRUMENT.id, book_type=BookType.L2_MBP)
        self.subscribe_quote_ticks(INSTRUMENT.id)
        self.subscribe_trade_ticks(INSTRUMENT.id)

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
        self.frames += 1
        if deltas.ts_event >= self._due:
            self._due = deltas.ts_event + REFRESH_NS
            self._requote()

    def on_quote_tick(self, _tick: QuoteTick) -> None:
        self.frames += 1

    def on_trade_tick(self, _tick: TradeTick) -> None:
        self.frames += 1

    def on_order_filled(self, _event: Any) -> None:
        self.fills += 1

    def _requote(self) -> None:
        book = self.cache.order_book(INSTRUMENT.id)
        bid, ask = book.best_bid_price(), book.best_ask_price()
        if bid is None or ask is None:
            return
        middle = (float(bid) + float(ask)) / 2
        for level in range(2):
            away = (HALF_SPREAD_BPS + SPACING_BPS * level) * middle / 1e4
            self._keep(OrderSide.BUY, level, middle - away, middle)
            self._keep(OrderSide.SELL, level, middle + away, middle)

    def _keep(self, side: OrderSide, level: int, wanted: float, middle: float) -> None:
        order = self._resting.get((side, level))
        if order is not None and order.is_open:
            if abs(float(order.price) - wanted) <= TOLERANCE_BPS * middle / 1e4:
                return
            self.cancel_order(order)
        elif order is not None and order.is_inflight:
            return
        fresh = self.order_factory.limit(
            INSTRUMENT.id, side, SIZE, INSTRUMENT.make_price(wanted), time_in_force=TimeInForce.GTC, post_only=True
        )
        self._resting[side, level] = fresh
        self.sent += 1
        self.submit_order(fresh)


def round_of(events: list[Any]) -> dict[str, Any]:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("BINANCE"), OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USDT)], book_type=BookType.L2_MBP,
        latency_model=LatencyModel(base_latency_nanos=LATENCY_NS), trade_execution=True,
    )  # fmt: skip
    engine.add_instrument(INSTRUMENT)
    engine.add_data(events)
    strategy = Quoter()
    engine.add_strategy(strategy)
    cpu, wall = time.process_time(), time.perf_counter()
    engine.run()
    spent = {"cpuSeconds": time.process_time() - cpu, "wallSeconds": time.perf_counter() - wall}
    engine.dispose()
    return {**spent, "frames": strategy.frames, "orders": strategy.sent, "fills": strategy.fills}


def main() -> None:
    cpu = time.process_time()
    events, updates = load(sys.argv[1])
    loaded = {"version": nautilus_trader.__version__, "events": len(events), "updates": updates}
    print(json.dumps({**loaded, "loadCpuSeconds": time.process_time() - cpu}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(round_of(events)), flush=True)


if __name__ == "__main__":
    main()
