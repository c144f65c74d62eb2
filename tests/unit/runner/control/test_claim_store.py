# ruff: noqa: ARG002, ASYNC220, ASYNC240
# (doubles keep the signature they stand for; files and processes of a test may block its loop)
"""The claim-state file: one lock that survives its own replacement, and a state that is never half there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from mm_contract.claim_state import ClaimState, HaltLatch
from mm_runner.control.claim_store import (
    ClaimFile,
    ClaimPersister,
    ClaimStoreError,
    ConfigMapClaimStore,
    Superseded,
)
from mm_runner.control.kube_api import KubeError
from mm_runner.core.messages import ClaimStatePersisted, PersistClaimState

LATCHED = ClaimState(epoch=3, latch=HaltLatch(halt_id="h", reason="stop loss", since="2026-01-01T00:00:00Z"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "mm-0011.json"


async def test_a_fresh_claim_reads_as_empty_and_remembers_what_is_saved(path: Path) -> None:
    store = ClaimFile(path)
    assert store.acquire()
    assert await store.load() == ClaimState()
    await store.save(LATCHED)
    assert await store.load() == LATCHED
    store.close()
    assert await ClaimFile(path).load() == LATCHED


async def test_a_second_engine_cannot_take_the_lock_even_after_the_file_was_replaced(path: Path) -> None:
    first, second = ClaimFile(path), ClaimFile(path)
    assert first.acquire()
    assert not second.acquire()
    await first.save(LATCHED)
    assert not second.acquire()
    first.close()
    assert second.acquire()
    second.close()


async def test_a_waiting_engine_that_opened_the_old_file_does_not_believe_its_lock(path: Path) -> None:
    """The second opens the file, the first replaces it and goes: the lock on the old file is worth nothing."""
    first = ClaimFile(path)
    assert first.acquire()
    waiting = path.open("r+")
    await first.save(LATCHED)
    second = ClaimFile(path)
    assert not second.acquire()
    waiting.close()
    first.close()


async def test_a_removed_file_is_a_lost_lock_and_takes_no_more_state(path: Path) -> None:
    store = ClaimFile(path)
    store.acquire()
    path.unlink()
    assert not store.still_ours()
    with pytest.raises(ClaimStoreError, match="not locked"):
        await store.save(LATCHED)
    store.close()


async def test_an_unreadable_state_is_an_error_and_not_a_fresh_claim(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{broken")
    with pytest.raises(ClaimStoreError, match="cannot be read"):
        await ClaimFile(path).load()


async def test_the_kernel_gives_the_lock_back_when_the_process_is_killed(path: Path) -> None:
    program = (
        "import sys,time,pathlib;from mm_runner.control.claim_store import ClaimFile;"
        "f=ClaimFile(pathlib.Path(sys.argv[1]));print(f.acquire(),flush=True);time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "True"
        store = ClaimFile(path)
        assert not store.acquire()
        other.kill()
        other.wait(5)
    assert store.acquire()
    store.close()


class Api:
    """An API server with one ConfigMap under a resourceVersion."""

    def __init__(self, state: str | None = "{}") -> None:
        self.version = 1
        self.data = {} if state is None else {"state.json": state}
        self.failures: list[int] = []

    def _object(self) -> dict:
        return {"metadata": {"name": "mm-x", "resourceVersion": str(self.version)}, "data": dict(self.data)}

    async def get(self, path: str, *, timeout_seconds: float) -> dict:
        if self.failures:
            raise KubeError(self.failures.pop(0), "no")
        return self._object()

    async def replace(self, path: str, body: dict, *, timeout_seconds: float) -> dict:
        if self.failures:
            raise KubeError(self.failures.pop(0), "no")
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise KubeError(409, "conflict")
        self.version += 1
        self.data = body["data"]
        return self._object()


async def test_a_missing_config_map_or_key_is_an_error_and_not_a_fresh_claim() -> None:
    missing = Api()
    missing.failures = [404]
    with pytest.raises(ClaimStoreError, match="the operator creates it"):
        await ConfigMapClaimStore(missing, "mm-claims", name="mm-x").load()
    with pytest.raises(ClaimStoreError, match=r"state\.json"):
        await ConfigMapClaimStore(Api(None), "mm-claims", name="mm-x").load()


async def test_a_conflict_is_resolved_by_reading_unless_a_higher_epoch_wrote() -> None:
    api = Api()
    store = ConfigMapClaimStore(api, "mm-claims", name="mm-x")
    await store.load()
    api.version = 9
    with pytest.raises(ClaimStoreError):
        await store.save(LATCHED)
    await store.save(LATCHED)
    assert '"epoch":3' in api.data["state.json"]
    api.data = {"state.json": '{"epoch": 8}'}
    api.version = 12
    with pytest.raises(ClaimStoreError):
        await store.save(LATCHED)
    with pytest.raises(Superseded) as caught:
        await store.save(LATCHED)
    assert caught.value.epoch == 8
    assert api.data == {"state.json": '{"epoch": 8}'}


async def test_persisting_is_retried_until_durable_and_only_the_newest_state_is_written() -> None:
    api = Api()
    api.failures = [503, 0]
    store = ConfigMapClaimStore(api, "mm-claims", name="mm-x")
    persisted: list[int] = []
    done = asyncio.Event()

    def note(event: ClaimStatePersisted) -> None:
        persisted.append(event.token)
        done.set()

    failures: list[str] = []
    persister = ClaimPersister(store, persisted=note, superseded=lambda _: None, failed=failures.append)
    task = asyncio.create_task(persister.run())
    persister.persist(PersistClaimState(state=ClaimState(epoch=1), token=1))
    persister.persist(PersistClaimState(state=LATCHED, token=2))
    await asyncio.wait_for(done.wait(), 5)
    task.cancel()
    assert persisted == [2]
    assert len(failures) == 2
    assert persister.idle
