"""The venue's face to the engine: carries out the core's actions and delivers what happens as events.

    async with UsdmGateway(…) as gateway:      # REST is open, also for the ways out
        await gateway.configure_account(…)     # holding the Lease, not in dry run
        await gateway.run()                    # instrument, streams, listenKey, dead-man switch, clock; until cancelled

`execute` never blocks and never delivers from within the call. Every task belongs to the group of `run`; a defect in any of them ends `run` with an
exception, and the shell's crash path then calls `cancel_everything`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from mm_contract.claim import Claim
from mm_contract.report import ListenKeySection
from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import (
    LOCAL_REFUSAL,
    Action,
    CancelOrder,
    CancelRefused,
    DepthSnapshotFailed,
    Event,
    FetchDepthSnapshot,
    Instant,
    InstrumentLoaded,
    OrderRefused,
    PlaceOrder,
    QueryFailed,
    QueryOrder,
    RateLimited,
    Reconcile,
    ReconcileFailed,
    SetDeadMan,
)
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue import account_setup
from mm_runner.venue.api import UsdmApi
from mm_runner.venue.budget import Budget
from mm_runner.venue.clock import VenueClock
from mm_runner.venue.clock_keeper import FIRST_READINGS, ClockKeeper
from mm_runner.venue.deadman import DeadManSwitch
from mm_runner.venue.emergency import CancelProof, cancel_everything
from mm_runner.venue.endpoints import Endpoints
from mm_runner.venue.errors import LimitedError, VenueError
from mm_runner.venue.keeper import KeeperSettings
from mm_runner.venue.listen_key import KeySettings
from mm_runner.venue.market_stream import MarketStreams
from mm_runner.venue.order_desk import OrderDesk
from mm_runner.venue.rest import RestClient
from mm_runner.venue.rules_keeper import RulesKeeper
from mm_runner.venue.signing import Credentials
from mm_runner.venue.sockets import Opener, open_picows
from mm_runner.venue.user_stream import UserStream

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Intervals in seconds; injectable for tests."""

    clock_seconds: float = 30.0
    rules_seconds: float = 900.0
    meter_seconds: float = 0.5
    key: KeySettings = field(default_factory=KeySettings)
    market: KeeperSettings = field(default_factory=KeeperSettings)
    user: KeeperSettings = field(default_factory=lambda: KeeperSettings(mute_seconds=None))


class UsdmGateway:
    """One symbol of Binance USD-M futures.

    Args:
        deliver: gets each event, on the loop, never from within `execute`; must not raise for bad input.
        on_listen_key: the listenKey's section of the status report may read differently now.
        now: boot and wall clock.
        chance: jitter.
        opener: which WebSocket implementation.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        endpoints: Endpoints,
        credentials: Credentials,
        symbol: str,
        *,
        deliver: Callable[[Event], None],
        telemetry: Telemetry,
        now: Callable[[], Instant],
        chance: random.Random,
        on_listen_key: Callable[[], None] = lambda: None,
        opener: Opener = open_picows,
        settings: GatewaySettings | None = None,
    ) -> None:
        self._symbol = symbol
        self._deliver = deliver
        self._telemetry = telemetry
        self._now = now
        self._chance = chance
        self._settings = settings or GatewaySettings()
        self._group: asyncio.TaskGroup | None = None
        start = now()
        self._client = RestClient(
            endpoints.rest,
            credentials=credentials,
            clock=VenueClock(wall_ms=start.wall_ms, boot_ns=start.boot_ns),
            budget=Budget(),
            telemetry=telemetry,
            boot_ns=self._boot_ns,
            on_limited=self._limited,
            on_clock_refused=lambda: self._clock.want(),  # noqa: PLW0108 - made below
        )
        self.api = UsdmApi(self._client, symbol)
        self._clock = ClockKeeper(
            self.api,
            self._client,
            telemetry=telemetry,
            now=now,
            chance=chance,
            seconds=self._settings.clock_seconds,
        )
        self._rules = RulesKeeper(
            self.api,
            self._client.budget,
            deliver=deliver,
            telemetry=telemetry,
            chance=chance,
            seconds=self._settings.rules_seconds,
        )
        self._desk = OrderDesk(
            self.api,
            self._client,
            instrument=self._rules.known,
            spawn=self._spawn,
            deliver=deliver,
            telemetry=telemetry,
            boot_ns=self._boot_ns,
        )
        self._deadman = DeadManSwitch(self.api, deliver=deliver, telemetry=telemetry, boot_ns=self._boot_ns)
        self._market = MarketStreams(
            endpoints,
            symbol,
            deliver=deliver,
            telemetry=telemetry,
            opener=opener,
            chance=chance,
            boot_ns=self._boot_ns,
            settings=self._settings.market,
        )
        self._user = UserStream(
            endpoints,
            self.api,
            instrument=self._rules.known,
            deliver=deliver,
            on_key=on_listen_key,
            telemetry=telemetry,
            opener=opener,
            chance=chance,
            now=now,
            key_settings=self._settings.key,
            keeper_settings=self._settings.user,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    # -- settings ------------------------------------------------------------------------------------------------------

    def apply(self, *, recv_window_ms: int, weight_share: float) -> None:
        """Hot fields of `spec.exchange`."""
        self._client.recv_window_ms = recv_window_ms
        self._client.budget.share = weight_share

    def obey_ban(self, until_wall_ms: int) -> None:
        """A ban that an earlier process was told of (claim state): it is obeyed across restarts."""
        now = self._now()
        seconds = (until_wall_ms - now.wall_ms) / 1000
        if seconds > 0:
            self._client.budget.ban(code=418, seconds=seconds, boot_ns=now.boot_ns)

    def rotate(self, credentials: Credentials) -> None:
        """Take a rotated API key; nothing is dropped. A key of another account is the operator's mistake that `Exclusive` shows."""
        if credentials == self._client.credentials:
            return
        self._client.rotate(credentials)
        self._telemetry.log.emit("credentials_rotated", fingerprint=credentials.fingerprint)

    async def configure_account(self, *, leverage: int, margin_type: str) -> None:
        """Set and verify leverage, margin type and one-way mode; see `account_setup.configure` for what it raises."""
        try:
            await account_setup.configure(self.api, leverage=leverage, margin_type=margin_type)
        except account_setup.AccountSetupError as error:
            self._telemetry.log.emit("account_config", leverage=leverage, marginType=margin_type, error=str(error))
            raise
        self._telemetry.log.emit("account_config", leverage=leverage, marginType=margin_type, positionMode="one-way")

    async def load_instrument(self) -> InstrumentLoaded:
        """Read filters, limits and fees now; `run` does so by itself. Raises VenueError, or answers.SymbolError."""
        return await self._rules.load()

    async def read_clock(self) -> bool:
        """Read the venue's clock where `run` does not: no order leaves before it is known. False where the venue did not answer."""
        return await self._clock.read(FIRST_READINGS)

    async def preflight(self, claim: Claim) -> list[account_setup.Check]:
        """What `mm-runner check` shows; changes nothing."""
        await self.read_clock()
        checks = await account_setup.preflight(self.api, claim=claim, clock_offset_ms=self._clock.offset_ms)
        for check in checks:
            self._telemetry.log.emit("preflight", check=check.name, ok=check.ok, detail=check.detail)
        return checks

    # -- state for the report ------------------------------------------------------------------------------------------

    @property
    def instrument(self) -> Instrument | None:
        """Filters as last read; None before the first answer."""
        return self._rules.instrument

    def listen_key_section(self) -> ListenKeySection:
        """For the status report."""
        return self._user.section()

    # -- life ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Load the instrument, then keep streams, key, switch and clock going until cancelled."""
        await self._clock.read_until_known()
        loaded = await self._rules.load_until_known()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self._deliver(loaded)  # from here on what the core asks for can be answered
                for name, work in (
                    ("market streams", self._market.run()),
                    ("user stream", self._user.run()),
                    ("dead-man switch", self._deadman.run()),
                    ("clock", self._clock.run()),
                    ("rules", self._rules.run()),
                    ("meters", self._meter()),
                ):
                    group.create_task(work, name=name)
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def cancel_everything(self, claim: Claim, *, epoch: int, time_seconds: float) -> CancelProof:
        """The way out without the core: every own order of epochs up to ours, proven gone. Usable whether or not `run` runs."""
        proof = await cancel_everything(
            self.api, self._client, claim=claim, epoch=epoch, time_seconds=time_seconds, boot_ns=self._boot_ns
        )
        self._telemetry.log.emit(
            "orders_cancelled",
            reason="emergency",
            count=proof.cancelled,
            zeroOwnOrders=proof.zero_own_orders,
            seconds=round(proof.seconds, 3),
        )
        return proof

    # -- actions -------------------------------------------------------------------------------------------------------

    def execute(self, actions: Iterable[Action]) -> None:
        """Start what concerns the venue; the shell's own actions are passed over. Cancels of one call share requests."""
        cancels: list[CancelOrder] = []
        places: list[PlaceOrder] = []
        for action in actions:
            match action:
                case CancelOrder():
                    cancels.append(action)
                case PlaceOrder():
                    places.append(action)
                case SetDeadMan():
                    self._deadman.set(enabled=action.enabled, seconds=action.seconds)
                case QueryOrder() | FetchDepthSnapshot() | Reconcile():
                    self._ask(action)
                case _:
                    pass
        if (cancels or places) and (self._group is None or self._rules.instrument is None):
            self._turn_away(places, cancels)
            return
        if cancels:
            self._desk.cancel(cancels)  # before the new orders: what is to be pulled comes off first
        for order in places:
            self._desk.place(order)

    def _ask(self, action: QueryOrder | FetchDepthSnapshot | Reconcile) -> None:
        if self._group is None or self._rules.instrument is None:
            self._later(_unasked(action))
            return
        match action:
            case QueryOrder():
                self._desk.query(action)
            case FetchDepthSnapshot():
                self._spawn(self._fetch_depth(), name="depth")
            case Reconcile():
                self._spawn(self._reconcile(action), name="reconcile")

    def _turn_away(self, places: Iterable[PlaceOrder], cancels: Iterable[CancelOrder]) -> None:
        text = "the venue is not connected"
        for order in places:
            self._later(OrderRefused(client_order_id=order.client_order_id, code=LOCAL_REFUSAL, message=text))
        for cancel in cancels:
            self._later(CancelRefused(client_order_id=cancel.client_order_id, code=LOCAL_REFUSAL, message=text))

    async def _fetch_depth(self) -> None:
        try:
            snapshot = await self.api.depth()
        except VenueError as error:
            self._deliver(DepthSnapshotFailed(error=str(error)))
        else:
            self._deliver(snapshot)

    async def _reconcile(self, action: Reconcile) -> None:
        try:
            snapshot = await self.api.account_snapshot(
                self._rules.known(), trades_since_ms=action.trades_since_ms, sent_boot_ns=self._boot_ns()
            )
        except VenueError as error:
            self._deliver(ReconcileFailed(error=str(error)))
        else:
            self._deliver(snapshot)

    # -- limits and meters ------------------------------------------------------------------------------------------------

    def _limited(self, error: LimitedError, until_boot_ns: int) -> None:
        self._telemetry.log.emit("rate_limited", code=error.status, retryAfterSeconds=round(error.pause_seconds, 1))
        self._later(RateLimited(until_boot_ns=until_boot_ns, code=error.status))

    async def _meter(self) -> None:
        """Ages and remaining times, twice a second: what moves by itself and so has no event to set it."""
        metrics = self._telemetry.metrics
        while True:
            boot_ns = self._boot_ns()
            for keeper in (*self._market.keepers(), self._user.keeper):
                metrics.set("runner_market_data_age_seconds", keeper.age_seconds(), stream=keeper.stream.value)
            cycle = self._user.cycle
            age = (boot_ns - cycle.kept_boot_ns) / _NS if cycle.kept_boot_ns else 0.0
            metrics.set("runner_listenkey_age_seconds", age)
            metrics.set("runner_deadman_remaining_seconds", self._deadman.remaining_seconds())
            metrics.set("runner_rate_limited", float(boot_ns < self._client.budget.banned_until_boot_ns))
            metrics.set("runner_tasks", len(asyncio.all_tasks()))
            await asyncio.sleep(self._settings.meter_seconds)

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        if self._group is None:  # `execute` asks before; this is a defect
            work.close()
            raise RuntimeError("the gateway is not running")
        return self._group.create_task(work, name=name)

    def _later(self, event: Event) -> None:
        """Deliver after the current call has returned, so that the core is never entered from within its own actions."""
        asyncio.get_running_loop().call_soon(self._deliver, event)

    def _boot_ns(self) -> int:
        return self._now().boot_ns


def _unasked(action: QueryOrder | FetchDepthSnapshot | Reconcile) -> Event:
    text = "the venue is not connected"
    match action:
        case QueryOrder():
            return QueryFailed(client_order_id=action.client_order_id, error=text)
        case FetchDepthSnapshot():
            return DepthSnapshotFailed(error=text)
        case Reconcile():
            return ReconcileFailed(error=text)
