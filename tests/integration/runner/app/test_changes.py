"""Changes of the spec and of the keys while the engine runs (promises P7, P8)."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)


def width_bps(engine: Any) -> float:
    orders = engine.open_orders()
    bids = [float(order["price"]) for order in orders if order["side"] == "BUY"]
    asks = [float(order["price"]) for order in orders if order["side"] == "SELL"]
    return (min(asks) - max(bids)) / max(bids) * 10_000 if bids and asks else 0.0


def test_a_hot_spread_shows_in_the_next_quotes(engine: Any) -> None:
    engine.quoting()
    assert width_bps(engine) < 20
    engine.edit(lambda spec: spec["quoting"].update(minSpreadBps=40.0))
    engine.wait(lambda: width_bps(engine) > 35, 5, "the quotes are wide")
    engine.event("spec_applied", 5, generation=2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda spec: spec["quoting"].update(minSpreadBps=-1.0), "minSpreadBps"),
        (lambda spec: spec["exchange"].update(account="other"), "spec.exchange.account"),
        (lambda spec: spec["exchange"].update(leverage=9), "restart"),
        (lambda spec: spec.update(strategy={"glft": {}}), "grid"),
    ],
    ids=["invalid", "immutable", "restart", "not built"],
)
def test_a_refused_change_is_said_and_the_last_good_spec_goes_on(engine: Any, change: Any, says: str) -> None:
    engine.quoting()
    engine.edit(change)
    refused = engine.event("spec_refused", 5, generation=2)
    assert says in refused["error"]
    before = len(engine.lines)
    engine.event("strategy_adjust", 5, since=before)
    engine.wait(engine.both_sides, 5, "still quoting")


def test_rotated_keys_are_taken_over_without_a_restart_or_a_lost_order(engine: Any, exchange: Any) -> None:
    """Another key of another account here: the orders of the old one are the old account's, so only the new key must trade."""
    engine.quoting()
    fresh = exchange.account()
    engine.write_keys(fresh)
    engine.event("credentials_rotated", 10)
    engine.wait(lambda: engine.ledger("order"), 60, "an order under the new key")
    assert fresh["apiSecret"] not in "".join(engine.raw)
    assert engine.process.poll() is None
