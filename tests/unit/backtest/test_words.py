"""The engine hears the numbers that a decoder would have read from the wire."""

from hypothesis import given
from hypothesis import strategies as st

from mm_backtest.words import Words
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade
from mm_exchange.rules import rules_for
from mm_runner.core.messages import BookTicker, DepthDiff
from mm_runner.core.messages import Trade as Heard

RULES = rules_for("ETHUSDT")
WORDS = Words(RULES)
UNITS = st.integers(1, 10**12)


@given(UNITS, UNITS)
def test_a_number_is_the_float_that_its_text_would_be_read_as(price, size):
    heard = WORDS.of(Trade("ETHUSDT", 5, 4, 1, price, size, True))
    assert heard == Heard(
        price=float(RULES.prices.text(price)),
        quantity=float(RULES.quantities.text(size)),
        buyer_is_maker=True,
        event_ms=5,
    )


def test_touch_and_depth_keep_their_ids_and_times():
    assert WORDS.of(Touch("ETHUSDT", 5, 4, 77, 268_000, 1_500, 268_001, 2_000)) == BookTicker(
        update_id=77, bid=2680.0, bid_quantity=1.5, ask=2680.01, ask_quantity=2.0, event_ms=5
    )
    assert WORDS.of(DepthUpdate("ETHUSDT", 5, 4, 10, 12, 9, [(268_000, 0)], [(268_001, 500)])) == DepthDiff(
        first_update_id=10,
        last_update_id=12,
        previous_update_id=9,
        bids=[(2680.0, 0.0)],
        asks=[(2680.01, 0.5)],
        event_ms=5,
    )


def test_no_stream_carries_a_snapshot():
    assert WORDS.of(Snapshot("ETHUSDT", 5, 1, [], [])) is None
