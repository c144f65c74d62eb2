"""A watched file as the source of spec and halts: the engine outside Kubernetes.

The file holds one MarketMaker and any number of TradingHalts; further TradingHalts may lie beside it in files named `<stem>.halt*.yaml`
(for `mm.yaml`: `mm.halt.yaml`, `mm.halt-desk.yaml`), so that stopping is writing a file and resuming is removing it.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mm_contract.names import TRADING_HALT_KIND
from mm_contract.resource import MarketMaker, SpecError, TradingHalt, load_manifest, parse_trading_halt
from mm_runner.control.clocks import SECOND_NS, boot_ns
from mm_runner.control.lease_loop import ControlPlaneError
from mm_runner.control.spec_source import Offer, Sink, SpecGate, matching_halts, unreadable_halt
from mm_runner.core.messages import Halt, HaltsChanged

_POLL_SECONDS: Final = 0.1
_UNREADABLE_AFTER_NS: Final = SECOND_NS  # an editor that replaces the file leaves it missing for an instant


@dataclass(frozen=True, slots=True)
class _Look:
    """What lies there, cheaply: any difference means read again."""

    stamps: tuple[tuple[str, int, int, int], ...]


class SpecFile:
    """Watches one spec file and the halt files beside it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._text = ""
        self._generation = 0
        self._maker: MarketMaker | None = None
        self._gate: SpecGate | None = None
        self._look: _Look | None = None
        self._halts: HaltsChanged | None = None
        self._read_ns = 0

    async def first(self) -> MarketMaker:
        """See `SpecSource`."""
        self._look = self._stamps()
        try:
            self._text = self.path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError([f"{self.path} cannot be read: {error}; give the path of a MarketMaker in YAML"]) from None
        self._maker = load_manifest(self._text)
        self._generation = 1
        self._gate = SpecGate(self._maker, self._generation, replaced_from_outside=False)
        self._read_ns = boot_ns()
        return self._maker

    async def run(self, sink: Sink) -> None:
        """See `SpecSource`; a change is told within 200 ms."""
        if self._gate is None:
            await self.first()
        self._tell_halts(sink)
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self._poll(sink)

    async def guard(self, seconds: float) -> None:
        """See `SpecSource`."""
        del seconds
        if boot_ns() - self._read_ns > _UNREADABLE_AFTER_NS:
            raise ControlPlaneError(f"{self.path} cannot be read")

    def _poll(self, sink: Sink) -> None:
        look = self._stamps()
        if look is None:
            return
        if look != self._look:
            try:
                text = self.path.read_text()
            except (OSError, UnicodeDecodeError):
                return
            self._look = look
            self._tell_spec(text, sink)
            self._tell_halts(sink)
        self._read_ns = boot_ns()

    def _tell_spec(self, text: str, sink: Sink) -> None:
        if text == self._text or self._gate is None:
            return
        self._text = text
        self._generation += 1
        try:
            maker = load_manifest(text)
            offer = Offer(self._generation, maker=maker)
            self._maker = maker
        except SpecError as error:
            offer = Offer(self._generation, problems=error.problems)
        event = self._gate.offer(offer)
        if event is not None:
            sink(event)

    def _tell_halts(self, sink: Sink) -> None:
        labels = self._maker.metadata.labels if self._maker else {}
        halts: list[TradingHalt] = []
        unreadable: list[Halt] = []
        for place in (self.path, *self._halt_files()):
            for name, document in _halt_documents(place):
                try:
                    halts.append(parse_trading_halt(document))
                except SpecError as error:
                    unreadable.append(unreadable_halt(name, error))
        event = matching_halts(halts, labels)
        event = HaltsChanged(halts=(*event.halts, *unreadable))
        if event != self._halts:
            self._halts = event
            sink(event)

    def _halt_files(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.stem}.halt*.yaml"))

    def _stamps(self) -> _Look | None:
        # Ten times a second: plain strings, no patterns and no paths are built.
        folder, begin = str(self.path.parent), f"{self.path.stem}.halt"
        try:
            names = sorted(name for name in os.listdir(folder) if name.startswith(begin) and name.endswith(".yaml"))  # noqa: PTH208
            places = [str(self.path), *(f"{folder}/{name}" for name in names)]
            stats = [(place, os.stat(place)) for place in places]  # noqa: PTH116
        except OSError:
            return None
        return _Look(tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats))


def _halt_documents(place: Path) -> list[tuple[str, dict[str, Any]]]:
    """The TradingHalts of a file by name; a halt file that is no YAML is one halt that cannot be read."""
    try:
        documents = list(yaml.safe_load_all(place.read_text()))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        # A broken spec file is refused as a spec; a broken halt file still wants to stop something.
        return [(place.name, {})] if ".halt" in place.name else []
    return [
        (_name(document, place), document)
        for document in documents
        if isinstance(document, dict) and document.get("kind") == TRADING_HALT_KIND
    ]


def _name(document: dict[str, Any], place: Path) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", place.name)) if isinstance(metadata, dict) else place.name
