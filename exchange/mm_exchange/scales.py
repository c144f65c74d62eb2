"""Exact decimals as integers: every price, quantity and amount inside the exchange is an `int` of some scale.

A `Scale(2)` counts hundredths. Money (wallets, fees, PnL) is counted in atoms of 10^-8 quote units, which is what
the venue prints; prices and quantities have the scale of their symbol.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

MONEY_DECIMALS = 8


class Scale:
    """Converts between decimal text and integer units of 10^-`decimals`."""

    __slots__ = ("_format", "decimals", "one")

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals
        self.one: int = 10**decimals
        self._format = f"%d.%0{decimals}d" if decimals else "%d"

    def __repr__(self) -> str:
        return f"Scale({self.decimals})"

    def parse(self, text: str) -> int:
        """Units of a decimal text.

        Raises:
            ValueError: the text is no finite number, or is finer than this scale.
        """
        # The venue prints a symbol's numbers with a fixed count of decimals: then the digits are the units.
        # isdecimal() keeps out what int() would accept and the venue would not: "1_0", " 1", "+1".
        decimals = self.decimals
        if decimals and len(text) > decimals and text[-decimals - 1] == ".":
            digits = text[: -decimals - 1] + text[-decimals:]
            if digits.isdecimal() and digits.isascii():
                return int(digits)
        return self.exact(to_decimal(text))

    def exact(self, value: Decimal) -> int:
        """Units of a decimal value; raises `ValueError` when it is finer than this scale."""
        scaled = value.scaleb(self.decimals)
        units = int(scaled)
        if units != scaled:
            raise ValueError(f"{value} has more than {self.decimals} decimals")
        return units

    def text(self, units: int) -> str:
        """The units as plain decimal text with this scale's count of decimals."""
        if not self.decimals:
            return str(units)
        text: str = self._format % divmod(abs(units), self.one)
        return "-" + text if units < 0 else text

    def decimal(self, units: int) -> Decimal:
        """The units as an exact decimal."""
        return Decimal(units).scaleb(-self.decimals)

    def round(self, value: Decimal) -> int:
        """Units nearest to a decimal, half to even."""
        return int(value.scaleb(self.decimals).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


MONEY = Scale(MONEY_DECIMALS)
# Far beyond any quote currency or lot size; keeps "1e999999" from becoming a number with a million digits.
_MAX_EXPONENT = 30


def to_decimal(text: str) -> Decimal:
    """A finite decimal from client text: digits, one point, at most an exponent (a stock client sends 1e-05).

    Raises:
        ValueError: anything else, with a sentence.
    """
    if not text or len(text) > 64 or not text.isascii() or "_" in text or text.strip() != text:
        raise ValueError(f"{text[:64]!r} is not a decimal number")
    try:
        value = Decimal(text)
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is not a decimal number") from error
    if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT:
        raise ValueError(f"{text!r} is not a finite number of a sane size")
    return value


def plain(value: Decimal) -> str:
    """Decimal text without an exponent."""
    return format(value, "f")


def divide_half_even(numerator: int, denominator: int) -> int:
    """Integer division rounded half to even, exact for any size and sign."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


@lru_cache(maxsize=64)
def _power(exponent: int) -> int:
    return int(10**exponent)


def notional(price: int, quantity: int, product_decimals: int) -> int:
    """Money atoms of price x quantity, whose product has `product_decimals` decimals (price's plus quantity's)."""
    product = price * quantity
    if product_decimals <= MONEY_DECIMALS:
        return product * _power(MONEY_DECIMALS - product_decimals)
    return divide_half_even(product, _power(product_decimals - MONEY_DECIMALS))
