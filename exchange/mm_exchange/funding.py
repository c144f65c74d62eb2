"""Funding: a rate from the premium of the contract over its index, paid between longs and shorts at fixed times.

Source: the venue's description. Every five seconds the premium index is sampled,
P = (max(0, impact bid - index) - max(0, index - impact ask)) / index, where an impact price is the average price of a
taker of a fixed margin's worth. The rate is A + clamp(interest - A, ±0.05 %), A being the average of the samples
since the last settlement, later ones weighing more, and interest 0.01 %. At 00:00, 08:00 and 16:00 UTC a long pays
its notional at mark price times the rate, a short gets it. A shorter interval, for tests, settles the same rate more often.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from mm_exchange import wallets
from mm_exchange.scales import MONEY, Scale, divide_half_even
from mm_exchange.trading import Income

if TYPE_CHECKING:
    from mm_exchange.accounts import Position
    from mm_exchange.floor import Floor, Listing
    from mm_exchange.market import Market
    from mm_exchange.trading import Trading

RATES = Scale(8)
INTEREST = 10_000
"""0.01 % in units of 10^-8."""
INTERVAL_MS = 8 * 3600 * 1000
CAP = 2_000_000
"""The rate never leaves ±2 %."""
_CLAMP = 50_000
_SAMPLE_MS = 5_000
# What a taker with 200 quote units of margin moves at the highest leverage.
_IMPACT_MARGIN = 200
_HISTORY = 1000


class Settled(msgspec.Struct, frozen=True, gc=False):
    """One settlement: rate in 10^-8, mark price in price units."""

    time_ms: int
    rate: int
    mark: int


@dataclasses.dataclass(slots=True)
class Funding:
    """The funding of one symbol. `override` (10^-8) replaces the computed rate, for tests and made-up markets."""

    interval_ms: int = INTERVAL_MS
    next_ms: int = 0
    override: int | None = None
    history: deque[Settled] = dataclasses.field(default_factory=lambda: deque(maxlen=_HISTORY))
    _next_sample_ms: int = 0
    _samples: int = 0
    _weighted: int = 0

    def rate(self) -> int:
        """The rate that would be settled now, in 10^-8: what `premiumIndex` and the markPrice stream show."""
        if self.override is not None:
            return self.override
        weight = self._samples * (self._samples + 1) // 2
        average = divide_half_even(self._weighted, weight) if weight else 0
        rate = average + max(-_CLAMP, min(_CLAMP, INTEREST - average))
        return max(-CAP, min(CAP, rate))

    def next_time_ms(self, now_ms: int) -> int:
        """The next settlement after now."""
        return self.next_ms if self.next_ms > now_ms else _next_multiple(now_ms, self.interval_ms)

    def sample(self, listing: Listing, now_ms: int) -> None:
        """Note the premium of now, at most every five seconds."""
        if now_ms < self._next_sample_ms:
            return
        self._next_sample_ms = _next_multiple(now_ms, _SAMPLE_MS)
        premium = premium_index(listing, now_ms)
        if premium is not None:
            self._samples += 1
            self._weighted += self._samples * premium

    def settle(self, time_ms: int, mark: int) -> Settled:
        """Close the period at a time; the next one begins without samples."""
        settled = Settled(time_ms, self.rate(), mark)
        self.history.append(settled)
        self._samples = self._weighted = 0
        return settled


def _next_multiple(now_ms: int, step_ms: int) -> int:
    return now_ms - now_ms % step_ms + step_ms


def rate_text(listing: Listing) -> str:
    """The rate of now as text, as `lastFundingRate` and the markPrice stream's `r` print it."""
    return RATES.text(listing.funding.rate())


def premium_index(listing: Listing, now_ms: int) -> int | None:
    """The premium of the book over the index, in 10^-8; None while a side is empty."""
    market, rules = listing.market, listing.rules
    wanted = _IMPACT_MARGIN * rules.brackets[0].leverage * rules.prices.one * rules.quantities.one
    bid, ask = _impact(market, wanted, buy=False), _impact(market, wanted, buy=True)
    index = market.index(now_ms)
    if bid is None or ask is None or not index:
        return None
    premium: float = (max(0.0, bid - index) - max(0.0, index - ask)) / index
    return round(premium * RATES.one)


def _impact(market: Market, wanted: int, *, buy: bool) -> float | None:
    """Average price in units of a taker of a notional (in price x quantity units); of the whole side if that is less."""
    value = quantity = 0
    for price, size in market.opposite(buy=buy):
        part = min(size, -(-(wanted - value) // price))
        value += part * price
        quantity += part
        if value >= wanted:
            break
    return value / quantity if quantity else None


def run(floor: Floor, now_ns: int) -> None:
    """Sample every symbol and settle what is due."""
    now_ms = now_ns // 1_000_000
    for listing in floor.listings.values():
        funding = listing.funding
        if not funding.next_ms:
            # The first look may fall on a settlement's very moment.
            funding.next_ms = _next_multiple(now_ms - 1, funding.interval_ms)
        while funding.next_ms <= now_ms:
            settle(floor, listing, time_ms=funding.next_ms, now_ns=now_ns)
            funding.next_ms += funding.interval_ms
        funding.sample(listing, now_ms)


def settle(floor: Floor, listing: Listing, *, time_ms: int, now_ns: int) -> None:
    """Let every position of a symbol pay or get the rate of now, in the name of a settlement time."""
    settled = listing.funding.settle(time_ms, listing.market.mark())
    for trading in floor.trading.values():
        for position in trading.account.sides(listing.rules.symbol):
            if position.quantity:
                _pay(floor, trading, position=position, settled=settled, now_ns=now_ns)


def _pay(floor: Floor, trading: Trading, *, position: Position, settled: Settled, now_ns: int) -> None:
    rules, asset = position.rules, position.rules.quote
    amount = -divide_half_even(position.notional(settled.mark) * settled.rate, RATES.one)
    position.funding += amount
    if position.isolated:
        position.isolated_wallet += amount
    income = Income("FUNDING_FEE", rules.symbol, asset, amount, now_ns // 1_000_000, floor.next_transaction_id())
    wallets.credit(trading, income)
    detail = {
        "amount": MONEY.text(amount), "asset": asset, "rate": RATES.text(settled.rate),
        "markPrice": rules.prices.text(settled.mark), "fundingTime": settled.time_ms,
    }  # fmt: skip
    floor.ledger.add(
        "funding", now_ns, symbol=rules.symbol, api_key=trading.account.api_key,
        position_after=rules.quantities.text(position.quantity), detail=detail,
    )  # fmt: skip
    # For a cross position the venue tells the balance only.
    shown = position if position.isolated else None
    wallets.tell(floor, trading, income=income, reason="FUNDING_FEE", position=shown)
