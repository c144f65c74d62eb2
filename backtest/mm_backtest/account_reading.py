"""The parts of one `Reconcile` until all are there, as `mm_runner.venue.api.account_snapshot` puts them together live."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from mm_backtest.order_entry import decoded
from mm_exchange.api.core import Reply
from mm_runner.core import messages as m
from mm_runner.core.instrument import Instrument
from mm_runner.venue import answers

TRADES_PAGE: Final = 1_000
_ZERO: Final = Decimal(0)


class AccountReading:
    """One reading. Each part returns what to ask next, after the symbol; empty where it is whole.

    Args:
        instrument: lots.
        sent_boot_ns: when the first request left.
    """

    def __init__(self, instrument: Instrument, *, sent_boot_ns: int) -> None:
        self.missing = 0
        self.failed = False
        self._instrument = instrument
        self._sent_boot_ns = sent_boot_ns
        self._risk: list[answers.PositionRisk] = []
        self._account = answers.Account()
        self._orders: tuple[m.OrderState, ...] = ()
        self._trades: dict[int, answers.UserTrade] = {}

    def position(self, reply: Reply) -> bytes:
        """`positionRisk`."""
        self._risk = decoded(reply, list[answers.PositionRisk])
        return b""

    def account(self, reply: Reply) -> bytes:
        """`account`."""
        self._account = decoded(reply, answers.Account)
        return b""

    def orders(self, reply: Reply) -> bytes:
        """`openOrders`."""
        listed = decoded(reply, list[answers.OrderAnswer])
        self._orders = tuple(answers.order_state(one, self._instrument) for one in listed)
        return b""

    def trades(self, reply: Reply) -> bytes:
        """`userTrades`; a full page asks for the next one."""
        page = decoded(reply, list[answers.UserTrade])
        self._trades.update({one.id: one for one in page})
        if len(page) < TRADES_PAGE:
            return b""
        return b"&limit=%d&fromId=%d" % (TRADES_PAGE, max(self._trades) + 1)

    def snapshot(self) -> m.AccountSnapshot:
        """All of it."""
        instrument = self._instrument
        listed = [one for one in self._risk if one.symbol == instrument.symbol]
        both = next((one for one in listed if one.positionSide == "BOTH"), None)
        return m.AccountSnapshot(
            sent_boot_ns=self._sent_boot_ns,
            position=0 if both is None else answers.lots_of(instrument, both.positionAmt),
            entry_price=_ZERO if both is None else both.entryPrice,
            wallet_balance=self._account.wallet(instrument.quote_asset),
            open_orders=self._orders,
            unrealized_pnl=_ZERO if both is None else both.unRealizedProfit,
            position_update_ms=0 if both is None else both.updateTime,
            liquidation_price=_ZERO if both is None else both.liquidationPrice,
            margin_ratio=self._account.margin_ratio,
            trades=answers.trade_records([self._trades[key] for key in sorted(self._trades)], instrument),
            hedge_mode=any(one.positionSide != "BOTH" for one in listed),
        )
