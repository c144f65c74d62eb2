"""The command `mm-operator`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from mm_contract import names
from mm_operator import __version__
from mm_operator.settings import ALLOY_IMAGE, PROMTAIL_IMAGE, Settings, SettingsError, read_status_keys

EXIT_FAILED: Final = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MM_OPERATOR"})
@click.version_option(__version__, prog_name="mm-operator")
def main() -> None:
    """Reconcile MarketMaker resources into engines. Every flag can be given as MM_OPERATOR_<COMMAND>_<FLAG>."""


@main.command()
@click.option("--runner-image", required=True, help="Image of the engines whose resource names none.")
@click.option(
    "--claims-namespace",
    envvar=["MM_OPERATOR_RUN_CLAIMS_NAMESPACE", names.ENV_NAMESPACE],
    default="",
    help="Where Leases and claim states live. Default: the operator's own namespace; outside a pod beside each resource.",
)
@click.option("--watch-namespace", "watch_namespaces", multiple=True, help="Repeatable; none: the whole cluster.")
@click.option(
    "--allowed-image",
    "allowed_images",
    multiple=True,
    help="Shell pattern of an image that a resource may name; repeatable.",
)
@click.option(
    "--status-key-dir",
    type=click.Path(path_type=Path),
    help="Folder with the file key and, while rotating, previousKey.",
)
@click.option(
    "--status-token-key-file",
    "status_key_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A key file instead of the folder; a second one is the previous key.",
)
@click.option("--simulated-rest", default="", help="REST base URL for environment: simulated.")
@click.option("--simulated-ws", default="", help="WebSocket base URL for environment: simulated.")
@click.option("--promtail-image", default=PROMTAIL_IMAGE, show_default=True, help="For telemetry.logSidecar: promtail.")
@click.option("--alloy-image", default=ALLOY_IMAGE, show_default=True, help="For telemetry.logSidecar: alloy.")
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), default=9100, show_default=True, help="Port of /metrics."
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port of /healthz and /readyz.",
)
@click.option("--host", default="0.0.0.0", show_default=True, help="Address that both ports are bound to.")
@click.option("--status-port", type=click.IntRange(1, 65535), default=names.STATUS_PORT, hidden=True)
@click.option(
    "--resync-seconds",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="How often everything is listed to find what a watch missed.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run(  # noqa: PLR0913 - one argument per flag
    *,
    runner_image: str,
    claims_namespace: str,
    watch_namespaces: tuple[str, ...],
    allowed_images: tuple[str, ...],
    status_key_dir: Path | None,
    status_key_files: tuple[Path, ...],
    simulated_rest: str,
    simulated_ws: str,
    promtail_image: str,
    alloy_image: str,
    metrics_port: int,
    health_port: int,
    host: str,
    status_port: int,
    resync_seconds: float,
    log_level: str,
) -> None:
    """Run the operator until it is told to stop. Exit code 1: it could not go on, and should be started again."""
    # Imported here, so that `crd` and `--help` do not pay for kopf.
    from kubernetes.aio.config import ConfigException  # noqa: PLC0415

    from mm_operator import app, logs  # noqa: PLC0415

    try:
        keys = read_status_keys(status_key_files, directory=status_key_dir)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    settings = Settings(
        runner_image=runner_image,
        status_keys=keys,
        claims_namespace=claims_namespace,
        watch_namespaces=watch_namespaces,
        allowed_images=allowed_images,
        promtail_image=promtail_image,
        alloy_image=alloy_image,
        simulated_rest=simulated_rest,
        simulated_ws=simulated_ws,
        metrics_port=metrics_port,
        health_port=health_port,
        host=host,
        status_port=status_port,
        resync_seconds=resync_seconds,
    )
    logs.configure(log_level)
    try:
        asyncio.run(app.run(settings))
    except ConfigException as error:
        raise click.ClickException(f"no way to the API server: {error}; set KUBECONFIG or run in a pod") from error
    except OSError as error:
        raise click.ClickException(
            f"a port cannot be served: {error}; choose another with --metrics-port or --health-port"
        ) from error
    except Exception as error:  # noqa: BLE001 - the process's border: one JSON line instead of a trace, and exit code 1
        logs.last_words(error)
        raise SystemExit(EXIT_FAILED) from None


@main.command()
def crd() -> None:
    """Print both CRDs as YAML."""
    from mm_contract.crd import market_maker_crd, to_yaml, trading_halt_crd  # noqa: PLC0415 - only this command needs it

    click.echo("---\n".join(to_yaml(each) for each in (market_maker_crd(), trading_halt_crd())), nl=False)


@main.command("guard-uninstall")
@click.option("--namespace", "namespaces", multiple=True, help="Repeatable; none: the whole cluster.")
def guard_uninstall(namespaces: tuple[str, ...]) -> None:
    """Fail while MarketMakers exist: without an operator their finalizers would never go."""
    from mm_operator.uninstall import remaining  # noqa: PLC0415 - only this command needs it

    left = asyncio.run(remaining(namespaces))
    if left:
        names_left = ", ".join(left)
        raise click.ClickException(
            f"{len(left)} MarketMakers still exist: {names_left}. Delete them first"
            " (kubectl delete mm --all -A) and wait until they are gone; their engines cancel their orders on the way."
        )
    click.echo("no MarketMaker is left")
