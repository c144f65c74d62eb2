"""Orders that name a place in the book instead of a price: the counterparty's best (OPPONENT) or the own queue's."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from mm_exchange.errors import VenueError

if TYPE_CHECKING:
    from mm_exchange.floor import Listing


class PriceMatch(StrEnum):
    """A place in the book: the first, fifth, tenth or twentieth level of a side."""

    OPPONENT = "OPPONENT"
    OPPONENT_5 = "OPPONENT_5"
    OPPONENT_10 = "OPPONENT_10"
    OPPONENT_20 = "OPPONENT_20"
    QUEUE = "QUEUE"
    QUEUE_5 = "QUEUE_5"
    QUEUE_10 = "QUEUE_10"
    QUEUE_20 = "QUEUE_20"


def matched_price(listing: Listing, match: PriceMatch, *, buy: bool) -> int:
    """The price of that level now, in price units; -5041 when the book is not so deep."""
    side, _, level = match.value.partition("_")
    # `opposite` of a buyer is the ask side: the opponent's for a buy, the own queue's for a sell.
    levels = listing.market.opposite(buy=buy if side == "OPPONENT" else not buy)
    found = next(islice(levels, int(level or 1) - 1, None), None)
    if found is None:
        raise VenueError(-5041, "No depth matches this BBO order.")
    return found[0]
