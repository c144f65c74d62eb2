"""Backtests in one line each: a plain spec with changes, on a tape."""

from __future__ import annotations

from pathlib import Path

from mm_backtest.decisions import DecisionLog
from mm_backtest.run import Options, Outcome, run_backtest
from mm_backtest.tape import Tape
from mm_backtest.world import World
from mm_contract.resource import MarketMaker, parse_market_maker

SPEC = {
    "apiVersion": "marketmaker.io/v1alpha1",
    "kind": "MarketMaker",
    "metadata": {"name": "ethusdt", "namespace": "trading"},
    "spec": {
        "symbol": "ETHUSDT",
        "exchange": {"environment": "simulated", "account": "desk-a", "credentials": {"secretName": "mm-desk-a"}},
        "quoting": {"minSpreadBps": 4.0, "levels": 2},
        "strategy": {"grid": {}},
    },
}


def merged(base: dict, changes: dict) -> dict:
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def maker(**changes) -> MarketMaker:
    """The plain spec with changes by wire name, such as `risk={"maxPosition": "1"}`."""
    return parse_market_maker(merged(SPEC, {"spec": changes}))


def run(tape: Tape, *, out: Path | None = None, options: Options | None = None, **changes) -> Outcome:
    """One backtest."""
    return run_backtest(maker(**changes).spec, tape, options or Options(), out=out)


def world_of(tape: Tape, *, options: Options | None = None, **changes) -> World:
    """A finished backtest with its inside: venue, ledger, observer, recorder."""
    options = options or Options()
    world = World(
        maker(**changes).spec, tape.rules, options.conditions(), decisions=DecisionLog(None), start_ns=tape.start_ns
    )
    world.run(tape.steps())
    return world
