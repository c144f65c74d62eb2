"""The local latch and the API key: files that a person or the kubelet writes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from mm_runner.control.credentials import Credentials, CredentialsError, read_credentials, watch_credentials
from mm_runner.control.local_latch import Latch, clear_latch, latch_path, read_latch, set_latch, watch_latch
from mm_runner.core.messages import LocalHalt


def test_a_latch_is_active_until_it_is_cleared(tmp_path: Path) -> None:
    assert read_latch(tmp_path) == LocalHalt(active=False)
    set_latch(tmp_path, Latch())
    assert read_latch(tmp_path) == LocalHalt(active=True)
    set_latch(tmp_path, Latch(close=True))
    assert read_latch(tmp_path) == LocalHalt(active=True, close=True)
    assert clear_latch(tmp_path)
    assert not clear_latch(tmp_path)
    assert read_latch(tmp_path) == LocalHalt(active=False)


@pytest.mark.parametrize("content", [b"", b"touched by hand", b'{"close": 7}', b"\xff"])
def test_a_latch_that_cannot_be_read_halts_and_closes_nothing(tmp_path: Path, content: bytes) -> None:
    latch_path(tmp_path).write_bytes(content)
    assert read_latch(tmp_path) == LocalHalt(active=True, close=False)


async def test_a_running_engine_sees_the_latch_within_200_ms(tmp_path: Path) -> None:
    told: asyncio.Queue[LocalHalt] = asyncio.Queue()
    task = asyncio.create_task(watch_latch(tmp_path, told.put_nowait))
    assert not (await asyncio.wait_for(told.get(), 1)).active
    set_latch(tmp_path, Latch())
    async with asyncio.timeout(0.4):  # twice the promise: this machine is shared
        assert (await told.get()).active
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def write_keys(directory: Path, key: str, secret: str) -> None:
    (directory / "apiKey").write_text(key)
    (directory / "apiSecret").write_text(secret)


def test_keys_are_read_without_the_white_space_around_them(tmp_path: Path) -> None:
    write_keys(tmp_path, "key-1\n", "  secret-1\r\n")
    assert read_credentials(tmp_path) == Credentials("key-1", "secret-1")


@pytest.mark.parametrize(
    ("key", "secret", "says"),
    [
        (None, "s", "apiKey is missing"),
        ("k", "", "apiSecret is empty"),
        ("k e y", "s", "several words"),
        ("k", "ß", "plain text"),
    ],
)
def test_unusable_keys_are_named_and_never_shown(tmp_path: Path, key: str | None, secret: str, says: str) -> None:
    if key is not None:
        (tmp_path / "apiKey").write_text(key)
    (tmp_path / "apiSecret").write_text(secret)
    with pytest.raises(CredentialsError, match=says) as caught:
        read_credentials(tmp_path)
    assert "k e y" not in str(caught.value)


def test_a_key_is_never_shown_by_repr() -> None:
    assert "key-1" not in repr(Credentials("key-1", "secret-1"))
    assert "secret-1" not in repr(Credentials("key-1", "secret-1"))


async def test_a_symlink_swap_is_taken_over_and_a_gap_in_it_keeps_the_old_key(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        write_keys(tmp_path / f"v{number}", f"key-{number}", f"secret-{number}")
    mount = tmp_path / "mount"
    mount.symlink_to("v1")
    rotated: asyncio.Queue[Credentials] = asyncio.Queue()
    failed: asyncio.Queue[str] = asyncio.Queue()
    known = read_credentials(mount)
    task = asyncio.create_task(watch_credentials(mount, known, rotated=rotated.put_nowait, failed=failed.put_nowait))
    mount.unlink()
    assert "is missing" in await asyncio.wait_for(failed.get(), 3)
    mount.symlink_to("v2")
    assert (await asyncio.wait_for(rotated.get(), 3)) == Credentials("key-2", "secret-2")
    assert rotated.empty()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
