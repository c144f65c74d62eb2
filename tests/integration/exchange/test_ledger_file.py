"""The ledger on disk, over the admin port and after the process: nothing is lost at the border, memory stays bounded."""

import json
import sqlite3
import tracemalloc

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from mm_exchange.clock import VirtualClock
from mm_exchange.ledger import Ledger
from mm_exchange.ledger_file import LedgerFile
from mm_exchange.limits import LimitValues
from mm_exchange.server.admin import AdminServer
from mm_exchange.server.exchange import Exchange, Quirks
from mm_exchange.server.sockets import SocketServer
from support.soak import SOAK

MS = 1_000_000
START_MS = 1_790_000_000_000
ENTRIES = 3000


@pytest.fixture
async def admin():
    """An admin port over a ledger of 3,000 entries, of which about fifty are in memory."""
    exchange = Exchange(VirtualClock(START_MS * MS), seed=0, limits=LimitValues(), quirks=Quirks())
    ledger = exchange.venue.ledger
    ledger._kept = 50
    ledger.spill_to(LedgerFile())
    for number in range(ENTRIES):
        kind = "reject" if number % 10 == 0 else "order"
        ledger.add(kind, (START_MS + number) * MS, symbol="AB"[number % 2], api_key="xyz"[number % 3])
    while len(ledger._recent) > 400:
        ledger.spill()
        ledger._file.wait()
    server = TestServer(AdminServer(exchange, SocketServer(exchange)).app())
    await server.start_server()
    async with aiohttp.ClientSession(server.make_url("/")) as session:

        async def read(**query):
            async with session.get("/admin/ledger", params=query) as reply:
                assert reply.status == 200
                return await reply.json()

        read.border = len(ledger) - len(ledger._recent)
        yield read
    await server.close()
    ledger.close()


async def test_one_call_reads_file_and_memory(admin):
    answer = await admin()
    assert [entry["seq"] for entry in answer["entries"]] == list(range(1, ENTRIES + 1))
    assert answer["last"] == ENTRIES


@pytest.mark.parametrize("limit", [1, 7, 499, 500, 501])
async def test_a_client_that_pages_sees_every_entry_once(admin, limit):
    seen, since = [], admin.border - 600
    while page := (await admin(since=since, limit=limit))["entries"]:
        assert len(page) <= limit
        seen += [entry["seq"] for entry in page]
        since = seen[-1]
        if limit == 1 and len(seen) > 1200:
            break
    assert seen == list(range(admin.border - 599, seen[-1] + 1))
    assert seen[-1] > admin.border


async def test_filters_and_times_mean_the_same_on_both_sides(admin):
    for around in (-2, -1, 0, 1, 2):
        since = admin.border + around
        rows = (await admin(since=since, symbol="A", apiKey="y"))["entries"]
        assert [row["seq"] for row in rows] == [n + 1 for n in range(since, ENTRIES) if n % 2 == 0 and n % 3 == 1]
        rows = (await admin(since=START_MS + since, kind="reject"))["entries"]
        assert [row["seq"] for row in rows] == [n + 1 for n in range(since, ENTRIES) if n % 10 == 0]


async def test_a_named_file_outlives_the_process_and_belongs_to_one_run(serve, session, tmp_path):
    file = tmp_path / "run.sqlite"
    exchange = serve("--synthetic", "ETHUSDT", "--ledger", str(file))
    async with session.post(f"{exchange.admin}/admin/accounts", json={"apiKey": "me"}) as reply:
        assert reply.status == 201
    async with session.post(f"{exchange.admin}/admin/faults", json={"kind": "stall", "target": "rest"}) as reply:
        assert reply.status == 201
    async with session.get(f"{exchange.admin}/admin/ledger") as reply:
        entries = (await reply.json())["entries"]
    assert exchange.stop() == 0
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT seq, kind, apiKey, status, entry FROM ledger ORDER BY seq").fetchall()
    connection.close()
    assert [json.loads(row[4]) for row in rows] == entries
    assert [row[:4] for row in rows] == [(1, "account", "me", "CREATED"), (2, "fault", None, "ADDED")]
    with pytest.raises(AssertionError, match="exists: a ledger is the record of one run"):
        serve("--synthetic", "ETHUSDT", "--ledger", str(file))


def test_memory_does_not_grow_with_the_ledger(tmp_path):
    """Scaled: a run of five million entries was flat too (docs/exchange.md)."""
    ledger = Ledger(kept=1000)
    ledger.spill_to(LedgerFile(tmp_path / "ledger.sqlite"))
    rounds = 400 if SOAK else 4
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(rounds):
            for number in range(10_000):
                ledger.add("order", number, symbol="ETHUSDT", price=str(number), detail={"number": number})
                if number % 100 == 0:
                    ledger.spill()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    ledger.close()
    # At most five times what is kept may wait for the disk, at about a kilobyte each.
    assert max(sizes) < 8 * 2**20
    assert len(ledger) == rounds * 10_000
