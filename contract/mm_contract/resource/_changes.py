"""What a change of the spec does to a running engine: pure comparison, field by field, by the class that each field carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mm_contract.resource._fields import CLASS_KEY, FieldClass
from mm_contract.resource._spec import MarketMakerSpec


@dataclass(frozen=True, slots=True)
class SpecChange:
    """Paths of the fields that differ, such as `spec.quoting.minSpreadBps`, by class."""

    hot: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.hot or self.restart or self.immutable)

    @property
    def paths(self) -> tuple[str, ...]:
        """All that differs."""
        return self.hot + self.restart + self.immutable


def field_class(field: FieldInfo) -> FieldClass | None:
    """The class that a field's definition carries; None for a block, whose leaves carry theirs."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict) or CLASS_KEY not in extra:
        return None
    return FieldClass(str(extra[CLASS_KEY]))


def changes(old: MarketMakerSpec, new: MarketMakerSpec) -> SpecChange:
    """How `new` differs from `old`."""
    found: dict[FieldClass, list[str]] = {each: [] for each in FieldClass}
    for path, each in _differences(old, new, path="spec"):
        found[each].append(path)
    return SpecChange(
        hot=tuple(found[FieldClass.HOT]),
        restart=tuple(found[FieldClass.RESTART]),
        immutable=tuple(found[FieldClass.IMMUTABLE]),
    )


def _differences(old: BaseModel, new: BaseModel, *, path: str) -> Iterator[tuple[str, FieldClass]]:
    for name, field in type(new).model_fields.items():
        before: Any = getattr(old, name)
        after: Any = getattr(new, name)
        if before == after:
            continue
        here = f"{path}.{field.alias or name}"
        own_class = field_class(field)
        if own_class is FieldClass.RESTART or not _both_are(type(after), before):
            # A restart field is replaced whole (pod.resources); a strategy block that comes or goes is one change.
            yield here, own_class or FieldClass.RESTART
        elif isinstance(after, BaseModel):
            yield from _differences(before, after, path=here)
        else:
            yield here, own_class or FieldClass.RESTART


def _both_are(kind: type, before: object) -> bool:
    return isinstance(before, kind)
