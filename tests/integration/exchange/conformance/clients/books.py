"""Waits until a book built by other code and the book that REST serves stand at the same update id, again and again.

The served book moves on all the time, so both sides are remembered by id and compared where they met.
"""

import json
import time
import urllib.request

LEVELS = 100


def served(where, symbol):
    """The book by REST, as {"bids": {price: size}, "asks": …}, and its update id."""
    url = f"{where['rest']}/fapi/v1/depth?symbol={symbol}&limit=1000"
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the exchange's own address
        book = json.loads(answer.read())
    return book["lastUpdateId"], {side: best(book[side], side) for side in ("bids", "asks")}


def best(levels, side):
    """The best levels of a side as numbers, best first."""
    pairs = ((float(level[0]), float(level[1])) for level in levels)
    return sorted(pairs, reverse=side == "bids")[:LEVELS]


class Meetings:
    """Both books by update id. `met` counts where they stood at the same one, `differ` holds what differed there."""

    def __init__(self):
        self._books, self._served = {}, {}
        self.met, self.differ = 0, []

    def built(self, update_id, book):
        self._books[update_id] = book
        self._meet(update_id)

    def shown(self, update_id, book):
        self._served[update_id] = book
        self._meet(update_id)

    def _meet(self, update_id):
        built, shown = self._books.get(update_id), self._served.get(update_id)
        if built is None or shown is None:
            return
        self.met += 1
        del self._served[update_id]
        for side in ("bids", "asks"):
            if built[side] != shown[side]:
                pairs = zip(built[side], shown[side], strict=False)
                first = next(((one, other) for one, other in pairs if one != other), "length")
                self.differ.append({"id": update_id, "side": side, "first": first})

    def result(self):
        return {"met": self.met, "differ": self.differ, "built": len(self._books)}


def deadline(seconds=40):
    """A function that tells whether there is time left."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end
