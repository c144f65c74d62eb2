"""Label selectors as Kubernetes defines them: the shape, and what they match."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Self, assert_never

from pydantic import ConfigDict, Field, model_validator

from mm_contract.resource._fields import CEL_KEY, Block, Format, at_most, refusal

LABEL_KEY: Final = Format(
    pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    message="must be a label key; change it to one such as app or example.com/app",
    max_length=317,
)
LABEL_VALUE: Final = Format(
    pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
    message="must be a label value: at most 63 letters, digits, dashes, dots or underscores",
    max_length=63,
)
LabelValue = Annotated[str, LABEL_VALUE]


class SelectorOperator(StrEnum):
    """How a requirement compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_VALUES_MESSAGE: Final = "In and NotIn need values, Exists and DoesNotExist take none; add or remove values"


class SelectorRequirement(Block):
    """One requirement on one label."""

    model_config = ConfigDict(
        json_schema_extra={
            CEL_KEY: [
                {
                    "rule": "(self.operator in ['In', 'NotIn']) == (self.values.size() > 0)",
                    "message": _VALUES_MESSAGE,
                    "fieldPath": ".values",
                }
            ]
        }
    )

    key: Annotated[str, Field(description="Label key."), LABEL_KEY]
    operator: Annotated[SelectorOperator, Field(description="How the label is compared.")]
    values: Annotated[
        tuple[LabelValue, ...],
        Field(description="For In and NotIn: at least one; for Exists and DoesNotExist: none."),
        at_most(50),
    ] = ()

    @model_validator(mode="after")
    def _values_fit_the_operator(self) -> Self:
        if bool(self.values) != (self.operator in {SelectorOperator.IN, SelectorOperator.NOT_IN}):
            raise refusal(_VALUES_MESSAGE)
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets the requirement; NotIn is met by an absent label, as in Kubernetes."""
        match self.operator:
            case SelectorOperator.IN:
                return labels.get(self.key) in self.values
            case SelectorOperator.NOT_IN:
                return labels.get(self.key) not in self.values
            case SelectorOperator.EXISTS:
                return self.key in labels
            case SelectorOperator.DOES_NOT_EXIST:
                return self.key not in labels
        assert_never(self.operator)


class LabelSelector(Block):
    """All requirements must be met; the empty selector matches everything."""

    match_labels: Annotated[
        dict[str, LabelValue], Field(description="Labels that must be there with these very values."), at_most(32)
    ] = Field(default={})
    match_expressions: Annotated[
        tuple[SelectorRequirement, ...], Field(description="Further requirements."), at_most(32)
    ] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )
