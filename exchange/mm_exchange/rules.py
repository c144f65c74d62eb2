"""The filters of a symbol and the checks an order has to pass, with the venue's codes.

Used by the venue for every new order and amendment, and printed by exchangeInfo. Rules come from a table for
well-known symbols, from a starting price for made-up ones, or are inferred from a tape's own numbers.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from functools import cached_property
from math import gcd
from typing import TYPE_CHECKING

from mm_exchange.brackets import BRACKETS, SMALL_BRACKETS, Bracket
from mm_exchange.errors import VenueError, mandatory
from mm_exchange.scales import MONEY, MONEY_DECIMALS, Scale, notional, to_decimal

if TYPE_CHECKING:
    from collections.abc import Iterable

_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "BTC")


@dataclasses.dataclass(frozen=True)
class SymbolRules:
    """Filters of one perpetual contract. Sizes are in units of the two scales, `min_notional` in money atoms.

    `liquidation_fee` is in millionths of the liquidated notional.
    """

    symbol: str
    base: str
    quote: str
    price_decimals: int
    quantity_decimals: int
    tick: int = 1
    step: int = 1
    min_price: int = 1
    max_price: int = 10**9
    min_quantity: int = 1
    max_quantity: int = 10**7
    max_market_quantity: int = 2 * 10**6
    min_notional: int = 20 * 10**8
    max_orders: int = 200
    max_algo_orders: int = 200
    multiplier_up: Decimal = Decimal("1.0500")
    multiplier_down: Decimal = Decimal("0.9500")
    brackets: tuple[Bracket, ...] = BRACKETS
    liquidation_fee: int = 12_500

    @cached_property
    def prices(self) -> Scale:
        """Scale of prices."""
        return Scale(self.price_decimals)

    @cached_property
    def quantities(self) -> Scale:
        """Scale of quantities."""
        return Scale(self.quantity_decimals)

    def notional(self, price: int, quantity: int) -> int:
        """Money atoms of `quantity` at `price`; the sign follows the quantity."""
        factor = self._factor
        if factor:
            return price * quantity * factor
        return notional(price, quantity, self.price_decimals + self.quantity_decimals)

    @cached_property
    def _factor(self) -> int:
        """Money atoms of one price unit times one quantity unit, 0 where that is no whole number."""
        decimals = MONEY_DECIMALS - self.price_decimals - self.quantity_decimals
        return int(10**decimals) if decimals >= 0 else 0

    def parse_price(self, text: str | None) -> int:
        """Price units of a LIMIT order's text, or the venue's refusal (-1102, -1111, -4001, -4002, -4014)."""
        if not text:
            raise mandatory("price")
        try:
            value = to_decimal(text)
        except ValueError as error:
            raise mandatory("price") from error
        if value <= 0:
            raise VenueError(-4001, "Price less than 0.")
        try:
            price = self.prices.exact(value)
        except ValueError as error:
            raise VenueError(-1111, "Precision is over the maximum defined for this asset.") from error
        if price > self.max_price:
            raise VenueError(-4002, f"Price greater than max price {self.prices.text(self.max_price)}.")
        if price < self.min_price:
            raise VenueError(-4013, f"Price less than min price {self.prices.text(self.min_price)}.")
        if price % self.tick:
            raise VenueError(-4014, "Price not increased by tick size.")
        return price

    def parse_quantity(self, text: str | None, *, market: bool = False) -> int:
        """Quantity units of an order's text, or the venue's refusal (-1102, -1111, -4003, -4005, -4023)."""
        if not text:
            raise mandatory("quantity")
        try:
            value = to_decimal(text)
        except ValueError as error:
            raise mandatory("quantity") from error
        if value <= 0:
            raise VenueError(-4003, "Quantity less than or equal to zero.")
        try:
            quantity = self.quantities.exact(value)
        except ValueError as error:
            raise VenueError(-1111, "Precision is over the maximum defined for this asset.") from error
        if quantity > (self.max_market_quantity if market else self.max_quantity):
            raise VenueError(-4005, "Quantity greater than max quantity.")
        if quantity < self.min_quantity:
            raise VenueError(-4004, "Quantity less than min quantity.")
        if quantity % self.step:
            raise VenueError(-4023, "Qty not increased by step size.")
        return quantity

    def check_notional(self, price: int, quantity: int, *, reduce_only: bool) -> None:
        """-4164 for an order below the minimum notional; closing a remainder is always allowed."""
        if not reduce_only and self.notional(price, quantity) < self.min_notional:
            smallest = MONEY.decimal(self.min_notional).normalize()
            raise VenueError(
                -4164, f"Order's notional must be no smaller than {smallest:f} (unless you choose reduce only)."
            )

    def check_percent_price(self, price: int, mark: int, *, buy: bool) -> None:
        """-4016 and -4024: a LIMIT price too far on the wrong side of the mark price (both in price units)."""
        if buy and price > (limit := int(mark * self.multiplier_up)):
            raise VenueError(-4016, f"Limit price can't be higher than {self.prices.text(limit)}.")
        if not buy and price < (limit := int(mark * self.multiplier_down)):
            raise VenueError(-4024, f"Limit price can't be lower than {self.prices.text(limit)}.")

    def check_counterparty(self, touch: int, mark: int, *, buy: bool) -> None:
        """-4131: the best price that a market order would take is too far from the mark price."""
        if mark and (touch > mark * self.multiplier_up if buy else touch < mark * self.multiplier_down):
            raise VenueError(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.")


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote asset of a symbol name; unknown quotes count as USDT."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"


_MAJORS = frozenset({"BTC", "ETH", "SOL", "BNB", "XRP", "DOGE"})
# symbol: price, price decimals, tick in units, quantity decimals, minimum notional
_KNOWN: dict[str, tuple[str, int, int, int, int]] = {
    "BTCUSDT": ("62000", 2, 10, 3, 100),
    "ETHUSDT": ("2680", 2, 1, 3, 20),
    "SOLUSDT": ("150", 2, 1, 2, 5),
    "BNBUSDT": ("520", 2, 1, 2, 5),
    "XRPUSDT": ("0.6", 4, 1, 1, 5),
    "DOGEUSDT": ("0.1", 5, 1, 0, 5),
}


def default_price(symbol: str) -> Decimal:
    """Where a symbol's synthetic market starts unless its parameters say otherwise."""
    return Decimal(_KNOWN[symbol][0]) if symbol in _KNOWN else Decimal(100)


def rules_for(symbol: str, price: Decimal | None = None) -> SymbolRules:
    """Realistic rules of a symbol that trades near `price`: the known ones, else five or six significant digits."""
    base, quote = split_symbol(symbol)
    known = _KNOWN.get(symbol)
    if known is not None and (price is None or Decimal(known[0]) / 10 < price < Decimal(known[0]) * 10):
        _, price_decimals, tick, quantity_decimals, min_notional = known
        return _sized(SymbolRules(symbol, base, quote, price_decimals, quantity_decimals, tick),
                      min_notional=min_notional)  # fmt: skip
    magnitude = (price or default_price(symbol)).adjusted()
    rules = SymbolRules(symbol, base, quote, max(0, min(8, 4 - magnitude)), max(0, min(8, magnitude)))
    return _sized(rules, min_notional=5)


def _sized(rules: SymbolRules, *, min_notional: int) -> SymbolRules:
    return dataclasses.replace(
        rules,
        brackets=BRACKETS if rules.base in _MAJORS else SMALL_BRACKETS,
        min_price=rules.tick,
        max_price=max(10**6 * rules.prices.one, rules.tick),
        min_quantity=rules.step,
        max_quantity=10**4 * rules.quantities.one * (1 if rules.quantity_decimals else 1000),
        max_market_quantity=2 * 10**3 * rules.quantities.one * (1 if rules.quantity_decimals else 1000),
        min_notional=min_notional * MONEY.one,
    )


def infer_rules(symbol: str, prices: Iterable[str], quantities: Iterable[str]) -> SymbolRules:
    """Rules that fit the numbers seen on a tape.

    The decimals are the most that any number shows (the venue prints a fixed count, "2681.60"); tick and step are
    the greatest common divisor of all of them, so that a tick of 0.10 or 0.05 is found behind two printed decimals.
    """
    price_decimals, tick = _grid(prices)
    quantity_decimals, step = _grid(quantities)
    base, quote = split_symbol(symbol)
    known = _KNOWN.get(symbol)
    rules = SymbolRules(symbol, base, quote, price_decimals, quantity_decimals, tick, step)
    return _sized(rules, min_notional=known[4] if known else 5)


def _grid(texts: Iterable[str]) -> tuple[int, int]:
    """Decimals and tick of what was seen. Tens of thousands of texts, nearly all plain digits with a point."""
    seen = set(texts)
    decimals = max((_decimals(text) for text in seen), default=0)
    scale, tick = Scale(decimals), 0
    for text in seen:
        tick = gcd(tick, scale.parse(text))
        if tick == 1:
            break
    return decimals, tick or 1


def _decimals(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if (whole + fraction).isdecimal():
        return len(fraction)
    return max(0, -int(to_decimal(text).as_tuple().exponent))
