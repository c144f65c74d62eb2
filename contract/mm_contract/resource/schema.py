"""From pydantic's JSON schema to Kubernetes' structural schema.

Structural means: no references, no `null` alternatives, one type per place, no titles, and unknown fields pruned by leaving
`additionalProperties` out. Read by the CRD generator and by the reference page.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from mm_contract.resource._fields import CEL_KEY, CLASS_KEY, IMMUTABLE_MESSAGE, FieldClass

Schema = dict[str, Any]

# Lists that server-side apply merges by key; every other list is replaced whole.
_LIST_MAP_KEYS: Final = {"env": "name", "imagePullSecrets": "name", "conditions": "type"}
_KEY_ORDER: Final = (
    "description",
    "type",
    "format",
    "nullable",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "anyOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "required",
    "properties",
    "items",
    "additionalProperties",
    CEL_KEY,
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, deterministic and complete."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    return _structural(schema, definitions)


def _structural(schema: Schema, definitions: Schema) -> Schema:
    flat = _flattened(schema, definitions)
    field_class = flat.pop(CLASS_KEY, None)
    if field_class is not None:
        flat["description"] = f"{flat['description']} [{field_class}]"
    if field_class == FieldClass.IMMUTABLE:
        flat[CEL_KEY] = [*flat.get(CEL_KEY, []), {"rule": "self == oldSelf", "message": IMMUTABLE_MESSAGE}]
    low = flat.get("minimum")
    if isinstance(low, float) and not low.is_integer():
        # The API server compares a number written without a point (0) with the truncated bound (0.01 becomes 0); CEL does not.
        message = f"must be {low:g} or more; raise it"
        flat[CEL_KEY] = [*flat.get(CEL_KEY, []), {"rule": f"self >= {low!r}", "message": message}]
    if flat.get("type") == "integer":
        flat["format"] = "int64"
    if "items" in flat:
        flat["items"] = _structural(flat["items"], definitions)
    if "properties" in flat:
        flat["properties"] = {name: _property(name, inner, definitions) for name, inner in flat["properties"].items()}
    if isinstance(flat.get("additionalProperties"), dict):
        flat["additionalProperties"] = _structural(flat["additionalProperties"], definitions)
    else:
        flat.pop("additionalProperties", None)
    unknown = flat.keys() - set(_KEY_ORDER)
    if unknown:
        raise ValueError(f"no structural form for {sorted(unknown)} in {flat}")
    return {key: flat[key] for key in _KEY_ORDER if key in flat}


def _property(name: str, schema: Schema, definitions: Schema) -> Schema:
    inner = _structural(schema, definitions)
    if inner.get("type") == "array":
        key = _LIST_MAP_KEYS.get(name)
        inner |= (
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
            if key
            else {"x-kubernetes-list-type": "atomic"}
        )
    return {key: inner[key] for key in _KEY_ORDER if key in inner}


def _flattened(schema: Schema, definitions: Schema) -> Schema:
    """One level without references, null alternatives, titles and null defaults."""
    flat = {key: value for key, value in schema.items() if key != "title"}
    if "$ref" in flat:
        target = _flattened(definitions[flat.pop("$ref").rsplit("/", 1)[-1]], definitions)
        flat = target | flat
        if "default" in flat and "properties" in target:
            flat["default"] = _object_default(flat["default"], target, definitions)
    alternatives = [each for each in flat.get("anyOf", []) if each != {"type": "null"}]
    if len(alternatives) == 1:
        nullable = CLASS_KEY in flat and "$ref" not in alternatives[0]
        inner = _flattened(alternatives[0], definitions)
        flat = inner | {key: value for key, value in flat.items() if key != "anyOf"}
        if nullable:
            flat["nullable"] = True
    if flat.get("default", 0) is None:
        del flat["default"]
    return flat


def _object_default(default: Schema, target: Schema, definitions: Schema) -> Schema:
    """`{}` where the block's own defaults say the same: then an omitted block and an empty one are alike."""
    own = {
        name: inner["default"]
        for name, inner in target["properties"].items()
        if inner.get("default") is not None or "$ref" in inner
    }
    del definitions
    given = _without_nulls(default)
    return {} if given == _without_nulls(own) else given


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value
