"""The ledger: position, money, day and high-water mark of one symbol. The exchange is the truth (invariant 7).

The position is known twice: `own` moves with every newly executed lot of an own order, `venue` is what the exchange last said. While the
two differ (a fill whose account event is still on its way, or somebody else's trade) the truth lies between them, and the gate counts
with the worse end. A difference that stays is settled by a REST snapshot.

Money comes from trades only (by trade id, each once), never from a snapshot.
"""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from typing import Final

import msgspec

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import Side

_SEEN_TRADES: Final = 20_000
_DAY_MS: Final = 86_400_000


class Execution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One trade of an own order, from the user stream or from userTrades."""

    trade_id: int
    side: Side
    price: int
    lots: int
    commission: Decimal
    commission_asset: str
    realized_pnl: Decimal
    maker: bool
    time_ms: int


class Ledger:
    """Position and money of one symbol.

    Args:
        instrument: converts lots and ticks.
        maker_fee: ratio; with `taker_fee` it estimates a commission paid in another asset than the quote asset.
        taker_fee: ratio.
    """

    def __init__(self, instrument: Instrument, *, maker_fee: Decimal, taker_fee: Decimal) -> None:
        self.instrument = instrument
        self.maker_fee = maker_fee
        self.taker_fee = taker_fee
        self.known = False
        self.own = 0
        self.venue = 0
        self.apart_since_ns: int | None = None
        """Since when `own` and `venue` differ; None while they agree."""
        self.newest_ms = 0
        """Venue time of the newest user event that moved the position."""
        self.newest_ns = 0
        self.entry = Decimal(0)
        self.wallet = Decimal(0)
        self.realized = Decimal(0)
        self.fees = Decimal(0)
        self.since_ms = 0
        """Trades before the engine's start count for the day's volume only."""
        self.volume_day = -1
        self.volume = Decimal(0)
        self.fills = 0
        self.last_fill_ms = 0
        self._equity = Decimal(0)
        self._seen: OrderedDict[int, None] = OrderedDict()

    # -- position ------------------------------------------------------------------------------------------------------

    @property
    def low(self) -> int:
        """The lowest position that may be true."""
        own, venue = self.own, self.venue
        return own if own == venue else min(own, venue)

    @property
    def high(self) -> int:
        """The highest position that may be true."""
        own, venue = self.own, self.venue
        return own if own == venue else max(own, venue)

    @property
    def position(self) -> int:
        """The best estimate: own fills are in it at once."""
        return self.own

    @property
    def surely_long(self) -> int:
        """Lots that a SELL certainly reduces."""
        return max(0, self.low)

    @property
    def surely_short(self) -> int:
        """Lots that a BUY certainly reduces."""
        return max(0, -self.high)

    def reducible(self, side: Side) -> int:
        """Lots of the position that an order of this side certainly reduces."""
        return self.surely_long if side is Side.SELL else self.surely_short

    def on_filled(self, side: Side, lots: int, *, price: int, time_ms: int, now_ns: int) -> None:
        """Newly executed lots of an own order, whatever source told of them first."""
        before = self.own
        self.own += side.sign * lots
        self.entry = average_entry(self.entry, before, side.sign * lots, price=self.instrument.price(price))
        self.newest_ms, self.newest_ns = max(self.newest_ms, time_ms), now_ns
        self._compare(now_ns)

    def on_venue_position(self, position: int, entry: Decimal | None, *, time_ms: int, now_ns: int) -> None:
        """ACCOUNT_UPDATE spoke of our symbol. An event older than the newest one is a late copy of the past."""
        if not self.known or time_ms < self.newest_ms:
            return
        if position != self.venue:
            self.newest_ms, self.newest_ns = time_ms, now_ns
        self.venue = position
        if entry is not None and position == self.own:
            self.entry = entry
        self._compare(now_ns)

    def snapshot_is_current(self, *, sent_ns: int, update_ms: int) -> bool:
        """Whether a REST position may be used.

        # Invariant 7: a REST position older than the newest user event is discarded (tests/unit/runner/core/test_ledger.py).
        """
        if not self.known:
            return True
        if self.newest_ns >= sent_ns:  # something moved while the request was under way
            return update_ms > self.newest_ms
        return update_ms == 0 or update_ms >= self.newest_ms

    def settle(self, position: int, entry: Decimal, *, now_ns: int) -> int:
        """Take the exchange's position for true; returns by how many lots ours was wrong."""
        drift = position - self.own if self.known else 0
        self.known = True
        self.own = self.venue = position
        self.entry = entry
        self._compare(now_ns)
        return drift

    def _compare(self, now_ns: int) -> None:
        if self.own == self.venue:
            self.apart_since_ns = None
        elif self.apart_since_ns is None:
            self.apart_since_ns = now_ns

    # -- money ---------------------------------------------------------------------------------------------------------

    def on_trade(self, trade: Execution) -> bool:
        """Count a trade's money; False where it was counted before."""
        if trade.trade_id in self._seen:
            return False
        self._seen[trade.trade_id] = None
        if len(self._seen) > _SEEN_TRADES:
            self._seen.popitem(last=False)
        notional = self.instrument.notional(trade.price, trade.lots)
        day = trade.time_ms // _DAY_MS
        if day > self.volume_day:
            self.volume_day, self.volume = day, Decimal(0)
        if day == self.volume_day:
            self.volume += notional
        if trade.time_ms < self.since_ms:
            return True
        self.realized += trade.realized_pnl
        self.fees += self.commission(trade, notional)
        self.fills += 1
        self.last_fill_ms = max(self.last_fill_ms, trade.time_ms)
        return True

    def commission(self, trade: Execution, notional: Decimal) -> Decimal:
        """Commission in quote units; estimated from the fee rate where it was paid in another asset."""
        if trade.commission_asset in ("", self.instrument.quote_asset):
            return trade.commission
        return notional * (self.maker_fee if trade.maker else self.taker_fee)

    def volume_of(self, wall_ms: int) -> Decimal:
        """Quote units traded in the UTC day of this time."""
        return self.volume if wall_ms // _DAY_MS == self.volume_day else Decimal(0)

    def unrealized(self, price: Decimal) -> Decimal:
        """Profit of the position at a price, in quote units."""
        if not self.own:
            return Decimal(0)
        return self.instrument.quantity(self.own) * (price - self.entry)

    def equity(self, price: Decimal) -> Decimal:
        """Wallet + unrealised profit. Held while `own` and `venue` differ: then a fill may be in one and not in the other."""
        return self._equity if self.apart_since_ns is not None else self.wallet + self.unrealized(price)

    def hold_equity(self, price: Decimal) -> Decimal:
        """The same, and what is held from now on. Only the core's own look does this: who merely reads must not change a decision."""
        self._equity = self.equity(price)
        return self._equity

    def pnl(self, price: Decimal) -> Decimal:
        """Realised + unrealised - fees since the engine's start."""
        return self.realized + self.unrealized(price) - self.fees


def average_entry(entry: Decimal, position: int, change: int, *, price: Decimal) -> Decimal:
    """Average entry price after a signed change of position: weighted while it grows, kept while it shrinks, new when it flips."""
    after = position + change
    if after == 0:
        return Decimal(0)
    if position == 0 or (position > 0) != (after > 0):
        return price
    if abs(after) < abs(position):
        return entry
    return (entry * abs(position) + price * abs(change)) / abs(after)
