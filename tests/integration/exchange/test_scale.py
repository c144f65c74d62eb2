"""Two hundred clients on two hundred symbols of one exchange, each from a loopback address of its own."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import aiohttp
import websockets

CLIENTS = 200
SYMBOLS = [f"S{number:03}USDT" for number in range(CLIENTS)]
# One change of the book a second and symbol, a trade every five: what an exchange with many symbols is used at.
FLOW = {"default": {"intervalMs": 1000, "levels": 10, "tradesPerSecond": 0.2, "volatilityBps": 0.5}}


class Client:
    """One bot, as far as the exchange can tell: market stream, user stream, two quotes."""

    def __init__(self, trader_class, exchange, number, *, session, keys):
        self.address = f"127.2.{number // 250}.{number % 250 + 1}"
        self.symbol = SYMBOLS[number]
        self.trader = trader_class(exchange, session, keys)
        self.frames, self.events, self.weight = 0, [], 0

    async def quote(self, ready):
        url = self.trader.exchange.ws
        key = await self.trader.listen_key()
        async with (
            websockets.connect(f"{url}/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE",
                               local_addr=(self.address, 0)) as user,
            websockets.connect(f"{url}/public/stream?streams={self.symbol.lower()}@bookTicker/"
                               f"{self.symbol.lower()}@depth@100ms", local_addr=(self.address, 0)) as market,
        ):  # fmt: skip
            touch = await self.touch(market)
            await self.trader.limit("BUY", f"{float(touch['b']) - 0.5:.2f}", "1", symbol=self.symbol, tif="GTX")
            await self.trader.limit("SELL", f"{float(touch['a']) + 0.5:.2f}", "1", symbol=self.symbol, tif="GTX")
            self.events = [json.loads(await user.recv())["o"]["x"] for _ in range(2)]
            _, _, headers = await self.trader.send("GET", "/fapi/v1/time")
            self.weight = int(headers["X-MBX-USED-WEIGHT-1M"])
            await ready.wait()
            # Everybody is here: from now on each must be served at once.
            for _ in range(3):
                await self.touch(market)

    async def touch(self, market):
        while True:
            frame = json.loads(await market.recv())
            self.frames += 1
            if frame["stream"].endswith("@bookTicker"):
                return frame["data"]


async def test_two_hundred_clients_are_served_and_limited_one_by_one(serve, trader, tmp_path):
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(FLOW))
    exchange = serve("--flow", str(flow), *(part for symbol in SYMBOLS for part in ("--synthetic", symbol)))
    started = time.perf_counter()
    ready = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(CLIENTS):
            local = aiohttp.TCPConnector(local_addr=(f"127.2.{number // 250}.{number % 250 + 1}", 0), limit=1)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=local))
            async with session.post(f"{exchange.admin}/admin/accounts") as reply:
                keys = await reply.json()
            clients.append(Client(type(trader), exchange, number, session=session, keys=keys))
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.quote(ready))
            async with asyncio.timeout(45):
                while not all(client.weight for client in clients):  # noqa: ASYNC110 - they are in tasks of their own
                    await asyncio.sleep(0.05)
            async with clients[0].trader.session.get(f"{exchange.admin}/admin/connections") as reply:
                connections = (await reply.json())["connections"]
            ready.set()
        async with clients[0].trader.session.get(f"{exchange.admin}/admin/open-orders") as reply:
            orders = (await reply.json())["orders"]
    assert {connection["address"] for connection in connections} == {client.address for client in clients}
    assert len(connections) == 2 * CLIENTS
    assert all(client.events == ["NEW", "NEW"] for client in clients)
    # The whole fleet used 400 and more; each address only its own share.
    assert max(client.weight for client in clients) <= 5
    assert {(order["symbol"], order["side"]) for order in orders} == {
        (symbol, side) for symbol in SYMBOLS for side in ("BUY", "SELL")
    }
    assert time.perf_counter() - started < 90
    assert memory_mib(exchange.process.pid) < 200


def memory_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
