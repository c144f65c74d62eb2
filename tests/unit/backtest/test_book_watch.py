"""The observer's own idea of whether the engine could know the book."""

from mm_backtest.book_watch import BookWatch
from mm_runner.core.messages import DepthDiff, DepthSnapshot


def diff(first, last, previous):
    return DepthDiff(first_update_id=first, last_update_id=last, previous_update_id=previous, bids=[], asks=[])


def snapshot(last):
    return DepthSnapshot(last_update_id=last, bids=[], asks=[], sent_boot_ns=0)


def test_nothing_is_known_before_a_snapshot():
    watch = BookWatch()
    watch.on_diff(diff(1, 5, 0), 1)
    assert not watch.synced


def test_a_snapshot_makes_the_book_known_and_an_unbroken_chain_keeps_it_so():
    watch = BookWatch()
    watch.on_snapshot(snapshot(10), 1)
    watch.on_diff(diff(8, 12, 7), 2)
    watch.on_diff(diff(13, 15, 12), 3)
    assert watch.synced
    assert watch.fresh_ns == 3


def test_a_gap_loses_the_book_until_the_next_snapshot():
    watch = BookWatch()
    watch.on_snapshot(snapshot(10), 1)
    watch.on_diff(diff(11, 12, 10), 2)
    watch.on_diff(diff(20, 22, 19), 3)
    assert not watch.synced
    watch.on_snapshot(snapshot(25), 4)
    assert watch.synced


def test_diffs_that_came_before_the_snapshot_go_on_top_of_it():
    watch = BookWatch()
    for ids in ((1, 5, 0), (6, 9, 5), (10, 14, 9)):
        watch.on_diff(diff(*ids), 1)
    watch.on_snapshot(snapshot(7), 2)
    assert watch.synced
    watch.on_diff(diff(15, 16, 14), 3)
    assert watch.synced


def test_a_snapshot_older_than_a_hole_in_what_came_meanwhile_is_not_enough():
    watch = BookWatch()
    watch.on_diff(diff(1, 5, 0), 1)
    watch.on_diff(diff(10, 14, 9), 1)
    watch.on_snapshot(snapshot(3), 2)
    assert not watch.synced


def test_an_older_snapshot_of_a_known_book_only_makes_it_fresh():
    watch = BookWatch()
    watch.on_snapshot(snapshot(10), 1)
    watch.on_diff(diff(11, 20, 10), 2)
    watch.on_snapshot(snapshot(15), 9)
    watch.on_diff(diff(21, 22, 20), 10)
    assert watch.synced
