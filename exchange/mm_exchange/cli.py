"""`mm-exchange`: serve the simulated exchange, and order faults from it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm_exchange.fault_commands import fault_group

if TYPE_CHECKING:
    from mm_exchange.server.app import ServeOptions

_DEFAULT_TAPES = Path("../shared/data")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("market-maker-operator"), prog_name="mm-exchange")
def main() -> None:
    """A simulated Binance USD-M futures exchange to point a bot at."""


main.add_command(fault_group)

# `serve --help` in sections; options that are named nowhere come last.
_SECTIONS = {
    "Ports": ("host", "port"),
    "Market": ("tapes", "synthetic", "flow", "speed", "loop", "seed"),
    "Accounts and ledger": ("accounts", "ledger"),
    "Matching and latency": ("queue_model", "impact_half_life_ms", "latency"),
    "Sockets and streams": (
        "old_paths",
        "user_events",
        "key_in_path",
        "ping_seconds",
        "pong_seconds",
        "socket_seconds",
    ),
}
_EXAMPLES = """\b
Examples:
  mm-exchange serve --synthetic ETHUSDT                     a made-up market on ports 8081, 8082, 8083
  mm-exchange serve --tape ethusdt.gz --loop --speed 5      a recorded one, five times as fast, for ever
  mm-exchange serve --port 0 --synthetic A1USDT --synthetic B2USDT --flow flow.json --seed 7
  mm-exchange serve --accounts accounts.json --ledger run.sqlite --old-paths dead

\b
Then:
  curl -X POST http://127.0.0.1:8083/admin/accounts         an account: its keys are in the answer
  open http://127.0.0.1:8083/                               book, orders, fills and faults, live
  mm-exchange fault add --help                              let something go wrong

\b
Exit codes: 0 ended by SIGTERM or SIGINT; 1 cannot be served; 2 wrong usage."""


class _Sectioned(click.Command):
    """A command whose help lists its options by topic."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        options = {option.name: option for option in self.get_params(ctx)}
        sections = {
            title: [options.pop(name) for name in names if name in options] for title, names in _SECTIONS.items()
        }
        for title, chosen in {**sections, "Other": list(options.values())}.items():
            records = [record for option in chosen if (record := option.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


@main.command("serve", cls=_Sectioned, epilog=_EXAMPLES)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8081,
    show_default=True,
    type=click.IntRange(0, 65533),
    help="REST port; sockets are on the next one, admin on the one after. 0: three free ports.",
)
@click.option(
    "--tape",
    "tapes",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Recorded tape to replay; may be repeated (same symbols: one after another).",
)
@click.option("--synthetic", multiple=True, metavar="SYMBOL", help="Symbol with synthetic flow; may be repeated.")
@click.option(
    "--flow",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with parameters of the synthetic flow, by symbol.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of synthetic flow and faults.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01, 1000),
    help="Speed of the market against the wall clock.",
)
@click.option("--loop", is_flag=True, help="Play tapes for ever; ids are re-based and clients must resync at the wrap.")
@click.option(
    "--accounts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON list of {"apiKey","apiSecret","balances"} to open at the start.',
)
@click.option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the ledger in this new SQLite file (else in a temporary one, which goes at the end).",
)
@click.option(
    "--old-paths",
    default="live",
    show_default=True,
    type=click.Choice(["live", "dead"]),
    help="Unrouted stream URLs deliver, or subscribe and stay silent as in production.",
)
@click.option(
    "--user-events",
    default="required",
    show_default=True,
    type=click.Choice(["required", "optional"]),
    help="Does a user stream without events= stay silent (production) or deliver everything?",
)
@click.option("--key-in-path", is_flag=True, help="Accept a listenKey as a path segment, as the testnet does.")
@click.option("--ping-seconds", default=180.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="A socket is pinged this often.")  # fmt: skip
@click.option("--pong-seconds", default=600.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="A socket that sent no pong for so long is cut.")  # fmt: skip
@click.option("--socket-seconds", default=86400.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="No socket lives longer than this.")  # fmt: skip
@click.option(
    "--queue-model",
    default="conservative",
    show_default=True,
    help="Where cancellations are taken to happen: conservative, optimistic, proportional, power:N, power2:N, "
    "power3:N, log or log2 (docs/exchange.md).",
)
@click.option(
    "--impact-half-life-ms",
    type=click.FloatRange(0, min_open=True),
    help="What takers took is hidden from matching and comes back with this half-life.  [default: no impact]",
)
@click.option("--latency", metavar="MS|FILE", help="Delay of every way: milliseconds, or a file of measured ones.")
@click.option("--log-level", default="warning", show_default=True,
              type=click.Choice(["debug", "info", "warning", "error"]), help="Log level on stderr.")  # fmt: skip
def serve_command(  # noqa: PLR0913 - one parameter per option is how click works
    *,
    host: str,
    port: int,
    tapes: tuple[Path, ...],
    synthetic: tuple[str, ...],
    flow: Path | None,
    seed: int,
    speed: float,
    loop: bool,
    accounts: Path | None,
    ledger: Path | None,
    old_paths: str,
    user_events: str,
    key_in_path: bool,
    ping_seconds: float,
    pong_seconds: float,
    socket_seconds: float,
    queue_model: str,
    impact_half_life_ms: float | None,
    latency: str | None,
    log_level: str,
) -> None:
    """Serve REST, WebSockets and the admin port; prints one JSON line with their URLs when ready. Logs go to stderr.

    Without --tape and --synthetic, the tape that MM_TAPE names is looped, else those in ../shared/data, else
    ETHUSDT trades synthetically.
    """
    # Ordering a fault must not pay for importing a server.
    from mm_exchange.server.app import ServeOptions  # noqa: PLC0415
    from mm_exchange.server.exchange import Quirks  # noqa: PLC0415
    from mm_exchange.server.keepalive import SocketRules  # noqa: PLC0415

    logging.basicConfig(level=log_level.upper(), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # Handshakes that a client breaks off are its own affair.
    logging.getLogger("websockets").setLevel(max(logging.ERROR, logging.getLevelName(log_level.upper())))
    if not tapes and not synthetic:
        tapes, synthetic, loop = _default_source(loop=loop)
    quirks = Quirks(
        old_paths_live=old_paths == "live", events_required=user_events == "required", key_in_path=key_in_path
    )
    options = ServeOptions(
        host=host, port=port, tapes=tapes, synthetic=tuple(dict.fromkeys(synthetic)), flow=flow, seed=seed,
        speed=speed, loop=loop, accounts=accounts, ledger=ledger, quirks=quirks,
        sockets=SocketRules(ping_seconds, pong_seconds, socket_seconds),
    )  # fmt: skip
    try:
        options = _modelled(options, queue_model, impact_half_life_ms=impact_half_life_ms, latency=latency)
        _run(options)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except BaseExceptionGroup as group:
        known, other = group.split((ValueError, OSError))
        if known is None or other is not None:
            raise
        raise click.ClickException("; ".join(str(error) for error in _leaves(known))) from group


def _modelled(
    options: ServeOptions, queue: str, *, impact_half_life_ms: float | None, latency: str | None
) -> ServeOptions:
    """The options with the chosen models; `ValueError` says what is wrong with a choice."""
    from mm_exchange.latency import constant, sampled  # noqa: PLC0415 - see serve_command
    from mm_exchange.matching import MatchingModel  # noqa: PLC0415
    from mm_exchange.queue_models import queue_model  # noqa: PLC0415

    matching = MatchingModel(queue=queue_model(queue), impact_half_life_ms=impact_half_life_ms)
    options = dataclasses.replace(options, matching=matching)
    if latency is None:
        return options
    try:
        milliseconds = float(latency)
    except ValueError:
        return dataclasses.replace(options, latency=sampled(Path(latency), seed=options.seed))
    return dataclasses.replace(options, latency=constant(milliseconds))


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _default_source(*, loop: bool) -> tuple[tuple[Path, ...], tuple[str, ...], bool]:
    named = os.environ.get("MM_TAPE")
    if named:
        if not Path(named).is_file():
            raise click.ClickException(f"MM_TAPE names {named}, which is not there; unset it or name a tape")
        return (Path(named),), (), True
    found = tuple(sorted(_DEFAULT_TAPES.glob("*.gz"))) if _DEFAULT_TAPES.is_dir() else ()
    return (found, (), True) if found else ((), ("ETHUSDT",), loop)


def _run(options: ServeOptions) -> None:
    from mm_exchange.server.app import serve  # noqa: PLC0415 - see serve_command

    def announce(line: dict[str, str]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - optional: plain asyncio serves as well
    except ImportError:
        asyncio.run(serve(options, announce))
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(options, announce))


if __name__ == "__main__":
    main()
