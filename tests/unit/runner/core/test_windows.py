"""Budgets over a sliding minute."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mm_runner.core.settings import MINUTE, SECOND
from mm_runner.core.windows import MinuteBudget


@given(st.lists(st.integers(0, 20 * SECOND), max_size=60), st.integers(1, 30))
def test_what_is_left_is_the_limit_less_the_last_minutes_events(gaps, limit):
    budget, now, times = MinuteBudget(), 0, []
    for gap in gaps:
        now += gap
        within = [t for t in times if t > now - MINUTE]
        assert budget.left(limit, now_ns=now) == max(0, limit - len(within))
        budget.spend(now)
        times.append(now)


def test_what_can_wait_is_spread_over_the_minute_and_leaves_a_reserve():
    budget, spent = MinuteBudget(), []
    for tenth in range(1_200):  # two minutes of a market that always wants more
        now = tenth * SECOND // 10
        for _ in range(budget.paced(240, now_ns=now)):
            budget.spend(now)
            spent.append(now)
        assert budget.left(240, now_ns=now) >= 24
    longest_wait = max(later - earlier for earlier, later in pairwise(spent))
    assert longest_wait <= SECOND  # not the rest of a minute
    assert len(spent) >= 380
