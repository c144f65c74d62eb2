"""Fills on a recorded tape: our exchange's core against hftbacktest, order by order.

Both get the same tape, the same constant latencies, the same queue model and the same decisions: one post-only order a side,
N ticks behind the touch, looked at every so many milliseconds, cancelled and sent anew when the wanted price is another one.
What differs is only whose exchange answers. Each side reads the tape by itself: we by `mm_exchange.flow.tape`, hftbacktest by its
own converter, so that an error in reading shows as well.

    .venv/bin/python benchmarks/fills_vs_hftbacktest.py [--tape FILE] [--show N]

The rival is installed by benchmarks/rivals-venv on first use. Exits 1 where a scenario agrees less than `AGREEMENT` or `BY_QUANTITY`.
What agreement means and what remains is in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import heapq
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mm_exchange.errors import VenueError
from mm_exchange.flow.tape import TapePlayer, scan
from mm_exchange.market import Market, MarketEvent, Snapshot, Touch, Trade
from mm_exchange.matching import MatchingModel
from mm_exchange.orders import OrderRequest, OrderType, Side, TimeInForce
from mm_exchange.queue_models import queue_model
from mm_exchange.rules import SymbolRules
from mm_exchange.trading import OrderName
from mm_exchange.user_events import OrderUpdate
from mm_exchange.venue import Venue

HERE = Path(__file__).resolve().parent
# Of the fills under the conservative model, which both sides have in integers; of the quantity under the others.
AGREEMENT, BY_QUANTITY = 0.99, 0.95
TOLERANCE_NS = 10_000_000
# hftbacktest handles what is due at one instant in this order.
LOCAL_FEED, ANSWER, EXCHANGE_FEED, REQUEST, DECISION = range(5)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One comparison. `touches`: exchange and strategy also see the tape's bookTicker, as when we serve."""

    name: str
    queue: str
    interval_ms: int
    offset: int
    lots: int = 20
    latency_ms: float = 2.0
    touches: bool = False

    def for_rival(self, rules: SymbolRules) -> dict[str, Any]:
        model, _, power = self.queue.partition(":")
        return {
            "name": self.name, "queue": model, "power": float(power or 0), "lots": self.lots, "offset": self.offset,
            "tick": rules.tick / 10**rules.price_decimals, "lot": rules.step / 10**rules.quantity_decimals,
            "entry_ns": int(self.latency_ms * 1e6), "answer_ns": int(self.latency_ms * 1e6),
            "warmup_ns": 5_000_000_000, "interval_ns": self.interval_ms * 1_000_000, "touches": self.touches,
        }  # fmt: skip


SCENARIOS = (
    Scenario("at the touch, 100 ms", "conservative", 100, 0),
    Scenario("at the touch, 1 s", "conservative", 1000, 0),
    Scenario("3 ticks behind, 100 ms", "conservative", 100, 3),
    Scenario("20 ticks behind, 1 s", "conservative", 1000, 20),
    Scenario("at the touch, 100 ms, 50 ms latency", "conservative", 100, 0, latency_ms=50.0),
    Scenario("1 ETH at the touch, 100 ms", "conservative", 100, 0, lots=1000),
    Scenario("power:3 at the touch, 100 ms", "power:3", 100, 0),
    Scenario("power:3, 1 ETH at the touch, 1 s", "power:3", 1000, 0, lots=1000),
    Scenario("bookTicker too, touch, 100 ms", "conservative", 100, 0, touches=True),
    Scenario("bookTicker too, touch, 1 s", "conservative", 1000, 0, touches=True),
    Scenario("bookTicker too, 3 ticks, 100 ms", "conservative", 100, 3, touches=True),
)


@dataclasses.dataclass(frozen=True, order=True)
class Fill:
    """One fill; `order` counts the orders sent, so that both sides can be told apart by decision."""

    ns: int
    side: int
    price: int
    lots: int
    order: int


@dataclasses.dataclass(frozen=True)
class Feed:
    """The tape as the exchange saw it (transaction time) and as the strategy did (receive time, shifted like the rival's)."""

    rules: SymbolRules
    at_exchange: list[tuple[int, MarketEvent]]
    at_strategy: list[tuple[int, MarketEvent]]


def read_feed(tape: Path, offset_ns: int) -> Feed:
    """Every usable event of the tape. `offset_ns` is what the rival adds to the recorder's clock."""
    scanned = scan(tape)
    with gzip.open(tape) as lines:
        start_ns = int(next(islice(lines, max(0, scanned.preroll_lines - 1), None)).partition(b" ")[0])
    # Placed so that the player hands out the venue's own times; half a millisecond keeps truncation from losing one.
    epoch_ms = scanned.skew_ms + start_ns / 1e6 + 0.5
    events = list(TapePlayer([scanned]).play(scanned, epoch_ms))
    (_, snapshot), *rest = events
    at_exchange = [(_exchange_ns(rest[0][1]), snapshot), *((_exchange_ns(event), event) for _, event in rest)]
    at_strategy = [(start_ns + due + offset_ns, event) for due, event in events]
    # Stable: what happened in one millisecond keeps the tape's order, as the rival's merge sort does.
    return Feed(scanned.rules[snapshot.symbol], sorted(at_exchange, key=lambda one: one[0]), at_strategy)


def _exchange_ns(event: MarketEvent) -> int:
    return (event.event_ms if isinstance(event, Snapshot) else event.transaction_ms) * 1_000_000


@dataclasses.dataclass
class Own:
    """What the strategy knows of one of its orders."""

    number: int
    buy: bool
    price: int
    acknowledged: bool = False
    cancelling: bool = False
    gone: bool = False


class Simulation:
    """Our venue, a constant latency, and the strategy, on one clock."""

    def __init__(self, feed: Feed, scenario: Scenario, start_ns: int) -> None:
        self._feed, self._scenario = feed, scenario
        self._latency_ns = int(scenario.latency_ms * 1e6)
        self._venue = Venue(matching=MatchingModel(queue=queue_model(scenario.queue), late_trades=False))
        self._venue.add_symbol(feed.rules)
        self._venue.add_account("key", "secret", balances={"USDT": 10**18}, now_ns=0)
        self._trading = self._venue.trading["key"]
        self._view = Market(feed.rules)
        self._orders: dict[int, Own] = {}
        self._queue: list[tuple[int, int, int, Any]] = []
        self._pushed = 0
        self._start_ns, self._sent = start_ns, 0
        self.fills: list[Fill] = []

    def run(self) -> list[Fill]:
        """Play the tape to its end."""
        self._push(self._start_ns, DECISION, None)
        for now_ns, kind, payload in self._steps():
            if kind == LOCAL_FEED:
                self._view.apply(payload)
            elif kind == EXCHANGE_FEED:
                self._venue.on_market(payload, now_ns)
                self._collect(now_ns)
            elif kind == REQUEST:
                self._request(now_ns, *payload)
            elif kind == ANSWER:
                self._answer(*payload)
            else:
                self._decide(now_ns)
        return self.fills

    def _steps(self) -> Iterator[tuple[int, int, Any]]:
        """Everything in order: both views of the tape merged with what the run itself brings about."""
        touches = self._scenario.touches
        feeds = heapq.merge(
            (
                (at, LOCAL_FEED, n, event)
                for n, (at, event) in enumerate(self._feed.at_strategy)
                if touches or not isinstance(event, Touch)
            ),
            (
                (at, EXCHANGE_FEED, n, event)
                for n, (at, event) in enumerate(self._feed.at_exchange)
                if touches or not isinstance(event, Touch)
            ),
            key=lambda one: one[:3],
        )
        last_ns = max(self._feed.at_exchange[-1][0], self._feed.at_strategy[-1][0])
        for at, kind, number, event in feeds:
            while self._queue and self._queue[0][:2] < (at, kind):
                due, what, _, payload = heapq.heappop(self._queue)
                yield due, what, payload
            del number
            yield at, kind, event
            if at >= last_ns:
                return

    def _push(self, at: int, kind: int, payload: Any) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (at, kind, self._pushed, payload))

    # -- the strategy ------------------------------------------------------------------------------------------

    def _decide(self, now_ns: int) -> None:
        self._push(now_ns + self._scenario.interval_ms * 1_000_000, DECISION, None)
        bid, ask = self._view.best_bid(), self._view.best_ask()
        if bid is None or ask is None:
            return
        wanted = {True: bid[0] - self._scenario.offset, False: ask[0] + self._scenario.offset}
        quoted = set()
        self._orders = {number: own for number, own in self._orders.items() if not own.gone}
        for own in self._orders.values():
            if own.cancelling:
                continue
            if own.price == wanted[own.buy]:
                quoted.add(own.buy)
            elif own.acknowledged:
                own.cancelling = True
                self._push(now_ns + self._latency_ns, REQUEST, ("cancel", own))
        for buy in (True, False):
            if buy not in quoted:
                self._sent += 1
                own = self._orders[self._sent] = Own(self._sent, buy, wanted[buy])
                self._push(now_ns + self._latency_ns, REQUEST, ("place", own))

    def _answer(self, what: str, own: Own) -> None:
        own.acknowledged = own.acknowledged or what == "accepted"
        own.gone = own.gone or what == "gone"
        if what == "cancel refused":
            own.cancelling = False

    # -- the exchange ------------------------------------------------------------------------------------------

    def _request(self, now_ns: int, what: str, own: Own) -> None:
        symbol, answer = self._feed.rules.symbol, "accepted" if what == "place" else "gone"
        try:
            if what == "place":
                side = Side.BUY if own.buy else Side.SELL
                request = OrderRequest(
                    symbol, side, OrderType.LIMIT, TimeInForce.GTX, self._scenario.lots, price=own.price,
                    client_order_id=str(own.number),
                )  # fmt: skip
                self._venue.place(self._trading, request, now_ns=now_ns)
            else:
                self._venue.cancel(
                    self._trading, symbol, name=OrderName(client_order_id=str(own.number)), by="client", now_ns=now_ns
                )
        except VenueError as error:
            # -5022: would take. -2011: gone already, its fill is on the way.
            if error.code not in (-5022, -2011):
                raise
            answer = "gone" if what == "place" else "cancel refused"
        self._push(now_ns + self._latency_ns, ANSWER, (answer, own))
        self._collect(now_ns)

    def _collect(self, now_ns: int) -> None:
        for event in self._venue.drain():
            if isinstance(event, OrderUpdate) and event.fill is not None:
                order, number = event.order, int(event.order.client_order_id)
                side = 1 if order.is_buy else -1
                self.fills.append(Fill(now_ns, side, event.fill.price, event.fill.quantity, number))
                if event.filled >= event.quantity and number in self._orders:
                    self._push(now_ns + self._latency_ns, ANSWER, ("gone", self._orders[number]))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How far two lists of fills agree: `exact` in time, side, price and quantity; `close` within the time tolerance; the rest."""

    ours: int
    theirs: int
    exact: int
    close: int
    only_ours: list[Fill]
    only_theirs: list[Fill]
    ours_lots: int
    theirs_lots: int
    common_lots: int

    @property
    def agreement(self) -> float:
        """Matched fills over the fills of the side that has more."""
        most = max(self.ours, self.theirs)
        return (self.exact + self.close) / most if most else 1.0

    @property
    def by_quantity(self) -> float:
        """Quantity that both filled at the same side and price within the tolerance, over that of the side that has more."""
        most = max(self.ours_lots, self.theirs_lots)
        return self.common_lots / most if most else 1.0


def by_instant(fills: list[Fill]) -> list[Fill]:
    """What one order filled in one millisecond as one fill: several trades may share a time, and hftbacktest shows their sum."""
    lots: Counter[tuple[int, int, int, int]] = Counter()
    for fill in fills:
        lots[fill.ns, fill.side, fill.price, fill.order] += fill.lots
    return [Fill(ns, side, price, count, order) for (ns, side, price, order), count in lots.items()]


def compare(ours: list[Fill], theirs: list[Fill]) -> Comparison:
    """Match one to one: equal ones first, then the nearest in time of the same side and price, within a lot."""
    left, right = (Counter((one.ns, one.side, one.price, one.lots) for one in fills) for fills in (ours, theirs))
    exact = (left & right).total()
    mine, his = _rest(ours, left & right), _rest(theirs, left & right)
    close, only_ours = 0, []
    for fill in mine:
        near = [one for one in his if _alike(fill, one) and abs(one.ns - fill.ns) <= TOLERANCE_NS]
        if near:
            his.remove(min(near, key=lambda one: abs(one.ns - fill.ns)))
            close += 1
        else:
            only_ours.append(fill)
    our_lots, their_lots = (sum(one.lots for one in fills) for fills in (ours, theirs))
    return Comparison(
        len(ours), len(theirs), exact, close, only_ours, his, our_lots, their_lots, common_lots(ours, theirs)
    )  # fmt: skip


def common_lots(ours: list[Fill], theirs: list[Fill]) -> int:
    """Quantity that both sides filled, however they cut it: same side and price, within the time tolerance."""
    left = [[fill.ns, fill.side, fill.price, fill.lots] for fill in sorted(theirs)]
    common = 0
    for fill in sorted(ours):
        wanted = fill.lots
        for row in left:
            if wanted and row[3] and row[1:3] == [fill.side, fill.price] and abs(row[0] - fill.ns) <= TOLERANCE_NS:
                take = min(wanted, row[3])
                wanted, row[3], common = wanted - take, row[3] - take, common + take
    return common


def _alike(one: Fill, other: Fill) -> bool:
    # A probabilistic queue position is a fraction; we round what is reached down, hftbacktest to the nearest lot.
    return (one.side, one.price) == (other.side, other.price) and abs(one.lots - other.lots) <= 1


def _rest(fills: list[Fill], matched: Counter[tuple[int, int, int, int]]) -> list[Fill]:
    left, rest = matched.copy(), []
    for fill in sorted(fills):
        key = (fill.ns, fill.side, fill.price, fill.lots)
        if left[key]:
            left[key] -= 1
        else:
            rest.append(fill)
    return rest


def rival(tape: Path, scenarios: list[dict[str, Any]]) -> dict[str, Any]:
    """Hftbacktest's fills, from its own interpreter."""
    python = subprocess.run([HERE / "rivals-venv"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    done = subprocess.run(
        [python, HERE / "rivals" / "hftbacktest_fills.py", tape, json.dumps(scenarios)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def beyond_trades(feed: Feed, fills: list[Fill]) -> int:
    """How many of these fills took more than was traded at their price in their millisecond, with no trade through it.

    (A touch that crosses the price also fills in whole; there such a fill is not wrong.)
    """
    traded: Counter[tuple[int, int, int]] = Counter()
    worst: dict[tuple[int, int], int] = {}
    for ns, event in feed.at_exchange:
        if isinstance(event, Trade) and event.market:
            side = 1 if event.buyer_is_maker else -1
            traded[ns, side, event.price] += event.quantity
            worst[ns, side] = max(worst.get((ns, side), -(10**12)), -side * event.price)
    return sum(
        fill.lots > traded[fill.ns, fill.side, fill.price] > 0 and worst[fill.ns, fill.side] == -fill.side * fill.price
        for fill in fills
    )


def report(scenario: Scenario, found: Comparison, *, beyond: int, show: int) -> None:
    print(
        f"{scenario.name:<38} {found.ours:>6} {found.theirs:>6} {found.exact:>6} {found.close:>6} "
        f"{100 * found.agreement:>8.2f} %  {found.ours_lots:>8} {found.theirs_lots:>8} {100 * found.by_quantity:>8.2f} %"
    )
    if beyond:
        print(
            f"    {beyond} of the {len(found.only_theirs)} fills that only hftbacktest has took more than was traded there"
        )
    for label, fills in (("only ours", found.only_ours), ("only hftbacktest", found.only_theirs)):
        for fill in fills[:show]:
            print(f"    {label}: {fill}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MM_TAPE") or HERE.parent.parent / "shared" / "data" / "ethusdt_20240808.gz"
    parser.add_argument("--tape", type=Path, default=Path(default), help="a recorded tape, gzip (default: MM_TAPE)")
    parser.add_argument("--show", type=int, default=0, help="print so many fills of each scenario that one side lacks")
    given = parser.parse_args()
    if not given.tape.exists():
        sys.exit(f"no tape at {given.tape}: name one with --tape or MM_TAPE")
    (rules,) = scan(given.tape).rules.values()
    theirs = rival(given.tape, [scenario.for_rival(rules) for scenario in SCENARIOS])
    print(
        f"{'scenario':<38} {'ours':>6} {'theirs':>6} {'exact':>6} {'close':>6} {'agreement':>10}  {'our lots':>8} {'theirs':>8} {'by lots':>10}"
    )
    held, feeds = True, dict[int, Feed]()
    for scenario in SCENARIOS:
        answer = theirs[scenario.name]
        feed = feeds.get(answer["offset_ns"]) or read_feed(given.tape, answer["offset_ns"])
        feeds[answer["offset_ns"]] = feed
        ours = by_instant(Simulation(feed, scenario, answer["start_ns"]).run())
        found = compare(ours, [Fill(*row) for row in answer["fills"]])
        report(scenario, found, beyond=beyond_trades(feed, found.only_theirs), show=given.show)
        exact_model = scenario.queue == "conservative"
        held &= found.agreement >= AGREEMENT if exact_model else found.by_quantity >= BY_QUANTITY
    print(
        f"exact: same millisecond, side, price and quantity; close: within {TOLERANCE_NS // 1_000_000} ms and one lot. "
        f"Wanted: {100 * AGREEMENT:.0f} % of the fills, {100 * BY_QUANTITY:.0f} % of the quantity under power:N"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
