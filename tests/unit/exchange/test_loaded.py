"""A tape on a virtual clock: the same events streamed and loaded, and the book that other code builds from the lines."""

import gzip
import json
import os
import pickle
import random
from decimal import Decimal
from pathlib import Path

import pytest

from mm_exchange.flow.loaded import LoadedTape, stream
from mm_exchange.flow.saved import load_saved
from mm_exchange.flow.scan import scan
from mm_exchange.flow.tape import TapePlayer
from mm_exchange.market import DepthUpdate, Market, Snapshot, Touch, Trade

RECORDED = Path(os.environ.get("MM_TAPE", Path(__file__).parents[4] / "shared" / "data" / "ethusdt_20240808.gz"))


def write(path, frames):
    with gzip.open(path, "wt") as lines:
        lines.writelines(f"{10**18 + n * 10**6} {text}\n" for n, text in enumerate(frames))
    return path


def wire(payload, stream_name=None):
    """As the venue writes: no spaces, combined where a stream is named."""
    frame = payload if stream_name is None else {"stream": stream_name, "data": payload}
    return json.dumps(frame, separators=(",", ":"))


def made_tape(path, *, symbols=("AAAUSDT", "BBBUSDT"), kinds=("depth", "bookTicker", "trade"), raw=False, seed=1):
    """A tape of made-up markets; decimals differ by symbol, and some numbers leave their trailing zeros out."""
    rng, frames, last = random.Random(seed), [], {}
    decimals = {symbol: (n + 1, 3 * n) for n, symbol in enumerate(symbols)}

    def number(symbol, *, quantity, low, high):
        text = f"{rng.uniform(low, high):.{decimals[symbol][quantity]}f}"
        return text.rstrip("0").rstrip(".") if rng.random() < 0.1 and "." in text else text

    def side(symbol, low, high, count):
        rows = {number(symbol, quantity=0, low=low, high=high) for _ in range(count)}
        return [[p, "0" if rng.random() < 0.3 else number(symbol, quantity=1, low=1, high=50)] for p in sorted(rows)]

    for symbol in symbols:
        last[symbol] = rng.randint(10**6, 10**9)
        bids, asks = side(symbol, 90, 99, 20), side(symbol, 101, 110, 20)
        frames.append(wire({"lastUpdateId": last[symbol], "E": 1, "T": 1, "bids": bids, "asks": asks}))
    for n in range(400):
        symbol, kind = rng.choice(symbols), rng.choice(kinds)
        u, at = last[symbol] + rng.randint(1, 9), {"E": 10**12 + n, "T": 10**12 + n - 1, "s": symbol}
        name = f"{symbol.lower()}@{kind}"
        if kind == "depth":
            last_id, last[symbol] = last[symbol], u
            name = f"{symbol.lower()}@depth@0ms"
            bids, asks = side(symbol, 90, 99, rng.randint(0, 5)), side(symbol, 101, 110, rng.randint(0, 5))
            body = {"e": "depthUpdate", **at, "U": last_id + 1, "u": u, "pu": last_id, "b": bids, "a": asks}
        elif kind == "bookTicker":
            price, size = {"quantity": 0, "low": 98, "high": 99}, {"quantity": 1, "low": 1, "high": 9}
            body = {"e": kind, "u": u, **at, "b": number(symbol, **price), "B": number(symbol, **size),
                    "a": number(symbol, quantity=0, low=101, high=102), "A": number(symbol, **size)}  # fmt: skip
        else:
            identity = {"a": n, "f": n, "l": n} if kind == "aggTrade" else {"t": n, "X": "MARKET"}
            body = {"e": kind, **at, **identity, "p": number(symbol, quantity=0, low=98, high=102),
                    "q": number(symbol, quantity=1, low=1, high=9), "m": rng.random() < 0.5}  # fmt: skip
        frames.append(wire(body, None if raw else name))
    return write(path, frames)


def other_book(path, symbol, rules):
    """A book by the plainest code there is: json, Decimal and dicts; yields after every depth line."""
    sides = {"b": {}, "a": {}}
    started, opened = None, gzip.open if path.suffix == ".gz" else open

    def units(price, size):
        return int(Decimal(price) * rules.prices.one), int(Decimal(size) * rules.quantities.one)

    def put(side, rows):
        for price, size in (units(*row) for row in rows):
            sides[side][price] = size
            if not size:
                del sides[side][price]

    waiting, books = [], []
    with opened(path, "rt") as lines:
        for line in lines:
            frame = json.loads(line.split(" ", 1)[1])
            body = frame.get("data", frame)
            if "lastUpdateId" in body:
                books.append(body)
            elif body["e"] == "depthUpdate" and body["s"] == symbol:
                waiting.append(body)
    first = min(books, key=lambda book: min(abs(book["lastUpdateId"] - diff["u"]) for diff in waiting))
    put("b", first["bids"])
    put("a", first["asks"])
    for diff in waiting:
        if diff["u"] <= first["lastUpdateId"]:
            continue
        started = started or diff["u"]
        put("b", diff["b"])
        put("a", diff["a"])
        yield diff["u"], sides["b"], sides["a"]


def assert_same_books(path, *, every):
    scanned = scan(path)
    compared = 0
    for symbol, rules in scanned.rules.items():
        market, others = Market(rules), other_book(path, symbol, rules)
        for number, (_, event) in enumerate(stream(scanned)):
            if event.symbol != symbol:
                continue
            market.apply(event)
            if not isinstance(event, DepthUpdate):
                continue
            last_id, bids, asks = next(others)
            # The preroll's diffs are inside the first book.
            while last_id < event.last_id:
                last_id, bids, asks = next(others)
            assert last_id == event.last_id
            if number % every == 0 and bids and asks:
                compared += 1
                assert market.book.best_bid() == max(bids.items())
                assert market.book.best_ask() == min(asks.items())
                assert list(market.book.bids()) == sorted(bids.items(), reverse=True)
                assert list(market.book.asks()) == sorted(asks.items())
                assert list(market.book.bids(3)) == sorted(bids.items(), reverse=True)[:3]
    assert compared


def test_the_book_equals_one_built_by_other_code_from_the_recorded_lines():
    if not RECORDED.is_file():
        pytest.skip(f"the recorded tape is not at {RECORDED}; set MM_TAPE to a tape")
    assert_same_books(RECORDED, every=173)


@pytest.mark.parametrize("raw", [False, True])
def test_the_book_equals_one_built_by_other_code_from_made_up_lines(tmp_path, raw):
    assert_same_books(made_tape(tmp_path / "tape.gz", raw=raw), every=1)


@pytest.mark.parametrize(
    "kinds", [("depth", "bookTicker", "trade"), ("depth", "trade"), ("depth", "bookTicker", "aggTrade"), ("depth",)]
)
@pytest.mark.parametrize("raw", [False, True])
def test_a_loaded_tape_tells_what_streaming_it_tells_again_and_again(tmp_path, kinds, raw):
    scanned = scan(made_tape(tmp_path / "tape.gz", kinds=kinds, raw=raw))
    loaded = LoadedTape.load(scanned)
    told = list(stream(scanned))
    assert list(loaded.events()) == list(loaded.events()) == told
    assert len(loaded) == len(told) > 100
    assert list(pickle.loads(pickle.dumps(loaded)).events()) == told  # noqa: S301 - made above
    whole = [type(event) for _, event in told if not isinstance(event, Touch)]
    assert whole[:2] == [Snapshot, Snapshot]
    assert any(isinstance(event, Touch) for _, event in told)
    assert any(isinstance(event, Trade) for _, event in told) == (len(kinds) > 1)
    dues = [due for due, _ in told]
    assert dues == sorted(dues)
    assert (loaded.begin_ns, loaded.end_ns) == (dues[0], dues[-1])


def test_derived_touches_are_the_books_own_best_levels_when_they_change(tmp_path):
    scanned = scan(made_tape(tmp_path / "tape.gz"))
    market, last = {symbol: Market(rules) for symbol, rules in scanned.rules.items()}, {}
    for _, event in stream(scanned, touches="derived"):
        if isinstance(event, Touch):
            shown = ((event.bid, event.bid_quantity), (event.ask, event.ask_quantity))
            assert shown == (market[event.symbol].book.best_bid(), market[event.symbol].book.best_ask())
            assert shown != last.get(event.symbol)
            last[event.symbol] = shown
        market[event.symbol].apply(event)
    assert len(last) == 2


def test_a_part_of_a_tape_begins_with_the_books_as_they_stood(tmp_path):
    loaded = LoadedTape.load(scan(made_tape(tmp_path / "tape.gz")))
    whole, part = ({symbol: Market(rules) for symbol, rules in loaded.rules.items()} for _ in range(2))
    for _, event in loaded.events(0, 300):
        whole[event.symbol].apply(event)
    events = list(loaded.events(200, 300))
    for _, event in events:
        part[event.symbol].apply(event)
    assert len(events) == 102
    for symbol in whole:
        assert list(part[symbol].book.bids()) == list(whole[symbol].book.bids())
        assert list(part[symbol].book.asks()) == list(whole[symbol].book.asks())
        assert part[symbol].book.last_update_id == whole[symbol].book.last_update_id


def test_a_number_finer_than_the_scale_is_left_out_and_counted(tmp_path):
    def diff(u, price, size="1"):
        body = {"e": "depthUpdate", "E": 1, "T": 1, "s": "AAAUSDT", "U": u, "u": u, "pu": u - 1,
                "b": [[price, size]], "a": []}  # fmt: skip
        return wire(body, "aaausdt@depth@0ms")

    # Rules come from the first 5,000 lines; what is finer comes later.
    early = [diff(n + 1, "10.00", "1.5") for n in range(5_000)]
    late = [diff(5_001, "10.01"), diff(5_002, "10.005"), diff(5_003, "10.02", "1.55"), diff(5_004, "10")]
    player = TapePlayer([scan(write(tmp_path / "tape.gz", early + late))])
    events = [event for _, event in player.play(player.scans[0], 0.0)]
    assert [event.bids for event in events[-2:]] == [[(1_001, 10)], [(1_000, 10)]]
    assert player.skipped == 2


def test_a_saved_tape_is_the_parsed_one_until_its_file_changes(tmp_path):
    path, folder = tmp_path / "tape.gz", tmp_path / "kept"
    told = list(stream(scan(made_tape(path))))
    assert list(load_saved(scan(path), folder).events()) == told
    (kept,) = folder.iterdir()
    written = kept.stat().st_mtime_ns
    assert list(load_saved(scan(path), folder).events()) == told
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(b"cut off")
    assert list(load_saved(scan(path), folder).events()) == told
    changed = list(stream(scan(made_tape(path, seed=2))))
    assert list(load_saved(scan(path), folder).events()) == changed != told


def test_a_folder_that_cannot_be_written_does_not_matter(tmp_path):
    scanned = scan(made_tape(tmp_path / "tape.gz"))
    (tmp_path / "file").write_text("")
    assert len(load_saved(scanned, tmp_path / "file" / "below")) > 100


def test_a_recording_that_was_cut_off_is_played_as_far_as_it_goes(tmp_path):
    path = made_tape(tmp_path / "tape.gz")
    whole = path.read_bytes()
    told = list(stream(scan(path)))
    path.write_bytes(whole[: len(whole) * 2 // 3])
    part = list(stream(scan(path)))
    assert 50 < len(part) < len(told)
    assert [type(event) for _, event in part] == [type(event) for _, event in told[: len(part)]]


def test_a_tape_may_be_several_gzip_members(tmp_path):
    path = made_tape(tmp_path / "tape.gz")
    told = list(stream(scan(path)))
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text[:5_000]) + gzip.compress(text[5_000:]))
    assert list(stream(scan(path))) == told


def test_a_damaged_or_misnamed_file_is_refused_by_name(tmp_path):
    path = tmp_path / "plain.gz"
    path.write_text("1 {}\n")
    with pytest.raises(OSError, match=r"plain\.gz"):
        scan(path)
