"""How a field of the resource is written down: its meaning, its class, its bounds and its format.

Every leaf is `name: Annotated[type, hot("meaning"), between(lo, hi)] = default`. From that one line come the parser, the CRD's schema
(`mm_contract.crd`), the reference page (`resource.reference`) and what a change of the field does to a running engine (`resource.changes`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

CLASS_KEY: Final = "x-mm-class"
CEL_KEY: Final = "x-kubernetes-validations"


class FieldClass(StrEnum):
    """What a change of a field does to a running engine."""

    HOT = "hot"
    RESTART = "restart"
    IMMUTABLE = "immutable"


class Block(BaseModel):
    """A block of the resource: frozen, closed, camelCase on the wire, snake_case in Python.

    Strict, so that a file is read exactly as the API server would read it: no `"5"` for 5, no `1` for true.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
    )


class OpenBlock(Block):
    """A block that others write (metadata, status): what this version does not know is passed over."""

    model_config = ConfigDict(extra="ignore")


def hot(meaning: str) -> Any:
    """A field that the running engine takes over."""
    return _field(meaning, FieldClass.HOT)


def restart(meaning: str) -> Any:
    """A field whose change drains the engine and makes a new pod."""
    return _field(meaning, FieldClass.RESTART)


def immutable(meaning: str) -> Any:
    """A field that is part of the claim: to change it, delete the resource and create another."""
    return _field(meaning, FieldClass.IMMUTABLE)


IMMUTABLE_MESSAGE: Final = "this field cannot be changed; delete the resource and create another one with the new value"


def block(meaning: str) -> Any:
    """A nested block, whose leaves carry the classes."""
    return Field(description=meaning)


def reported(meaning: str) -> Any:
    """A field of the status: written by the operator, read by people and tools."""
    return Field(description=meaning)


def between(low: float, high: float) -> Any:
    """Both bounds belong to the range."""
    return Field(ge=low, le=high)


def at_most(length: int) -> Any:
    """No more characters, items or keys than this; CEL's cost is bounded by it."""
    return Field(max_length=length)


def _field(meaning: str, field_class: FieldClass) -> Any:
    return Field(description=meaning, json_schema_extra={CLASS_KEY: field_class.value})


def refusal(message: str) -> PydanticCustomError:
    """An error whose sentence is shown as it stands."""
    return PydanticCustomError("refusal", "{message}", {"message": message})


@dataclass(frozen=True, slots=True)
class Format:
    """A string format with the sentence that a person gets when it is broken, from this parser and (as CEL) from the API server.

    `pattern` is anchored and keeps to what Python's `re` and Go's RE2 read alike.
    """

    pattern: str
    message: str
    max_length: int

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after the type was checked."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The same check for tools (pattern) and for people (CEL with the sentence)."""
        return handler(schema) | self.json_schema()

    def json_schema(self) -> dict[str, Any]:
        """`pattern`, `maxLength` and the CEL rule."""
        return {
            "maxLength": self.max_length,
            "pattern": self.pattern,
            CEL_KEY: [{"rule": f"self.matches(r'{self.pattern}')", "message": self.message}],
        }

    def matches(self, text: str) -> bool:
        """Whether the whole text has this format."""
        # Go's `$` is the end of the text, Python's also stands before a last newline.
        return len(text) <= self.max_length and not text.endswith("\n") and re.search(self.pattern, text) is not None

    def _checked(self, text: str) -> str:
        if len(text) > self.max_length:
            raise refusal(f"has {len(text)} characters; change it to at most {self.max_length}")
        if not self.matches(text):
            raise refusal(self.message)
        return text


_AMOUNT_DIGITS: Final = r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?"
AMOUNT: Final = Format(
    pattern=rf"^{_AMOUNT_DIGITS}$",
    message='must be a decimal string, zero or more, without sign or exponent; change it to one such as "0.02"',
    max_length=25,
)
POSITIVE_AMOUNT: Final = Format(
    pattern=r"^(0\.[0-9]{0,8}[1-9][0-9]{0,8}|[1-9][0-9]{0,14}(\.[0-9]{1,9})?)$",
    message='must be a decimal string of more than zero, without sign or exponent; change it to one such as "0.02"',
    max_length=25,
)
SIGNED_AMOUNT: Final = Format(
    pattern=rf"^-?{_AMOUNT_DIGITS}$",
    message='must be a decimal string without exponent; change it to one such as "-0.02" or "0.02"',
    max_length=26,
)


@dataclass(frozen=True, slots=True)
class _DecimalString:
    """A decimal that is a string on the wire, so that no float ever rounds it."""

    format: Format

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._parsed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema, handler
        return {"type": "string"} | self.format.json_schema()

    def _parsed(self, value: object) -> Decimal:
        if isinstance(value, Decimal):
            value = format_amount(value)
        if isinstance(value, str) and self.format.matches(value):
            return Decimal(value)
        hint = ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            hint = f' (a number was given; put quotes around it: "{value}")'
        raise refusal(self.format.message + hint)


def format_amount(amount: Decimal) -> str:
    """The amount as the resource writes it: plain digits, never an exponent, trailing zeros kept."""
    return format(amount, "f")


_AS_STRING: Final = PlainSerializer(format_amount, return_type=str)
Amount = Annotated[Decimal, _DecimalString(AMOUNT), _AS_STRING]
"""Zero or more, in the unit that the field's name or description states."""
PositiveAmount = Annotated[Decimal, _DecimalString(POSITIVE_AMOUNT), _AS_STRING]
"""More than zero."""
SignedAmount = Annotated[Decimal, _DecimalString(SIGNED_AMOUNT), _AS_STRING]
"""Any sign."""


def _quantity(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refusal(_QUANTITY.message)
    if not _QUANTITY.matches(str(value)):
        raise refusal(_QUANTITY.message)
    return value


_QUANTITY: Final = Format(
    pattern=r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
    message="must be a Kubernetes quantity; change it to one such as 250m, 1 or 128Mi",
    max_length=28,
)
QUANTITY_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": _QUANTITY.pattern,
    "x-kubernetes-int-or-string": True,
}
Quantity = Annotated[int | str, BeforeValidator(_quantity), Field(json_schema_extra=QUANTITY_SCHEMA)]
"""A Kubernetes quantity, kept as it was written."""
