"""`mm-runner`: the command line of one engine.

Exit codes: 0 ended as asked and zero own orders proven; 1 internal error (orders were cancelled as far as they could be); 2 usage, spec or keys;
3 a check failed; 4 ended without the proof; 5 Lease lost or superseded; 70 ended by the watchdog.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import click

from mm_contract import __version__, names
from mm_contract.resource import MarketMaker, SpecError, load_manifest
from mm_runner.control import local_latch
from mm_runner.control.clocks import rfc3339
from mm_runner.control.credentials import CredentialsError
from mm_runner.control.environment import SurroundingsError, state_directory, surroundings
from mm_runner.control.exit_path import EXIT_USAGE
from mm_runner.control.local_latch import Latch
from mm_runner.venue.endpoints import EndpointError

_EPILOG = (
    "Exit codes: 0 ended as asked, zero own orders proven; 1 internal error; 2 usage, spec or keys; 3 a check failed; "
    "4 ended without the proof of zero own orders; 5 Lease lost or superseded; 70 ended by the watchdog."
)
SPEC = click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="MarketMaker in YAML; watched while the engine runs.",
)
STATE = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of claim state and local latch; also MM_STATE_DIR.",
)


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mm-runner")
def main() -> None:
    """The market-making engine of one symbol."""


@main.command(epilog=_EPILOG)
@SPEC
@STATE
@click.option("--host", help="Address of both ports: in a pod 0.0.0.0, else 127.0.0.1.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Default 9100, 0 a free one; also MM_METRICS_PORT.")
@click.option("--status-port", type=click.IntRange(0, 65535), help="Default 8080, 0 a free one; also MM_STATUS_PORT.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every input and decision to this file, for mm-backtest replay; .gz compresses. Older ones are kept as FILE.1 to FILE.3.",
)
@click.option(
    "--journal-max-mb",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="The journal ends at this size; the engine goes on.",
)
def run(  # noqa: PLR0913 - one argument per flag
    *,
    spec_file: Path | None,
    state_dir: Path | None,
    host: str | None,
    metrics_port: int | None,
    status_port: int | None,
    journal: Path | None,
    journal_max_mb: int,
) -> None:
    """Run the engine: from --spec FILE, or in a pod from the resource that MM_NAMESPACE and MM_NAME name.

    Stop it with SIGTERM or Ctrl-C: it cancels its orders, proves that none is left, and ends.
    """
    from mm_runner.app import EngineProcess  # noqa: PLC0415 - the other commands start without it

    env = _environment(state_dir)

    async def live() -> int:
        where = surroundings(
            env,
            spec_file=spec_file,
            host=host,
            metrics_port=metrics_port,
            status_port=status_port,
            journal=journal,
            journal_max_bytes=journal_max_mb * 1024 * 1024,
        )
        return await EngineProcess(where, env).run()

    sys.exit(_run(live))


@main.command()
@click.option("--spec", "spec_file", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--offline", is_flag=True, help="Validate the file only; do not ask the exchange.")
def check(*, spec_file: Path, offline: bool) -> None:
    """Validate a spec, then look at what quoting needs: clock, symbol, key, position mode, foreign orders, fees. Changes nothing."""
    from mm_runner.control.errands import preflight  # noqa: PLC0415

    maker = _read_spec(spec_file)
    click.echo(f"ok    spec: {maker.metadata.namespace}/{maker.metadata.name} trades {maker.spec.symbol}")
    if offline:
        return
    sys.exit(_run(lambda: preflight(maker, dict(os.environ), say=click.echo)))


@main.command()
@STATE
@click.option("--clear", is_flag=True, help="Remove the latch; the engine goes on.")
def halt(*, state_dir: Path | None, clear: bool) -> None:
    """Halt the engine of this machine or pod now, without the API server: it cancels its orders and holds its position."""
    directory = state_directory(_environment(state_dir))
    if clear:
        found = local_latch.clear_latch(directory)
        click.echo("the latch is removed" if found else f"there was no latch in {directory}")
        return
    path = local_latch.set_latch(directory, Latch(since=rfc3339(), by="mm-runner halt"))
    click.echo(f"the latch is set: {path}; remove it with mm-runner halt --clear")


@main.command(epilog=_EPILOG)
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Whose orders; needed outside a pod.",
)
@STATE
@click.option("--close", is_flag=True, help="Also close the position, with reduceOnly orders.")
def flatten(*, spec_file: Path | None, state_dir: Path | None, close: bool) -> None:
    """Cancel every own order now and stay halted; with --close flatten the position too.

    Where an engine runs, it does so itself; where none runs, this command takes the claim's lock and acts.
    """
    from mm_runner.control.errands import flatten_now  # noqa: PLC0415

    env = _environment(state_dir)
    if spec_file is None and not env.get(names.ENV_POD_UID):
        _refuse("outside a pod --spec FILE is needed: it says whose orders are meant")
    maker = _read_spec(spec_file) if spec_file is not None else None
    sys.exit(_run(lambda: flatten_now(maker, env, close=close, say=click.echo)))


def _environment(state_dir: Path | None) -> dict[str, str]:
    return {**os.environ, **({"MM_STATE_DIR": str(state_dir)} if state_dir else {})}


def _read_spec(path: Path) -> MarketMaker:
    try:
        return load_manifest(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        _refuse(f"{path} cannot be read: {error}")
    except SpecError as error:
        _refuse(*error.problems)


def _refuse(*sentences: str) -> NoReturn:
    for sentence in sentences:
        click.echo(f"mm-runner: {sentence}", err=True)
    sys.exit(EXIT_USAGE)


def _run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run on uvloop (or on asyncio with MM_EVENT_LOOP=asyncio); what a person can mend is said as a sentence."""
    import uvloop  # noqa: PLC0415 - not needed by halt

    factory = None if os.environ.get("MM_EVENT_LOOP") == "asyncio" else uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(work())
    except SpecError as error:
        _refuse(*error.problems)
    except (SurroundingsError, CredentialsError, EndpointError, OSError) as error:
        _refuse(str(error))
    except asyncio.CancelledError:
        return 130


if __name__ == "__main__":
    main()
