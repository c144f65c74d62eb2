"""The venue's clock is estimated from round trips, never from the machine's wall clock once there is a reading."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mm_runner.venue.clock import ClockReading, VenueClock

MS = 1_000_000
VENUE_AT_BOOT_ZERO_MS = 1_790_000_000_000


def reading(
    *, sent_ms: float, out_ms: float, back_ms: float, venue_zero_ms: int = VENUE_AT_BOOT_ZERO_MS
) -> ClockReading:
    sent, received = int(sent_ms * MS), int((sent_ms + out_ms + back_ms) * MS)
    return ClockReading(sent, received, venue_zero_ms + int(sent_ms + out_ms))


def clock() -> VenueClock:
    return VenueClock(wall_ms=5_000, boot_ns=0)


def test_without_a_reading_the_wall_clock_serves_and_the_clock_is_not_synced():
    fresh = clock()
    assert fresh.now_ms(7 * MS) == 5_007
    assert not fresh.synced


@given(st.floats(0, 400), st.floats(0, 400))
def test_the_error_is_at_most_half_the_round_trip(out_ms, back_ms):
    one = clock()
    one.add(reading(sent_ms=1000, out_ms=out_ms, back_ms=back_ms))
    truth = VENUE_AT_BOOT_ZERO_MS + 5000
    assert abs(one.now_ms(5000 * MS) - truth) <= (out_ms + back_ms) / 2 + 1.5


def test_the_shortest_round_trip_rules():
    one = clock()
    one.add(reading(sent_ms=0, out_ms=100, back_ms=0))
    one.add(reading(sent_ms=200, out_ms=1, back_ms=1))
    one.add(reading(sent_ms=400, out_ms=0, back_ms=90))
    assert abs(one.now_ms(1000 * MS) - (VENUE_AT_BOOT_ZERO_MS + 1000)) <= 1


def test_a_step_of_the_venues_clock_outdates_older_readings():
    one = clock()
    one.add(reading(sent_ms=0, out_ms=1, back_ms=1))
    one.add(reading(sent_ms=1000, out_ms=20, back_ms=20, venue_zero_ms=VENUE_AT_BOOT_ZERO_MS + 3000))
    assert abs(one.now_ms(2000 * MS) - (VENUE_AT_BOOT_ZERO_MS + 5000)) <= 21


def test_distrust_forgets_until_a_fresh_reading():
    one = clock()
    one.add(reading(sent_ms=0, out_ms=1, back_ms=1))
    one.distrust()
    assert not one.synced
    one.add(reading(sent_ms=50, out_ms=1, back_ms=1))
    assert one.synced


def test_a_reading_that_ends_before_it_began_is_passed_over():
    one = clock()
    one.add(ClockReading(10, 5, 123))
    assert not one.synced


def test_the_offset_is_venue_minus_wall():
    one = clock()
    one.add(ClockReading(0, 0, 6_000))
    assert one.offset_ms(wall_ms=5_000, boot_ns=0) == 1_000
