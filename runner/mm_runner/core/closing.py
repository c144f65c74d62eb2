"""Closing a position: by bounded IOC orders while the book can be trusted, by a market order sized from a fresh REST position while not.

Resting orders are cancelled first and seen gone, so that what is left to reduce is certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mm_runner.core.account import Account
from mm_runner.core.gate import Proposal
from mm_runner.core.instrument import Instrument
from mm_runner.core.market import Market
from mm_runner.core.messages import OrderType, Side, TimeInForce
from mm_runner.core.settings import MS, RiskSettings

_PAUSE_NS: Final = 500 * MS


@dataclass(slots=True)
class Closer:
    """Proposes one reducing taker order at a time."""

    next_ns: int = 0
    blind_since_ns: int | None = None
    """A market order needs a REST position asked for after this instant."""

    def reset(self) -> None:
        """Nothing is to be closed any more."""
        self.next_ns = 0
        self.blind_since_ns = None

    def bounded(
        self, account: Account, market: Market, risk: RiskSettings, *, most_lots: int | None, now_ns: int
    ) -> Proposal | None:
        """An IOC within maxReduceSlippageBps of the touch; None while orders are open or the pause runs.

        Args:
            account: position and open orders.
            market: a usable book.
            risk: the slippage.
            most_lots: slice of a stop rule; None closes whole.
            now_ns: for the pause between two attempts.
        """
        self.blind_since_ns = None
        side = _reducing_side(account)
        if side is None or account.tracker.live or now_ns < self.next_ns:
            return None
        self.next_ns = now_ns + _PAUSE_NS
        bid, ask = market.touch
        # Bounded slippage: rounding never goes beyond the bound.
        price = (
            int(ask * (1 + risk.max_reduce_slippage))
            if side is Side.BUY
            else -int(-bid * (1 - risk.max_reduce_slippage))
        )
        lots = abs(account.ledger.position)
        return Proposal(
            side, OrderType.LIMIT, TimeInForce.IOC, price, lots if most_lots is None else min(lots, most_lots)
        )

    def blind(self, account: Account, *, touch: int, now_ns: int) -> Proposal | None:
        """A reduceOnly market order, sized from a REST position that was asked for after the last own order had ended."""
        side = _reducing_side(account)
        if side is None:
            return None
        if account.tracker.live:
            self.blind_since_ns = None
            return None
        if self.blind_since_ns is None:
            self.blind_since_ns = now_ns
            account.want_reconcile("close", now_ns)
            return None
        if account.settled_ns is None or account.settled_ns < self.blind_since_ns:
            return None
        self.blind_since_ns = None
        return Proposal(side, OrderType.MARKET, None, touch, abs(account.ledger.position))


def is_dust(account: Account, instrument: Instrument) -> bool:
    """A position below the smallest order: nothing can close it, so it counts as flat."""
    return abs(account.ledger.position) < instrument.min_lots


def _reducing_side(account: Account) -> Side | None:
    position = account.ledger.position
    if is_dust(account, account.instrument):
        return None
    return Side.SELL if position > 0 else Side.BUY
