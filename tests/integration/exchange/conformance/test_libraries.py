"""Stock client libraries, unchanged but for the URL: each call gets through, without a warning, with the right values.

`calls.json` names every call, and the refusal that a call is meant to get (null: none). A refusal has to arrive as what
the library makes of the venue's code: a class of ccxt, the code itself elsewhere.
"""

import json
from pathlib import Path

import pytest

CALLS = json.loads((Path(__file__).parent / "calls.json").read_text())
# The first test of a library may have to install it, and lets it make all its calls.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(("library", "call"), [(library, call) for library, calls in CALLS.items() for call in calls])
def test_a_call_gets_through(outcome_of, library, call):
    row, refusal = outcome_of(library).rows[call], CALLS[library][call]
    assert row["warnings"] == []
    if refusal is None:
        assert "error" not in row, row
    else:
        told = row["error"]["type"] if library == "ccxt" else row["error"]["code"]
        assert told == refusal, row


@pytest.mark.parametrize("library", CALLS)
def test_no_call_is_left_out_of_the_list(outcome_of, library):
    assert set(outcome_of(library).rows) == set(CALLS[library])


@pytest.mark.parametrize("library", CALLS)
def test_every_order_ended_and_every_fill_was_booked(outcome_of, library):
    outcome = outcome_of(library)
    accepted = {entry["orderId"] for entry in outcome.entries("order")}
    ended = {entry["orderId"] for entry in outcome.entries("cancel", "expire")} | {
        entry["orderId"] for entry in outcome.entries("fill") if entry["status"] == "FILLED"
    }
    assert accepted
    assert accepted == ended
    assert outcome.entries("fill")[-1]["positionAfter"] in ("0.00", "0.000")
    assert [entry["code"] for entry in outcome.entries("reject")]


def test_ccxt_reads_the_life_of_an_order_as_the_ledger_tells_it(outcome_of):
    outcome = outcome_of("ccxt")
    placed, edited = outcome.value("create_order"), outcome.value("edit_order")
    told = [entry for entry in outcome.ledger if entry.get("orderId") == int(placed["id"])]
    assert [entry["kind"] for entry in told] == ["order", "amend", "cancel", "cancel-reject"]
    assert (placed["status"], placed["price"], placed["amount"], placed["timeInForce"]) == ("open", 98.0, 2.0, "PO")
    assert (placed["postOnly"], placed["clientOrderId"]) == (True, told[0]["clientOrderId"])
    assert (edited["price"], edited["amount"]) == (97.5, 3.0)
    assert (told[1]["price"], told[1]["quantity"]) == ("97.50", "3.00")
    assert outcome.value("fetch_order")["status"] == "open"
    assert [row["id"] for row in outcome.value("fetch_open_orders")] == [placed["id"]]
    assert outcome.value("cancel_order")["status"] == "canceled"


def test_ccxt_has_the_trades_positions_and_balance_of_the_ledger(outcome_of):
    outcome = outcome_of("ccxt")
    market, (position,) = outcome.value("create_market"), outcome.value("fetch_positions")
    fills = [entry for entry in outcome.entries("fill") if entry["orderId"] == int(market["id"])]
    assert (market["status"], market["filled"]) == ("closed", 2.0)
    assert market["average"] == pytest.approx(
        sum(float(fill["lastPrice"]) * float(fill["lastQuantity"]) for fill in fills) / 2
    )
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 2.0, "cross")
    assert position["initialMarginPercentage"] == pytest.approx(1 / 7, rel=0.01)
    trades = [row for row in outcome.value("fetch_my_trades") if row["order"] == market["id"]]
    assert [(row["price"], row["amount"], row["fee"]["cost"], row["takerOrMaker"]) for row in trades] == [
        (float(fill["lastPrice"]), float(fill["lastQuantity"]), float(fill["commission"]), "taker") for fill in fills
    ]
    spent = sum(float(entry["commission"]) - float(entry["realizedPnl"]) for entry in outcome.entries("fill")[:2])
    assert outcome.value("fetch_balance")["USDT"]["total"] == pytest.approx(10_000 - spent, abs=1e-6)


def test_ccxt_hears_its_own_order_on_the_user_stream(outcome_of):
    outcome = outcome_of("ccxt")
    (fill,) = [entry for entry in outcome.entries("fill") if entry["clientOrderId"] == "watched"]
    (trade,) = outcome.value("watch_my_trades")
    assert (trade["order"], trade["price"], trade["takerOrMaker"]) == (str(fill["orderId"]), 98.0, "maker")
    assert trade["fee"]["cost"] == float(fill["commission"])
    assert outcome.value("watch_orders")[0]["clientOrderId"] == "watched"
    assert outcome.value("watch_positions")[0]["contracts"] == 1.0


def test_ccxt_sees_a_market_that_hangs_together(outcome_of):
    outcome = outcome_of("ccxt")
    market = outcome.value("load_markets")["ETH/USDT:USDT"]
    assert (market["swap"], market["linear"], market["precision"]["price"]) == (True, True, 0.01)
    assert market["limits"]["cost"]["min"] == 20.0
    # The ticker was asked for before the candles; what traded in between is in the candles only.
    ticker, candles = outcome.value("fetch_ticker"), outcome.value("fetch_ohlcv")
    assert 0 < ticker["baseVolume"] <= sum(candle[5] for candle in candles)
    assert min(candle[3] for candle in candles) <= ticker["low"] <= ticker["last"] <= ticker["high"]
    assert ticker["high"] <= max(candle[2] for candle in candles)
    numbers = [int(row["id"]) for row in outcome.value("fetch_trades")]
    assert numbers == sorted(set(numbers))
    for name in ("fetch_order_book", "watch_order_book"):
        book = outcome.value(name)
        assert book["bids"][0][0] < book["asks"][0][0]


@pytest.mark.parametrize(
    ("library", "place", "amend", "status"),
    [
        ("python-binance", "futures_create_order", "futures_modify_order", "futures_get_order"),
        ("python-binance", "ws_futures_create_order", "ws_futures_edit_order", "ws_futures_get_order"),
        ("connector", "new_order", "modify_order", "query_order"),
        ("sdk", "new_order", "modify_order", "query_order"),
        ("sdk", "ws_new_order", "ws_modify_order", "ws_query_order"),
    ],
)
def test_an_order_is_what_the_ledger_says_at_every_step(outcome_of, library, place, amend, status):
    outcome = outcome_of(library)
    placed, amended, shown = (_body(outcome.value(call)) for call in (place, amend, status))
    told = [entry for entry in outcome.ledger if entry.get("orderId") == placed["orderId"]]
    assert [entry["kind"] for entry in told][:3] == ["order", "amend", "cancel"]
    assert (placed["price"], placed["origQty"]) == (told[0]["price"], told[0]["quantity"])
    for reply in (amended, shown):
        assert (reply["price"], reply["origQty"], reply["status"]) == (told[1]["price"], told[1]["quantity"], "NEW")
        assert reply["clientOrderId"] == told[0]["clientOrderId"]


def _body(value):
    """The object itself: the connector wraps it with its limits, the SDK's WebSocket API with its id and limits."""
    for wrapper in ("data", "result"):
        value = value.get(wrapper, value)
    return value


def test_a_batch_tells_of_its_refused_item_in_its_place(outcome_of):
    for library, call in (("python-binance", "futures_place_batch_order"), ("connector", "new_batch_order"),
                          ("sdk", "place_multiple_orders")):  # fmt: skip
        rows = outcome_of(library).value(call)
        good, bad = rows["data"] if isinstance(rows, dict) else rows
        assert good["status"] == "NEW"
        assert bad["code"] == -5022


@pytest.mark.parametrize(
    ("library", "call", "event"),
    [
        ("sdk", "user_data", "OrderTradeUpdate"),
        ("connector", "user_data", "data"),
        ("python-binance", "futures_user_socket", "ORDER_TRADE_UPDATE/FILLED"),
    ],
)
def test_a_fill_is_heard_on_the_user_stream(outcome_of, library, call, event):
    outcome = outcome_of(library)
    (fill,) = [entry for entry in outcome.entries("fill") if entry["clientOrderId"] == "watched"]
    heard = outcome.value(call)[event]["o"]
    assert (heard["i"], heard["X"], heard["L"], heard["n"]) == (
        fill["orderId"],
        "FILLED",
        fill["lastPrice"],
        fill["commission"],
    )


def test_the_limits_that_headers_tell_of_reach_the_connector(outcome_of):
    usage = outcome_of("connector").value("new_order")["limit_usage"]
    assert {"x-mbx-used-weight-1m", "x-mbx-order-count-10s", "x-mbx-order-count-1m"} <= set(usage)
    assert int(usage["x-mbx-order-count-10s"]) >= 1
