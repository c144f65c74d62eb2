"""The process: how it starts, what it says, how it ends, and what it replays."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
import websockets

EXCHANGE = str(Path(sys.executable).with_name("mm-exchange"))


def test_sigterm_ends_it_within_two_seconds_with_sockets_open(serve):
    served = serve("--synthetic", "ETHUSDT", "--host", "0.0.0.0")
    assert all("127.0.0.1" in served.urls[name] for name in ("rest", "ws", "wsApi", "admin"))

    async def stop_it():
        async with websockets.connect(f"{served.ws}/public/ws/ethusdt@bookTicker") as socket:
            await socket.recv()
            waited, start = _starved_seconds(served.process.pid), time.perf_counter()
            served.process.terminate()
            # Not reaped yet, so that its account can still be read.
            await asyncio.to_thread(os.waitid, os.P_PID, served.process.pid, os.WEXITED | os.WNOWAIT)
            seconds = time.perf_counter() - start
            return seconds - (_starved_seconds(served.process.pid) - waited)

    assert asyncio.run(stop_it()) < 2
    assert served.stop() == 0


def _starved_seconds(pid):
    """How long a process has been ready to run while others had the processors; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def test_accounts_come_from_a_file(serve, tmp_path):
    accounts = tmp_path / "accounts.json"
    accounts.write_text(json.dumps([{"apiKey": "k", "apiSecret": "s", "balances": {"USDT": "7"}}]))
    served = serve("--synthetic", "ETHUSDT", "--accounts", str(accounts))

    async def listed():
        async with aiohttp.ClientSession() as http, http.get(f"{served.admin}/admin/accounts") as reply:
            return await reply.text()

    text = asyncio.run(listed())
    assert json.loads(text)["accounts"][0]["balances"] == {"USDT": "7.00000000"}
    assert "secret" not in text.lower()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--synthetic", "x/"), "A-Z"),
        (("--synthetic", "ETHUSDT", "--flow", "bad.json"), "--flow"),
        (("--synthetic", "ETHUSDT", "--accounts", "bad.json"), "--accounts"),
        (("--tape", "bad.json"), "market frames"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_sentence(tmp_path, arguments, sentence):
    (tmp_path / "bad.json").write_text('[{"what": 1}]')
    done = subprocess.run(
        [EXCHANGE, "serve", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def _depth_updates(path):
    """The book of a tape's REST snapshot, then every depth update that it does not cover."""
    book, held = None, []
    with gzip.open(path) as lines:
        for line in lines:
            frame = json.loads(line.partition(b" ")[2])
            if "lastUpdateId" in frame:
                book = frame
                yield book
                yield from (update for update in held if update["u"] >= book["lastUpdateId"])
            elif (data := frame.get("data", frame))["e"] == "depthUpdate":
                if book is None:
                    held.append(data)
                else:
                    yield data


def _independent_books(path, ids):
    """The book of a tape at each of some update ids, built by nothing but the venue's rules."""
    updates = _depth_updates(path)
    levels, books = _decimals(next(updates)), {}
    for update in updates:
        for side, rows in (("bids", update["b"]), ("asks", update["a"])):
            for price, quantity in rows:
                levels[side].pop(Decimal(price), None)
                if Decimal(quantity):
                    levels[side][Decimal(price)] = Decimal(quantity)
        if update["u"] in ids:
            books[update["u"]] = {side: dict(rows) for side, rows in levels.items()}
        if update["u"] >= max(ids):
            break
    return books


def _synthetic_tape(path):
    """A made-up recording: another symbol, other decimals, raw frames, a snapshot that arrives late."""
    frames, u = [], 100
    bids, asks = {1000 + n: 5 + n for n in range(-40, 0)}, {1000 + n: 5 + n for n in range(1, 41)}
    for step in range(120):
        price = 1000 + (step * 7) % 40 + 1
        change = ([[f"{(1960 - price) / 100000:.5f}", str(step % 3)]], [[f"{price / 100000:.5f}", str(step % 4)]])
        frames.append(
            {
                "e": "depthUpdate",
                "E": 1_700_000_000_000 + step * 10,
                "T": 1_700_000_000_000 + step * 10,
                "s": "DOGEUSDT",
                "U": u + 1,
                "u": u + 5,
                "pu": u,
                "b": change[0],
                "a": change[1],
            }
        )
        u += 5
    book = {
        "lastUpdateId": 152,
        "E": 1_700_000_000_105,
        "T": 1_700_000_000_105,
        "bids": [[f"{p / 100000:.5f}", str(q % 9 + 1)] for p, q in sorted(bids.items(), reverse=True)],
        "asks": [[f"{p / 100000:.5f}", str(q % 9 + 1)] for p, q in sorted(asks.items())],
    }
    lines = [f"{1_700_000_000_000_000_000 + n * 10_000_000} {json.dumps(frame)}" for n, frame in enumerate(frames)]
    lines.insert(14, f"{1_700_000_000_139_000_000} {json.dumps(book)}")
    with gzip.open(path, "wt") as out:
        out.write("\n".join(lines) + "\n")


def _decimals(book):
    return {side: {Decimal(price): Decimal(quantity) for price, quantity in book[side]} for side in ("bids", "asks")}


async def _depth(served, symbol):
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{served.rest}/fapi/v1/depth?symbol={symbol}&limit=1000") as reply,
    ):
        return await reply.json()


def test_the_served_book_is_the_tapes_book(serve, tape):
    served = serve("--tape", str(tape), "--speed", "20")

    async def some_books():
        books = []
        for _ in range(8):
            await asyncio.sleep(0.4)
            books.append(await _depth(served, "ETHUSDT"))
        return books

    served_books = {book["lastUpdateId"]: _decimals(book) for book in asyncio.run(some_books())}
    expected_books = _independent_books(tape, set(served_books))
    assert len(expected_books) == len(served_books) > 1
    for last_id, shown in served_books.items():
        for side, best_first in (("bids", True), ("asks", False)):
            expected = expected_books[last_id][side]
            assert shown[side] == {price: expected[price] for price in sorted(expected, reverse=best_first)[:1000]}


async def test_a_made_up_tape_of_another_symbol_is_replayed_to_its_last_book(serve, tmp_path):
    recording = tmp_path / "doge.gz"
    await asyncio.to_thread(_synthetic_tape, recording)
    served = await asyncio.to_thread(serve, "--tape", str(recording))
    last = 100 + 120 * 5
    for _ in range(200):
        book = await _depth(served, "DOGEUSDT")
        if book["lastUpdateId"] == last:
            break
        await asyncio.sleep(0.05)
    assert _decimals(book) == (await asyncio.to_thread(_independent_books, recording, {last}))[last]
    async with aiohttp.ClientSession() as http, http.get(f"{served.rest}/fapi/v1/exchangeInfo") as reply:
        (symbol,) = (await reply.json())["symbols"]
    filters = {row["filterType"]: row for row in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.00001"
    assert filters["LOT_SIZE"]["stepSize"] == "1"


async def test_a_looped_tape_forces_a_resync_and_never_repeats_an_id(serve, tmp_path, receive):
    recording = tmp_path / "doge.gz"
    await asyncio.to_thread(_synthetic_tape, recording)
    served = await asyncio.to_thread(serve, "--tape", str(recording), "--loop")
    last, breaks, told_ms = 0, 0, time.time() * 1000 - 2000
    async with websockets.connect(f"{served.ws}/public/ws/dogeusdt@depth@0ms") as socket:
        for _ in range(250):
            frame = await receive(socket)
            assert frame["u"] > last
            breaks += bool(last) and frame["pu"] != last
            # The serving clock's: they rise from the moment of connecting, and none is ahead of now.
            assert told_ms <= frame["E"] < time.time() * 1000 + 50
            last, told_ms = frame["u"], frame["E"]
    assert breaks >= 1


async def test_a_tape_without_bookticker_gets_one_from_its_book(serve, tmp_path, receive):
    recording = tmp_path / "doge.gz"
    await asyncio.to_thread(_synthetic_tape, recording)
    served = await asyncio.to_thread(serve, "--tape", str(recording), "--loop")
    async with websockets.connect(f"{served.ws}/public/ws/dogeusdt@bookTicker") as socket:
        frame = await receive(socket)
    assert Decimal(frame["b"]) < Decimal(frame["a"])


def test_the_default_source_is_the_tape_that_the_environment_names(tmp_path):
    done = subprocess.run(
        [EXCHANGE, "serve", "--port", "0"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MM_TAPE": "gone.gz", "PATH": "/usr/bin:/bin"},
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "MM_TAPE" in done.stderr
