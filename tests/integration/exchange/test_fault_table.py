"""Every kind of fault on every target that it acts on, over real sockets: one scenario a pair, and none is missing."""

import asyncio
import contextlib
import itertools
import json
import time

import aiohttp
import pytest
import websockets

from mm_exchange.faults import TARGETS

STREAM = "ethusdt@depth@0ms"
ORDER = {"path": "/fapi/v1/order"}
SCENARIOS = {}


def scenario(*pairs):
    def register(function):
        SCENARIOS.update(dict.fromkeys(pairs, function))
        return function

    return register


@pytest.mark.parametrize(("kind", "target"), [(kind, target) for kind in TARGETS for target in sorted(TARGETS[kind])])
async def test_a_fault_does_what_it_says(desk, kind, target):
    """And says in the ledger what it hit."""
    await SCENARIOS[kind, target](desk, kind, target)
    assert "STRUCK" in await desk.statuses(kind)


class Desk:
    """Clients of one account, and faults that strike only them."""

    def __init__(self, trader, faults, receive, silent, *, since):
        self.trader, self.faults, self.receive, self.silent = trader, faults, receive, silent
        self._since = since

    @contextlib.asynccontextmanager
    async def market(self):
        async with websockets.connect(f"{self.trader.exchange.ws}/public/ws/{STREAM}") as socket:
            await self.receive(socket)
            yield socket

    @contextlib.asynccontextmanager
    async def user(self):
        async with await self.trader.user_stream() as socket:
            yield socket

    @contextlib.asynccontextmanager
    async def api(self):
        async with websockets.connect(self.trader.exchange.wsApi) as socket:
            yield socket

    def socket(self, target):
        return {"market-stream": self.market, "user-stream": self.user, "ws-api": self.api}[target]()

    async def provoke(self, target, socket, *names):
        """Make the venue say something on a socket: frames come by themselves, events and replies are asked for."""
        for name in names or ("one",):
            if target == "user-stream":
                await self.trader.limit("BUY", "98.00", newClientOrderId=name)
            elif target == "ws-api":
                await socket.send(json.dumps({"id": name, "method": "time"}))

    async def names(self, target, socket, count):
        """The names of the next frames, in the order they come."""
        found = [await self.receive(socket) for _ in range(count)]
        if target == "market-stream":
            return [frame["u"] for frame in found]
        return [frame["id"] if target == "ws-api" else frame["o"]["c"] for frame in found]

    async def names_until(self, target, socket, seen, *, count=3):
        """So many names; of a stream that speaks by itself, all up to what `seen` finds in them and a few more.

        Some of its frames were on their way before the fault was planned.
        """
        if target != "market-stream":
            return await self.names(target, socket, count)
        names = []
        async with asyncio.timeout(10):
            while not seen(names):
                names += await self.names(target, socket, 1)
        return names + await self.names(target, socket, 8)

    async def statuses(self, kind):
        _, body = await self.trader.admin("GET", f"/admin/ledger?kind=fault&since={self._since}")
        entries = body["entries"]
        return [entry["status"] for entry in entries if entry["detail"]["kind"] == kind]

    async def clear(self):
        await self.trader.admin("DELETE", "/admin/faults")

    async def server_time(self):
        return (await self.trader.public("/fapi/v1/time"))["serverTime"]


@pytest.fixture
async def desk(trader, faults, receive, silent):
    _, body = await trader.admin("GET", "/admin/ledger?limit=0")
    return Desk(trader, faults, receive, silent, since=body["last"])


def test_no_pair_is_without_a_scenario():
    assert set(SCENARIOS) == {(kind, target) for kind, targets in TARGETS.items() for target in targets}


# -- connections end -------------------------------------------------------------------------------------------------------


@scenario(("drop", "rest"), ("reset", "rest"), ("stall", "rest"), ("timeout-before", "rest"))
async def a_request_that_never_was(desk, kind, target):
    await desk.faults(kind, target, params=ORDER | ({"holdSeconds": 0} if kind == "timeout-before" else {}))
    order = asyncio.create_task(desk.trader.limit("BUY", "99.00"))
    if kind == "stall":
        await until(lambda: desk.statuses(kind), lambda statuses: "STRUCK" in statuses)
        done, _ = await asyncio.wait({order}, timeout=0.3)
        assert not done
        await desk.clear()
    with pytest.raises(aiohttp.ClientError):
        await order
    assert await desk.trader.ledger("order") == []


@scenario(*((kind, target) for kind in ("drop", "reset") for target in ("market-stream", "user-stream", "ws-api")))
async def sockets_that_are_cut(desk, kind, target):
    async with desk.socket(target) as socket:
        await desk.faults(kind, target)
        with pytest.raises(websockets.ConnectionClosed):
            await desk.receive(socket, lambda _frame: False)


@scenario(("maintenance", "rest"))
async def a_venue_that_refuses_every_request(desk, kind, target):
    await desk.faults(kind, target, seconds=60)
    status, body, _ = await desk.trader.send("GET", "/fapi/v1/time")
    assert (status, body["code"]) == (503, -1008)
    await desk.clear()
    await desk.faults(kind, target, params={"body": "html", "retryAfter": 30}, seconds=60)
    async with desk.trader.session.get(f"{desk.trader.exchange.rest}/fapi/v1/time") as reply:
        assert (reply.status, reply.content_type) == (503, "text/html")
        assert "503 Service Unavailable" in await reply.text()
    await desk.clear()
    assert await desk.server_time()


@scenario(("maintenance", "market-stream"), ("maintenance", "user-stream"), ("maintenance", "ws-api"))
async def a_venue_that_closes_its_sockets_and_lets_nobody_in(desk, kind, target):
    key = await desk.trader.listen_key()
    url = {"market-stream": f"{desk.trader.exchange.ws}/public/ws/{STREAM}", "ws-api": desk.trader.exchange.wsApi,
           "user-stream": f"{desk.trader.exchange.ws}/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE"}[target]  # fmt: skip
    async with desk.socket(target) as socket:
        await desk.faults(kind, target, params={"retryAfter": 5})
        with pytest.raises(websockets.ConnectionClosed):
            await desk.receive(socket, lambda _frame: False)
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "5"
    await desk.clear()
    async with desk.socket(target):
        pass


@scenario(("http-status", "rest"))
async def a_status(desk, kind, target):
    await desk.faults(kind, target, count=1, params={"status": 502})
    assert (await desk.trader.send("GET", "/fapi/v1/time"))[0] == 502
    assert await desk.server_time()


@scenario(("http-status", "market-stream"), ("http-status", "user-stream"), ("http-status", "ws-api"))
async def a_refused_handshake(desk, kind, target):
    await desk.faults(kind, target, count=1, params={"status": 429})
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with desk.socket(target):
            pass
    assert refused.value.response.status_code == 429
    async with desk.socket(target):
        pass


# -- silence ---------------------------------------------------------------------------------------------------------------


@scenario(("stall", "market-stream"), ("stall", "user-stream"), ("stall", "ws-api"))
async def a_mute_socket_that_comes_back(desk, kind, target):
    async with desk.socket(target) as socket:
        await desk.faults(kind, target)
        await desk.provoke(target, socket, "lost")
        while await desk.silent(socket, 0.3) is not None:
            pass
        await desk.clear()
        await desk.provoke(target, socket, "heard")
        assert "lost" not in await desk.names(target, socket, 1)


@scenario(("dead-url", "market-stream"), ("dead-url", "user-stream"), ("dead-url", "ws-api"))
async def a_socket_that_subscribes_and_stays_silent_for_good(desk, kind, target):
    async with desk.socket(target) as present:
        await desk.faults(kind, target)
        async with desk_socket(desk, target) as dead:
            if target != "ws-api":
                await dead.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 7}))
                assert await desk.receive(dead) == {"result": None, "id": 7}
            await desk.clear()
            for socket in (present, dead):
                await desk.provoke(target, socket, f"to-{id(socket)}")
            # What was on its way already may still come.
            while await desk.silent(present, 0.4) is not None:
                pass
            assert await desk.silent(dead, 0.3) is None
        async with desk.socket(target) as fresh:
            await desk.provoke(target, fresh, "alive")
            assert await desk.names(target, fresh, 1)


def desk_socket(desk, target):
    """A socket of a target, without waiting for a first frame."""
    if target == "market-stream":
        return websockets.connect(f"{desk.trader.exchange.ws}/public/ws/{STREAM}")
    return desk.socket(target)


@scenario(("timeout-after", "rest"))
async def an_order_that_was_executed_without_an_answer(desk, kind, target):
    await desk.faults(kind, target, params=ORDER | {"holdSeconds": 0})
    with pytest.raises(aiohttp.ClientError):
        await desk.trader.limit("BUY", "99.00", newClientOrderId="done")
    assert [entry["clientOrderId"] for entry in await desk.trader.ledger("order")] == ["done"]


@scenario(("timeout-before", "ws-api"), ("timeout-after", "ws-api"))
async def a_ws_api_order_without_an_answer(desk, kind, target):
    async with desk.api() as socket:
        await desk.faults(kind, target, count=1)
        await socket.send(json.dumps(place(desk.trader, "unanswered")))
        await desk.provoke(target, socket, "next")
        assert await desk.names(target, socket, 1) == ["next"]
    assert len(await desk.trader.ledger("order")) == (kind == "timeout-after")


def place(trader, name):
    params = {
        "apiKey": trader.key, "newClientOrderId": name, "price": "98.00", "quantity": "1", "side": "BUY",
        "symbol": "QUIETUSDT", "timeInForce": "GTC", "timestamp": int(time.time() * 1000), "type": "LIMIT",
    }  # fmt: skip
    signature = trader.sign("&".join(f"{key}={value}" for key, value in sorted(params.items())))
    return {"id": name, "method": "order.place", "params": params | {"signature": signature}}


# -- late, lost, twice, broken, in the wrong order -------------------------------------------------------------------------


@scenario(("delay", "rest"), ("delay", "ws-api"), ("delay", "user-stream"))
async def what_is_asked_for_comes_later(desk, kind, target):
    await desk.faults(kind, target, count=1, params={"ms": 400, "jitterMs": 100})
    start = time.perf_counter()
    if target == "rest":
        await desk.server_time()
    else:
        async with desk.socket(target) as socket:
            await desk.provoke(target, socket)
            await desk.receive(socket)
    assert 0.4 <= time.perf_counter() - start < 5


@scenario(("delay", "market-stream"))
async def late_frames_keep_their_order(desk, kind, target):
    async with desk.market() as socket:
        await desk.faults(kind, target, probability=0.5, params={"ms": 400})
        await until(lambda: desk.statuses(kind), lambda statuses: "STRUCK" in statuses)
        frames = [await desk.receive(socket) for _ in range(12)]
        await desk.clear()
        cleared_ms = time.time() * 1000
        while frames[-1]["E"] <= cleared_ms:
            frames.append(await desk.receive(socket))
    assert all(later["pu"] == earlier["u"] for earlier, later in itertools.pairwise(frames))


@scenario(("reorder", "rest"))
async def a_request_that_is_overtaken(desk, kind, target):
    await desk.faults(kind, target, count=1, params=ORDER | {"ms": 5000})
    first = asyncio.create_task(desk.trader.limit("BUY", "98.00", newClientOrderId="first"))
    await until(lambda: desk.statuses(kind), lambda statuses: "STRUCK" in statuses)
    await desk.trader.limit("BUY", "98.00", newClientOrderId="second")
    await first
    assert [entry["clientOrderId"] for entry in await desk.trader.ledger("order")] == ["second", "first"]


async def until(ask, wanted, seconds=5):
    async with asyncio.timeout(seconds):
        while not wanted(await ask()):  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


@scenario(("reorder", "market-stream"), ("reorder", "user-stream"), ("reorder", "ws-api"))
async def frames_that_change_places(desk, kind, target):
    async with desk.socket(target) as socket:
        await desk.faults(kind, target, count=1, params={"ms": 5000})
        await desk.provoke(target, socket, "1", "2", "3")
        names = await desk.names_until(target, socket, falls)
    assert falls(names) == 1


def falls(names):
    return sum(later < earlier for earlier, later in itertools.pairwise(names))


@scenario(("gap", "market-stream"))
async def a_frame_that_is_left_out(desk, kind, target):
    async with desk.market() as socket:
        first = await desk.receive(socket)
        # Planning takes a moment, in which frames come that are no part of this.
        await desk.faults(kind, target, count=1, params={"stream": STREAM})
        frames = [first]
        async with asyncio.timeout(10):
            while not breaks(frames):
                frames.append(await desk.receive(socket))
        frames += [await desk.receive(socket) for _ in range(10)]
    assert breaks(frames) == 1


def breaks(frames):
    return sum(later["pu"] != earlier["u"] for earlier, later in itertools.pairwise(frames))


@scenario(("gap", "user-stream"))
async def an_event_that_is_left_out(desk, kind, target):
    async with desk.user() as socket:
        await desk.faults(kind, target, count=1, params={"apiKey": desk.trader.key, "stream": "ORDER_TRADE_UPDATE"})
        await desk.provoke(target, socket, "unheard", "heard")
        assert await desk.names(target, socket, 1) == ["heard"]


@scenario(("duplicate", "market-stream"), ("duplicate", "user-stream"), ("duplicate", "ws-api"))
async def frames_that_come_twice(desk, kind, target):
    async with desk.socket(target) as socket:
        await desk.faults(kind, target, count=1)
        await desk.provoke(target, socket, "1", "2")
        names = await desk.names_until(target, socket, repeats)
    assert repeats(names) == 1


def repeats(names):
    return len(names) - len(set(names))


@scenario(("malformed", "rest"))
async def half_an_answer(desk, kind, target):
    await desk.faults(kind, target, count=1, params=ORDER)
    with pytest.raises(json.JSONDecodeError):
        await desk.trader.limit("BUY", "99.00", newClientOrderId="done")
    assert [entry["clientOrderId"] for entry in await desk.trader.ledger("order")] == ["done"]


@scenario(("malformed", "market-stream"), ("malformed", "user-stream"), ("malformed", "ws-api"))
async def half_a_frame(desk, kind, target):
    async with desk.socket(target) as socket:
        await desk.faults(kind, target, count=1)
        await desk.provoke(target, socket, "cut")
        with pytest.raises(json.JSONDecodeError):
            await desk.receive(socket, lambda _frame: False)


# -- the venue's own state -------------------------------------------------------------------------------------------------


@scenario(("clock-skew", "rest"))
async def a_clock_that_is_wrong_for_those_who_do_not_resync(desk, kind, target):
    for skew_ms, words in ((10_000, "outside of the recvWindow"), (-10_000, "1000ms ahead")):
        await desk.faults(kind, target, params={"ms": skew_ms})
        refused = await desk.trader.limit("BUY", "98.00")
        assert (refused["code"], words in refused["msg"]) == (-1021, True)
        asked_ms = time.time() * 1000
        server_ms = await desk.server_time()
        assert asked_ms - 1 <= server_ms - skew_ms <= time.time() * 1000 + 1
        assert (await desk.trader.limit("BUY", "98.00", timestamp=server_ms))["status"] == "NEW"
        await desk.clear()


@scenario(("clock-skew", "ws-api"))
async def a_clock_that_is_wrong_on_the_ws_api(desk, kind, target):
    async with desk.api() as socket:
        await desk.faults(kind, target)
        await socket.send(json.dumps(place(desk.trader, "stale")))
        assert (await desk.receive(socket))["error"]["code"] == -1021
        asked_ms = time.time() * 1000
        await desk.provoke(target, socket)
        server_ms = (await desk.receive(socket))["result"]["serverTime"]
        assert asked_ms - 1 <= server_ms - 10_000 <= time.time() * 1000 + 1


@scenario(("clock-skew", "market-stream"), ("clock-skew", "user-stream"))
async def event_times_that_are_wrong(desk, kind, target):
    async with desk.socket(target) as socket:
        await desk.faults(kind, target, params={"ms": -60_000})
        await desk.provoke(target, socket)
        frame = await desk.receive(socket, lambda frame: frame["E"] < time.time() * 1000 - 30_000)
        assert frame["T"] < time.time() * 1000 - 30_000
        assert target == "market-stream" or frame["o"]["T"] < time.time() * 1000 - 30_000


@scenario(("listen-key-expired", "user-stream"))
async def a_key_that_ends(desk, kind, target):
    async with desk.user() as socket:
        await desk.faults(kind, target, params={"apiKey": desk.trader.key})
        assert (await desk.receive(socket))["e"] == "listenKeyExpired"


@scenario(("reject", "rest"), ("reject", "ws-api"))
async def a_refusal(desk, kind, target):
    await desk.faults(kind, target, count=1, params={"code": -2019, "msg": "Margin is insufficient."})
    if target == "rest":
        assert (await desk.trader.limit("BUY", "98.00"))["code"] == -2019
        assert [entry["code"] for entry in await desk.trader.ledger("reject")] == [-2019]
        return
    async with desk.api() as socket:
        await socket.send(json.dumps(place(desk.trader, "refused")))
        assert (await desk.receive(socket))["error"] == {"code": -2019, "msg": "Margin is insufficient."}


@scenario(("filters-changed", "rest"), ("filters-changed", "ws-api"), ("filters-changed", "market-stream"))
async def filters_that_change_and_return(desk, kind, target):
    before = await filters_of(desk)
    async with websockets.connect(f"{desk.trader.exchange.ws}/market/ws/!contractInfo") as socket:
        await desk.faults(kind, target, symbol="QUIETUSDT", params={"tickSize": "0.50", "minNotional": "100"})
        told = await desk.receive(socket)
        assert (told["e"], told["s"]) == ("contractInfo", "QUIETUSDT")
        changed = await filters_of(desk)
        assert (changed["PRICE_FILTER"]["tickSize"], changed["MIN_NOTIONAL"]["notional"]) == ("0.50", "100")
        assert (await desk.trader.limit("BUY", "98.10", "2"))["code"] == -4014
        assert (await desk.trader.limit("BUY", "98.50", "1"))["code"] == -4164
        assert (await desk.trader.limit("BUY", "98.50", "2"))["status"] == "NEW"
        await desk.clear()
        assert (await desk.receive(socket))["s"] == "QUIETUSDT"
    assert await filters_of(desk) == before
    assert (await desk.trader.limit("BUY", "98.10", "1"))["status"] == "NEW"


async def filters_of(desk):
    symbols = (await desk.trader.public("/fapi/v1/exchangeInfo"))["symbols"]
    (found,) = [symbol for symbol in symbols if symbol["symbol"] == "QUIETUSDT"]
    return {row["filterType"]: row for row in found["filters"]}


# -- together --------------------------------------------------------------------------------------------------------------


async def test_faults_compose_on_one_stream(desk):
    """Late, twice, and from a clock that is wrong, all at once."""
    async with desk.market() as socket:
        await desk.faults("delay", "market-stream", params={"ms": 300})
        await desk.faults("duplicate", "market-stream")
        await desk.faults("clock-skew", "market-stream", params={"ms": 3_600_000})
        first = await desk.receive(socket, lambda frame: frame["E"] > time.time() * 1000 + 1_800_000)
        age_ms = time.time() * 1000 + 3_600_000 - first["E"]
        assert age_ms >= 300
        assert await desk.receive(socket) == first


async def test_faults_compose_on_one_request(desk):
    await desk.faults("delay", "rest", params={"ms": 200})
    await desk.faults("delay", "rest", params={"ms": 200})
    await desk.faults("http-status", "rest", count=1, params={"status": 502})
    await desk.faults("http-status", "rest", params={"status": 500})
    start = time.perf_counter()
    assert (await desk.trader.send("GET", "/fapi/v1/time"))[0] == 502
    assert time.perf_counter() - start >= 0.4
    assert (await desk.trader.send("GET", "/fapi/v1/time"))[0] == 500


async def test_a_fault_can_be_told_by_count_whom_it_strikes(desk):
    await desk.faults("http-status", "rest", count=2, params={"skip": 1, "every": 2, "path": "/fapi/v1/time"})
    statuses = [(await desk.trader.send("GET", "/fapi/v1/time"))[0] for _ in range(6)]
    assert statuses == [200, 503, 200, 503, 200, 200]


async def test_a_fault_whose_time_is_over_says_so_in_the_ledger(desk):
    await desk.faults("malformed", "ws-api", seconds=0.05)
    await until(lambda: desk.statuses("malformed"), lambda statuses: statuses[-1] == "EXPIRED")
