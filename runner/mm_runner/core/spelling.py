"""Spelling: ticks and lots as the exact decimal strings of log events, each made once.

An engine says the same few hundred prices and quantities over and over; making a `Decimal` and its string for each costs more than deciding it.
"""

from __future__ import annotations

from typing import Final

from mm_runner.core.instrument import Instrument

_REMEMBERED: Final = 4_096
"""Texts of a kind; forgotten all at once, which a market that moves on does not notice."""


class Spelling:
    """Texts of one instrument's prices and quantities.

    Args:
        instrument: tick and lot; both stay while the engine runs.
    """

    __slots__ = ("_instrument", "_numbers", "_prices", "_quantities")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._prices: dict[int, str] = {}
        self._quantities: dict[int, str] = {}
        self._numbers: dict[int, float] = {}

    def price(self, ticks: int) -> str:
        """The exact price, with the filter's number of digits."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) >= _REMEMBERED:
                self._prices.clear()
            text = self._prices[ticks] = str(self._instrument.price(ticks))
        return text

    def quantity(self, lots: int) -> str:
        """The exact (signed) quantity, with the filter's number of digits."""
        text = self._quantities.get(lots)
        if text is None:
            if len(self._quantities) >= _REMEMBERED:
                self._quantities.clear()
            text = self._quantities[lots] = str(self._instrument.quantity(lots))
        return text

    def number(self, lots: int) -> float:
        """The quantity as the nearest float."""
        value = self._numbers.get(lots)
        if value is None:
            if len(self._numbers) >= _REMEMBERED:
                self._numbers.clear()
            value = self._numbers[lots] = float(self._instrument.quantity(lots))
        return value
