# ruff: noqa: INP001 - a script beside the values it reads, not a package
"""Write README.md's table of values from the comments of values.yaml; a test runs it to find a stale table.

Run by hand after a change of values.yaml: `python charts/market-maker/ci/readme.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

CHART: Final = Path(__file__).resolve().parent.parent
BEGIN: Final = "<!-- values: made by ci/readme.py -->"
END: Final = "<!-- /values -->"
MARK: Final = "# -- "
INDENT: Final = 2


@dataclass(frozen=True, slots=True)
class Value:
    """One documented value: its dotted path, its default as JSON, and the words above it."""

    path: str
    default: str
    description: str


def documented(text: str) -> tuple[Value, ...]:
    """The values of a values.yaml whose `# --` comment stands directly above them."""
    tree = yaml.safe_load(text)
    found: list[Value] = []
    parents: list[str] = []
    description = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(MARK):
            description = stripped.removeprefix(MARK)
        elif stripped and not stripped.startswith(("#", "- ")):
            depth = (len(line) - len(line.lstrip())) // INDENT
            parents[depth:] = [stripped.partition(":")[0]]
            if description:
                found.append(Value(".".join(parents), json.dumps(_at(tree, parents)), description))
                description = ""
    return tuple(found)


def leaves(tree: object, path: str = "") -> tuple[str, ...]:
    """Dotted paths of everything that is not a map with entries."""
    if isinstance(tree, dict) and tree:
        return tuple(leaf for key, value in tree.items() for leaf in leaves(value, f"{path}.{key}" if path else key))
    return (path,)


def readme(current: str, values: tuple[Value, ...]) -> str:
    """The README with its table made anew; what stands around the two markers is kept."""
    rows = "\n".join(f"| `{v.path}` | `{v.default}` | {v.description} |" for v in values)
    before, _, rest = current.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n| value | default | meaning |\n| --- | --- | --- |\n{rows}\n{END}{after}"


def _at(tree: object, path: list[str]) -> object:
    for key in path:
        if not isinstance(tree, dict):
            raise TypeError(f"{'.'.join(path)}: a comment stands above something that is no value")
        tree = tree[key]
    return tree


if __name__ == "__main__":
    target = CHART / "README.md"
    target.write_text(readme(target.read_text(), documented((CHART / "values.yaml").read_text())))
