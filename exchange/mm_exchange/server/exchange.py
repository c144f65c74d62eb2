"""The running exchange: core objects, clock and the hand-over of user events to sockets.

Everything that serves shares one `Exchange`. It owns no socket and no task.
"""

from __future__ import annotations

import dataclasses
from random import Random
from typing import TYPE_CHECKING, Protocol

from mm_exchange.api.core import Api
from mm_exchange.faults import FaultPlan
from mm_exchange.filters import Filters, contract_info
from mm_exchange.frames import StreamHub
from mm_exchange.latency import Latency
from mm_exchange.limits import LimitValues
from mm_exchange.statistics import Statistics
from mm_exchange.venue import Venue

if TYPE_CHECKING:
    from mm_exchange.clock import Clock
    from mm_exchange.flow.synthetic import SyntheticFlow
    from mm_exchange.market import MarketEvent
    from mm_exchange.matching import MatchingModel
    from mm_exchange.user_events import UserEvent


@dataclasses.dataclass(frozen=True)
class Quirks:
    """Where the real venue's environments differ; the defaults are production's, but for the old paths.

    `old_paths_live`: unrouted `/ws` and `/stream` deliver (production retired them: they subscribe, then stay
    silent). `events_required`: a user stream without `events=` gets no payload. `key_in_path`: a listenKey as a
    path segment works (testnet) instead of failing silently.
    """

    old_paths_live: bool = True
    events_required: bool = True
    key_in_path: bool = False


class UserSink(Protocol):
    """What delivers user events to sockets."""

    def deliver_user(self, event: UserEvent) -> None:
        """Take one user event; must not block."""


class Exchange:
    """Core, clock and fault plan of one process. `latency` is what its servers delay messages by."""

    def __init__(
        self, clock: Clock, *, seed: int, limits: LimitValues, quirks: Quirks, matching: MatchingModel | None = None
    ) -> None:
        self.clock = clock
        self.latency = Latency()
        self.quirks = quirks
        self.seed = seed
        self.venue = Venue(matching=matching)
        self.statistics = Statistics(self.venue)
        rng = Random(f"{seed}-keys")  # noqa: S311 - a test double's keys
        self.api = Api(self.venue, limits=limits, rng=rng, statistics=self.statistics)
        self.hub = StreamHub(self.venue, self.statistics)
        self.faults = FaultPlan(self.venue.ledger, seed=seed)
        self.filters = Filters(self.venue.listings, self.faults)
        self.synthetic: dict[str, SyntheticFlow] = {}
        self.sink: UserSink | None = None

    def now_ns(self) -> int:
        """The exchange's time."""
        return self.clock.now_ns()

    def now_ms(self) -> int:
        """The exchange's time in milliseconds."""
        return self.clock.now_ns() // 1_000_000

    def on_market(self, event: MarketEvent) -> None:
        """One public event: match, then tell the streams and the accounts."""
        now_ns = self.clock.now_ns()
        self.venue.on_market(event, now_ns)
        self.hub.publish(event, now_ns // 1_000_000)
        self.flush()

    def tick(self) -> None:
        """What happens by the clock."""
        now_ns = self.clock.now_ns()
        self.strike(now_ns)
        self.venue.tick(now_ns)
        self.hub.tick(now_ns // 1_000_000)
        self.flush()
        self.venue.ledger.spill()

    def strike(self, now_ns: int) -> None:
        """Let faults begin and end that change the venue itself."""
        for symbol in self.filters.update(now_ns):
            rules = self.venue.listings[symbol].rules
            self.hub.tell_all("!contractInfo", contract_info(rules, now_ns // 1_000_000))
        self.faults.tick(now_ns)

    def flush(self) -> None:
        """Hand collected events to the sockets: liquidations to everybody, the rest to whom it concerns."""
        for force in self.venue.drain_public():
            self.hub.tell(force.symbol, "forceOrder", force.payload)
            self.hub.tell_all("!forceOrder@arr", force.payload)
        events = self.venue.drain()
        if self.sink is not None:
            for event in events:
                self.sink.deliver_user(event)
