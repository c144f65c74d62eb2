"""The CRDs, generated from the models of `mm_contract.resource`.

Called by `mm-operator crd`, by the tests, and by a developer after a change of the models:

    python -m mm_contract.crd --write

writes `crds/`, the chart's CRD templates, `docs/reference/resource.md` and `examples/full.yaml`. A test fails while any of them is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mm_contract.names import (
    GROUP,
    MARKET_MAKER_KIND,
    MARKET_MAKER_PLURAL,
    TRADING_HALT_KIND,
    TRADING_HALT_PLURAL,
    VERSION,
)
from mm_contract.resource import RULES, TRANSITION_RULES, MarketMakerSpec, MarketMakerStatus, TradingHaltSpec
from mm_contract.resource.example import render_full_example
from mm_contract.resource.reference import render_reference
from mm_contract.resource.schema import structural_schema

Schema = dict[str, Any]

CATEGORY: Final = "marketmaking"
"""Not `all`: `kubectl delete all --all` must not take a trading book down."""

_MARKET_MAKER_MEANING: Final = (
    "A MarketMaker is one symbol on one account, traded by one engine in one pod. Classes of its fields: [hot] the running engine takes a"
    " change over; [restart] the engine drains and a new pod starts; [immutable] delete the resource and create another one."
)
_TRADING_HALT_MEANING: Final = "While a TradingHalt exists, every MarketMaker of its namespace that the selector matches obeys it. It never closes a position."


def market_maker_crd() -> Schema:
    """The CustomResourceDefinition of MarketMaker as plain JSON values."""
    spec = structural_schema(MarketMakerSpec)
    spec["description"] = "What the engine is to do."
    spec["x-kubernetes-validations"] = list(_validations("spec"))
    status = structural_schema(MarketMakerStatus)
    schema = _object(_MARKET_MAKER_MEANING, spec=spec, status=status)
    schema["x-kubernetes-validations"] = [
        *_validations(""),
        *({"rule": rule.cel, "message": rule.message} for rule in TRANSITION_RULES),
    ]
    columns = [
        _column("SYMBOL", "string", ".spec.symbol"),
        _column("DESIRED", "string", ".spec.desiredState"),
        _column("PHASE", "string", ".status.phase"),
        _column("RISK", "string", ".status.risk.state"),
        _column("LISTENKEY", "string", ".status.listenKey.state"),
        _column("POSITION", "string", ".status.position"),
        _column("PNL", "string", ".status.pnl"),
        _column("AGE", "date", ".metadata.creationTimestamp"),
        _column("NODE", "string", ".status.engine.nodeName", priority=1),
        _column("EPOCH", "integer", ".status.engine.epoch", priority=1),
        _column("SPREAD", "number", ".status.marketData.spreadBps", priority=1),
        _column("DATA-AGE", "number", ".status.marketData.ageSeconds", priority=1),
    ]
    names = _names(MARKET_MAKER_KIND, MARKET_MAKER_PLURAL, short="mm")
    return _definition(names, schema=schema, columns=columns, subresources={"status": {}})


def trading_halt_crd() -> Schema:
    """The CustomResourceDefinition of TradingHalt as plain JSON values."""
    spec = structural_schema(TradingHaltSpec)
    spec["description"] = "Which engines stop, how far, and why."
    columns = [
        _column("STATE", "string", ".spec.state"),
        _column("REASON", "string", ".spec.reason"),
        _column("AGE", "date", ".metadata.creationTimestamp"),
    ]
    names = _names(TRADING_HALT_KIND, TRADING_HALT_PLURAL, short="th")
    return _definition(names, schema=_object(_TRADING_HALT_MEANING, spec=spec), columns=columns)


def to_yaml(crd: Mapping[str, Any]) -> str:
    """One YAML document, the same bytes for the same models."""
    return yaml.dump(dict(crd), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def to_helm_template(crd: Mapping[str, Any]) -> str:
    """The CRD as a chart template: installed by `crds.install`, kept on uninstall by `crds.keep`."""
    body = to_yaml(crd).replace("{{", '{{ "{{" }}')
    head, rest = body.split("metadata:\n", maxsplit=1)
    keep = "metadata:\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n"
    return f"{_HEADER}{{{{- if .Values.crds.install }}}}\n{head}{keep}{rest}{{{{- end }}}}\n"


def generated_files() -> dict[str, str]:
    """Path within the repository, and what must stand there."""
    crds = {"marketmaker": market_maker_crd(), "tradinghalt": trading_halt_crd()}
    files = {f"crds/{name}.yaml": _HEADER + to_yaml(crd) for name, crd in crds.items()}
    files |= {f"charts/market-maker/templates/crd-{name}.yaml": to_helm_template(crd) for name, crd in crds.items()}
    return files | {"docs/reference/resource.md": render_reference(), "examples/full.yaml": render_full_example()}


_HEADER: Final = "# Generated from mm_contract.resource by `python -m mm_contract.crd --write`; do not edit.\n"


def _definition(names: Schema, *, schema: Schema, columns: list[Schema], subresources: Schema | None = None) -> Schema:
    version: Schema = {"name": VERSION, "served": True, "storage": True}
    if subresources is not None:
        version["subresources"] = subresources
    version |= {"additionalPrinterColumns": columns, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def _names(kind: str, plural: str, *, short: str) -> Schema:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
        "categories": [CATEGORY],
    }


def _column(name: str, kind: str, path: str, *, priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path}
    # The API server leaves a zero out, and a GitOps tool would then see a difference for ever.
    return column | {"priority": priority} if priority else column


def _object(meaning: str, **parts: Schema) -> Schema:
    return {
        "description": meaning,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"{GROUP}/{VERSION}", "type": "string"},
            "kind": {"description": "Kind of the object.", "type": "string"},
            "metadata": {"type": "object"},
            **parts,
        },
    }


def _validations(path: str) -> Iterable[Schema]:
    for rule in RULES:
        if rule.path == path:
            validation = {"rule": rule.cel, "message": rule.message}
            # A field path under metadata is not part of the schema and would be refused.
            yield validation if path == "" else validation | {"fieldPath": f".{rule.field}"}


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented, no anchors: what a person expects of a manifest."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        super().increase_indent(flow, False)


def main(arguments: list[str]) -> int:
    """Print both CRDs, or with `--write` bring every generated file of the source tree up to date."""
    if arguments not in ([], ["--write"]):
        print("usage: python -m mm_contract.crd [--write]", file=sys.stderr)  # noqa: T201 - a command line
        return 2
    if not arguments:
        sys.stdout.write("---\n".join(to_yaml(crd) for crd in (market_maker_crd(), trading_halt_crd())))
        return 0
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        print("--write needs the source tree; run it from a checkout", file=sys.stderr)  # noqa: T201 - a command line
        return 1
    for name, text in generated_files().items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
