"""The loop: one virtual clock for the tape, the engine and everything that is on its way between them.

The tape is merged with the feed's queue, the schedule and the engine's timer without a heap operation per market event. Of one instant's events the
venue's come first, then what the engine hears, then timers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from mm_backtest.driver import Driver
from mm_backtest.latency import Latency
from mm_backtest.observer import Observer
from mm_backtest.schedule import NEVER, Schedule
from mm_backtest.tape import Step
from mm_exchange.market import Touch
from mm_exchange.venue import Listing, Venue
from mm_runner.core.messages import BookTicker, DepthDiff, Event, Instant


class Loop:
    """Plays a tape.

    Args:
        venue: the exchange's core.
        listing: the symbol that is played.
        driver: the engine's core.
        schedule: everything that is not market data.
        latency: the feed's delay.
        observer: sees what the engine hears.
        told: called with the time and the touch before, where a market event did something to own orders.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        venue: Venue,
        listing: Listing,
        *,
        driver: Driver,
        schedule: Schedule,
        latency: Latency,
        observer: Observer,
        told: Callable[[int, Touch | None], None],
    ) -> None:
        self._venue = venue
        self._market = listing.market
        self._driver = driver
        self._schedule = schedule
        self._latency = latency
        self._book = observer.book
        self._told = told
        self._queue: deque[tuple[int, Event]] = deque()
        self._dirty = False
        self.frames = 0
        self.now_ns = 0

    def play(self, steps: Iterable[Step]) -> None:
        """To the end of the tape and of what is on its way to the engine."""
        # The hottest lines of a backtest: what is looked up often is a local name, and nothing is made that is not needed.
        market, floor, on_market, told = self._market, self._venue.floor, self._venue.on_market, self._told
        queue, schedule, driver = self._queue, self._schedule, self._driver
        constant_ns, delay, catch_up = self._latency.feed_constant_ns, self._latency.feed, self._catch_up
        heard_ns, frames, time_ns = 0, 0, 0
        for time_ns, event, message in steps:
            if (queue and queue[0][0] < time_ns) or schedule.next_ns < time_ns or driver.wake_ns < time_ns:
                catch_up(time_ns)
            frames += 1
            touch = market.touch
            on_market(event, time_ns)
            if floor.outbox:
                told(time_ns, touch)
            if message is not None:
                arrives = time_ns + (delay() if constant_ns is None else constant_ns)
                heard_ns = max(heard_ns, arrives)
                queue.append((heard_ns, message))
        self.frames += frames
        self.now_ns = max(self.now_ns, time_ns, heard_ns)
        catch_up(self.now_ns + 1)

    def run_on(self, end_ns: int, *, until: Callable[[], bool]) -> None:
        """After the tape: time passes over a book that stands still, to `end_ns` or until something holds."""
        schedule, driver = self._schedule, self._driver
        while not until() and min(schedule.next_ns, driver.wake_ns) <= end_ns:
            self.now_ns = max(self.now_ns, min(schedule.next_ns, driver.wake_ns))
            self._run_timer()

    def _catch_up(self, time_ns: int) -> None:
        """Everything that is due before an instant."""
        queue, schedule, driver, book = self._queue, self._schedule, self._driver, self._book
        engine = driver.engine
        handle, epoch_ns, dirty = engine.handle, driver.clock.epoch_ns, self._dirty
        heard, at_ns = 0, driver.heard_ns
        while True:
            timer_ns = schedule.next_ns if schedule.next_ns < driver.wake_ns else driver.wake_ns  # noqa: FURB136 - three times a call's price
            # Up to the next timer, which only actions or a round that is due earlier can move.
            until_ns = timer_ns if timer_ns < time_ns else time_ns - 1
            while queue and queue[0][0] <= until_ns:
                at_ns, message = queue.popleft()
                heard += 1
                kind = type(message)
                if kind is BookTicker:
                    book.fresh_ns = at_ns
                elif kind is DepthDiff:
                    book.on_diff(message, at_ns)  # type: ignore[arg-type]
                actions = handle(message, Instant(at_ns - epoch_ns, at_ns // 1_000_000))
                if actions:
                    driver.heard_ns = at_ns
                    driver.carry_out(actions, at_ns)
                    driver.rewake()
                    dirty = engine.dirty
                    break
                if engine.dirty is not dirty or driver.wake_ns == NEVER:
                    # A quoting round is due earlier than was known. Otherwise `wake_ns` is early at worst, and the timer asks anew.
                    driver.heard_ns = at_ns
                    driver.rewake()
                    dirty = engine.dirty
                    break
            else:
                driver.heard_ns = at_ns
                if timer_ns >= time_ns:
                    break
                self._run_timer()
                dirty, at_ns = engine.dirty, driver.heard_ns
        driver.events += heard
        self._dirty = dirty

    def _run_timer(self) -> None:
        schedule, driver = self._schedule, self._driver
        if schedule.next_ns <= driver.wake_ns:
            schedule.run_next()
            return
        due_ns = driver.wake_ns
        driver.rewake()
        if driver.wake_ns <= due_ns:
            driver.tick(due_ns)
