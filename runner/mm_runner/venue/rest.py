"""The REST client: three lanes, one budget, one clock, one verdict per request.

The order lane is a single keep-alive connection: orders leave in the order in which they were made, and a cancel travels behind its own
unacknowledged order (design, invariant 7). The spare lane takes cancels of acknowledged orders while the order lane waits for an answer, so that one
stuck order does not hold up a halt. Everything else uses the general lane.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.budget import Budget, Urgency
from mm_runner.venue.clock import VenueClock
from mm_runner.venue.errors import LimitedError, VenueError, WithheldError, judge
from mm_runner.venue.http import Answer, Departure, Lane
from mm_runner.venue.routes import Route, Security
from mm_runner.venue.signing import Credentials, Signer

MAX_RECV_WINDOW_MS: Final = 2000
"""Invariant 4: nothing may land later than this after it left."""
_GENERAL_CONNECTIONS: Final = 4
_SAY_EVERY_NS: Final = 10_000_000_000
_ORDINARY_CODES: Final = frozenset({-2011, -2013, -5022, -4046, -4059})
"""Answers of a quoting engine's everyday life; they are not counted as errors, or the seed's error-rate alert would page for trading."""


class RestClient:
    """Signed requests to one venue.

    Args:
        base: REST base URL.
        credentials: replaced by `rotate`.
        on_limited: called with the venue's 429 or 418 and until when (boot clock) nothing is sent.
        on_clock_refused: called when the venue answered -1021; somebody must read its clock anew.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        base: str,
        *,
        credentials: Credentials,
        clock: VenueClock,
        budget: Budget,
        telemetry: Telemetry,
        boot_ns: Callable[[], int],
        on_limited: Callable[[LimitedError, int], None] = lambda _error, _until: None,
        on_clock_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = clock
        self.budget = budget
        self.recv_window_ms = MAX_RECV_WINDOW_MS
        self._telemetry = telemetry
        self._boot_ns = boot_ns
        self._on_limited = on_limited
        self._on_clock_refused = on_clock_refused
        self.rotate(credentials)
        self.order_lane = Lane(base, connections=1, api_key=self._api_key)
        self.spare_lane = Lane(base, connections=1, api_key=self._api_key)
        self.general_lane = Lane(base, connections=_GENERAL_CONNECTIONS, api_key=self._api_key)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for lane in (self.order_lane, self.spare_lane, self.general_lane):
            await self._open.enter_async_context(lane)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def rotate(self, credentials: Credentials) -> None:
        """Use these from the next request on; what is in flight keeps its signature."""
        self._credentials = credentials
        self._signer = Signer(credentials.api_secret)
        self._telemetry.log.redactor.add(credentials.api_key, credentials.api_secret)

    @property
    def credentials(self) -> Credentials:
        """The ones in use."""
        return self._credentials

    def venue_ms(self) -> int:
        """The venue's time now."""
        return self.clock.now_ms(self._boot_ns())

    async def call(  # noqa: PLR0913 - a request's bounds, by name
        self,
        route: Route,
        query: bytes = b"",
        *,
        lane: Lane | None = None,
        send_deadline_boot_ns: int = 0,
        recv_window_ms: int = 0,
        on_sent: Callable[[], None] = lambda: None,
    ) -> Answer:
        """One request; returns a 2xx answer.

        Args:
            route: which call.
            query: encoded parameters without timestamp and signature.
            lane: the general one unless told.
            send_deadline_boot_ns: no byte leaves at or after it (0: no deadline).
            recv_window_ms: 0 takes the client's.
            on_sent: called when the bytes are about to leave.

        Raises:
            NotSentError: it certainly never left (WithheldError: by our own choice).
            RefusedError: the venue did not do it (LimitedError: 429 or 418).
            UnknownError: it may have been done.
        """
        requests = self._telemetry.metrics.cell("runner_rest_requests_total", action=route.action)

        def finish(boot_ns: int) -> bytes:
            window = recv_window_ms or self.recv_window_ms
            target = self._finish(route, query, boot_ns=boot_ns, deadline=send_deadline_boot_ns, window=window)
            requests.value += 1
            on_sent()
            return target

        departure = Departure(finish, self._boot_ns)
        try:
            answer = await (lane or self.general_lane).request(
                route.method, departure, timeout_seconds=route.timeout_seconds
            )
            self._take_in(route, answer)
        except WithheldError:
            raise  # nothing was asked of the venue: neither a request nor an error
        except VenueError as error:
            if not departure.sent:
                requests.value += 1  # no connection: asked in vain, and an error below
            self._count_error(route, error)
            raise
        return answer

    def _finish(self, route: Route, query: bytes, *, boot_ns: int, deadline: int, window: int) -> bytes:
        """Runs when a connection is in hand: the last check before the bytes leave, and the signature with a fresh timestamp."""
        # Invariant 4: no order leaves after the deadline, not even from a process that was stopped and woke up.
        if deadline and boot_ns >= deadline:
            raise WithheldError("send deadline passed")
        venue_ms = self.clock.now_ms(boot_ns)
        if route.urgency is Urgency.ORDER and not self.clock.synced:
            raise WithheldError("the venue's clock is not known: it is read before the next order")
        obstacle = self.budget.obstacle(route.urgency, route.weight, venue_ms=venue_ms, boot_ns=boot_ns)
        if obstacle:
            raise WithheldError(obstacle)
        self.budget.sending(route.urgency, route.weight, venue_ms=venue_ms)
        if route.security is Security.SIGNED:
            query = self._signer.signed(query, timestamp_ms=venue_ms, recv_window_ms=min(window, MAX_RECV_WINDOW_MS))
        path = route.path.encode()
        return b"%b?%b" % (path, query) if query else path

    def _take_in(self, route: Route, answer: Answer) -> None:
        now = self._boot_ns()
        metrics = self._telemetry.metrics
        metrics.histogram("runner_rest_latency_seconds", action=route.action).observe((now - answer.sent_boot_ns) / 1e9)
        venue_ms = self.clock.now_ms(now)
        self.budget.note(answer.headers, venue_ms)
        metrics.set("runner_used_weight", self.budget.weight.now(venue_ms))
        metrics.set("runner_order_count", self.budget.orders_10s.now(venue_ms), window="10s")
        metrics.set("runner_order_count", self.budget.orders_1m.now(venue_ms), window="1m")
        verdict = judge(
            answer.status, answer.body, retry_after=answer.headers.get("Retry-After", ""), venue_ms=venue_ms
        )
        if verdict is None:
            return
        if isinstance(verdict, LimitedError):
            until = self.budget.ban(code=verdict.status, seconds=verdict.pause_seconds, boot_ns=now)
            self._on_limited(verdict, until)
        elif verdict.code == -1021:
            # Invariant 4: stop (orders are withheld until the clock is read anew), never resync and resend.
            self.clock.distrust()
            self._on_clock_refused()
        if answer.status >= 400 and not answer.body.lstrip().startswith((b"{", b"[")):
            self._telemetry.malformed("rest_not_json", source=route.action, error=f"HTTP {answer.status}")
        raise verdict

    def _count_error(self, route: Route, error: VenueError) -> None:
        if error.code in _ORDINARY_CODES:
            return
        self._telemetry.metrics.cell("runner_rest_errors_total", action=route.action).value += 1
        fields = {"action": route.action, "error": str(error), "code": error.code}
        self._telemetry.once(f"rest/{route.action}", "rest_error", fields, every_ns=_SAY_EVERY_NS)

    def _api_key(self) -> str:
        return self._credentials.api_key
