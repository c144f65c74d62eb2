"""The fast way into the venue is the wire's way: same answers, same ledger, same decisions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import orjson
import pytest

from mm_backtest.counter import Counter
from mm_backtest.decisions import DecisionLog
from mm_backtest.order_entry import DirectEntry, WireEntry
from mm_backtest.own_events import order_report
from mm_backtest.run import Options
from mm_backtest.world import World
from mm_exchange.market import Snapshot
from mm_exchange.rules import rules_for
from mm_exchange.user_events import OrderUpdate
from mm_exchange.venue import Venue
from mm_runner.core import messages as m
from mm_runner.venue import answers, routes
from mm_runner.venue.wire import UserDecoder
from support.backtests import maker

NOW = 1_723_161_255_000_000_000


class Desk:
    """A venue with a book around 2680, entered one of the two ways."""

    def __init__(self, way):
        self.venue = Venue()
        self.counter = Counter(self.venue, rules_for("ETHUSDT"), balance=Decimal(10_000), now_ns=NOW, seed=0)
        body = self.counter.need(routes.EXCHANGE_INFO, now_ns=NOW)
        self.instrument = answers.read_rules(body, "ETHUSDT").instrument
        bids = [(268_000 - n, 5_000) for n in range(20)]
        asks = [(268_001 + n, 5_000) for n in range(20)]
        self.venue.on_market(Snapshot("ETHUSDT", NOW // 10**6, 1, bids, asks), NOW)
        self.entry = way(self.counter, self.instrument)

    def place(self, cid, side="BUY", price=267_900, lots=20, *, late_ms=0, **changes):
        order = {
            "client_order_id": cid, "side": m.Side(side), "type": m.OrderType.LIMIT, "time_in_force": m.TimeInForce.GTX, "price": price,
            "quantity": lots, "reduce_only": False, "send_deadline_boot_ns": 1, "recv_window_ms": 2000,
        } | changes  # fmt: skip
        return self.entry.place(m.PlaceOrder(**order), signed_ns=NOW, now_ns=NOW + late_ms * 10**6)

    def cancel(self, *cids, order_id=0):
        cancels = [m.CancelOrder(client_order_id=cid, order_id=order_id, recv_window_ms=2000) for cid in cids]
        return self.entry.cancel(cancels, signed_ns=NOW, now_ns=NOW)

    @property
    def ledger(self):
        return list(self.venue.ledger.read())


def _everything(desk: Desk) -> list[object]:
    """Every kind of answer that an engine can get."""
    ioc = {"time_in_force": m.TimeInForce.IOC}
    market = {"type": m.OrderType.MARKET, "time_in_force": None, "price": 0}
    first = desk.place("mm-1")
    said = [
        first,
        desk.place("mm-2", "SELL", 268_100),
        desk.place("mm-1"),  # -4116: the id rests already
        desk.place("mm-3", price=268_050),  # -5022: post-only would take
        desk.place("mm-4", price=268_050, **ioc),  # takes
        desk.place("mm-5", "SELL", 267_990, **ioc, reduce_only=True),  # reduces
        desk.place("mm-6", "SELL", reduce_only=True, **market),  # -2022: nothing to reduce
        desk.place("mm-7", lots=1),  # -4164: below the minimum notional
        desk.place("mm-8", price=1),  # far below the percent price
        desk.place("mm-9", price=500_000),  # -4016
        desk.place("mm-a", lots=10**12),  # -4005
        desk.place("mm-b", lots=4_000),  # -2019
        desk.place("mm-c", price=0),
        desk.place("mm-d", late_ms=2_500),  # -1021
        desk.place("mm-e", "BUY", lots=20, **market),
    ]
    said += desk.cancel("mm-1", order_id=first.order_id)
    said += desk.cancel("mm-2")
    said += desk.cancel("mm-2")  # -2011
    desk.place("mm-f")
    said += desk.cancel("mm-f", "mm-never", "mm-2")
    return said


def test_both_ways_give_the_same_answers_and_the_same_ledger():
    direct, wire = Desk(DirectEntry), Desk(WireEntry)
    assert _everything(direct) == _everything(wire)
    assert direct.ledger == wire.ledger
    kinds = {type(one).__name__ for one in _everything(Desk(DirectEntry))}
    assert kinds == {"OrderAccepted", "OrderRefused", "CancelAccepted", "CancelRefused"}


def test_both_ways_count_orders_against_the_venues_limits():
    direct, wire = Desk(DirectEntry), Desk(WireEntry)
    codes = []
    for desk in (direct, wire):
        outcomes = [desk.place(f"mm-{number}", price=267_000 - number) for number in range(301)]
        codes.append([getattr(one, "code", 0) for one in outcomes])
    assert codes[0] == codes[1]
    assert codes[0][-1] != 0


@pytest.mark.parametrize("latency_ms", [0.0, 20.0])
def test_a_whole_run_the_long_way_decides_the_same(tape, latency_ms):
    shas, ledgers = [], []
    for wire in (False, True):
        conditions = replace(Options(latency_ms=latency_ms).conditions(), wire=wire)
        world = World(maker().spec, tape.rules, conditions, decisions=DecisionLog(None), start_ns=tape.start_ns)
        world.run(tape.steps())
        shas.append(world.decisions.sha256())
        ledgers.append(list(world.venue.ledger.read()))
    assert shas[0] == shas[1]
    assert ledgers[0] == ledgers[1]


def test_an_own_event_is_what_the_live_decoder_would_read():
    desk = Desk(DirectEntry)
    _everything(desk)
    decoder = UserDecoder(lambda: desk.instrument)
    seen = set()
    for event in desk.venue.drain():
        if isinstance(event, OrderUpdate):
            direct, decoded = order_report(event), decoder.decode(orjson.dumps(event.payload))
            assert msgspec.to_builtins(direct, str_keys=True) == msgspec.to_builtins(decoded, str_keys=True)
            seen.add(direct.execution_type)
    assert seen >= {"NEW", "TRADE", "CANCELED"}
