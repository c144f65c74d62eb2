"""From the text of a file to the MarketMaker in it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import yaml

from mm_contract.names import MARKET_MAKER_KIND
from mm_contract.resource._market_maker import MarketMaker
from mm_contract.resource._parse import SpecError, describe, parse_market_maker

MAX_MANIFEST_BYTES: Final = 1_048_576
MAX_VALUES: Final = 100_000


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


def _kind_of(document: object) -> str:
    if isinstance(document, Mapping):
        kind = document.get("kind")
        return f"a {kind}" if isinstance(kind, str) else "a document without kind"
    return f"{describe(document)}"


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
