"""The ladder against a naive book, and the venue's sequence rules."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_runner.core.book import LADDER_SLOTS, Book, Outcome
from mm_runner.core.messages import DepthDiff, DepthSnapshot

CENTER = 100_000


def diff(first: int, last: int, previous: int, bids=(), asks=()) -> DepthDiff:
    return DepthDiff(
        first_update_id=first, last_update_id=last, previous_update_id=previous, bids=list(bids), asks=list(asks)
    )


def snapshot(last: int, bids=((1000.0, 1.0),), asks=((1000.1, 1.0),)) -> DepthSnapshot:
    return DepthSnapshot(last_update_id=last, bids=list(bids), asks=list(asks), sent_boot_ns=0)


def synced_book(last: int = 100, **sides: object) -> Book:
    book = Book(ticks_per_unit=100.0)
    book.begin()
    assert book.on_snapshot(snapshot(last, **sides)) is Outcome.APPLIED
    return book


class NaiveBook:
    """Dicts and max/min: slow and surely right."""

    def __init__(self) -> None:
        self.bids: dict[int, float] = {}
        self.asks: dict[int, float] = {}

    def apply(self, levels: list[tuple[int, float]], side: dict[int, float]) -> None:
        for ticks, quantity in levels:
            if quantity:
                side[ticks] = quantity
            else:
                side.pop(ticks, None)


level_lists = st.lists(st.tuples(st.integers(1, 40_000), st.sampled_from([0.0, 0.001, 1.0, 12.5])), max_size=12)


@settings(max_examples=50)
@given(moves=st.lists(st.tuples(st.integers(-45_000, 45_000), level_lists, level_lists), min_size=1, max_size=12))
def test_the_ladder_agrees_with_a_naive_book_over_any_moves(moves):
    """The market jumps by up to half a ladder between updates, so levels go out to the far dict and come back."""
    naive, center, last = NaiveBook(), 5_000_000, 100
    naive.bids, naive.asks = {center - 1: 1.0}, {center + 1: 1.0}
    book = synced_book(100, bids=[((center - 1) / 100, 1.0)], asks=[((center + 1) / 100, 1.0)])
    for shift, bid_offsets, ask_offsets in moves:
        center += shift
        bids = [(center - offset, quantity) for offset, quantity in bid_offsets]
        asks = [(center + offset, quantity) for offset, quantity in ask_offsets]
        # What the new market crosses is gone, as a venue would say.
        bids = [(ticks, 0.0) for ticks in naive.bids if ticks >= center] + bids
        asks = [(ticks, 0.0) for ticks in naive.asks if ticks <= center] + asks
        naive.apply(bids, naive.bids)
        naive.apply(asks, naive.asks)
        event = diff(last + 1, last + 5, last, [(t / 100, q) for t, q in bids], [(t / 100, q) for t, q in asks])
        last += 5
        assert book.on_diff(event) is Outcome.APPLIED
        assert book.levels(bids=True) == naive.bids
        assert book.levels(bids=False) == naive.asks
        both = bool(naive.bids) and bool(naive.asks)
        reachable = both and min(naive.asks) - max(naive.bids) < LADDER_SLOTS // 8
        if reachable:
            assert book.synced
            assert (book.best_bid, book.best_ask) == (max(naive.bids), min(naive.asks))
            assert book.bid_quantity == naive.bids[book.best_bid]
            assert book.ask_quantity == naive.asks[book.best_ask]
        if not both:
            assert not book.synced


# -- sequence ----------------------------------------------------------------------------------------------------------


def test_buffered_diffs_are_replayed_onto_the_snapshot_and_older_ones_dropped():
    book = Book(ticks_per_unit=100.0)
    book.begin()
    assert book.on_diff(diff(90, 95, 89, bids=[(900.0, 9.0)])) is Outcome.BUFFERED
    book.on_diff(diff(96, 103, 95, bids=[(999.0, 2.0)]))
    book.on_diff(diff(104, 110, 103, asks=[(1000.1, 0.0), (1000.2, 3.0)]))
    assert book.on_snapshot(snapshot(100)) is Outcome.APPLIED
    assert book.levels(bids=True) == {100_000: 1.0, 99_900: 2.0}
    assert book.best_ask == 100_020
    assert book.last_update_id == 110


def test_a_snapshot_that_is_older_than_the_first_diff_is_not_enough():
    book = Book(ticks_per_unit=100.0)
    book.begin()
    book.on_diff(diff(200, 210, 199))
    assert book.on_snapshot(snapshot(150)) is Outcome.TOO_OLD
    assert not book.synced
    assert book.on_snapshot(snapshot(205)) is Outcome.APPLIED
    assert book.last_update_id == 210


def test_the_first_diff_after_the_snapshot_may_straddle_or_continue_it():
    assert synced_book(100).on_diff(diff(95, 105, 94)) is Outcome.APPLIED
    assert synced_book(100).on_diff(diff(101, 105, 100)) is Outcome.APPLIED
    assert synced_book(100).on_diff(diff(80, 99, 79)) is Outcome.STALE
    assert synced_book(100).on_diff(diff(102, 105, 101)) is Outcome.GAP


def test_a_gap_loses_the_book_until_a_newer_snapshot_and_keeps_the_diff_that_showed_it():
    book = synced_book(100)
    assert book.on_diff(diff(101, 105, 100)) is Outcome.APPLIED
    assert book.on_diff(diff(110, 115, 109, bids=[(1000.0, 7.0)])) is Outcome.GAP
    assert not book.synced
    assert book.expected == 105
    assert book.on_diff(diff(116, 120, 115)) is Outcome.BUFFERED
    assert book.on_snapshot(snapshot(112)) is Outcome.APPLIED
    assert book.last_update_id == 120
    assert book.levels(bids=True)[100_000] == 7.0


def test_a_duplicate_changes_nothing():
    book = synced_book(100)
    event = diff(101, 105, 100, bids=[(999.9, 4.0)])
    book.on_diff(event)
    before = book.levels(bids=True)
    assert book.on_diff(event) is Outcome.STALE
    assert book.levels(bids=True) == before
    assert book.synced


def test_a_synced_book_takes_only_newer_snapshots():
    book = synced_book(100)
    book.on_diff(diff(101, 105, 100, bids=[(999.9, 4.0)]))
    assert book.on_snapshot(snapshot(105)) is Outcome.STALE
    assert 99_990 in book.levels(bids=True)
    assert book.on_snapshot(snapshot(120)) is Outcome.APPLIED
    assert 99_990 not in book.levels(bids=True)
    assert book.on_diff(diff(106, 110, 105)) is Outcome.STALE
    assert book.on_diff(diff(116, 125, 115)) is Outcome.APPLIED


# -- garbage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "level",
    [
        (math.nan, 1.0),
        (math.inf, 1.0),
        (1000.0, math.nan),
        (1000.0, -1.0),
        (1000.0, math.inf),
        (-5.0, 1.0),
        (0.0, 1.0),
        (1e300, 1.0),
    ],
)
def test_an_unusable_level_loses_the_book_instead_of_moving_it(level):
    for sides in ({"bids": [level]}, {"asks": [level]}):
        book = synced_book(100)
        assert book.on_diff(diff(101, 105, 100, **sides)) is Outcome.MALFORMED
        assert not book.synced
        assert book.on_snapshot(snapshot(110)) is Outcome.APPLIED
        assert book.synced
        assert (book.best_bid, book.best_ask) == (100_000, 100_010)


def test_a_crossed_book_is_no_book():
    book = synced_book(100)
    assert book.on_diff(diff(101, 105, 100, bids=[(1000.5, 1.0)])) is Outcome.MALFORMED
    assert not book.synced


@given(
    st.lists(st.tuples(st.floats(), st.floats()), max_size=5), st.lists(st.tuples(st.floats(), st.floats()), max_size=5)
)
def test_no_input_makes_the_book_raise(bids, asks):
    book = synced_book(100)
    book.on_diff(diff(101, 105, 100, bids, asks))
    if book.synced:
        assert book.best_bid < book.best_ask


def test_a_book_without_one_side_is_not_synced():
    book = synced_book(100)
    assert book.on_diff(diff(101, 105, 100, bids=[(1000.0, 0.0)])) is Outcome.APPLIED
    assert not book.synced
