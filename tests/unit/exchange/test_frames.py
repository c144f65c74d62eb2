"""Public streams as frames: slow diffs, aggregated trades, mark prices, one serialisation for all."""

import orjson
import pytest

from mm_exchange.frames import StreamHub
from mm_exchange.market import DepthUpdate, Snapshot, Trade
from mm_exchange.stream_names import route_of


class Ear:
    def __init__(self):
        self.frames = []

    def deliver(self, frame):
        self.frames.append(frame)

    @property
    def heard(self):
        return [orjson.loads(frame.payload) for frame in self.frames]


@pytest.fixture
def hub(world):
    return StreamHub(world.venue)


def listen(hub, stream, now_ms=0):
    ear = Ear()
    assert hub.subscribe(stream, ear, now_ms=now_ms)
    return ear


def diff(u, pu, bids=(), asks=()):
    return DepthUpdate("ETHUSDT", 5, 4, pu + 1, u, pu, list(bids), list(asks))


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("a@depth", "public"),
        ("a@depth@0ms", "public"),
        ("a@depth20@100ms", "public"),
        ("a@trade", "public"),
        ("a@bookTicker", "public"),
        ("a@aggTrade", "market"),
        ("a@markPrice@1s", "market"),
        ("a@depth@7ms", None),
        ("a@DiffBookDepthStreamsUpdateSpeedEnum.UPDATE_SPEED_100ms", None),
        ("0", None),
        ("", None),
    ],
)
def test_each_stream_has_its_base(stream, route):
    assert route_of(stream) == route


def test_slow_diffs_gather_and_stay_chained(world, hub):
    start = world.listing.market.book.last_update_id
    ear = listen(hub, "ethusdt@depth@100ms")
    hub.publish(diff(start + 2, start, bids=[(99_00, 1)]), 10)
    hub.publish(diff(start + 5, start + 2, bids=[(99_00, 2)], asks=[(101_00, 0)]), 20)
    hub.tick(100)
    hub.tick(150)
    hub.publish(diff(start + 6, start + 5), 160)
    hub.tick(200)
    first, second = ear.heard
    assert (first["U"], first["u"], first["pu"]) == (start + 1, start + 5, start)
    assert (first["b"], first["a"]) == ([["99.00", "0.002"]], [["101.00", "0.000"]])
    assert (second["pu"], second["u"]) == (start + 5, start + 6)


def test_a_new_book_breaks_the_chain_of_slow_diffs(world, hub):
    start = world.listing.market.book.last_update_id
    ear = listen(hub, "ethusdt@depth@100ms")
    hub.publish(diff(start + 1, start), 10)
    hub.tick(100)
    hub.publish(Snapshot("ETHUSDT", 0, start + 1000, [], []), 110)
    hub.publish(diff(start + 1001, start + 1000), 120)
    hub.tick(200)
    before, after = ear.heard
    assert after["pu"] != before["u"]


def trade(number, price, quantity, *, at=50):
    return Trade("ETHUSDT", at, at, number, price, quantity, buyer_is_maker=True)


def test_fills_of_one_taker_at_one_price_are_one_aggregate(hub):
    ear = listen(hub, "ethusdt@aggTrade")
    for event in (trade(1, 99_00, 100), trade(2, 99_00, 200), trade(3, 98_99, 50), trade(4, 98_99, 50, at=60)):
        hub.publish(event, 60)
    hub.tick(161)
    assert [(row["f"], row["l"], row["q"]) for row in ear.heard] == [(1, 2, "0.300"), (3, 3, "0.050"), (4, 4, "0.050")]
    assert [row["a"] for row in ear.heard] == sorted({row["a"] for row in ear.heard})


def test_mark_prices_come_every_second_or_three(hub):
    fast, slow = listen(hub, "ethusdt@markPrice@1s"), listen(hub, "ethusdt@markPrice")
    for now_ms in range(0, 6_000, 100):
        hub.tick(now_ms)
    assert (len(fast.frames), len(slow.frames)) == (6, 2)
    assert fast.heard[0]["p"] == "100.01000000"


def test_a_frame_is_serialised_once_for_all_its_listeners(hub):
    ears = [listen(hub, "ethusdt@trade") for _ in range(3)]
    hub.publish(trade(1, 99_00, 1), 0)
    assert len({id(ear.frames[0]) for ear in ears}) == 1
    assert orjson.loads(ears[0].frames[0].wrapped)["stream"] == "ethusdt@trade"


def test_a_stream_that_nobody_listens_to_any_more_is_closed(hub):
    ear = listen(hub, "ethusdt@trade")
    hub.unsubscribe("ethusdt@trade", ear)
    hub.publish(trade(1, 99_00, 1), 0)
    assert ear.frames == []
    assert not hub.subscribe("nope@trade", ear, now_ms=0)


MINUTE = 1_790_000_040_000


def traded(world, hub, at_ms, price, number):
    trade = Trade("ETHUSDT", at_ms, at_ms, number, price, 1_000, buyer_is_maker=False)
    world.venue.on_market(trade, at_ms * 10**6)
    hub.publish(trade, at_ms)


def test_a_candle_is_told_when_it_changes_and_once_more_when_it_is_over(world, hub):
    ear = listen(hub, "ethusdt@kline_1m", now_ms=MINUTE)
    hub.tick(MINUTE)
    assert ear.heard == []
    traded(world, hub, MINUTE + 10, 100_00, 1)
    traded(world, hub, MINUTE + 20, 101_00, 2)
    for at in range(MINUTE + 250, MINUTE + 60_000, 250):
        hub.tick(at)
    (only,) = ear.heard
    assert (only["k"]["o"], only["k"]["c"], only["k"]["n"], only["k"]["x"]) == ("100.00", "101.00", 2, False)
    hub.tick(MINUTE + 60_250)
    over, fresh = (frame["k"] for frame in ear.heard[1:])
    assert (over["t"], over["x"], over["v"], over["f"], over["L"]) == (MINUTE, True, "2.000", 1, 2)
    # The next one opens where the last trade was, and nothing has traded in it yet.
    assert (fresh["t"], fresh["x"], fresh["o"], fresh["n"], fresh["f"]) == (MINUTE + 60_000, False, "101.00", 0, -1)


def test_the_array_of_tickers_holds_what_changed_since_the_last_one(world, hub):
    ear = listen(hub, "!ticker@arr", now_ms=MINUTE)
    hub.tick(MINUTE)
    ear.frames.clear()
    hub.tick(MINUTE + 1_000)
    assert ear.heard == []
    traded(world, hub, MINUTE + 1_500, 100_00, 1)
    hub.tick(MINUTE + 2_000)
    ((ticker,),) = ear.heard
    assert (ticker["e"], ticker["s"], ticker["c"], ticker["n"]) == ("24hrTicker", "ETHUSDT", "100.00", 1)


def test_stream_and_history_know_an_aggregate_by_the_same_id(world, hub):
    ear = listen(hub, "ethusdt@aggTrade", now_ms=MINUTE)
    for number, price in enumerate((100_00, 100_00, 101_00), start=1):
        traded(world, hub, MINUTE, price, number)
    hub.tick(MINUTE + 100)
    kept = hub.statistics.of("ETHUSDT").aggregates
    assert [(frame["a"], frame["f"], frame["l"]) for frame in ear.heard] == [
        (row.aggregate_id, row.first_id, row.last_id) for row in kept
    ]
    assert [frame["q"] for frame in ear.heard] == ["2.000", "1.000"]


def test_liquidations_are_told_on_the_symbols_stream_and_on_everybodys(world, hub):
    one, every = listen(hub, "ethusdt@forceOrder"), listen(hub, "!forceOrder@arr")
    hub.tell("ETHUSDT", "forceOrder", {"e": "forceOrder"})
    hub.tell_all("!forceOrder@arr", {"e": "forceOrder"})
    hub.tell("NOPE", "forceOrder", {})
    assert one.heard == every.heard == [{"e": "forceOrder"}]
    assert one.frames[0].wrapped == b'{"stream":"ethusdt@forceOrder","data":{"e":"forceOrder"}}'


def test_a_stream_without_listeners_is_closed(world, hub):
    ear = listen(hub, "!markPrice@arr@1s", now_ms=MINUTE)
    hub.tick(MINUTE)
    assert [row["s"] for row in ear.heard[0]] == ["ETHUSDT"]
    hub.unsubscribe("!markPrice@arr@1s", ear)
    hub.unsubscribe("!markPrice@arr@1s", ear)
    hub.tick(MINUTE + 1_000)
    assert len(ear.frames) == 1
