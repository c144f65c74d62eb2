"""`mm-backtest`: run, replay, sweep, report."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import click
import orjson

from mm_backtest.errors import BacktestError
from mm_contract import __version__

EXIT_DIFFERENT: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
_EPILOG: Final = (
    "Exit codes: 0 done (run: whatever the violations are; replay: identical); 1 replay found a difference, or every run of a sweep failed; "
    "2 usage, spec, tape or folder; 130 interrupted, finished results are kept."
)
_SPEC = click.option(
    "--spec",
    "spec_file",
    required=True,
    type=click.Path(path_type=Path),
    help="MarketMaker in YAML, as the engine takes it.",
)
_SEED = click.option(
    "--seed", default=0, show_default=True, help="Of everything that is left to chance: sampled latencies."
)
_LATENCY_MS = click.option(
    "--latency-ms", default=5.0, show_default=True, type=click.FloatRange(0, 60_000),
    help="One way: market data to the engine, requests to the venue, answers and own events back.",
)  # fmt: skip
_LATENCY = click.option(
    "--latency", "latency_file", type=click.Path(path_type=Path),
    help="JSON file of measured milliseconds to draw from: feedMs, entryMs, answerMs, userMs.",
)  # fmt: skip
_QUEUE = click.option(
    "--queue-model", default="conservative", show_default=True,
    help="Where cancellations happen in the queue before an order: conservative, optimistic, proportional, power:N, power2:N, power3:N, log, log2.",
)  # fmt: skip
_IMPACT = click.option(
    "--impact", default="none", show_default=True, metavar="none|MS",
    help="What own takers took is shown on (none), or hidden from matching and back with this half-life.",
)  # fmt: skip
_BALANCE = click.option(
    "--balance", default="10000", show_default=True, help="Of the account at the start, in quote units."
)


def _conditions(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say under which conditions a tape is played, in the order in which the help shows them."""
    for option in (_BALANCE, _IMPACT, _QUEUE, _LATENCY, _LATENCY_MS, _SEED):
        command = option(command)
    return command


_OUT = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results; made where absent.",
)
_FORCE = click.option("--force", is_flag=True, help="Write into a folder that is not empty.")


class Sentences(click.Group):
    """Says what a person can mend as a sentence and ends with 2; with 130 after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BacktestError as error:
            click.echo(f"mm-backtest: {error}", err=True)
            sys.exit(EXIT_USAGE)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)


@click.group(
    cls=Sentences, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(__version__, prog_name="mm-backtest")
def main() -> None:
    """The live engine's core and the exchange's core on one virtual clock.

    \b
    Examples:
      mm-backtest run --spec mm.yaml --tape ethusdt.gz --out out/
      mm-backtest run --spec mm.yaml --tape ethusdt.gz --out out/ --latency-ms 50 --from 60 --to 120
      mm-backtest replay journal.mmj
      mm-backtest sweep --spec mm.yaml --tape ethusdt.gz --set quoting.minSpreadBps=4,6,8 --out sweep/
    """  # noqa: D301 - \b is click's word for "leave these lines alone"


@main.command(epilog=_EPILOG)
@_SPEC
@click.option(
    "--tape", "tape_file", required=True, type=click.Path(path_type=Path), help="Recorded tape, gzip or plain."
)
@_OUT
@_conditions
@click.option(
    "--from",
    "start",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Begin this many seconds into the tape.",
)
@click.option("--to", "end", type=click.FloatRange(0, min_open=True), help="End this many seconds into the tape.")
@click.option("--no-report", is_flag=True, help="Write no report: summary, decision log and recording only.")
@_FORCE
def run(  # noqa: PLR0913 - one parameter per option is how click works
    *,
    spec_file: Path,
    tape_file: Path,
    out: Path,
    seed: int,
    latency_ms: float,
    latency_file: Path | None,
    queue_model: str,
    impact: str,
    balance: str,
    start: float,
    end: float | None,
    no_report: bool,
    force: bool,
) -> None:
    """Play a tape to the live core; writes summary.json, decisions.jsonl, recording.json and a report with pictures."""
    from mm_backtest.run import Options, prepare, run_backtest, write  # noqa: PLC0415 - help and errors come without it
    from mm_backtest.session import read_spec  # noqa: PLC0415
    from mm_backtest.tape import Stretch, open_tape  # noqa: PLC0415

    if end is not None and end <= start:
        raise BacktestError(f"--to {end:g} must be later than --from {start:g}")
    options = Options(
        seed=seed, latency_ms=latency_ms, latency_file=latency_file, balance=money(balance), stretch=Stretch(start, end),
        queue_model=queue_model, impact_half_life_ms=half_life(impact),
    )  # fmt: skip
    options.conditions()
    spec = read_spec(spec_file).spec
    tape = open_tape(tape_file, spec.symbol)
    prepare(out, force=force)
    outcome = run_backtest(spec, tape, options, out=out)
    write(outcome, out)
    if not no_report:
        render(out)
        click.echo(f"mm-backtest: the report is {out / 'report.html'}", err=True)
    click.echo(orjson.dumps(outcome.summary).decode())


@main.command(epilog=_EPILOG)
@click.argument("journal", type=click.Path(path_type=Path))
def replay(*, journal: Path) -> None:
    """Feed JOURNAL, written by mm-runner run --journal, to a fresh core; its decisions must be those that were really taken."""
    from mm_backtest.replaying import replay_journal  # noqa: PLC0415

    verdict = replay_journal(journal)
    click.echo(orjson.dumps(verdict.line).decode())
    for sentence in verdict.sentences:
        click.echo(f"mm-backtest: {sentence}", err=True)
    sys.exit(0 if verdict.identical else EXIT_DIFFERENT)


@main.command(epilog=_EPILOG)
@_SPEC
@click.option(
    "--tape",
    "tapes",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recorded tape; may be repeated.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=V,V,…",
    help="Values of a spec field, such as quoting.minSpreadBps=4,6,8; may be repeated.",
)
@_OUT
@click.option("--workers", type=click.IntRange(1), help="Processes; all cores where absent.")
@click.option(
    "--walk-forward",
    "parts",
    type=click.IntRange(2),
    help="Cut each tape into this many segments: choose on one, test on the next.",
)
@click.option(
    "--objective",
    default="pnl",
    show_default=True,
    type=click.Choice(["pnl", "pnlBps", "pnlPerDrawdown"]),
    help="What the best is the best by.",
)
@_conditions
@_FORCE
def sweep(  # noqa: PLR0913 - one parameter per option is how click works
    *,
    spec_file: Path,
    tapes: tuple[Path, ...],
    settings: tuple[str, ...],
    out: Path,
    workers: int | None,
    parts: int | None,
    objective: str,
    seed: int,
    latency_ms: float,
    latency_file: Path | None,
    queue_model: str,
    impact: str,
    balance: str,
    force: bool,
) -> None:
    """Run every combination of spec values on all cores; writes results.csv and results.json."""
    from mm_backtest.run import Options  # noqa: PLC0415
    from mm_backtest.sweep_command import SweepOrder, sweep_all  # noqa: PLC0415

    options = Options(
        seed=seed, latency_ms=latency_ms, latency_file=latency_file, balance=money(balance), queue_model=queue_model,
        impact_half_life_ms=half_life(impact),
    )  # fmt: skip
    order = SweepOrder(
        spec_file=spec_file, tapes=tapes, settings=settings, out=out, workers=workers or os.cpu_count() or 1, parts=parts or 1,
        objective=objective, force=force,
    )  # fmt: skip
    sys.exit(sweep_all(order, options))


@main.command(epilog=_EPILOG)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def report(*, directory: Path) -> None:
    """Draw the report of DIRECTORY anew, from its recording.json."""
    for path in render(directory):
        click.echo(str(path))


def render(directory: Path) -> list[Path]:
    """Write a folder's report; returns what was written."""
    from mm_backtest.recording import load  # noqa: PLC0415
    from mm_backtest.report import write as draw  # noqa: PLC0415
    from mm_backtest.run import RECORDING_FILE  # noqa: PLC0415

    path = directory / RECORDING_FILE
    try:
        recording = load(path)
    except OSError as error:
        raise BacktestError(
            f"{path} cannot be read: {error.strerror or error}; give a folder of mm-backtest run"
        ) from error
    except ValueError as error:
        raise BacktestError(str(error)) from error
    draw(recording, directory)
    return sorted((*directory.glob("*.html"), *directory.glob("*.png")))


def money(text: str) -> Decimal:
    """A positive amount."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise BacktestError(f"--balance {text} must be a positive amount, such as 10000")
    return amount


def half_life(text: str) -> float | None:
    """`none`, or positive milliseconds."""
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise BacktestError(f"--impact {text} must be none or a half-life in milliseconds, such as 500")
    return value


if __name__ == "__main__":
    main()
