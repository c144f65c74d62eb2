"""Each check of the observer can fire, and does not where nothing is wrong."""

from decimal import Decimal

import pytest

from mm_backtest.observer import CHECKS, Observer
from mm_contract.resource import MarketMakerSpec
from mm_exchange.ledger import Entry
from mm_exchange.rules import rules_for
from mm_runner.core import messages as m

SECOND = 1_000_000_000
HELD = m.LeaseState(held=True, send_deadline_boot_ns=10_000 * SECOND, epoch=1)
RUNNING = m.EmitEvent(name="effective_state", fields={"state": "Running", "ruledBy": "spec"})


def spec(*, quoting=None, risk=None, **more):
    plain = {
        "symbol": "ETHUSDT",
        "exchange": {"account": "desk-a", "credentials": {"secretName": "mm-desk-a"}},
        "strategy": {"grid": {}},
        "quoting": {"levels": 2, "maxOrdersPerMinute": 5, **(quoting or {})},
        "risk": {"maxPosition": "0.50", "maxOrderNotional": "500", **(risk or {})},
        **more,
    }
    return MarketMakerSpec.model_validate(plain)


class Scene:
    """An observer that has seen a running engine with a fresh book."""

    def __init__(self, **changes):
        self.observer = Observer(spec(**changes), rules_for("ETHUSDT"))
        self.now = SECOND
        self.number = 0
        self.hear(HELD)
        self.hear(m.DepthSnapshot(last_update_id=10, bids=[], asks=[], sent_boot_ns=0))
        self.act(RUNNING)
        self.record("countdown", status="ARMED", countdown_time=1_000_000)

    def hear(self, event):
        self.observer.delivered(event, self.now)

    def act(self, *actions):
        self.observer.decided(actions, boot_ns=self.now, time_ns=self.now)

    def record(self, kind, **fields):
        self.observer.recorded(Entry(seq=1, time=self.now // 10**6, time_ns=self.now, kind=kind, **fields))

    def place(self, side="BUY", price=268_000, lots=20, *, cid=None, **changes):
        self.number += 1
        order = {
            "client_order_id": cid or f"mm-{self.number}", "side": m.Side(side), "type": m.OrderType.LIMIT, "time_in_force": m.TimeInForce.GTX,
            "price": price, "quantity": lots, "reduce_only": False, "send_deadline_boot_ns": 10**18, "recv_window_ms": 2000,
        } | changes  # fmt: skip
        self.act(m.PlaceOrder(**order))
        return order["client_order_id"]

    def accept(self, cid, side="BUY", price="2680.00", quantity="0.020", *, reduce_only=False):
        self.record(
            "order", client_order_id=cid, side=side, type="LIMIT", time_in_force="GTX", reduce_only=reduce_only, price=price, quantity=quantity,
            status="NEW",
        )  # fmt: skip

    def fill(self, cid, side="BUY", quantity="0.020", *, maker=True, status="FILLED"):
        self.record(
            "fill", client_order_id=cid, side=side, type="LIMIT", time_in_force="GTX", last_quantity=quantity, last_price="2680.00", maker=maker,
            status=status,
        )  # fmt: skip
        lots = int(Decimal(quantity) * 1000)
        self.hear(
            m.OrderReport(
                client_order_id=cid, order_id=1, side=m.Side(side), status=m.VenueStatus(status), price=268_000, quantity=lots, executed=lots,
                execution_type="TRADE", last_lots=lots, last_price=268_000,
            )
        )  # fmt: skip

    @property
    def fired(self):
        return dict(self.observer.counts)


def test_an_engine_that_quotes_as_it_should_violates_nothing():
    scene = Scene()
    for side, price in (("BUY", "2680.00"), ("SELL", "2681.00")):
        scene.accept(scene.place(side), side, price)
    scene.fill("mm-1")
    assert scene.fired == {}


def _position(scene):
    for _ in range(3):
        scene.accept(scene.place(lots=186), quantity="0.186")


def _held_position(scene):
    scene.accept("mm-x", quantity="0.500")
    scene.fill("mm-x", quantity="0.510", status="PARTIALLY_FILLED")


def _opening_in_reduce_only(scene):
    scene.act(m.EmitEvent(name="effective_state", fields={"state": "ReduceOnly", "ruledBy": "risk"}))
    scene.place()


def _opening_beyond_enter(scene):
    scene.accept("mm-x", quantity="0.400")
    scene.fill("mm-x", quantity="0.400")
    scene.place()


def _halted(scene):
    scene.act(m.EmitEvent(name="effective_state", fields={"state": "Halted", "ruledBy": "spec"}))
    scene.place(reduce_only=True)


def _after_stop(scene):
    scene.hear(m.ShutdownRequested(reason="test"))
    scene.place(reduce_only=True)


def _unsynced(scene):
    scene.hear(m.DepthDiff(first_update_id=50, last_update_id=60, previous_update_id=49, bids=[], asks=[]))
    scene.place()


def _stale(scene):
    scene.now += 3 * SECOND
    scene.place()


def _refused_by_filters(scene):
    scene.record("reject", client_order_id="mm-1", code=-4014, msg="Price not increased by tick size.")


def _off_grid(scene):
    scene.accept(scene.place(), price="2680.005")


def _took(scene):
    scene.accept(scene.place())
    scene.fill("mm-1", maker=False)


def _no_gtx(scene):
    scene.place(time_in_force=m.TimeInForce.GTC)


def _levels(scene):
    for _ in range(3):
        scene.accept(scene.place())


def _rate(scene):
    for _ in range(6):
        scene.now += SECOND
        scene.observer.book.fresh_ns = scene.now
        scene.place()


def _lease(scene):
    scene.hear(m.LeaseState(held=True, send_deadline_boot_ns=scene.now, epoch=1))
    scene.place()


def _dead_man(scene):
    scene.record("countdown", status="FIRED")
    scene.accept(scene.place())


def _left_over(scene):
    scene.accept(scene.place())
    scene.act(m.Drained(zero_own_orders=True, reason="test"))


def _never_drained(scene):
    scene.accept(scene.place())
    scene.observer.ended(scene.now)


@pytest.mark.parametrize(
    ("check", "deed"),
    [
        ("position", _position),
        ("position", _held_position),
        ("notional", lambda scene: scene.place(lots=200)),
        ("opening", _opening_in_reduce_only),
        ("opening", _opening_beyond_enter),
        ("halted", _halted),
        ("halted", _after_stop),
        ("blind", _unsynced),
        ("blind", _stale),
        ("grid", _refused_by_filters),
        ("grid", _off_grid),
        ("post_only", _took),
        ("post_only", _no_gtx),
        ("levels", _levels),
        ("rate", _rate),
        ("lease", _lease),
        ("dead_man", _dead_man),
        ("duplicate", lambda scene: (scene.place(cid="mm-x"), scene.place(cid="mm-x"))),
        ("left_over", _left_over),
        ("left_over", _never_drained),
    ],
)
def test_each_check_fires_for_what_it_is_there_for(check, deed):
    scene = Scene()
    deed(scene)
    assert check in scene.fired
    assert any(one.check == check and one.text for one in scene.observer.shown)


def test_no_check_is_without_a_test_and_none_is_unlisted():
    tested = {
        parameter[0] for mark in test_each_check_fires_for_what_it_is_there_for.pytestmark for parameter in mark.args[1]
    }
    assert tested == set(CHECKS)


def test_a_reducing_order_may_rest_beside_a_full_position():
    scene = Scene()
    scene.accept("mm-x", quantity="0.400")
    scene.fill("mm-x", quantity="0.400")
    scene.act(m.EmitEvent(name="effective_state", fields={"state": "ReduceOnly", "ruledBy": "risk"}))
    scene.accept(scene.place("SELL", reduce_only=True, lots=100), "SELL", quantity="0.100", reduce_only=True)
    assert scene.fired == {}


def test_the_reduce_only_bound_has_the_specs_hysteresis():
    scene = Scene()
    scene.accept("mm-x", quantity="0.400")
    scene.fill("mm-x", quantity="0.400")
    scene.place()
    scene.accept("mm-y", "SELL", quantity="0.120")
    scene.fill("mm-y", "SELL", quantity="0.120")  # 0.28: between exit (0.25) and enter (0.35)
    scene.place()
    assert scene.fired == {"opening": 2}
    scene.accept("mm-z", "SELL", quantity="0.100")
    scene.fill("mm-z", "SELL", quantity="0.100")
    scene.place()
    assert scene.fired == {"opening": 2}


def test_a_fill_that_the_engine_has_not_heard_of_excuses_it():
    scene = Scene()
    scene.accept("mm-x", quantity="0.400")
    scene.record(
        "fill",
        client_order_id="mm-x",
        side="BUY",
        time_in_force="GTX",
        last_quantity="0.400",
        last_price="2680",
        maker=True,
        status="FILLED",
    )
    scene.place()
    assert "opening" not in scene.fired


def test_what_only_takes_a_position_back_is_not_held_up_by_the_rate():
    scene = Scene(quoting={"maxOrdersPerMinute": 1})
    scene.accept("mm-x", quantity="0.100")
    scene.fill("mm-x", quantity="0.100")
    scene.place("SELL")
    scene.place("SELL", lots=100)
    assert scene.fired == {}
    scene.place("SELL", lots=120)
    assert scene.fired == {"rate": 1}


def test_an_order_whose_cancel_was_sent_is_no_level_any_more():
    scene = Scene()
    scene.accept(scene.place())
    scene.accept(scene.place())
    scene.act(m.CancelOrder(client_order_id="mm-1", order_id=0, recv_window_ms=2000))
    scene.accept(scene.place())
    assert scene.fired == {}


def test_an_asked_close_is_allowed_while_flat_and_by_market_order_without_a_book():
    scene = Scene()
    scene.act(m.EmitEvent(name="effective_state", fields={"state": "Flat", "ruledBy": "spec"}))
    scene.hear(m.StreamDown(stream=m.Stream.PUBLIC))
    scene.place("SELL", type=m.OrderType.MARKET, time_in_force=None, price=0, reduce_only=True)
    assert scene.fired == {}


def test_only_the_first_violations_are_kept_but_all_are_counted():
    scene = Scene(quoting={"maxOrdersPerMinute": 1})
    for _ in range(300):
        scene.place()
    assert scene.fired["rate"] == 299
    assert len(scene.observer.shown) == 100
