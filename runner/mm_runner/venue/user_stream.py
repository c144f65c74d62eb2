"""The user stream: the shell around the listenKey's life and the private socket.

After each connect the core gets StreamUp(user) and reconciles by REST, so that nothing that happened in between is lost.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from mm_contract.report import ListenKeySection
from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import Event, Instant, ListenKey, Stream, StreamDown, StreamUp
from mm_runner.telemetry.setup import Telemetry
from mm_runner.venue.api import UsdmApi
from mm_runner.venue.backoff import Backoff
from mm_runner.venue.endpoints import Endpoints
from mm_runner.venue.errors import VenueError
from mm_runner.venue.keeper import KeeperSettings, StreamKeeper
from mm_runner.venue.listen_key import KeySettings, ListenKeyCycle, Saying, Step
from mm_runner.venue.sockets import Opener
from mm_runner.venue.wire import LeverageChanged, ListenKeyExpired, MalformedError, UserDecoder

_NS: Final = 1_000_000_000
_SUSPECT_AFTER: Final = 2
_REMEMBERED_FRAMES: Final = 512


class UserStream:
    """Key and socket of one account.

    Args:
        instrument: the current one, for turning amounts into ticks and lots.
        on_key: called whenever the key's section of the status report may read differently.
        now: boot and wall clock.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        endpoints: Endpoints,
        api: UsdmApi,
        *,
        instrument: Callable[[], Instrument],
        deliver: Callable[[Event], None],
        on_key: Callable[[], None],
        telemetry: Telemetry,
        opener: Opener,
        chance: random.Random,
        now: Callable[[], Instant],
        key_settings: KeySettings | None = None,
        keeper_settings: KeeperSettings | None = None,
    ) -> None:
        self.cycle = ListenKeyCycle(now(), key_settings)
        self._endpoints = endpoints
        self._api = api
        self._deliver = deliver
        self._on_key = on_key
        self._telemetry = telemetry
        self._now = now
        self._decoder = UserDecoder(instrument)
        self._seen: deque[bytes] = deque(maxlen=_REMEMBERED_FRAMES)
        self._changed = asyncio.Event()
        self._has_key = asyncio.Event()
        self._short_lives = 0
        self._failures = telemetry.metrics.cell("runner_listenkey_failures_total")
        self.keeper = StreamKeeper(
            Stream.USER,
            url=self._address,
            opener=opener,
            on_frame=self._frame,
            on_up=self._up,
            on_down=self._down,
            telemetry=telemetry,
            backoff=Backoff(chance),
            boot_ns=lambda: now().boot_ns,
            settings=keeper_settings or KeeperSettings(mute_seconds=None),
        )

    async def run(self) -> None:
        """Keep key and socket alive until cancelled. The key is never deleted: it is the account's, not ours."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_key(), name="listenKey")
            group.create_task(self.keeper.run(), name="user stream")

    def section(self) -> ListenKeySection:
        """For the status report."""
        return self.cycle.section()

    # -- key -----------------------------------------------------------------------------------------------------------

    async def _keep_key(self) -> None:
        while True:
            await self._until_due()
            before = self.cycle.key
            await self._perform(self.cycle.next_step)
            if self.cycle.key:
                self._has_key.set()
            if before and self.cycle.key and self.cycle.key != before:
                self.keeper.reconnect("the listenKey changed")

    async def _until_due(self) -> None:
        while (seconds := (self.cycle.due_ns - self._now().boot_ns) / _NS) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _perform(self, step: Step) -> None:
        try:
            said = await (self._create() if step is Step.CREATE else self._keep())
        except VenueError as error:
            self._failures.value += 1
            if step is Step.CREATE:
                said = self.cycle.create_failed(self._now(), str(error))
            else:
                said = self.cycle.keep_failed(self._now(), str(error), code=error.code)
        self._tell(said)

    async def _create(self) -> list[Saying]:
        return self._created(await self._api.create_listen_key())

    async def _keep(self) -> list[Saying]:
        """A PUT that names another key than ours means that the account's key changed behind our back."""
        key = await self._api.keep_listen_key()
        said = self.cycle.kept(self._now())
        return [*said, *self._created(key)] if key and key != self.cycle.key else said

    def _created(self, key: str) -> list[Saying]:
        self._telemetry.log.redactor.add(key)
        return self.cycle.created(key, self._now())

    def _tell(self, said: Sequence[Saying]) -> None:
        for saying in said:
            self._telemetry.log.emit_fields(saying.event, saying.fields)
        self._deliver(ListenKey(state=self.cycle.state))
        self._on_key()

    def _expired(self) -> None:
        said = self.cycle.expired(self._now())
        self._has_key.clear()
        self._tell(said)
        self._changed.set()
        self.keeper.reconnect("listenKeyExpired")

    # -- socket --------------------------------------------------------------------------------------------------------

    async def _address(self) -> str:
        """Waits for a key; where connections keep failing, asks for it anew first."""
        if self._short_lives >= _SUSPECT_AFTER:
            self._short_lives = 0
            self.cycle.suspect(self._now())
            self._changed.set()
        await self._has_key.wait()
        self._short_lives += 1
        return self._endpoints.private_url(self.cycle.key)

    def _up(self) -> None:
        self._deliver(StreamUp(stream=Stream.USER))

    def _down(self, reason: str) -> None:
        self._deliver(StreamDown(stream=Stream.USER, error=reason))

    def _frame(self, payload: bytes) -> None:
        self._short_lives = 0
        if self._is_copy(payload):
            return
        try:
            event = self._decoder.decode(payload)
        except MalformedError as error:
            self._telemetry.malformed(error.kind, source=Stream.USER.value, error=str(error))
            return
        match event:
            case None:
                return
            case ListenKeyExpired():
                self._expired()
            case LeverageChanged():
                self._telemetry.log.emit(
                    "account_config", leverage=event.leverage, error="leverage was changed by somebody"
                )
            case _:
                self._deliver(event)

    def _is_copy(self, payload: bytes) -> bool:
        """While two connections overlap, each frame comes twice, byte for byte."""
        if not self.keeper.overlapping:
            self._seen.clear()
            return False
        if payload in self._seen:
            return True
        self._seen.append(payload)
        return False
