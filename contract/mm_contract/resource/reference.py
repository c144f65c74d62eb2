"""The field reference (`docs/reference/resource.md`), rendered from the same schema as the CRDs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from mm_contract.resource._market_maker import TradingHaltSpec
from mm_contract.resource._rules import RULES
from mm_contract.resource._spec import MarketMakerSpec
from mm_contract.resource._status import MarketMakerStatus
from mm_contract.resource.schema import structural_schema

Schema = dict[str, Any]

_INTRODUCTION: Final = """<!-- Generated from mm_contract.resource by `python -m mm_contract.crd --write`; do not edit. -->
# The resource, field by field

`apiVersion: marketmaker.io/v1alpha1`. Two kinds: [`MarketMaker`](#marketmaker) (`mm`) and [`TradingHalt`](#tradinghalt) (`th`).

What a change of a field does:

| class | a change … |
| --- | --- |
| hot | is taken over by the running engine |
| restart | drains the engine (every own order cancelled and seen gone) and starts a new pod |
| immutable | is refused; delete the resource and create another one |

Amounts (prices, sizes, notionals) are decimal strings such as `"0.02"`: no sign unless the field says so, no exponent, up to 15 digits before and
9 after the point. A refused manifest changes nothing: the engine goes on with the last good spec.
"""
_CLASS: Final = re.compile(r"^(?P<meaning>.*?)(?: \[(?P<class>hot|restart|immutable)\])?$", re.DOTALL)


def render_reference() -> str:
    """The whole page as Markdown."""
    lines = [_INTRODUCTION]
    lines += ["## MarketMaker", ""]
    lines += _section("spec", structural_schema(MarketMakerSpec))
    lines += ["### Rules between fields", "", "| field | rule |", "| --- | --- |"]
    lines += [f"| `{rule.sentence.split(':', 1)[0]}` | {_cell(rule.message)} |" for rule in RULES]
    lines += [""]
    lines += _section("status", structural_schema(MarketMakerStatus))
    lines += ["## TradingHalt", ""]
    lines += _section("spec", structural_schema(TradingHaltSpec))
    return "\n".join(lines).rstrip() + "\n"


def _section(path: str, schema: Schema) -> Iterator[str]:
    yield f"### `{path}`"
    yield ""
    if meaning := schema.get("description"):
        yield _split(meaning)[0]
        yield ""
    required = schema.get("required", [])
    yield "| field | type | default | bounds | class | meaning |"
    yield "| --- | --- | --- | --- | --- | --- |"
    blocks = []
    for name, field in schema["properties"].items():
        meaning, field_class = _split(field.get("description", ""))
        default = "required" if name in required else _default(field)
        yield f"| `{name}` | {_type(field)} | {default} | {_bounds(field)} | {field_class} | {_cell(meaning)} |"
        if (inner := _block_within(field)) is not None:
            blocks.append((f"{path}.{name}{'[]' if field['type'] == 'array' else ''}", inner))
    yield ""
    for inner_path, inner in blocks:
        yield from _section(inner_path, inner)


def _block_within(field: Schema) -> Schema | None:
    inner = field.get("items", field)
    return inner if "properties" in inner else None


def _split(description: str) -> tuple[str, str]:
    match = _CLASS.match(description)
    return (match["meaning"], match["class"] or "") if match else (description, "")


def _type(field: Schema) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{choice}`" if choice else '`""`' for choice in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    match field["type"]:
        case "array":
            return f"list of {_type(field['items'])}"
        case "object" if "additionalProperties" in field:
            return "map"
        case "object":
            return "block"
        case "string" if field.get("format") == "date-time":
            return "time"
        case kind:
            return f"{kind} or null" if field.get("nullable") else str(kind)


def _default(field: Schema) -> str:
    if "default" not in field or (field["default"] == {} and "properties" in field):
        return ""
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`"


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}".replace(",", " ")
    for key, unit in (("maxItems", "items"), ("maxProperties", "keys"), ("maxLength", "characters")):
        if key in field:
            return f"≤ {field[key]} {unit}"
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
