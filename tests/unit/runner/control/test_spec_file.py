"""A watched file: changes, refusals, halts beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mm_contract.resource import SpecError
from mm_contract.states import HaltState
from mm_runner.control.lease_loop import ControlPlaneError
from mm_runner.control.spec_file import SpecFile
from mm_runner.core.messages import Halt, HaltsChanged, SpecChanged, SpecRefused

HALT = """
apiVersion: marketmaker.io/v1alpha1
kind: TradingHalt
metadata: {{name: desk}}
spec: {{selector: {selector}, state: ReduceOnly, reason: lunch}}
"""


class Watched:
    """A running source and what it told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = SpecFile(path)
        self.told: list[object] = []

    async def wait_for(self, check: Callable[[object], bool]) -> object:
        async with asyncio.timeout(3):
            while True:
                for event in self.told:
                    if check(event):
                        return event
                await asyncio.sleep(0.01)


@pytest.fixture
async def watched(tmp_path: Path, maker_text: str) -> AsyncIterator[Watched]:
    path = tmp_path / "mm.yaml"
    path.write_text(maker_text)
    watched = Watched(path)
    await watched.source.first()
    task = asyncio.create_task(watched.source.run(watched.told.append))
    await watched.wait_for(lambda event: isinstance(event, HaltsChanged))
    yield watched
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_halts_are_told_before_anything_else(watched: Watched) -> None:
    assert watched.told == [HaltsChanged(halts=())]


async def test_an_edit_is_told_as_a_new_generation(watched: Watched, maker_text: str) -> None:
    watched.path.write_text(maker_text.replace("Running", "Halted"))
    event = await watched.wait_for(lambda event: isinstance(event, SpecChanged))
    assert isinstance(event, SpecChanged)
    assert event.generation == 2


async def test_a_broken_edit_is_refused_and_a_good_one_after_it_accepted(watched: Watched, maker_text: str) -> None:
    watched.path.write_text(maker_text.replace("minSpreadBps: 4.0", "minSpreadBps: -4.0"))
    refused = await watched.wait_for(lambda event: isinstance(event, SpecRefused))
    assert isinstance(refused, SpecRefused)
    assert "minSpreadBps" in refused.message
    watched.path.write_text(maker_text.replace("minSpreadBps: 4.0", "minSpreadBps: 6.0"))
    await watched.wait_for(lambda event: isinstance(event, SpecChanged) and event.generation == 3)


async def test_a_halt_in_a_file_beside_it_rules_while_the_file_is_there(watched: Watched) -> None:
    halt = watched.path.with_name("mm.halt-desk.yaml")
    halt.write_text(HALT.format(selector="{matchLabels: {desk: a}}"))
    halted = HaltsChanged(halts=(Halt(name="desk", state=HaltState.REDUCE_ONLY, reason="lunch"),))
    await watched.wait_for(lambda event: event == halted)
    halt.unlink()
    await watched.wait_for(lambda event: event == HaltsChanged() and watched.told[-1] is event)


async def test_a_halt_in_the_same_file_rules_and_one_for_other_labels_does_not(
    watched: Watched, maker_text: str
) -> None:
    other = HALT.format(selector="{matchLabels: {desk: b}}").replace("name: desk", "name: other")
    watched.path.write_text("---".join([maker_text, HALT.format(selector="{}"), other]))
    event = await watched.wait_for(lambda event: isinstance(event, HaltsChanged) and bool(event.halts))
    assert isinstance(event, HaltsChanged)
    assert [halt.name for halt in event.halts] == ["desk"]


@pytest.mark.parametrize("text", ["{broken", HALT.format(selector="{}").replace("ReduceOnly", "Sometimes")])
async def test_a_halt_file_that_cannot_be_read_halts(watched: Watched, text: str) -> None:
    watched.path.with_name("mm.halt.yaml").write_text(text)
    event = await watched.wait_for(lambda event: isinstance(event, HaltsChanged) and bool(event.halts))
    assert isinstance(event, HaltsChanged)
    assert event.halts[0].state is HaltState.HALTED


async def test_the_guard_fails_when_the_file_is_gone_for_long(watched: Watched) -> None:
    await watched.source.guard(1.0)
    watched.path.unlink()
    async with asyncio.timeout(5):
        while True:
            try:
                await watched.source.guard(1.0)
            except ControlPlaneError:
                break
            await asyncio.sleep(0.05)


async def test_a_start_without_a_valid_file_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        await SpecFile(tmp_path / "none.yaml").first()
    (tmp_path / "bad.yaml").write_text("kind: Pod")
    with pytest.raises(SpecError, match="MarketMaker"):
        await SpecFile(tmp_path / "bad.yaml").first()
