"""Parameters of a synthetic market, as `--flow FILE` gives them: by symbol, with `default` for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class FlowParameters(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Parameters of one symbol's flow.

    *Price*: `price` starts the walk; `volatility_bps` is per square-root second; `reversion_seconds` pulls back to the
    start (0: not at all). *Book*: `levels` a side, `spread_ticks` wide, `level_spacing_bps` apart, `level_size` the
    median in quote units, `holes` the share of levels behind the touch that are empty. *Noise traders*:
    `trades_per_second` of median `trade_size` in quote units on either side; `sweep` is the share that walks the book.
    *Informed traders*: they know the mid `informed_horizon_seconds` ahead and look `informed_per_second`; when it will
    have moved by more than half the spread and `informed_edge_bps`, they take `informed_size` at the touch.
    *Jumps*: `jumps_per_hour` of median `jump_bps`, up or down. *Stress*: `stress_per_hour`, and after every jump, for
    `stress_seconds` the spread is `stress_spread` times as wide, levels are `stress_depth` times as large and the
    volatility is `stress_volatility` times as high. `note` is for the reader of the file.
    """

    note: str = ""
    price: str = ""
    volatility_bps: float = 1.5
    reversion_seconds: float = 900.0
    interval_ms: int = 100
    levels: int = 25
    spread_ticks: int = 1
    level_spacing_bps: float = 0.4
    level_size: float = 12_000.0
    holes: float = 0.0
    trades_per_second: float = 8.0
    trade_size: float = 800.0
    sweep: float = 0.1
    informed_per_second: float = 0.0
    informed_horizon_seconds: float = 5.0
    informed_edge_bps: float = 0.5
    informed_size: float = 2_000.0
    jumps_per_hour: float = 0.0
    jump_bps: float = 30.0
    stress_per_hour: float = 0.0
    stress_seconds: float = 20.0
    stress_spread: float = 4.0
    stress_depth: float = 0.3
    stress_volatility: float = 2.0

    def __post_init__(self) -> None:
        if self.levels < 1 or self.interval_ms < 1 or self.spread_ticks < 1:
            raise ValueError("levels, intervalMs and spreadTicks must be at least 1")
        if min(self.level_size, self.trade_size, self.informed_size, self.stress_depth) <= 0:
            raise ValueError("levelSize, tradeSize, informedSize and stressDepth must be positive")
        if not 0 <= self.holes < 1 or not 0 <= self.sweep <= 1:
            raise ValueError("holes must be from 0 to below 1, sweep from 0 to 1")
        if self.stress_spread < 1:
            raise ValueError("stressSpread must be at least 1")
        rates = (self.volatility_bps, self.trades_per_second, self.informed_per_second, self.informed_horizon_seconds,
                 self.informed_edge_bps, self.jumps_per_hour, self.jump_bps, self.stress_per_hour, self.stress_seconds,
                 self.stress_volatility, self.level_spacing_bps, self.reversion_seconds)  # fmt: skip
        if min(rates) < 0:
            raise ValueError("rates, seconds and bps must not be negative")


def read_flow(path: Path | None) -> dict[str, FlowParameters]:
    """The parameters of a file, by symbol; of none: nothing.

    Raises:
        ValueError: it cannot be read, or is not of the form; says what it takes.
    """
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, FlowParameters])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(
            f'--flow {path}: {error}; it takes {{"ETHUSDT": {{"price": "2680", ...}}, "default": {{...}}}}'
        ) from error
