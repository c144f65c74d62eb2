"""While one connection replaces another, their frames are merged into one stream without a gap or a copy."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.messages import DepthDiff, Stream, Trade
from mm_runner.telemetry.events_log import EventsLog
from mm_runner.telemetry.metrics import Metrics
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.keeper import KeeperSettings
from mm_runner.venue.market_stream import _Feed
from mm_runner.venue.sockets import open_picows


def feed() -> tuple[_Feed, list[object]]:
    got: list[object] = []
    made = _Feed(
        Stream.PUBLIC,
        "ws://nowhere",
        symbol="ETHUSDT",
        deliver=got.append,
        telemetry=Telemetry(EventsLog([]), Metrics("ETHUSDT")),
        opener=open_picows,
        backoff=Backoff(random.Random(1)),
        boot_ns=lambda: 0,
        settings=KeeperSettings(),
    )
    return made, got


def depth(number: int) -> bytes:
    return json.dumps(
        {"e": "depthUpdate", "s": "ETHUSDT", "U": number, "u": number, "pu": number - 1, "b": [], "a": []}
    ).encode()


def trade(number: int) -> bytes:
    return json.dumps({"e": "aggTrade", "s": "ETHUSDT", "a": number, "p": "1", "q": "1", "m": True}).encode()


def numbers(got: list[object]) -> list[int]:
    return [event.last_update_id for event in got if isinstance(event, DepthDiff)]


@given(st.data())
def test_whatever_the_interleaving_the_chain_stays_whole(data):
    made, got = feed()
    old, new = list(range(1, 21)), list(range(data.draw(st.integers(6, 15)), 31))
    for number in old[:5]:
        made._frame(depth(number))
    made.keeper.overlapping = True
    lanes = [old[5:], new]
    while lanes[0] or lanes[1]:
        lane = data.draw(st.sampled_from([lane for lane in lanes if lane]))
        made._frame(depth(lane.pop(0)))
    made.keeper.overlapping = False
    made._frame(depth(31))
    assert numbers(got) == list(range(1, 32))


def test_trades_of_both_connections_count_once():
    made, got = feed()
    made._frame(trade(1))
    made.keeper.overlapping = True
    for number in (1, 2, 2, 3, 3):
        made._frame(trade(number))
    assert len([event for event in got if isinstance(event, Trade)]) == 3


@pytest.mark.parametrize("overlapping", [False, True])
def test_a_true_gap_is_handed_on_once_one_connection_is_left(overlapping):
    made, got = feed()
    made._frame(depth(1))
    made.keeper.overlapping = overlapping
    made._frame(depth(5))
    made.keeper.overlapping = False
    made._frame(depth(6))
    assert numbers(got)[-1] == 6  # the core sees that 6 does not follow and synchronises anew


def test_outside_a_renewal_nothing_is_ever_held_back():
    made, got = feed()
    for number in (5, 5, 3, 9):
        made._frame(depth(number))
    assert numbers(got) == [5, 5, 3, 9]
