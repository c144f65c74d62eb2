"""A book built by the venue's published rules from the official connector's stream and snapshot, against REST."""

import json
import queue
import sys

from binance.um_futures import UMFutures
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient
from books import Meetings, best, deadline, served
from recording import world

WANTED = 20


class Book:
    """Absolute sizes by price. Source of the rules: the venue's "How to manage a local order book correctly"."""

    def __init__(self, snapshot):
        self.sides = {"bids": dict(snapshot["bids"]), "asks": dict(snapshot["asks"])}
        self.snapshot_id = self.last = snapshot["lastUpdateId"]
        self.fresh = True

    def apply(self, event):
        """False when an event was missed: the book has to be built anew."""
        if event["u"] < self.snapshot_id:
            return True
        # The first event straddles the snapshot, each later one follows its predecessor.
        if self.fresh:
            if not (event["U"] <= self.snapshot_id <= event["u"] or event["pu"] == self.snapshot_id):
                return False
        elif event["pu"] != self.last:
            return False
        self.fresh, self.last = False, event["u"]
        for side, rows in (("bids", event["b"]), ("asks", event["a"])):
            for price, size in rows:
                if float(size):
                    self.sides[side][price] = size
                else:
                    self.sides[side].pop(price, None)
        return True


def main():
    where = world()
    symbol, frames = where["symbol"], queue.Queue()
    stream = UMFuturesWebsocketClient(
        where["ws"] + "/public", on_message=lambda _client, frame: frames.put(json.loads(frame))
    )
    stream.diff_book_depth(symbol=symbol, speed=100, id=1)
    rest, meetings, in_time, book = UMFutures(base_url=where["rest"]), Meetings(), deadline(), None
    while meetings.met < WANTED and in_time():
        event = frames.get(timeout=10)
        if event.get("e") != "depthUpdate":
            continue
        if book is None:
            book = Book(rest.depth(symbol, limit=1000))
        if not book.apply(event):
            book = None
            continue
        if not book.fresh:
            meetings.built(book.last, {side: best(levels.items(), side) for side, levels in book.sides.items()})
        meetings.shown(*served(where, symbol))
    stream.stop()
    json.dump(meetings.result(), sys.stdout)


main()
