"""Signature and freshness rules, as tables."""

import pytest

from mm_exchange.errors import VenueError
from mm_exchange.signing import check_signature, check_time, sign, signed_payload

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("query", "body", "payload"),
    [
        ("a=1&signature=xy", "", "a=1"),
        ("signature=xy&a=1", "", "a=1"),
        ("a=1&signature=xy&b=2", "", "a=1&b=2"),
        ("", "a=1&b=%22&signature=xy", "a=1&b=%22"),
        ("a=1", "b=2+3&signature=xy", "a=1b=2+3"),
        ("mysignature=1&signature=xy", "", "mysignature=1"),
    ],
)
def test_what_is_signed_is_the_raw_text_without_the_signature(query, body, payload):
    assert signed_payload(query, body) == (payload, "xy")


def test_a_known_signature():
    """The venue's published example."""
    secret = b"2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
    payload = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
        "&timestamp=1591702613943"
    )
    assert sign(secret, payload) == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


def test_a_wrong_or_missing_signature_is_refused():
    check_signature(b"s", "a=1", signature=sign(b"s", "a=1").upper())
    for signature, code in (("00", -1022), ("", -1102), ("é", -1022)):
        with pytest.raises(VenueError) as refused:
            check_signature(b"s", "a=1", signature=signature)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("sent", "window", "code"),
    [
        (NOW, None, None),
        (NOW + 999, None, None),
        (NOW + 1000, None, -1021),
        (NOW - 5000, None, None),
        (NOW - 5001, None, -1021),
        (NOW - 2000, "2000", None),
        (NOW - 2001, "2000", -1021),
        (NOW, "0", -1131),
        (NOW, "60001", -1131),
        ("soon", None, -1102),
        (None, None, -1102),
        (NOW, "wide", -1102),
    ],
)
def test_the_window_rule(sent, window, code):
    stamp = None if sent is None else str(sent)
    if code is None:
        assert check_time(stamp, window, now_ms=NOW) == sent
        return
    with pytest.raises(VenueError) as refused:
        check_time(stamp, window, now_ms=NOW)
    assert refused.value.code == code
