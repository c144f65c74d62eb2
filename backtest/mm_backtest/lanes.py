"""The connections to the venue on the virtual clock, as `mm_runner.venue.http.Lane` keeps them: one request at a time, in the order in which they were made.

A request waits for its turn, leaves (or is withheld at that very moment), arrives after the entry latency, acts, and is answered after the answer latency.
Where the answer would come later than the request's timeout, the engine hears "unknown" at the timeout, and the venue acts all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from mm_backtest.latency import Latency
from mm_backtest.schedule import Schedule


class Request:
    """One request's four moments.

    Args:
        depart: the bytes would leave now; False where they are withheld.
        arrive: the venue acts and says its answer.
        answered: the answer is here.
        failed: none came in time; `left` says whether the request had left.
        timeout_seconds: from the making of the request.
    """

    __slots__ = ("answered", "arrive", "depart", "failed", "made_ns", "timeout_ns")

    def __init__(  # noqa: PLR0913 - its moments, by name
        self,
        *,
        depart: Callable[[int], bool],
        arrive: Callable[[int], Any],
        answered: Callable[[Any, int], None],
        failed: Callable[[bool, int], None],
        made_ns: int,
        timeout_seconds: float,
    ) -> None:
        self.depart = depart
        self.arrive = arrive
        self.answered = answered
        self.failed = failed
        self.made_ns = made_ns
        self.timeout_ns = round(timeout_seconds * 1e9)


class Lane:
    """One connection, or a few that are never waited for (`serial=False`)."""

    def __init__(self, schedule: Schedule, latency: Latency, *, serial: bool = True) -> None:
        self._schedule = schedule
        self._latency = latency
        self._serial = serial
        self._current = 0
        self._waiting: deque[Request] = deque()

    @property
    def busy(self) -> bool:
        """Whether the next request would have to wait for another."""
        return self._serial and bool(self._current or self._waiting)

    def submit(self, request: Request, time_ns: int) -> None:
        """Send it when it is its turn."""
        if self.busy:
            self._waiting.append(request)
        else:
            self._start(request, time_ns)

    def take_back(self, request: Request) -> bool:
        """It has not left and never will; False where it is too late for that."""
        if request not in self._waiting:
            return False
        self._waiting.remove(request)
        return True

    def _start(self, request: Request, time_ns: int) -> None:
        late_ns = request.made_ns + request.timeout_ns
        if time_ns >= late_ns:
            self._schedule.at(time_ns, request.failed, False)
            return
        if not request.depart(time_ns):
            return
        self._current += 1
        arrives = time_ns + self._latency.entry()
        back = arrives + self._latency.answer()
        if back > late_ns:
            self._schedule.at(arrives, self._act_unheard, request)
            self._schedule.at(late_ns, self._give_up, request)
        else:
            self._schedule.at(arrives, self._act, request, back)

    def _act(self, request: Request, back_ns: int, time_ns: int) -> None:
        self._schedule.at(back_ns, self._finish, request, request.arrive(time_ns))

    def _act_unheard(self, request: Request, time_ns: int) -> None:
        request.arrive(time_ns)

    def _finish(self, request: Request, answer: Any, time_ns: int) -> None:
        self._current -= 1
        request.answered(answer, time_ns)
        self._next(time_ns)

    def _give_up(self, request: Request, time_ns: int) -> None:
        self._current -= 1
        request.failed(True, time_ns)
        self._next(time_ns)

    def _next(self, time_ns: int) -> None:
        while self._waiting and not self._current:
            self._start(self._waiting.popleft(), time_ns)
