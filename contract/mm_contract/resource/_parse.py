"""From untrusted objects and files to models, with refusals that say what to change.

The API server says the same things from the same source (formats and rules become its CEL); this is for files, for `mm-runner check`, and for an
engine that watches a resource whose CRD may be older or newer than itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mm_contract.names import API_VERSION, MARKET_MAKER_KIND, TRADING_HALT_KIND
from mm_contract.resource._market_maker import MarketMaker, TradingHalt

Model = TypeVar("Model", bound=BaseModel)
MAX_MANIFEST_BYTES: Final = 1_048_576
MAX_VALUES: Final = 100_000


class SpecError(ValueError):
    """A manifest that cannot be used; `problems` are sentences, each beginning with the path of the field."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def parse_market_maker(obj: Mapping[str, Any]) -> MarketMaker:
    """Read a MarketMaker from plain JSON values.

    Raises:
        SpecError: with one sentence per problem.
    """
    _expect_kind(obj, MARKET_MAKER_KIND)
    return _validated(MarketMaker, obj)


def parse_trading_halt(obj: Mapping[str, Any]) -> TradingHalt:
    """Read a TradingHalt from plain JSON values.

    Raises:
        SpecError: with one sentence per problem.
    """
    _expect_kind(obj, TRADING_HALT_KIND)
    return _validated(TradingHalt, obj)


def load_manifest(text: str) -> MarketMaker:
    """Read the one MarketMaker of a YAML file, which may hold other documents beside it.

    Raises:
        SpecError: the text is not YAML, holds no MarketMaker or several, or the one it holds is not valid.
    """
    documents = _documents(text)
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == MARKET_MAKER_KIND]
    if len(found) > 1:
        raise SpecError(
            [f"the file holds {len(found)} MarketMakers, and one engine runs one; put each into a file of its own"]
        )
    if not found:
        kinds = ", ".join(_kind_of(each) for each in documents) or "nothing"
        raise SpecError([f"the file holds no MarketMaker but {kinds}; add a document with kind: {MARKET_MAKER_KIND}"])
    return parse_market_maker(found[0])


def _documents(text: str) -> list[object]:
    if len(text) > MAX_MANIFEST_BYTES:
        raise SpecError(
            [f"the file is larger than {MAX_MANIFEST_BYTES} bytes; change it to one that holds a MarketMaker"]
        )
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SpecError([f"the file is not valid YAML: {_yaml_problem(error)}"]) from None
    if _is_larger_than(documents, MAX_VALUES):
        raise SpecError([f"the file unfolds to more than {MAX_VALUES} values; write it without aliases"])
    return documents


def _is_larger_than(value: object, limit: int) -> bool:
    # Aliases of aliases can unfold without end, so what is counted is what a reader would walk through.
    waiting, seen = [value], 0
    while waiting:
        seen += 1
        if seen > limit:
            return True
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return False


def _expect_kind(obj: Mapping[str, Any], kind: str) -> None:
    problems = []
    if not isinstance(obj, Mapping):
        raise SpecError([f"the document is {_describe(obj)}; change it to an object with kind: {kind}"])
    if obj.get("kind") != kind:
        problems.append(f"kind: is {_describe(obj.get('kind'))}; change it to {kind}")
    if obj.get("apiVersion") != API_VERSION:
        problems.append(f"apiVersion: is {_describe(obj.get('apiVersion'))}; change it to {API_VERSION}")
    if problems:
        raise SpecError(problems)


def _validated(model: type[Model], obj: Mapping[str, Any]) -> Model:
    # Through JSON: strict mode then reads enums, tuples and decimals from plain values, and nothing else.
    try:
        text = json.dumps(_without_nulls(obj, model))
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(
            [f"the document holds a value that JSON cannot express ({error}); put quotes around it"]
        ) from None
    try:
        return model.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecError([line for each in error.errors() for line in _sentences(model, each)]) from None


def _without_nulls(value: object, model: type[BaseModel] | None) -> object:
    # The API server reads `field: null` as if the field were not there and fills in its default, but a null does not excuse a
    # field that does not exist.
    if isinstance(value, list | tuple):
        return [_without_nulls(inner, model) for inner in value]
    if not isinstance(value, Mapping):
        return value
    if model is None:
        return {key: inner for key, inner in value.items() if inner is not None}
    inside = {field.alias: _model_in(field.annotation) for field in model.model_fields.values()}
    return {
        key: _without_nulls(inner, inside.get(key))
        for key, inner in value.items()
        if inner is not None or key not in inside
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
            return _REMEDIES[kind].format(given=_describe(error["input"]), **error.get("ctx", {}))
        case kind:
            wanted = _WANTED.get(kind, f"what fits here ({error['msg']})")
            return f"is {_describe(error['input'])}; change it to {wanted}"


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


def _describe(value: object) -> str:
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


def _kind_of(document: object) -> str:
    if isinstance(document, Mapping):
        kind = document.get("kind")
        return f"a {kind}" if isinstance(kind, str) else "a document without kind"
    return f"{_describe(document)}"


def _yaml_problem(error: yaml.YAMLError | RecursionError | ValueError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicate keys and keeps times as text, as the API server's reader does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key} occurs twice; remove one", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
