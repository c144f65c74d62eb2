"""Where the claim state lies: a ConfigMap that the operator creates and only the engine updates, or a file with an exclusive lock.

Invariant 6: what should exist and cannot be read means halted (`load` answers None), and tightening is retried until it is durable.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from mm_contract.claim_state import STATE_KEY, ClaimState, ClaimStateError, decode, encode
from mm_runner.control.kube_api import KubeApi, KubeError, config_map_path
from mm_runner.core.messages import ClaimStatePersisted, PersistClaimState

_TIMEOUT_SECONDS: Final = 1.5
_FIRST_RETRY_SECONDS: Final = 0.25
_LAST_RETRY_SECONDS: Final = 5.0


class ClaimStoreError(Exception):
    """The state cannot be read or written just now; the text says what to do."""


class Superseded(Exception):  # noqa: N818 - a fact, not a failure
    """The stored state carries a higher epoch than ours: another engine has the claim (invariant 5)."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(f"the claim state was written by epoch {epoch}")


class ClaimStore(Protocol):
    """Durable claim state."""

    async def load(self) -> ClaimState:
        """Read the state.

        Raises:
            ClaimStoreError: it should exist and cannot be read, which means halted.
        """

    async def save(self, state: ClaimState) -> None:
        """Replace the state.

        Raises:
            ClaimStoreError: it may not have been written.
            Superseded: the stored state is of a higher epoch.
        """


class ConfigMapClaimStore:
    """ConfigMap `mm-<claim key>` in the claims namespace; updated under its resourceVersion, never created here."""

    def __init__(self, api: KubeApi, namespace: str, *, name: str) -> None:
        self._api = api
        self._where = f"ConfigMap {namespace}/{name}"
        self._path = config_map_path(namespace, name)
        self._object: dict[str, Any] | None = None

    async def load(self) -> ClaimState:
        """See `ClaimStore`."""
        try:
            self._object = await self._api.get(self._path, timeout_seconds=_TIMEOUT_SECONDS)
        except KubeError as error:
            hint = "; the operator creates it" if error.status == 404 else ""
            raise ClaimStoreError(f"{self._where} cannot be read: {error}{hint}") from error
        return self._decoded(self._object)

    async def save(self, state: ClaimState) -> None:
        """See `ClaimStore`. A conflict reads first, and writes at the next attempt."""
        if self._object is None:
            await self._look(state)
        body = {**(self._object or {}), "data": {**((self._object or {}).get("data") or {}), STATE_KEY: encode(state)}}
        try:
            self._object = await self._api.replace(self._path, body, timeout_seconds=_TIMEOUT_SECONDS)
        except KubeError as error:
            self._object = None
            raise ClaimStoreError(f"{self._where} cannot be written: {error}") from error

    async def _look(self, state: ClaimState) -> None:
        stored = await self.load()
        if stored.epoch > state.epoch:
            raise Superseded(stored.epoch)

    def _decoded(self, config_map: dict[str, Any]) -> ClaimState:
        text = (config_map.get("data") or {}).get(STATE_KEY)
        if text is None:
            raise ClaimStoreError(
                f"{self._where} lacks {STATE_KEY}: restore it, or set it to {{}} after a look at the account"
            )
        try:
            return decode(text)
        except ClaimStateError as error:
            raise ClaimStoreError(f"{self._where}: {error}") from error


class ClaimFile:
    """The file variant: state and exclusive lock in one file, created when absent.

    The lock must survive the atomic replacement of the file: the new file is locked before it takes the path, and a taker checks
    after locking that the path still leads to what it locked.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; True while it is ours."""
        if self._descriptor is not None:
            return self.still_ours()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not _try_lock(descriptor):
                os.close(descriptor)
                return False
            if _same_file(descriptor, self.path):
                self._descriptor = descriptor
                return True
            os.close(descriptor)

    def still_ours(self) -> bool:
        """Whether the path still leads to the locked file: a removed or replaced file is a lost lock."""
        return self._descriptor is not None and _same_file(self._descriptor, self.path)

    def close(self) -> None:
        """Let the lock go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def load(self) -> ClaimState:
        """See `ClaimStore`. An empty file is a fresh claim: replacement is atomic, so no crash leaves one."""
        try:
            text = self.path.read_text()
            return decode(text) if text else ClaimState()
        except (OSError, UnicodeDecodeError, ClaimStateError) as error:
            raise ClaimStoreError(f"{self.path} cannot be read: {error}") from error

    async def save(self, state: ClaimState) -> None:
        """See `ClaimStore`."""
        if not self.still_ours():
            raise ClaimStoreError(f"{self.path} is not locked by this process: it was removed or replaced")
        try:
            await asyncio.to_thread(self._replace, encode(state))
        except OSError as error:
            raise ClaimStoreError(f"{self.path} cannot be written: {error}") from error

    def _replace(self, text: str) -> None:
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self.path)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        old, self._descriptor = self._descriptor, descriptor
        if old is not None:
            os.close(old)


class ClaimPersister:
    """Makes the newest state durable, with retry until it is or a newer one replaces it.

    Args:
        store: where to.
        persisted: told the token once that state is durable.
        superseded: told the higher epoch that the store showed.
        failed: told each failure, for the log.
    """

    def __init__(
        self,
        store: ClaimStore,
        *,
        persisted: Callable[[ClaimStatePersisted], None],
        superseded: Callable[[int], None],
        failed: Callable[[str], None],
    ) -> None:
        self._store = store
        self._persisted = persisted
        self._superseded = superseded
        self._failed = failed
        self._wanted: PersistClaimState | None = None
        self._changed = asyncio.Event()

    def persist(self, action: PersistClaimState) -> None:
        """Want this state from now on; an older wish that is not yet written is dropped."""
        self._wanted = action
        self._changed.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting to be written."""
        return self._wanted is None

    async def run(self) -> None:
        """For ever; ends only when superseded or cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._write():
                return

    async def _write(self) -> bool:
        retry = _FIRST_RETRY_SECONDS
        while (action := self._wanted) is not None:
            try:
                await self._store.save(action.state)
            except Superseded as fact:
                self._superseded(fact.epoch)
                return False
            except ClaimStoreError as error:
                self._failed(str(error))
                await asyncio.sleep(retry)
                retry = min(_LAST_RETRY_SECONDS, retry * 2)
                continue
            if self._wanted is action:
                self._wanted = None
            self._persisted(ClaimStatePersisted(token=action.token))
        return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        at_path = path.stat()
    except FileNotFoundError:
        return False
    locked = os.fstat(descriptor)
    return (locked.st_ino, locked.st_dev) == (at_path.st_ino, at_path.st_dev)
