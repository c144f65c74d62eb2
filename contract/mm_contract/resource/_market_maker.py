"""The two kinds whole: MarketMaker and TradingHalt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mm_contract.resource._fields import Block, OpenBlock, at_most, block, hot
from mm_contract.resource._rules import NAME_RULES, broken
from mm_contract.resource._selector import LabelSelector
from mm_contract.resource._spec import MarketMakerSpec
from mm_contract.resource._status import MarketMakerStatus
from mm_contract.states import HaltState


class ObjectMeta(OpenBlock):
    """The part of meta/v1 ObjectMeta that operator and engine read; times stay text."""

    name: Annotated[str, Field(min_length=1)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})
    finalizers: tuple[str, ...] = ()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class MarketMaker(Block):
    """One symbol on one account, traded by one engine in one pod."""

    api_version: Literal["marketmaker.io/v1alpha1"]
    kind: Literal["MarketMaker"]
    metadata: ObjectMeta
    spec: Annotated[MarketMakerSpec, block("What the engine is to do.")]
    status: Annotated[MarketMakerStatus | None, block("What the operator knows of the engine.")] = None

    @model_validator(mode="after")
    def _name_fits(self) -> Self:
        failures = broken(NAME_RULES, self.metadata.name)
        if failures:
            raise PydanticCustomError("rules", "{text}", {"text": "\n".join(rule.sentence for rule in failures)})
        return self


class TradingHaltSpec(Block):
    """Which engines stop, how far, and why."""

    selector: Annotated[
        LabelSelector, hot("Labels of the MarketMakers of this namespace that are meant; {} means all of them.")
    ]
    state: Annotated[
        HaltState,
        hot("Halted cancels every order and opens none. ReduceOnly only shrinks positions. Neither closes one."),
    ] = HaltState.HALTED
    reason: Annotated[str, hot("Why, for the next person who looks."), at_most(512)] = ""


class TradingHalt(Block):
    """While it exists, every matching engine of its namespace obeys it."""

    api_version: Literal["marketmaker.io/v1alpha1"]
    kind: Literal["TradingHalt"]
    metadata: ObjectMeta
    spec: Annotated[TradingHaltSpec, block("Which engines stop, how far, and why.")]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a MarketMaker of the same namespace with these labels must obey."""
        return self.spec.selector.matches(labels)


def to_manifest(model: Block) -> dict[str, Any]:
    """The model as plain JSON values under its wire names; what is absent or null is left out."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
