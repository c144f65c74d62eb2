"""A served exchange and clients of it, over real sockets.

ETHUSDT trades by itself; QUIETUSDT stands still and nobody trades there but the tests.
"""

import asyncio
import hashlib
import hmac
import json
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import pytest
import websockets
from yarl import URL

from support.served import Served

FLOW = {"QUIETUSDT": {"price": "100", "volatilityBps": 0, "tradesPerSecond": 0, "spreadTicks": 10}}
TAPE = Path(__file__).resolve().parents[4] / "shared" / "data"


class Trader:
    """A client with an account of its own."""

    def __init__(self, exchange, session, keys):
        self.exchange, self.session = exchange, session
        self.key, self.secret = keys["apiKey"], keys.get("apiSecret", "")

    def sign(self, payload):
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    async def send(self, method, path, query="", *, body="", headers=None):
        url = URL(f"{self.exchange.rest}{path}" + (f"?{query}" if query else ""), encoded=True)
        headers = {"X-MBX-APIKEY": self.key, "Content-Type": "application/x-www-form-urlencoded"} | (headers or {})
        async with self.session.request(method, url, data=body or None, headers=headers) as reply:
            return reply.status, json.loads(await reply.text()), reply.headers

    async def call(self, method, path, **params):
        """A signed call; the body, whatever the status."""
        params.setdefault("timestamp", int(time.time() * 1000))
        query = urlencode(params, quote_via=quote)
        _, body, _ = await self.send(method, path, f"{query}&signature={self.sign(query)}")
        return body

    async def public(self, path, **params):
        return (await self.send("GET", path, urlencode(params)))[1]

    async def limit(self, side, price, quantity="1", *, symbol="QUIETUSDT", tif="GTC", **more):
        return await self.call(
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side=side,
            type="LIMIT",
            timeInForce=tif,
            quantity=quantity,
            price=price,
            newOrderRespType="RESULT",
            **more,
        )

    async def market(self, side, quantity="1", *, symbol="QUIETUSDT", **more):
        return await self.call(
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side=side,
            type="MARKET",
            quantity=quantity,
            newOrderRespType="RESULT",
            **more,
        )

    async def position(self, symbol="QUIETUSDT"):
        rows = await self.call("GET", "/fapi/v2/positionRisk", symbol=symbol)
        return rows[0]["positionAmt"]

    async def ledger(self, *kinds, **query):
        query = {"apiKey": self.key} | query
        async with self.session.get(f"{self.exchange.admin}/admin/ledger", params=query) as reply:
            entries = (await reply.json())["entries"]
        return [entry for entry in entries if not kinds or entry["kind"] in kinds]

    async def admin(self, method, path, body=None):
        async with self.session.request(method, self.exchange.admin + path, json=body) as reply:
            return reply.status, await reply.json()

    async def listen_key(self):
        return (await self.send("POST", "/fapi/v1/listenKey"))[1]["listenKey"]

    async def user_stream(self, events="ORDER_TRADE_UPDATE/ACCOUNT_UPDATE/listenKeyExpired"):
        key = await self.listen_key()
        return await websockets.connect(f"{self.exchange.ws}/private/ws?listenKey={key}&events={events}")


@pytest.fixture(scope="session")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    flow = folder / "flow.json"
    flow.write_text(json.dumps(FLOW))
    served = Served("--synthetic", "ETHUSDT", "--synthetic", "QUIETUSDT", "--flow", str(flow), cwd=folder)
    yield served
    assert served.stop() == 0
    assert served.stderr == ""


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
async def open_account(exchange, session):
    traders = []

    async def opened(**body):
        async with session.post(f"{exchange.admin}/admin/accounts", json=body) as reply:
            assert reply.status == 201
            traders.append(Trader(exchange, session, await reply.json()))
        return traders[-1]

    yield opened
    # Outside takers meet whoever rests: leave nothing behind for the next test.
    for opened_trader in traders:
        for symbol in ("QUIETUSDT", "ETHUSDT"):
            await opened_trader.call("DELETE", "/fapi/v1/allOpenOrders", symbol=symbol)


@pytest.fixture
async def trader(open_account):
    return await open_account()


@pytest.fixture
async def faults(trader):
    """Plans faults and takes them away afterwards."""

    async def plan(kind, target, **more):
        status, body = await trader.admin("POST", "/admin/faults", {"kind": kind, "target": target, **more})
        assert status == 201, body
        return body

    yield plan
    await trader.admin("DELETE", "/admin/faults")


@pytest.fixture
def struck(trader):
    """Waits until a planned fault has struck: what was on its way before it is no part of a test."""

    async def wait(fault, seconds=10):
        async with asyncio.timeout(seconds):
            while True:
                _, body = await trader.admin("GET", "/admin/faults")
                if any(row["id"] == fault["id"] and row["hits"] for row in body["faults"]):
                    return
                await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def serve(tmp_path):
    """Starts an exchange of the test's own."""
    started = []

    def start(*arguments):
        served = Served(*arguments, cwd=tmp_path)
        started.append(served)
        return served

    yield start
    for served in started:
        if served.process.returncode is None:
            served.stop()


@pytest.fixture
def receive():
    """The next frame of a socket within a bound, or the next that a test wants."""

    async def frame(socket, wanted=lambda _frame: True, seconds=5):
        async with asyncio.timeout(seconds):
            while True:
                found = json.loads(await socket.recv())
                if wanted(found):
                    return found

    return frame


@pytest.fixture
def silent():
    """True when nothing arrives for a while."""

    async def nothing(socket, seconds=1.0):
        try:
            async with asyncio.timeout(seconds):
                return json.loads(await socket.recv())
        except TimeoutError:
            return None

    return nothing


@pytest.fixture(scope="session")
def tape():
    found = sorted(TAPE.glob("*.gz")) if TAPE.is_dir() else []
    if not found:
        pytest.skip("no recorded tape beside the project (../shared/data); the synthetic twin of this test runs")
    return found[0]
