"""Tapes for backtests: seeded synthetic flow written as a recorder would have, and the recorded tape where it is present."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path

import pytest

from mm_exchange.flow.synthetic import FlowParameters, SyntheticFlow, rules_of
from mm_exchange.market import DepthUpdate, Snapshot, Touch, Trade

ROOT = Path(__file__).resolve().parents[2]
START_MS = 1_723_161_255_000
PARAMETERS = FlowParameters(price="2680", volatility_bps=4.0, trades_per_second=12.0, interval_ms=50)


def recorded_tape() -> Path:
    """The recorded tape; skips where it is absent."""
    named = os.environ.get("MM_TAPE")
    found = [Path(named)] if named else sorted((ROOT.parent / "shared" / "data").glob("*.gz"))
    if not found or not found[0].is_file():
        pytest.skip("the recorded tape is absent: MM_TAPE names none and ../shared/data holds none")
    return found[0]


def write_tape(
    path: Path,
    *,
    seconds: float = 20.0,
    seed: int = 1,
    symbol: str = "ETHUSDT",
    parameters: FlowParameters = PARAMETERS,
) -> Path:
    """A synthetic market of `symbol`, as lines of `<ns> <frame>`; gzip where the name ends so."""
    rules = rules_of(symbol, parameters)
    flow = SyntheticFlow(rules, parameters, rng=random.Random(seed))
    at_ms = START_MS
    lines = [line(event, rules, at_ms) for event in flow.begin(at_ms)]
    while at_ms < START_MS + seconds * 1000:
        at_ms += parameters.interval_ms
        lines += [line(event, rules, at_ms) for event in flow.step(at_ms)]
    text = "".join(lines).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def line(event, rules, at_ms: int) -> str:
    """One event as a recorder writes it, received 2 ms after it happened."""
    price, quantity = rules.prices.text, rules.quantities.text

    def levels(side):
        return [[price(at), quantity(size)] for at, size in side]

    match event:
        case Snapshot():
            frame = {
                "lastUpdateId": event.last_id,
                "E": at_ms,
                "T": at_ms,
                "bids": levels(event.bids),
                "asks": levels(event.asks),
            }
            return f"{(at_ms + 2) * 1_000_000} {json.dumps(frame)}\n"
        case DepthUpdate():
            name = "depth@0ms"
            payload = {
                "e": "depthUpdate", "E": at_ms, "T": at_ms, "s": event.symbol, "U": event.first_id, "u": event.last_id,
                "pu": event.previous_id, "b": levels(event.bids), "a": levels(event.asks),
            }  # fmt: skip
        case Touch():
            name = "bookTicker"
            payload = {
                "e": "bookTicker", "u": event.update_id, "s": event.symbol, "b": price(event.bid), "B": quantity(event.bid_quantity),
                "a": price(event.ask), "A": quantity(event.ask_quantity), "T": at_ms, "E": at_ms,
            }  # fmt: skip
        case Trade():
            name = "trade"
            payload = {
                "e": "trade", "E": at_ms, "T": at_ms, "s": event.symbol, "t": event.trade_id, "p": price(event.price),
                "q": quantity(event.quantity), "X": "MARKET", "m": event.buyer_is_maker,
            }  # fmt: skip
        case _:
            raise AssertionError(f"no frame for {event!r}")
    frame = {"stream": f"{event.symbol.lower()}@{name}", "data": payload}
    return f"{(at_ms + 2) * 1_000_000} {json.dumps(frame, separators=(',', ':'))}\n"
