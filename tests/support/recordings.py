"""Made-up recordings for the report's tests: a random walk with quotes, fills, orders and states, seeded."""

from __future__ import annotations

import random

from mm_backtest.recording import MARKOUT_SECONDS, Band, FillRecord, OrderRecord, Recording, Sample

START_MS = 1_723_161_255_000
TICK = 0.01
_ENDS = ("CANCELED", "CANCELED", "EXPIRED")


def recording(*, samples: int = 600, fill_share: float = 0.12, halted: bool = False, seed: int = 7) -> Recording:
    """A run of `samples` half seconds; a fill happens at `fill_share` of them."""
    chance = random.Random(seed)
    mids = [2681.0]
    for _ in range(samples + 80):
        mids.append(round(mids[-1] + chance.choice((-2, -1, 0, 0, 1, 2)) * TICK, 2))
    rows, fills, orders = [], [], []
    position = gross = fees = 0.0
    for index in range(samples):
        now, mid = START_MS + index * 500, mids[index]
        quoting = not (halted and index > samples * 0.8)
        if index:
            gross += position * (mid - mids[index - 1])
        if quoting and chance.random() < fill_share:
            side = "BUY" if position < -0.1 or (position < 0.1 and chance.random() < 0.5) else "SELL"
            sign = 1 if side == "BUY" else -1
            price = round(mid - sign * 0.25, 2)
            quantity, commission = 0.02, 0.02 * price * 0.0002
            gross, fees, position = (
                gross + sign * quantity * (mid - price),
                fees + commission,
                position + sign * quantity,
            )
            later = [
                mids[index + seconds * 2] if index + seconds * 2 < samples else None for seconds in MARKOUT_SECONDS
            ]
            fills.append(
                FillRecord(
                    now,
                    10 + index,
                    f"mm-{index}",
                    side,
                    price,
                    quantity,
                    chance.random() < 0.97,
                    commission,
                    0.0,
                    mid,
                    later,
                )
            )
        if quoting:
            orders.append(_order(chance, now, filled=bool(fills) and fills[-1].time_ms == now, mid=mid, index=index))
        rows.append(
            Sample(now, mid - TICK / 2, mid + TICK / 2, round(mid - 0.27, 2) if quoting and position < 0.2 else None,
                   round(mid + 0.27, 2) if quoting else None, round(position, 3), gross - fees - index * 1e-4, gross, fees, -index * 1e-4)
        )  # fmt: skip
    end = START_MS + max(0, samples - 1) * 500
    bands = _bands(end, halted=halted)
    return Recording(
        "ETHUSDT", "ethusdt_20240808.gz", rows, fills, orders, bands,
        [Band(b.start_ms, b.end_ms, {"normal": "Running", "reduce_only": "ReduceOnly", "halted": "Halted"}[b.state], b.reason) for b in bands],
        [round(chance.lognormvariate(1.6, 0.35), 3) for _ in orders],
        {
            "frames": 74_655, "framesPerSecond": 61_250.5, "orders": len(orders), "fills": len(fills), "fees": f"{fees:.8f}",
            "realizedPnl": f"{gross:.8f}", "maxAbsPosition": "0.24", "violations": 0, "decisionsSha256": "0f" * 32,
            "walkForward": {"trainSeconds": 200, "testSeconds": 145}, "warnings": [],
        },
    )  # fmt: skip


def empty() -> Recording:
    """A run that saw nothing at all."""
    return Recording("ETHUSDT", "empty.gz", [], [], [], [], [], [], {})


def _order(chance: random.Random, now: int, *, filled: bool, mid: float, index: int) -> OrderRecord:
    ahead = 0.0 if chance.random() < 0.2 else round(chance.lognormvariate(1.0, 1.2), 3)
    life = chance.lognormvariate(7.2, 1.1)
    return OrderRecord(
        f"mm-{index}", "BUY", round(mid - 0.27, 2), 0.02, now, now + 4.0, now + 4.0 + life, "FILLED" if filled else chance.choice(_ENDS),
        ahead, 0.0 if filled else round(ahead * chance.random(), 3), 0.02 if filled else 0.0,
    )  # fmt: skip


def _bands(end: int, *, halted: bool) -> list[Band]:
    third = START_MS + (end - START_MS) // 3
    later = START_MS + (end - START_MS) // 2
    if not halted:
        return [
            Band(START_MS, third, "normal", ""),
            Band(third, later, "reduce_only", "position 0.36 of 0.50"),
            Band(later, end, "normal", ""),
        ]
    last = START_MS + int((end - START_MS) * 0.8)
    return [Band(START_MS, third, "normal", ""), Band(third, later, "reduce_only", "position 0.36 of 0.50"),
            Band(later, last, "normal", ""), Band(last, end, "halted", "stop loss: -20.4 USDT </script> & more")]  # fmt: skip
