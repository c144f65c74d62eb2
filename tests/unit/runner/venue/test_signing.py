"""Signatures are the venue's, and secrets cannot be printed."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.venue.signing import Credentials, Signer, encoded_list, percent_encoded, query_bytes

# The worked example of the venue's documents.
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
QUERY = b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
SIGNATURE = b"3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


def test_the_venues_own_example_is_signed_as_documented():
    signed = Signer(SECRET).signed(QUERY, timestamp_ms=1591702613943, recv_window_ms=5000)
    assert signed == QUERY + b"&recvWindow=5000&timestamp=1591702613943&signature=" + SIGNATURE


@given(st.text(min_size=1, max_size=200), st.binary(max_size=300))
def test_every_signature_equals_the_standard_librarys(secret, message):
    assert Signer(secret).signature(message) == hmac.new(secret.encode(), message, hashlib.sha256).hexdigest().encode()


def test_a_request_without_parameters_begins_with_the_window():
    assert (
        Signer("s")
        .signed(b"", timestamp_ms=1, recv_window_ms=2000)
        .startswith(b"recvWindow=2000&timestamp=1&signature=")
    )


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda c: f"{c!r} {c}", lambda c: f"{[c]}"])
def test_credentials_never_show_themselves(show):
    text = show(Credentials("the-key-itself", "the-secret-itself"))
    assert "the-key-itself" not in text
    assert "the-secret-itself" not in text
    assert "fingerprint=" in text


def test_credentials_are_neither_pickled_nor_without_content():
    with pytest.raises(TypeError):
        pickle.dumps(Credentials("k", "s"))
    with pytest.raises(TypeError):
        copy.copy(Credentials("k", "s"))
    with pytest.raises(ValueError, match="must both be present"):
        Credentials("k", " \n")


def test_a_mounted_files_newline_is_not_part_of_the_key():
    assert Credentials("k\n", " s\n") == Credentials("k", "s")


def test_a_signer_does_not_show_its_key():
    assert "hunter2" not in repr(Signer("hunter2"))


def test_lists_travel_percent_encoded_and_without_spaces():
    assert encoded_list(["a-1", "b-2"]) == "%5B%22a-1%22%2C%22b-2%22%5D"
    assert encoded_list([1, 2]) == "%5B1%2C2%5D"
    assert percent_encoded("ü/ ") == "%C3%BC%2F%20"
    assert query_bytes([("symbol", "ETHUSDT"), ("limit", 5)]) == b"symbol=ETHUSDT&limit=5"
