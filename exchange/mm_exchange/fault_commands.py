"""`mm-exchange fault …`: order, list and remove faults of a running exchange, over its admin port."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import click

from mm_exchange.fault_kinds import INTEGERS, KINDS, TARGET_NAMES, check_pair, known_params

_EXAMPLES = """\b
Examples:
  mm-exchange fault add http-status rest --param status=503 --count 3
  mm-exchange fault add timeout-after rest --param path=/fapi/v1/order --param method=POST --probability 0.05
  mm-exchange fault add delay market-stream --param ms=200 --param jitterMs=100 --seconds 60
  mm-exchange fault add maintenance all --after-seconds 10 --seconds 120
  mm-exchange fault add filters-changed rest --symbol ETHUSDT --param tickSize=0.10
  mm-exchange fault add gap market-stream --param skip=100 --param every=50 --count 5

\b
Exit codes: 0 done; 1 the exchange refused it, or none answers; 2 wrong usage."""


@click.group("fault")
@click.option("--admin", envvar="MM_EXCHANGE_ADMIN", default="http://127.0.0.1:8083", show_default=True,
              help="Base URL of the admin port; also MM_EXCHANGE_ADMIN.")  # fmt: skip
@click.pass_context
def fault_group(context: click.Context, admin: str) -> None:
    """Order, list and remove faults of a running exchange."""
    if not admin.startswith(("http://", "https://")):
        raise click.BadParameter("must be an http URL, such as http://127.0.0.1:8083", param_hint="--admin")
    context.obj = admin.rstrip("/")


@fault_group.command("add", epilog=_EXAMPLES)
@click.argument("kind", type=click.Choice(sorted(KINDS)), metavar="KIND")
@click.argument("targets", nargs=-1, required=True, type=click.Choice([*TARGET_NAMES, "all"]), metavar="TARGET...")
@click.option("--symbol", help="Only this symbol.")
@click.option("--probability", type=click.FloatRange(0, 1), help="Chance of each strike.  [default: 1]")
@click.option("--count", type=click.IntRange(1), help="At most this many strikes.")
@click.option("--after-seconds", type=click.FloatRange(0), help="Begin after this time.  [default: at once]")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="End after this time.  [default: until cleared]"
)
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE",
              help="Parameter of the kind, such as status=503; may be repeated. `mm-exchange fault kinds` lists them.")  # fmt: skip
@click.pass_obj
def add_fault(  # noqa: PLR0913 - one parameter per option is how click works
    admin: str,
    kind: str,
    targets: tuple[str, ...],
    *,
    symbol: str | None,
    probability: float | None,
    count: int | None,
    after_seconds: float | None,
    seconds: float | None,
    params: tuple[str, ...],
) -> None:
    """Let KIND happen to each TARGET: rest, market-stream, user-stream, ws-api, or all that KIND acts on.

    Prints the planned fault as JSON, a line for each target.
    """
    optional = {"symbol": symbol, "probability": probability, "count": count, "afterSeconds": after_seconds,
                "seconds": seconds, "params": _params(kind, params)}  # fmt: skip
    wanted = {name: value for name, value in optional.items() if value is not None}
    for target in _targets(kind, targets):
        click.echo(call(admin, "POST", "/admin/faults", body={"kind": kind, "target": target} | wanted))


def _targets(kind: str, targets: tuple[str, ...]) -> list[str]:
    """The targets asked for, once each; none is struck when one of them cannot be."""
    chosen = [name for name in TARGET_NAMES if name in targets or ("all" in targets and name in KINDS[kind].targets)]
    for target in chosen:
        try:
            check_pair(kind, target)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    return chosen


def _params(kind: str, pairs: tuple[str, ...]) -> dict[str, Any] | None:
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} must be NAME=VALUE", param_hint="--param")
        if name not in known_params(kind):
            known = ", ".join(sorted(known_params(kind)))
            raise click.BadParameter(f"{name!r} means nothing to {kind}; it knows {known}", param_hint="--param")
        params[name] = int(value) if name in INTEGERS and value.removeprefix("-").isdecimal() else value
    return params or None


@fault_group.command("list")
@click.pass_obj
def list_faults(admin: str) -> None:
    """List faults as JSON: number, state (pending, active, over), how often each struck, and what was asked for."""
    click.echo(call(admin, "GET", "/admin/faults"))


@fault_group.command("clear")
@click.option("--id", "fault_id", type=int, help="Only this one.  [default: all]")
@click.pass_obj
def clear_faults(admin: str, fault_id: int | None) -> None:
    """Remove faults."""
    click.echo(call(admin, "DELETE", "/admin/faults" + (f"?id={fault_id}" if fault_id is not None else "")))


@fault_group.command("kinds")
@click.argument("kind", required=False, type=click.Choice(sorted(KINDS)), metavar="[KIND]")
def show_kinds(kind: str | None) -> None:
    """Say what each kind does, on which targets and with which params. Needs no exchange."""
    for name in [kind] if kind is not None else KINDS:
        table = KINDS[name]
        click.echo(f"{name}: {table.sentence}")
        click.echo(f"    targets: {', '.join(target for target in TARGET_NAMES if target in table.targets)}")
        click.echo(f"    params:  {', '.join([*sorted(table.params), '…']) if kind is None else _long(name)}")


def _long(kind: str) -> str:
    return ", ".join(sorted(known_params(kind)))


def call(admin: str, method: str, path: str, *, body: dict[str, Any] | None = None) -> str:
    """The answer of the admin port; its refusals, and its absence, as a sentence and exit code 1."""
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        admin + path, method=method, data=None if body is None else json.dumps(body).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the scheme was checked
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_sentence(error.read())) from error
    except OSError as error:
        raise click.ClickException(
            f"no exchange answers at {admin}: {error}; is `mm-exchange serve` running?"
        ) from error


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
