"""The status stream: what a reader gets, when, and who may read."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mm_contract import report
from mm_contract.report import Delta, EngineSection, FiguresSection, RiskSection, Snapshot, StatusReport
from mm_contract.states import RiskState
from mm_runner.control.status_feed import FIGURES_EVERY_NS, StatusFeed
from mm_runner.control.status_server import Health, StatusServer, TokenFolder

FIRST = StatusReport(engine=EngineSection(namespace="trading", name="ethusdt", uid="u", symbol="ETHUSDT"))
SECOND = 1_000_000_000


def with_position(position: str) -> StatusReport:
    return msgspec.structs.replace(FIRST, figures=FiguresSection(position=position))


def halted(status: StatusReport) -> StatusReport:
    return msgspec.structs.replace(status, risk=RiskSection(state=RiskState.HALTED, reason="stop loss"))


async def take(feed_consumer: object) -> Snapshot | Delta:
    return report.decode(await asyncio.wait_for(feed_consumer.next_message(), 1))


async def test_a_reader_begins_with_a_snapshot_and_follows_by_deltas_without_a_gap() -> None:
    feed = StatusFeed(FIRST)
    reader = feed.join()
    first = await take(reader)
    assert isinstance(first, Snapshot)
    feed.publish(with_position("0.1"), 0)
    feed.publish(halted(with_position("0.1")), 1)
    deltas = [await take(reader), await take(reader)]
    assert [delta.sequence for delta in deltas] == [first.sequence + 1, first.sequence + 2]
    followed = first.report
    for delta in deltas:
        assert isinstance(delta, Delta)
        followed = report.apply(followed, delta)
    assert followed == halted(with_position("0.1"))


async def test_figures_leave_at_most_once_a_second_and_transitions_at_once() -> None:
    feed = StatusFeed(FIRST)
    reader = feed.join()
    await take(reader)
    assert feed.publish(with_position("0.1"), 0) is None
    assert feed.publish(with_position("0.2"), SECOND // 2) == FIGURES_EVERY_NS
    assert feed.publish(halted(with_position("0.3")), SECOND // 2) == FIGURES_EVERY_NS
    assert feed.publish(halted(with_position("0.3")), SECOND) is None
    messages = [await take(reader) for _ in range(3)]
    assert [(m.figures is not None, m.risk is not None) for m in messages if isinstance(m, Delta)] == [
        (True, False),
        (False, True),
        (True, False),
    ]


async def test_a_reader_that_falls_behind_gets_a_new_snapshot() -> None:
    feed = StatusFeed(FIRST)
    reader = feed.join()
    await take(reader)
    for number in range(200):
        feed.publish(with_position(str(number)), number * SECOND)
    message = await take(reader)
    assert isinstance(message, Snapshot)
    assert message.report.figures.position == "199"
    feed.publish(with_position("200"), 200 * SECOND)
    after = await take(reader)
    assert isinstance(after, Delta)
    assert after.sequence == message.sequence + 1


class Served:
    def __init__(self) -> None:
        self.health = Health()
        self.feed = StatusFeed(FIRST)
        self.port = 0


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served()
    (tmp_path / "token").write_text("token-1\n")
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "token").write_text("token-2")
    (tmp_path / "..data").write_text("kubelet")
    server = StatusServer(served.feed, health=lambda: served.health, tokens=TokenFolder(tmp_path))
    served.port = await server.start("127.0.0.1", 0)
    yield served
    await server.stop()


async def probe(port: int, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(get)


async def test_the_probes_say_why(served: Served) -> None:
    assert await probe(served.port, "/healthz") == (200, "ok\n")
    served.health = Health(unhealthy="market data is old and orders rest", unready="not reconciled yet")
    assert await probe(served.port, "/healthz") == (503, "market data is old and orders rest\n")
    assert await probe(served.port, "/readyz") == (503, "not reconciled yet\n")
    assert (await probe(served.port, "/metrics"))[0] == 404


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Bearer kubelet", "Basic token-1"])
async def test_a_reader_without_a_token_is_refused(served: Served, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{served.port}/v1/status", additional_headers=headers):
            pass
    assert caught.value.response.status_code == 401


@pytest.mark.parametrize("token", ["token-1", "token-2"])
async def test_both_tokens_are_accepted_while_rotating(served: Served, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(f"ws://127.0.0.1:{served.port}/v1/status", additional_headers=headers) as reader:
        assert isinstance(report.decode(await asyncio.wait_for(reader.recv(), 2)), Snapshot)
        served.feed.publish(with_position("0.7"), 0)
        delta = report.decode(await asyncio.wait_for(reader.recv(), 2))
        assert isinstance(delta, Delta)
        assert delta.figures == FiguresSection(position="0.7")


async def test_a_stream_without_a_token_is_only_served_on_loopback() -> None:
    server = StatusServer(StatusFeed(FIRST), health=Health, tokens=None)
    with pytest.raises(ValueError, match="MM_STATUS_TOKEN_DIR"):
        await server.start("0.0.0.0", 0)
