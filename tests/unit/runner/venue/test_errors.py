"""Every answer has one verdict: refused, unknown, or limited. The difference decides whether an order may exist."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.venue.errors import CODE_NAMES, LimitedError, RefusedError, UnknownError, describe, judge, judge_item


def body(code: int, msg: str = "text") -> bytes:
    return json.dumps({"code": code, "msg": msg}).encode()


HTML = b"<html><body><h1>503 Service Unavailable</h1></body></html>"


@pytest.mark.parametrize(
    "code", [-1021, -2011, -2013, -2019, -2022, -2025, -1111, -4164, -5022, -1003, -1015, -2010, -2015, -4061]
)
def test_a_refusal_by_name_is_certain(code):
    verdict = judge(400, body(code))
    assert type(verdict) is RefusedError
    assert verdict.code == code
    assert str(code) in str(verdict)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, body(-1007)),
        (503, body(-1007)),
        (400, body(-1006)),
        (400, body(-1000)),
        (500, body(-1000)),
        (503, HTML),
        (502, b""),
        (504, b"{}"),
        (408, b""),
        (503, body(-2019)),
    ],
)
def test_what_may_have_happened_is_unknown(status, text):
    assert type(judge(status, text)) is UnknownError


def test_system_protection_says_itself_that_nothing_was_executed():
    assert type(judge(503, body(-1008))) is RefusedError


@pytest.mark.parametrize(("status", "text"), [(403, HTML), (404, b"not here"), (401, body(-2014)), (400, b"null")])
def test_what_never_reached_the_matching_engine_is_refused(status, text):
    assert type(judge(status, text)) is RefusedError


@pytest.mark.parametrize(
    ("status", "retry_after", "text", "pause"),
    [
        (429, "7", b"", 7),
        (418, "90", HTML, 90),
        (429, "", b"", 60),
        (418, "", b"", 120),
        (418, "", body(-1003, "Way too many requests; IP banned until 1790000005000."), 5),
        (429, "0", b"", 1),
    ],
)
def test_a_limit_names_how_long_nothing_is_sent(status, retry_after, text, pause):
    verdict = judge(status, text, retry_after=retry_after, venue_ms=1_790_000_000_000)
    assert isinstance(verdict, LimitedError)
    assert verdict.pause_seconds == pause
    assert verdict.status == status


@pytest.mark.parametrize("status", [200, 201])
def test_success_has_no_verdict(status):
    assert judge(status, b"anything") is None


@given(st.integers(300, 599), st.binary(max_size=200))
def test_no_failure_ever_passes_as_success_and_nothing_else_is_raised(status, text):
    assert isinstance(judge(status, text), RefusedError | UnknownError)


def test_one_refused_item_of_a_batch_has_its_own_verdict():
    assert type(judge_item(-2011, "Unknown order sent.")) is RefusedError
    assert type(judge_item(-1007, "timeout")) is UnknownError


def test_a_description_carries_code_name_and_a_bounded_text():
    assert describe(-2011, "Unknown order sent.") == "-2011 CANCEL_REJECTED: Unknown order sent."
    assert describe(-99999) == "-99999"
    assert len(describe(-2011, "x" * 10_000)) < 250


def test_the_codes_that_the_design_names_have_names():
    assert {-1021, -2011, -2013, -2019, -2022, -2025, -1111, -4164, -5022, -1007} <= CODE_NAMES.keys()
