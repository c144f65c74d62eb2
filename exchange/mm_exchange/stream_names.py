"""The names of market streams, and the base on which each is served: `/public` or `/market`.

A name that is asked for on the other base stays silent; so does one that is no stream at all.
"""

from __future__ import annotations

import dataclasses
import re

_INTERVAL = r"(1|3|5|15|30)m|(1|2|4|6|8|12)h|[13]d|1w|1M"
# `@depth` without a speed is 250 ms on USD-M futures.
_DEPTH = re.compile(r"(?P<name>depth|rpiDepth)(?P<levels>5|10|20)?(@(?P<speed>0|100|250|500)ms)?")
_KLINE = re.compile(rf"(?P<name>kline|continuousKline)_(?P<interval>{_INTERVAL})")
_PUBLIC = re.compile(r"depth(5|10|20)?(@(0|100|250|500)ms)?|rpiDepth@500ms|bookTicker|trade")
_MARKET = re.compile(
    rf"aggTrade|markPrice(@1s)?|kline_({_INTERVAL})|continuousKline_({_INTERVAL})|miniTicker|ticker|forceOrder|compositeIndex"
)
_ALL_PUBLIC = frozenset({"!bookTicker"})
_ALL_MARKET = frozenset({"!ticker@arr", "!miniTicker@arr", "!markPrice@arr", "!markPrice@arr@1s", "!forceOrder@arr",
                         "!contractInfo", "!assetIndex@arr", "tradingSession"})  # fmt: skip
_PERPETUAL = "_perpetual"


@dataclasses.dataclass(frozen=True, slots=True)
class StreamName:
    """A stream taken apart. `symbol` is '' for streams of the whole market; `kind` is what follows the first '@'."""

    symbol: str
    kind: str
    route: str


def parse_stream(name: str) -> StreamName | None:
    """Take a name apart; None for a name that is no stream."""
    if name in _ALL_PUBLIC or name in _ALL_MARKET:
        return StreamName("", name, "public" if name in _ALL_PUBLIC else "market")
    symbol, _, kind = name.partition("@")
    if not symbol or symbol != symbol.lower():
        return None
    if kind.startswith("continuousKline_"):
        # Continuous contracts are named by pair and contract type; only perpetuals are listed here.
        if not symbol.endswith(_PERPETUAL):
            return None
        symbol = symbol.removesuffix(_PERPETUAL)
    if _PUBLIC.fullmatch(kind):
        return StreamName(symbol.upper(), kind, "public")
    return StreamName(symbol.upper(), kind, "market") if _MARKET.fullmatch(kind) else None


def route_of(name: str) -> str | None:
    """'public' or 'market': the base a stream is served on; None for a name that is no stream."""
    parsed = parse_stream(name)
    return parsed.route if parsed is not None else None


@dataclasses.dataclass(frozen=True, slots=True)
class DepthKind:
    """What a depth stream sends: `levels` absolute ones (0: changes), every `interval_ms` (0: each change at once)."""

    levels: int
    interval_ms: int


def depth_kind(kind: str) -> DepthKind | None:
    """Take a depth stream's kind apart; None for other streams."""
    found = _DEPTH.fullmatch(kind)
    return None if found is None else DepthKind(int(found["levels"] or 0), int(found["speed"] or 250))


def kline_interval(kind: str) -> str | None:
    """The interval of a candle stream; None for other streams."""
    found = _KLINE.fullmatch(kind)
    return None if found is None else found["interval"]
