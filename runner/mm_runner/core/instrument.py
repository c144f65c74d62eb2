"""The instrument: the venue's filters as integers, and the one place where a price or a quantity is rounded.

Everything inside the engine counts ticks and lots; the venue adapter turns its exact decimal strings into them here and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum
from typing import Self


class Rounding(Enum):
    """Which way a price or quantity that lies between two steps goes."""

    DOWN = ROUND_FLOOR
    UP = ROUND_CEILING


class OffGridError(ValueError):
    """A venue amount that is not a whole number of steps: the filters have drifted from what was loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """Filters of one symbol, from `exchangeInfo`. Prices and sizes in the venue's units, exact.

    `multiplier_up` and `multiplier_down` are PERCENT_PRICE: an order's price lies between mark times each of them (0: no such filter).
    `max_orders` is MAX_NUM_ORDERS, open orders of the symbol on the account.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    min_lots: int = 1
    max_lots: int = 10**12
    market_max_lots: int = 10**12
    min_notional: Decimal = Decimal(0)
    min_price_ticks: int = 1
    max_price_ticks: int = 10**12
    multiplier_up: Decimal = Decimal(0)
    multiplier_down: Decimal = Decimal(0)
    max_orders: int = 200
    base_asset: str = ""
    quote_asset: str = "USDT"
    trading: bool = True
    """False where the contract's status is anything but TRADING: nothing may be opened."""
    ticks_per_unit: float = field(init=False)
    lots_per_unit: float = field(init=False)
    tick: float = field(init=False)
    lot: float = field(init=False)
    notional_unit: Decimal = field(init=False)
    """Quote units of one lot at a price of one tick: notionals are counted in these where it must be fast."""
    min_units: int = field(init=False)
    """MIN_NOTIONAL in notional units, rounded up."""

    def __post_init__(self) -> None:
        """Derive the float factors of the hot path."""
        if self.tick_size <= 0 or self.lot_size <= 0:
            raise ValueError(
                f"{self.symbol}: tick and lot size must be positive, got {self.tick_size} and {self.lot_size}"
            )
        object.__setattr__(self, "ticks_per_unit", float(1 / self.tick_size))
        object.__setattr__(self, "lots_per_unit", float(1 / self.lot_size))
        object.__setattr__(self, "tick", float(self.tick_size))
        object.__setattr__(self, "lot", float(self.lot_size))
        object.__setattr__(self, "notional_unit", self.tick_size * self.lot_size)
        units = (self.min_notional / self.notional_unit).to_integral_value(ROUND_CEILING)
        object.__setattr__(self, "min_units", int(units))

    @classmethod
    def from_filters(  # noqa: PLR0913 - one argument per filter of the venue, by name
        cls,
        symbol: str,
        *,
        tick_size: Decimal,
        step_size: Decimal,
        min_quantity: Decimal,
        max_quantity: Decimal,
        market_max_quantity: Decimal | None = None,
        min_notional: Decimal = Decimal(0),
        min_price: Decimal = Decimal(0),
        max_price: Decimal = Decimal(0),
        multiplier_up: Decimal = Decimal(0),
        multiplier_down: Decimal = Decimal(0),
        max_orders: int = 200,
        base_asset: str = "",
        quote_asset: str = "USDT",
        trading: bool = True,
    ) -> Self:
        """Make an instrument from the venue's own decimals (PRICE_FILTER, LOT_SIZE, MARKET_LOT_SIZE, MIN_NOTIONAL, PERCENT_PRICE)."""
        return cls(
            symbol=symbol,
            tick_size=tick_size,
            lot_size=step_size,
            min_lots=max(1, _steps(min_quantity, step_size, Rounding.UP)),
            max_lots=_steps(max_quantity, step_size, Rounding.DOWN),
            market_max_lots=_steps(market_max_quantity or max_quantity, step_size, Rounding.DOWN),
            min_notional=min_notional,
            min_price_ticks=max(1, _steps(min_price, tick_size, Rounding.UP)),
            max_price_ticks=_steps(max_price, tick_size, Rounding.DOWN) if max_price > 0 else 10**12,
            multiplier_up=multiplier_up,
            multiplier_down=multiplier_down,
            max_orders=max_orders,
            base_asset=base_asset,
            quote_asset=quote_asset,
            trading=trading,
        )

    # -- in: the venue's amounts ---------------------------------------------------------------------------------------

    def ticks(self, price: Decimal | str) -> int:
        """An exact venue price as ticks.

        Raises:
            OffGridError: not a whole number of ticks.
        """
        return _exact(Decimal(price), self.tick_size, what="price")

    def lots(self, quantity: Decimal | str) -> int:
        """An exact (signed) venue quantity as lots.

        Raises:
            OffGridError: not a whole number of lots.
        """
        return _exact(Decimal(quantity), self.lot_size, what="quantity")

    # -- rounding: the one choke point ---------------------------------------------------------------------------------

    def round_price(self, price: float | Decimal, rounding: Rounding) -> int:
        """Any price as ticks: bids go down, asks go up, so that rounding never narrows a spread."""
        if isinstance(price, Decimal):
            return _steps(price, self.tick_size, rounding)
        scaled = price * self.ticks_per_unit
        nearest = round(scaled)
        if abs(scaled - nearest) < 1e-6:  # a float that means a whole tick
            return nearest
        return _floor(scaled) if rounding is Rounding.DOWN else -_floor(-scaled)

    def round_quantity(self, quantity: Decimal, rounding: Rounding = Rounding.DOWN) -> int:
        """Any (signed) quantity as lots; DOWN is towards minus infinity, so round magnitudes."""
        return _steps(quantity, self.lot_size, rounding)

    # -- out: exact decimals -------------------------------------------------------------------------------------------

    def price(self, ticks: int) -> Decimal:
        """Ticks as an exact price with the filter's number of digits."""
        return ticks * self.tick_size

    def quantity(self, lots: int) -> Decimal:
        """Lots as an exact quantity with the filter's number of digits."""
        return lots * self.lot_size

    def notional(self, price_ticks: int, lots: int) -> Decimal:
        """Quote units of a quantity at a price, always positive."""
        return abs(price_ticks * lots) * self.notional_unit

    # -- filters -------------------------------------------------------------------------------------------------------

    def least_lots(self, price_ticks: int) -> int:
        """The smallest quantity that LOT_SIZE and MIN_NOTIONAL accept at this price."""
        if price_ticks <= 0:
            return self.min_lots
        return max(self.min_lots, -(-self.min_units // price_ticks))

    def notional_units(self, notional: Decimal) -> int:
        """A bound on the notional in notional units, rounded down."""
        return int(notional / self.notional_unit)

    def most_lots(self, price_ticks: int, units: int) -> int:
        """The largest quantity at this price that stays within a notional (in units, see `notional_units`) and LOT_SIZE."""
        return min(self.max_lots, units // price_ticks) if price_ticks > 0 else 0

    def price_bounds(self, mark_ticks: int) -> tuple[int, int]:
        """Lowest and highest price in ticks that PRICE_FILTER and PERCENT_PRICE accept while the mark price is this (0: unknown)."""
        low, high = self.min_price_ticks, self.max_price_ticks
        if mark_ticks > 0 and self.multiplier_down > 0:
            low = max(low, int((mark_ticks * self.multiplier_down).to_integral_value(ROUND_CEILING)))
        if mark_ticks > 0 and self.multiplier_up > 0:
            high = min(high, int((mark_ticks * self.multiplier_up).to_integral_value(ROUND_FLOOR)))
        return low, high


def _exact(amount: Decimal, step: Decimal, *, what: str) -> int:
    steps, rest = divmod(amount, step)
    if rest:
        raise OffGridError(
            f"{what} {amount} is not a multiple of {step}; the symbol's filters have changed, load exchangeInfo again"
        )
    return int(steps)


def _steps(amount: Decimal, step: Decimal, rounding: Rounding) -> int:
    return int((amount / step).to_integral_value(rounding.value))


def _floor(value: float) -> int:
    whole = int(value)
    return whole - 1 if value < whole else whole
