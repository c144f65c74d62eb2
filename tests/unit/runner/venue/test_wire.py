"""Frames become events in both shapes; garbage becomes a counted kind and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import (
    AccountReport,
    BookTicker,
    DepthDiff,
    MarkPrice,
    OrderReport,
    Side,
    Trade,
    VenueStatus,
)
from mm_runner.venue.wire import LeverageChanged, ListenKeyExpired, MalformedError, MarketDecoder, UserDecoder

ETH = Instrument(symbol="ETHUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))

DEPTH = {"e": "depthUpdate", "E": 1790000000123, "T": 1790000000120, "s": "ETHUSDT", "U": 10, "u": 12, "pu": 9,
         "b": [["2680.10", "1.500"], ["2680.00", "0.000"]], "a": [["2680.20", "2.000"]], "st": 1}  # fmt: skip
TICKER = {
    "e": "bookTicker",
    "u": 400,
    "E": 5,
    "T": 4,
    "s": "ETHUSDT",
    "b": "2680.10",
    "B": "31.2",
    "a": "2680.11",
    "A": "40.6",
}
AGG = {"e": "aggTrade", "E": 5, "s": "ETHUSDT", "a": 77, "p": "2680.10", "q": "0.3", "f": 1, "l": 2, "T": 4, "m": True}
TRADE = {"e": "trade", "E": 5, "s": "ETHUSDT", "t": 78, "p": "2680.10", "q": "0.3", "T": 4, "m": False, "X": "MARKET"}
MARK = {
    "e": "markPriceUpdate",
    "E": 5,
    "s": "ETHUSDT",
    "p": "2680.15000000",
    "i": "2680.1",
    "P": "0",
    "r": "0.00010000",
    "T": 1790006400000,
}
ORDER = {"e": "ORDER_TRADE_UPDATE", "E": 6, "T": 5, "o": {
    "s": "ETHUSDT", "c": "mm0123456789-1-a", "S": "SELL", "o": "LIMIT", "f": "GTX", "q": "0.020", "p": "2680.11", "ap": "2680.11", "sp": "0",
    "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 8886774, "l": "0.005", "z": "0.007", "L": "2680.11", "N": "USDT", "n": "0.00268", "T": 5,
    "t": 99, "b": "0", "a": "0", "m": True, "R": True, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "-0.12"}}  # fmt: skip
BALANCES = [{"a": "BNB", "wb": "1", "cw": "1", "bc": "0"}, {"a": "USDT", "wb": "9999.5", "cw": "1", "bc": "0"}]
POSITIONS = [
    {"s": "BTCUSDT", "pa": "3", "ep": "1", "ps": "BOTH"},
    {"s": "ETHUSDT", "pa": "-0.020", "ep": "2680.11", "up": "0", "mt": "isolated", "iw": "0", "ps": "BOTH"},
]
ACCOUNT = {"e": "ACCOUNT_UPDATE", "E": 6, "T": 5, "a": {"m": "ORDER", "B": BALANCES, "P": POSITIONS}}


def raw(frame: object) -> bytes:
    return json.dumps(frame).encode()


def combined(frame: object) -> bytes:
    return json.dumps({"stream": "ethusdt@x", "data": frame}, separators=(",", ":")).encode()


def user() -> UserDecoder:
    return UserDecoder(lambda: ETH)


@pytest.mark.parametrize("shape", [raw, combined])
@pytest.mark.parametrize(
    ("frame", "expected", "sequence"),
    [
        (DEPTH, DepthDiff(first_update_id=10, last_update_id=12, previous_update_id=9, bids=[(2680.1, 1.5), (2680.0, 0.0)],
                          asks=[(2680.2, 2.0)], event_ms=1790000000123), 12),
        (TICKER, BookTicker(update_id=400, bid=2680.1, bid_quantity=31.2, ask=2680.11, ask_quantity=40.6, event_ms=5), 400),
        (AGG, Trade(price=2680.1, quantity=0.3, buyer_is_maker=True, event_ms=5), 77),
        (TRADE, Trade(price=2680.1, quantity=0.3, buyer_is_maker=False, event_ms=5), 78),
        (MARK, MarkPrice(mark=2680.15, funding_rate=0.0001, next_funding_ms=1790006400000, event_ms=5), 5),
    ],
)  # fmt: skip
def test_market_frames_decode_in_both_shapes(shape, frame, expected, sequence):
    decoder = MarketDecoder("ETHUSDT")
    assert decoder.decode(shape(frame)) == expected
    assert decoder.sequence == sequence


@pytest.mark.parametrize("shape", [raw, combined])
def test_an_order_report_is_exact_in_ticks_and_lots(shape):
    assert user().decode(shape(ORDER)) == OrderReport(
        client_order_id="mm0123456789-1-a", order_id=8886774, side=Side.SELL, status=VenueStatus.PARTIALLY_FILLED, price=268011, quantity=20,
        executed=7, reduce_only=True, execution_type="TRADE", last_lots=5, last_price=268011, trade_id=99, commission=Decimal("0.00268"),
        commission_asset="USDT", realized_pnl=Decimal("-0.12"), maker=True, event_ms=6, transaction_ms=5,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [raw, combined])
def test_an_account_report_speaks_of_our_symbol_and_asset(shape):
    assert user().decode(shape(ACCOUNT)) == AccountReport(
        reason="ORDER",
        position=-20,
        entry_price=Decimal("2680.11"),
        wallet_balance=Decimal("9999.5"),
        event_ms=6,
        transaction_ms=5,
    )


def test_an_account_report_of_another_symbol_leaves_the_position_open():
    frame = json.loads(json.dumps(ACCOUNT))
    frame["a"]["P"] = frame["a"]["P"][:1]
    report = user().decode(raw(frame))
    assert isinstance(report, AccountReport)
    assert report.position is None
    assert report.wallet_balance == Decimal("9999.5")


def test_other_symbols_of_the_account_are_passed_over_in_silence():
    assert user().decode(raw({**ORDER, "o": {**ORDER["o"], "s": "BTCUSDT"}})) is None


def test_an_unknown_status_is_kept_as_unknown():
    report = user().decode(raw({**ORDER, "o": {**ORDER["o"], "X": "SUSPENDED_BY_ALIENS"}}))
    assert isinstance(report, OrderReport)
    assert report.status is VenueStatus.UNKNOWN


def test_a_fill_off_the_grid_is_rounded_not_lost():
    report = user().decode(raw({**ORDER, "o": {**ORDER["o"], "L": "2680.115", "p": "2680.115"}}))
    assert isinstance(report, OrderReport)
    assert (report.last_price, report.last_lots) == (268011, 5)


def test_expiry_and_leverage_changes_are_told_apart():
    assert user().decode(raw({"e": "listenKeyExpired", "E": 1, "listenKey": "k"})) == ListenKeyExpired()
    assert user().decode(
        raw({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ac": {"s": "ETHUSDT", "l": 25}})
    ) == LeverageChanged(25)
    assert user().decode(raw({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ac": {"s": "BTCUSDT", "l": 25}})) is None
    assert user().decode(raw({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ai": {"j": True}})) is None


@pytest.mark.parametrize(
    "event",
    ["TRADE_LITE", "MARGIN_CALL", "STRATEGY_UPDATE", "GRID_UPDATE", "ALGO_UPDATE", "CONDITIONAL_ORDER_TRIGGER_REJECT"],
)
def test_documented_events_that_the_engine_does_not_need_are_no_garbage(event):
    assert user().decode(raw({"e": event, "E": 1})) is None


@pytest.mark.parametrize("reply", [{"result": None, "id": 1}, {"error": {"code": 2, "msg": "x"}, "id": "uuid"}])
def test_replies_to_subscriptions_are_no_garbage(reply):
    assert MarketDecoder("ETHUSDT").decode(raw(reply)) is None


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"<html><body>502 Bad Gateway</body></html>", "not_json"),
        (b"", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b"[" * 5000, "not_json"),
        (b"[1,2]", "not_an_event"),
        (b"null", "not_an_event"),
        (raw({"e": "rocketLaunch"}), "unknown_event"),
        (raw({"hello": 1}), "unknown_event"),
        (raw({**DEPTH, "u": "many"}), "bad_field"),
        (raw({key: value for key, value in DEPTH.items() if key != "pu"}), "bad_field"),
        (raw({**DEPTH, "b": [["2680.1"]]}), "bad_field"),
        (raw({**DEPTH, "s": "BTCUSDT"}), "foreign_symbol"),
        (raw({**TICKER, "b": "-1"}), "absurd_value"),
        (raw({**TICKER, "a": "2680.09"}), "absurd_value"),
        (raw({**TICKER, "B": "-5"}), "absurd_value"),
        (raw({**AGG, "p": "0"}), "absurd_value"),
        (raw({**AGG, "q": "-3"}), "absurd_value"),
        (raw({**MARK, "p": "0.0"}), "absurd_value"),
    ],
)  # fmt: skip
def test_market_garbage_has_a_kind(payload, kind):
    with pytest.raises(MalformedError) as caught:
        MarketDecoder("ETHUSDT").decode(payload)
    assert caught.value.kind == kind


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "NaN", "1e999"])
def test_numbers_that_are_none_never_become_a_price(bad):
    with pytest.raises(MalformedError):
        MarketDecoder("ETHUSDT").decode(raw({**TICKER, "b": bad}))


def test_a_funding_rate_that_is_missing_or_absurd_is_zero():
    for rate in ("", "75", "-2"):
        event = MarketDecoder("ETHUSDT").decode(raw({**MARK, "r": rate}))
        assert isinstance(event, MarkPrice)
        assert event.funding_rate == 0.0


def test_an_order_without_a_side_is_garbage():
    with pytest.raises(MalformedError, match="side"):
        user().decode(raw({**ORDER, "o": {**ORDER["o"], "S": "HOLD"}}))


leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mangled(draw):
    """A good frame with some fields replaced by anything or removed, in either shape."""
    frame = dict(draw(st.sampled_from([DEPTH, TICKER, AGG, MARK, ORDER, ACCOUNT])))
    for key in draw(st.lists(st.sampled_from(sorted(frame)), max_size=3)):
        if draw(st.booleans()):
            frame[key] = draw(values)
        else:
            frame.pop(key, None)
    return draw(st.sampled_from([raw, combined]))(frame)


@given(st.one_of(st.binary(max_size=300), mangled(), values.map(raw)))
def test_whatever_arrives_decodes_or_is_malformed_and_nothing_else(payload):
    kinds = {"not_json", "not_an_event", "unknown_event", "bad_field", "foreign_symbol", "absurd_value"}
    for decode in (MarketDecoder("ETHUSDT").decode, user().decode):
        assert outcome(decode, payload) in {"decoded", *kinds}


def outcome(decode, payload: bytes) -> str:
    try:
        decode(payload)
    except MalformedError as error:
        return error.kind
    return "decoded"
