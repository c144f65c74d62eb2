"""User events are typed, hold what was true at their moment, and become JSON only when somebody asks."""

from mm_exchange.user_events import AccountUpdate, FillReport, OrderUpdate, TradeLite, UserEvent


def test_a_fill_can_be_read_without_a_payload(world, monkeypatch):
    def built(_event):
        raise AssertionError("nobody asked for a payload")

    for kind in (OrderUpdate, TradeLite, AccountUpdate):
        monkeypatch.setattr(kind, "content", built)
    order = world.market("BUY", 1_000)
    seen = []
    for event in world.venue.drain():
        match event:
            case OrderUpdate(order=filled, fill=FillReport(quantity=quantity, price=price, maker=maker)):
                seen.append((filled is order, quantity, price, maker, event.now_ms))
    assert seen == [(True, 1_000, 100_01, False, world.now_ns // 10**6)]


def test_an_event_keeps_what_was_true_at_its_moment(world):
    order = world.limit("BUY", 99_99)
    world.trade(99_99, 5_400, sells=True)
    world.trade(99_98, 1, sells=True)
    shown = [event.payload["o"] for event in world.venue.drain() if isinstance(event, OrderUpdate)]
    assert [(o["x"], o["X"], o["l"], o["z"], o["b"]) for o in shown] == [
        ("NEW", "NEW", "0.000", "0.000", "99.99000000"),
        ("TRADE", "PARTIALLY_FILLED", "0.400", "0.400", "59.99400000"),
        ("TRADE", "FILLED", "0.600", "1.000", "0.00000000"),
    ]
    assert order.status.value == "FILLED"


def test_every_event_says_whose_and_when_it_is(world):
    world.market("BUY", 1_000)
    events = world.venue.drain()
    assert {type(event) for event in events} == {OrderUpdate, TradeLite, AccountUpdate}
    for event in events:
        assert isinstance(event, UserEvent)
        assert (event.api_key, event.symbol, event.payload["E"]) == ("key", "ETHUSDT", world.now_ns // 10**6)
        assert event.payload["e"] == event.name
