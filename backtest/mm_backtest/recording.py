"""What a backtest saw, kept for the report: samples of the market and of the engine, fills, order lives, risk bands.

Written by the driver while it runs, saved beside `summary.json` as `recording.json`, read by `mm_backtest.report`. Times are the
virtual clock's unix milliseconds; prices, quantities and money are floats for drawing (the sums in `summary.json` are exact).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

MARKOUT_SECONDS = (1, 5, 30)
"""Horizons at which the mid is compared with a fill's price."""


class Sample(msgspec.Struct, array_like=True, gc=False):
    """The state at one instant, some hundred to a few thousand per run. A side without an own quote is None."""

    time_ms: int
    bid: float
    ask: float
    own_bid: float | None
    own_ask: float | None
    position: float
    equity: float
    """Net: wallet and unrealised PnL less the starting balance, in quote units; `gross_pnl - fees + funding`."""
    gross_pnl: float
    """Realised and unrealised PnL before fees and funding."""
    fees: float
    """Paid since the start; positive is a cost, rebates make it fall."""
    funding: float
    """Received since the start; negative where it was paid."""


class FillRecord(msgspec.Struct, gc=False):
    """One own fill; `side` is BUY or SELL, `mid` the middle of the touch just before it.

    `markouts` holds the mid after each of `MARKOUT_SECONDS`, None where the run ended before.
    """

    time_ms: int
    order_id: int
    client_order_id: str
    side: str
    price: float
    quantity: float
    maker: bool
    commission: float
    realized: float
    mid: float
    markouts: list[float | None] = msgspec.field(default_factory=list)


class OrderRecord(msgspec.Struct, gc=False):
    """The life of one own order. `queue_ahead` is the displayed size it joined behind, None where it never rested.

    `queue_ahead_at_end` is what still stood before it when it ended (0 where it filled); `filled` in base units.
    """

    client_order_id: str
    side: str
    price: float
    quantity: float
    sent_ms: float
    acknowledged_ms: float | None = None
    ended_ms: float | None = None
    end: str = ""
    """FILLED, CANCELED, EXPIRED or REJECTED as the venue ended it; empty while it rests."""
    queue_ahead: float | None = None
    queue_ahead_at_end: float | None = None
    filled: float = 0.0


class Band(msgspec.Struct, gc=False):
    """A stretch of time in one risk state (`normal`, `reduce_only`, `halted`) and what ruled it."""

    start_ms: int
    end_ms: int
    state: str
    reason: str


class Recording(msgspec.Struct, gc=False):
    """Everything the report draws. `summary` is what `summary.json` holds."""

    symbol: str
    tape: str
    samples: list[Sample]
    fills: list[FillRecord]
    orders: list[OrderRecord]
    risk_bands: list[Band]
    effective_bands: list[Band]
    entry_latencies_ms: list[float]
    """Engine's decision to the venue's acknowledgement, one per request."""
    summary: dict[str, Any]
    base: str = ""
    """Asset of sizes and positions; derived from the symbol where empty."""
    quote: str = ""
    """Asset of prices and money; derived from the symbol where empty."""


def save(recording: Recording, path: Path) -> None:
    """Write a recording as one JSON file."""
    path.write_bytes(msgspec.json.encode(recording))


def load(path: Path) -> Recording:
    """Read a recording.

    Raises:
        ValueError: the file is no recording; says which file and why.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Recording)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is no recording of mm-backtest run: {error}") from error
