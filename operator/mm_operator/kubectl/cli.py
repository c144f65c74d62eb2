"""The command `kubectl mm` (as `kubectl-mm` on the PATH). Works with the rights of the kubeconfig's user, and without the operator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import click
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import list_kube_config_contexts

from mm_contract.states import DesiredState, HaltState
from mm_operator import __version__
from mm_operator.kube.api import ApiError, KubernetesApi, Manifest, configuration
from mm_operator.kube.kinds import MARKET_MAKER, TRADING_HALT
from mm_operator.kubectl.changes import (
    UsageError,
    acknowledgement,
    desired,
    halt_name,
    parse_selector,
    trading_halt,
)
from mm_operator.kubectl.tables import listing, screen

_FIELD_MANAGER: Final = "kubectl-mm"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the cluster."""

    kubeconfig: str | None
    context: str | None
    namespace: str

    def run(self, work: Callable[[KubernetesApi], Awaitable[None]]) -> None:
        """Do it, and turn failures into sentences."""
        try:
            asyncio.run(self._with_api(work))
        except (ApiError, UsageError) as error:
            raise click.ClickException(str(error)) from error
        except ConfigException as error:
            raise click.ClickException(f"no cluster: {error}; set KUBECONFIG or give --kubeconfig") from error

    async def _with_api(self, work: Callable[[KubernetesApi], Awaitable[None]]) -> None:
        found = await configuration(kubeconfig=self.kubeconfig, context=self.context)
        api = KubernetesApi(found, field_manager=_FIELD_MANAGER)
        try:
            await work(api)
        finally:
            await api.close()


def _context_namespace(kubeconfig: str | None, context: str | None) -> str:
    try:
        contexts, active = list_kube_config_contexts(config_file=kubeconfig)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError):
        return "default"
    chosen = next((each for each in contexts if each["name"] == context), active)
    return str((chosen.get("context") or {}).get("namespace") or "default")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kubectl-mm")
@click.option("--kubeconfig", help="Path of the kubeconfig; default: as kubectl finds it.")
@click.option("--context", "context_name", help="Context of the kubeconfig.")
@click.option("-n", "--namespace", help="Namespace; default: the context's.")
@click.pass_context
def main(context: click.Context, kubeconfig: str | None, context_name: str | None, namespace: str | None) -> None:
    """Look at market makers and stop them."""
    context.obj = Access(kubeconfig, context_name, namespace or _context_namespace(kubeconfig, context_name))


def _namespaced(command: Callable[..., None]) -> Callable[..., None]:
    """`-n` after the command too, as people type it."""
    return click.option("-n", "--namespace", "own_namespace", help="Namespace.")(command)


def _at(access: Access, namespace: str | None) -> Access:
    return Access(access.kubeconfig, access.context, namespace) if namespace else access


@main.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option("-l", "--selector", default="", help="Labels, as desk=a.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@_namespaced
@click.pass_obj
def list_command(access: Access, all_namespaces: bool, selector: str, output: str, own_namespace: str | None) -> None:  # noqa: FBT001 - a flag
    """All engines, one line each."""
    place = _at(access, own_namespace)

    async def work(api: KubernetesApi) -> None:
        found = await api.list(MARKET_MAKER, None if all_namespaces else place.namespace, labels=selector)
        _show(found.items, output, table=listing)

    place.run(work)


@main.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@_namespaced
@click.pass_obj
def status(access: Access, name: str, output: str, own_namespace: str | None) -> None:
    """One engine: what is going on, and what to do."""
    place = _at(access, own_namespace)

    async def work(api: KubernetesApi) -> None:
        found = await api.get(MARKET_MAKER, place.namespace, name)
        _show([found], output, table=lambda manifests: screen(next(iter(manifests))))

    place.run(work)


def _show(manifests: Iterable[Manifest], output: str, *, table: Callable[[list[Manifest]], str]) -> None:
    found = list(manifests)
    click.echo(json.dumps({"items": found}, indent=2) if output == "json" else table(found))


def _targets(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        click.argument("names", nargs=-1),
        click.option("--all", "everything", is_flag=True, help="Every engine of the namespace, by one TradingHalt."),
        click.option("-l", "--selector", default="", help="Engines with these labels, by one TradingHalt."),
        click.option("--reason", default="", help="Why, for the next person who looks."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done."),
        click.option("-n", "--namespace", "own_namespace", help="Namespace."),
        click.pass_obj,
    )[::-1]:
        command = decorate(command)
    return command


@main.command()
@_targets
def halt(access: Access, **given: object) -> None:
    """Cancel every order and place none; positions stay. NAMES patch desiredState, --all and -l make a TradingHalt."""
    _tighten(access, DesiredState.HALTED, HaltState.HALTED, given)


@main.command("reduce-only")
@_targets
def reduce_only(access: Access, **given: object) -> None:
    """Only shrink positions."""
    _tighten(access, DesiredState.REDUCE_ONLY, HaltState.REDUCE_ONLY, given)


@main.command()
@_targets
def resume(access: Access, **given: object) -> None:
    """Trade again: NAMES by desiredState, --all and -l by removing the TradingHalt that halt made."""
    wanted = _Wanted.read(access, given)
    if wanted.names:
        wanted.patch(DesiredState.RUNNING)
        return

    async def work(api: KubernetesApi) -> None:
        name = halt_name(wanted.labels)
        found = await api.get(TRADING_HALT, wanted.place.namespace, name)
        await api.delete(TRADING_HALT, wanted.place.namespace, name, uid=found["metadata"]["uid"])

    wanted.do(f"delete TradingHalt {halt_name(wanted.labels)}", work)


@main.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@_namespaced
@click.pass_obj
def flat(access: Access, names: tuple[str, ...], dry_run: bool, own_namespace: str | None) -> None:  # noqa: FBT001 - a flag
    """Close the position and hold none. By name only: a TradingHalt never closes."""
    _Wanted(_at(access, own_namespace), names, {}, "", dry_run).patch(DesiredState.FLAT)


@main.command()
@click.argument("name")
@click.option("--halt-id", help="The halt that you have looked at; default: the one that the status shows.")
@_namespaced
@click.pass_obj
def acknowledge(access: Access, name: str, halt_id: str | None, own_namespace: str | None) -> None:
    """Release a latched halt of the engine's own risk machine. Works once for each halt."""
    place = _at(access, own_namespace)

    async def work(api: KubernetesApi) -> None:
        found = await api.get(MARKET_MAKER, place.namespace, name)
        body = acknowledgement(found, halt_id)
        body["metadata"] = {"resourceVersion": found["metadata"]["resourceVersion"]}
        await api.patch(MARKET_MAKER, place.namespace, name, body=body)
        click.echo(f"{name}: acknowledged {body['spec']['risk']['acknowledgedHalt']}")

    place.run(work)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which engines a command means."""

    place: Access
    names: tuple[str, ...]
    labels: dict[str, str]
    reason: str
    dry_run: bool

    @classmethod
    def read(cls, access: Access, given: dict[str, object]) -> _Wanted:
        named, selector = given["names"], str(given["selector"])
        names = tuple(str(each) for each in named) if isinstance(named, tuple) else ()
        chosen = [bool(names), bool(given["everything"]), bool(selector)]
        if sum(chosen) != 1:
            raise click.UsageError("say which engines: names, or --all, or -l desk=a (one of the three)")
        try:
            labels = parse_selector(selector) if selector else {}
        except UsageError as error:
            raise click.UsageError(str(error)) from error
        namespace = given["own_namespace"]
        place = _at(access, str(namespace) if namespace else None)
        return cls(place, names, labels, str(given["reason"]), bool(given["dry_run"]))

    def patch(self, state: DesiredState) -> None:
        """`desiredState` of each."""
        for name in self.names:

            async def work(api: KubernetesApi, name: str = name) -> None:
                await api.patch(MARKET_MAKER, self.place.namespace, name, body=desired(state))

            self.do(f"{name}: desiredState {state.value}", work)

    def do(self, what: str, work: Callable[[KubernetesApi], Awaitable[None]]) -> None:
        """Do it, or only say it."""
        if not self.dry_run:
            self.place.run(work)
        click.echo(what + (" (dry run)" if self.dry_run else ""))


def _tighten(access: Access, state: DesiredState, halt_state: HaltState, given: dict[str, object]) -> None:
    wanted = _Wanted.read(access, given)
    if wanted.names:
        wanted.patch(state)
        return
    name = halt_name(wanted.labels)
    manifest = trading_halt(
        wanted.place.namespace, name, state=halt_state, selector=wanted.labels, reason=wanted.reason
    )

    async def work(api: KubernetesApi) -> None:
        await api.apply(TRADING_HALT, manifest)

    wanted.do(f"TradingHalt {name}: {halt_state.value} for {wanted.labels or 'all'} of {wanted.place.namespace}", work)
