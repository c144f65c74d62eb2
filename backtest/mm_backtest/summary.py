"""The summary of a run: what `summary.json` holds. Money comes from the exchange's books, counts from its ledger, violations from the observer."""

from __future__ import annotations

import platform
from typing import Any, Final

import msgspec

from mm_backtest.recorder import Money
from mm_backtest.session import IGNORED
from mm_backtest.world import World
from mm_contract import __version__
from mm_exchange.scales import MONEY

_MS: Final = 1_000_000


class Timing(msgspec.Struct, frozen=True):
    """What the run cost: wall and CPU seconds from the first line of the tape to the engine's last word, set-up and report not counted."""

    wall_seconds: float
    cpu_seconds: float


def summarize(world: World, timing: Timing, *, tape: str, conditions: dict[str, Any]) -> dict[str, Any]:
    """Everything that is known of a finished run.

    Amounts are JSON numbers in quote units with at most eight decimals, sums are exact before they are printed.
    """
    money, rules, observer = Money.of(world.counter), world.counter.rules, world.observer
    kinds = observer.kinds
    frames = world.loop.frames
    return {
        "frames": frames,
        "framesPerSecond": round(frames / timing.wall_seconds, 1) if timing.wall_seconds else 0.0,
        "orders": kinds["order"],
        "fills": kinds["fill"],
        "fees": _money(money.fees),
        "realizedPnl": _money(money.realized),
        "maxAbsPosition": float(observer.max_abs_position),
        "violations": observer.total,
        "decisionsSha256": world.decisions.sha256(),
        "unrealizedPnl": _money(money.unrealized),
        "funding": _money(money.funding),
        "pnl": _money(money.gross - money.fees + money.funding),
        "equity": _money(money.wallet + money.unrealized),
        "volume": round(world.recorder.volume, 8),
        "maxDrawdown": round(world.recorder.max_drawdown(), 8),
        "startBalance": _money(world.counter.start_balance),
        "finalPosition": float(rules.quantities.decimal(world.counter.trading.account.position(rules).quantity)),
        "quoteAsset": rules.quote,
        "rejects": kinds["reject"],
        "cancels": kinds["cancel"],
        "cancelRejects": kinds["cancel-reject"],
        "decisions": world.decisions.count,
        "rounds": world.engine.desk.rounds if world.engine.desk is not None else 0,
        "zeroOwnOrders": world.zero_own_orders,
        "violationsByCheck": dict(sorted(observer.counts.items())),
        "firstViolations": [msgspec.to_builtins(one) for one in observer.shown],
        "wallSeconds": round(timing.wall_seconds, 4),
        "cpuSeconds": round(timing.cpu_seconds, 4),
        "symbol": rules.symbol,
        "tape": tape,
        "startMs": world.start_ns // _MS,
        "endMs": world.loop.now_ns // _MS,
        **conditions,
        "ignoredSpecFields": list(IGNORED),
        "versions": {"marketMaker": __version__, "python": platform.python_version()},
    }


def _money(atoms: int) -> float:
    """Exact: a double tells apart every amount of up to fifteen digits."""
    return float(MONEY.decimal(atoms))
