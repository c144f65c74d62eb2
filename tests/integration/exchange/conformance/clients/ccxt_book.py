"""ccxt's own local book (`watch_order_book`) against the book that REST serves."""

import asyncio
import json
import sys

from books import Meetings, best, deadline, served
from ccxt_calls import client
from recording import world

WANTED = 20


async def main():
    where = world()
    symbol = where["symbol"]
    ex, meetings, in_time = client(where), Meetings(), deadline()
    try:
        while meetings.met < WANTED and in_time():
            book = await ex.watch_order_book(symbol.replace("USDT", "/USDT:USDT"))
            built = {side: best(book[side], side) for side in ("bids", "asks")}
            meetings.built(book["nonce"], built)
            meetings.shown(*await asyncio.to_thread(served, where, symbol))
    finally:
        await ex.close()
    json.dump(meetings.result(), sys.stdout)


asyncio.run(main())
