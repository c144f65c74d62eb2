"""Colours and words of the pictures. Colours are Okabe and Ito's (2008), told apart with any colour vision; shapes differ too."""

from __future__ import annotations

import dataclasses
from typing import Final

BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#7F7F7F"

SIDE_COLOUR: Final = {"BUY": BLUE, "SELL": VERMILLION, "ALL": GREY}
SIDE_WORD: Final = {"BUY": "buys", "SELL": "sells", "ALL": "all fills"}
END_COLOUR: Final = {"FILLED": GREEN, "CANCELED": GREY, "EXPIRED": ORANGE, "REJECTED": PURPLE}


@dataclasses.dataclass(frozen=True, slots=True)
class BandLook:
    """How a state is drawn behind a chart; `hatch` tells the states apart in grey prints."""

    colour: str
    opacity: float
    hatch: str
    words: str


BAND_LOOKS: Final = {
    "normal": BandLook(GREEN, 0.0, "", "normal"),
    "reduce_only": BandLook(ORANGE, 0.22, "//", "reduce only"),
    "halted": BandLook(PURPLE, 0.32, "xx", "halted"),
    "Running": BandLook(GREEN, 0.0, "", "Running"),
    "ReduceOnly": BandLook(ORANGE, 0.22, "//", "ReduceOnly"),
    "Flat": BandLook(BLUE, 0.18, "..", "Flat"),
    "Halted": BandLook(PURPLE, 0.32, "xx", "Halted"),
}
_UNKNOWN: Final = BandLook(GREY, 0.2, "", "")


def band_look(state: str) -> BandLook:
    """The look of a state; one that this version does not know is grey and goes by its own name."""
    return BAND_LOOKS.get(state) or dataclasses.replace(_UNKNOWN, words=state or "unknown")
