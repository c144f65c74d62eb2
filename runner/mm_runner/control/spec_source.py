"""Specs and halts from outside: what every source shares. One source watches a file (`spec_file`), the other the resource (`spec_resource`).

`SpecGate` decides what becomes of an offered spec; it is pure. A change is refused whole and the last good spec goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from pydantic import BaseModel

from mm_contract.resource import (
    FieldClass,
    MarketMaker,
    MarketMakerSpec,
    OnDelete,
    SpecChange,
    SpecError,
    TradingHalt,
    changes,
    field_class,
)
from mm_contract.states import HaltState
from mm_runner.core.messages import Halt, HaltsChanged, SpecChanged, SpecRefused

REASON_INVALID: Final = "InvalidSpec"
REASON_IMMUTABLE: Final = "ImmutableField"
REASON_RESTART: Final = "RestartRequired"

Model = TypeVar("Model", bound=BaseModel)
SpecEvent = SpecChanged | SpecRefused | HaltsChanged
Sink = Callable[[SpecEvent], None]


@dataclass(frozen=True, slots=True)
class Offer:
    """A resource as a source read it: either it parses (`maker`), or it does not (`problems`)."""

    generation: int
    maker: MarketMaker | None = None
    problems: tuple[str, ...] = ()


class SpecSource(Protocol):
    """A place that says what the engine is to do."""

    async def first(self) -> MarketMaker:
        """The resource at the start.

        Raises:
            SpecError: it is not valid, and there is no last good one yet.
        """

    async def run(self, sink: Sink) -> None:
        """Tell every change, for ever; the matching halts are told before anything else, as unreadable where they cannot be listed."""

    async def guard(self, seconds: float) -> None:
        """Read everything afresh beside a Lease renewal.

        Raises:
            ControlPlaneError: the resource or the halts cannot be read.
        """


class SpecGate:
    """Accepts or refuses what is offered, against the spec that the engine runs.

    Args:
        replaced_from_outside: True in a pod, where the operator replaces the engine for a restart-class change; until then the
            hot part of such a change acts (a halt must not wait for a new leverage) and the old generation stays applied.
    """

    def __init__(self, first: MarketMaker, generation: int, *, replaced_from_outside: bool) -> None:
        self._running = first.spec
        self._generation = generation
        self._replaced = replaced_from_outside
        self._last: Offer | None = None

    def offer(self, offer: Offer) -> SpecChanged | SpecRefused | None:
        """What to tell the core; None where nothing changed."""
        if offer == self._last:
            return None
        self._last = offer
        if offer.maker is None:
            return _refused(offer.generation, REASON_INVALID, offer.problems)
        change = changes(self._running, offer.maker.spec)
        if change.immutable:
            return _refused(offer.generation, REASON_IMMUTABLE, [_immutable_sentence(change)])
        if change.restart:
            return self._restart(offer.generation, offer.maker.spec, change)
        return self._accept(offer.maker.spec, offer.generation)

    def _accept(self, spec: MarketMakerSpec, generation: int) -> SpecChanged | None:
        if spec == self._running and generation == self._generation:
            return None
        self._running, self._generation = spec, generation
        return SpecChanged(spec=spec, generation=generation)

    def _restart(self, generation: int, spec: MarketMakerSpec, change: SpecChange) -> SpecChanged | SpecRefused | None:
        if not self._replaced:
            return _refused(generation, REASON_RESTART, [_restart_sentence(change)])
        # Invariant 9: the new generation is not applied before the new pod runs it whole.
        return self._accept(_with_restart_fields_of(self._running, spec), self._generation)


def _refused(generation: int, reason: str, problems: Sequence[str]) -> SpecRefused:
    return SpecRefused(generation=generation, reason=reason, message="; ".join(problems))


def _immutable_sentence(change: SpecChange) -> str:
    return f"{', '.join(change.immutable)} cannot be changed; delete the resource and create another one with the new value"


def _restart_sentence(change: SpecChange) -> str:
    return f"{', '.join(change.restart)} only changes with a restart; stop this engine (it cancels its orders) and start it anew"


def _with_restart_fields_of(running: MarketMakerSpec, wanted: MarketMakerSpec) -> MarketMakerSpec:
    """`wanted`, but with the restart-class fields of `running`; `running` itself where the mixture breaks a rule."""
    merged = _merged(running, wanted)
    try:
        return MarketMakerSpec.model_validate_json(merged.model_dump_json(by_alias=True, exclude_none=True))
    except ValueError:
        desired = {"desired_state": wanted.desired_state, "dry_run": wanted.dry_run}
        return running.model_copy(update=desired)


def _merged(old: Model, new: Model) -> Model:
    update: dict[str, object] = {}
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if field_class(field) is FieldClass.RESTART:
            update[name] = before
        elif isinstance(after, BaseModel) and isinstance(before, type(after)):
            update[name] = _merged(before, after)
    return new.model_copy(update=update)


def matching_halts(halts: Iterable[TradingHalt], labels: Mapping[str, str]) -> HaltsChanged:
    """The halts that this resource must obey, in a fixed order."""
    found = [
        Halt(name=halt.metadata.name, state=halt.spec.state, reason=halt.spec.reason)
        for halt in halts
        if halt.matches(labels)
    ]
    return HaltsChanged(halts=tuple(sorted(found, key=lambda halt: halt.name)))


def unreadable_halt(name: str, error: SpecError) -> Halt:
    """A halt that exists and cannot be read halts: somebody wanted to stop something."""
    return Halt(name=name, state=HaltState.HALTED, reason=f"unreadable: {error}")


def closes_on_delete(spec: MarketMakerSpec) -> bool:
    """Whether deletion of the resource also flattens."""
    return spec.shutdown.on_delete is OnDelete.FLATTEN
