"""From untrusted objects to models, with refusals that say what to change.

The API server says the same things from the same source (formats and rules become its CEL); this is for files, for `mm-runner check`, and for an
engine that watches a resource whose CRD may be older or newer than itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mm_contract.names import API_VERSION, MARKET_MAKER_KIND, TRADING_HALT_KIND
from mm_contract.resource._market_maker import MarketMaker, TradingHalt

Model = TypeVar("Model", bound=BaseModel)
UnknownFields = Literal["refuse", "ignore"]


class SpecError(ValueError):
    """A manifest that cannot be used; `problems` are sentences, each beginning with the path of the field."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def parse_market_maker(obj: Mapping[str, Any], *, unknown_fields: UnknownFields = "refuse") -> MarketMaker:
    """Read a MarketMaker from plain JSON values.

    Args:
        obj: the object as plain JSON values.
        unknown_fields: `ignore` is for objects from an API server. It has pruned every field that its CRD does not know, so one that is
            unknown here is newer than this program; an old engine must still obey a Halted beside it.

    Raises:
        SpecError: with one sentence per problem.
    """
    _expect_kind(obj, MARKET_MAKER_KIND)
    return _validated(MarketMaker, obj, unknown_fields)


def parse_trading_halt(obj: Mapping[str, Any], *, unknown_fields: UnknownFields = "refuse") -> TradingHalt:
    """Read a TradingHalt from plain JSON values; the arguments are those of `parse_market_maker`.

    Raises:
        SpecError: with one sentence per problem.
    """
    _expect_kind(obj, TRADING_HALT_KIND)
    return _validated(TradingHalt, obj, unknown_fields)


def _expect_kind(obj: Mapping[str, Any], kind: str) -> None:
    problems = []
    if not isinstance(obj, Mapping):
        raise SpecError([f"the document is {describe(obj)}; change it to an object with kind: {kind}"])
    if obj.get("kind") != kind:
        problems.append(f"kind: is {describe(obj.get('kind'))}; change it to {kind}")
    if obj.get("apiVersion") != API_VERSION:
        problems.append(f"apiVersion: is {describe(obj.get('apiVersion'))}; change it to {API_VERSION}")
    if problems:
        raise SpecError(problems)


def _validated(model: type[Model], obj: Mapping[str, Any], unknown_fields: UnknownFields) -> Model:
    # Through JSON: strict mode then reads enums, tuples and decimals from plain values, and nothing else.
    try:
        text = json.dumps(_readable(obj, model, unknown_fields == "ignore"))
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(
            [f"the document holds a value that JSON cannot express ({error}); put quotes around it"]
        ) from None
    try:
        return model.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecError([line for each in error.errors() for line in _sentences(model, each)]) from None


def _readable(value: object, model: type[BaseModel] | None, ignore_unknown: bool) -> object:  # noqa: FBT001 - recursive, private
    # The API server reads `field: null` as if the field were not there and fills in its default, but a null does not excuse a
    # field that does not exist.
    if isinstance(value, list | tuple):
        return [_readable(inner, model, ignore_unknown) for inner in value]
    if not isinstance(value, Mapping):
        return value
    if model is None:
        return {key: inner for key, inner in value.items() if inner is not None}
    inside = {field.alias: _model_in(field.annotation) for field in model.model_fields.values()}
    return {
        key: _readable(inner, inside.get(key), ignore_unknown)
        for key, inner in value.items()
        if (inner is not None if key in inside else not ignore_unknown)
    }


def _sentences(model: type[BaseModel], error: ErrorDetails) -> list[str]:
    if error["type"] == "rules":
        return error["msg"].split("\n")
    path = _path(error["loc"])
    return [f"{path}: {_advice(model, error)}"]


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the document"


def _advice(model: type[BaseModel], error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is required and missing; add it"
        case "extra_forbidden":
            return _unknown_field(model, error["loc"])
        case kind if kind in _REMEDIES:
            return _REMEDIES[kind].format(given=describe(error["input"]), **error.get("ctx", {}))
        case kind:
            wanted = _WANTED.get(kind, f"what fits here ({error['msg']})")
            return f"is {describe(error['input'])}; change it to {wanted}"


_REMEDIES: Final = {
    "refusal": "is {given}, but {message}",
    "greater_than_equal": "is {given}, below the least that is allowed; change it to {ge:g} or more",
    "less_than_equal": "is {given}, above the most that is allowed; change it to {le:g} or less",
    "too_long": "is longer than allowed; change it to at most {max_length} items",
    "string_too_long": "is longer than allowed; change it to at most {max_length} characters",
    "too_short": "is shorter than allowed; change it to at least {min_length} items",
    "string_too_short": "is shorter than allowed; change it to at least {min_length} characters",
    "enum": "is {given}; change it to one of {expected}",
    "finite_number": "is {given}, not a finite number; change it to a number within its bounds",
}
_WANTED: Final = {
    "bool_type": "true or false, without quotes",
    "int_type": "a whole number, without quotes",
    "int_from_float": "a whole number",
    "float_type": "a number, without quotes",
    "string_type": "a string; put quotes around it",
    "tuple_type": "a list",
    "dict_type": "a map of names to values",
    "model_type": "a block of fields",
    "model_attributes_type": "a block of fields",
}


def _unknown_field(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    known = _known_fields(model, location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"there is no such field; change it to {close[0]} or remove it"
    return (
        f"there is no such field; remove it (fields here: {', '.join(known)})"
        if known
        else "there is no such field; remove it"
    )


def _known_fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Wire names of the fields of the block at this place."""
    for part in location:
        if isinstance(part, int):
            continue
        field = next((each for each in model.model_fields.values() if each.alias == part), None)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return [str(field.alias) for field in model.model_fields.values()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def describe(value: object) -> str:
    """A value as a person wrote it, cut to a length that fits a log line."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= _SHOWN else f'"{value[:_SHOWN]}…"'
    if isinstance(value, Mapping):
        return "a block of fields"
    if isinstance(value, list | tuple):
        return "a list"
    return f"{json.dumps(value)}" if isinstance(value, bool | int | float) else f"a {type(value).__name__}"


_SHOWN: Final = 60
