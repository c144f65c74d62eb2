"""What `list` and `status` print. Pure: resources in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_COLUMNS: Final = (
    "NAMESPACE",
    "NAME",
    "SYMBOL",
    "DESIRED",
    "PHASE",
    "RULED BY",
    "RISK",
    "LISTENKEY",
    "POSITION",
    "PNL",
    "READY",
)


def listing(manifests: Sequence[Mapping[str, Any]]) -> str:
    """One line for each engine."""
    rows = [_COLUMNS, *(_row(each) for each in manifests)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def screen(manifest: Mapping[str, Any]) -> str:
    """What is going on with one engine, and what to do."""
    metadata, spec, status = manifest["metadata"], manifest.get("spec") or {}, manifest.get("status") or {}
    effective, risk, engine = (status.get(part) or {} for part in ("effective", "risk", "engine"))
    lines = [
        f"{metadata['namespace']}/{metadata['name']}  {spec.get('symbol', '')}  {status.get('phase', 'Pending')}",
        f"desired    {spec.get('desiredState', 'Running')}, does {effective.get('state', '-')}, ruled by {effective.get('ruledBy', '-')}",
        f"risk       {risk.get('state', '-')}" + (f": {risk['reason']}" if risk.get("reason") else ""),
        f"position   {status.get('position', '-')}  open orders {status.get('openOrders', '-')}",
        (
            f"pnl        {status.get('pnl', '-')}  (realized {status.get('realizedPnl', '-')}, unrealized {status.get('unrealizedPnl', '-')},"
            f" fees {status.get('fees', '-')}), equity {status.get('equity', '-')}"
        ),
        (
            f"engine     {engine.get('podName', '-')} on {engine.get('nodeName', '-')}, epoch {engine.get('epoch', '-')},"
            f" version {engine.get('version', '-')}"
        ),
        f"spec       generation {metadata.get('generation', '-')}, applied {status.get('appliedGeneration', '-')}",
        "",
        *(_condition(each) for each in status.get("conditions") or ()),
        "",
        *advice(manifest),
    ]
    return "\n".join(lines).rstrip()


def advice(manifest: Mapping[str, Any]) -> list[str]:
    """The next thing to type, most urgent first; empty where all is well."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    where = f"{metadata['name']} -n {metadata['namespace']}"
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    risk, ruler = status.get("risk") or {}, str((status.get("effective") or {}).get("ruledBy", ""))
    told: list[str] = []
    if risk.get("haltId") and risk.get("latched"):
        told.append(f"→ halted by its risk machine: look at the account, then: kubectl mm acknowledge {where}")
    if ruler.startswith("TradingHalt/"):
        told.append(
            f"→ stopped by {ruler}: kubectl delete th {ruler.partition('/')[2]} -n {metadata['namespace']} lets it go on"
        )
    if ruler == "local":
        told.append("→ stopped by hand in its pod: mm-runner halt --clear there lets it go on")
    stalled = conditions.get("Stalled", {})
    if stalled.get("status") == "True":
        told.append(f"→ {stalled['reason']}: {stalled['message']}")
    if conditions.get("Ready", {}).get("status") == "Unknown":
        told.append(
            f"→ the operator does not hear the engine: kubectl logs {(status.get('engine') or {}).get('podName', '')} -n {metadata['namespace']}"
        )
    return told


def _row(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    metadata, spec, status = manifest["metadata"], manifest.get("spec") or {}, manifest.get("status") or {}
    ready: Mapping[str, Any] = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    cells = (
        metadata["namespace"],
        metadata["name"],
        spec.get("symbol"),
        spec.get("desiredState"),
        status.get("phase"),
        (status.get("effective") or {}).get("ruledBy"),
        (status.get("risk") or {}).get("state"),
        (status.get("listenKey") or {}).get("state"),
        status.get("position"),
        status.get("pnl"),
        f"{ready.get('status', '-')} {ready.get('reason', '')}".strip(),
    )
    return tuple(str(cell) if cell not in (None, "") else "-" for cell in cells)


def _condition(condition: Mapping[str, Any]) -> str:
    message = f": {condition['message']}" if condition.get("message") else ""
    return f"{condition['type']:<18}{condition['status']:<8}{condition['reason']}{message}"
