"""Every reply and event has the fields that the official SDK declares, of the declared types, and no surprises.

Checked on the raw JSON, because a library may convert or forgive. `fields.txt` holds the declarations; what the venue's
documents show beyond them is listed in `BEYOND`, so that a new field is a decision and not an accident.
"""

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
import websockets

ROWS = dict(
    line.split(" | ")
    for line in (Path(__file__).parent / "fields.txt").read_text().splitlines()
    if not line.startswith("#")
)
ORDER = {"avgPrice", "cumQuote"}
BEYOND = {
    "GET /fapi/v1/exchangeInfo": {"futuresType", "maxMoveOrderLimit"},
    "GET /fapi/v1/ticker/bookTicker": {"lastUpdateId"},
    "POST /fapi/v1/order": ORDER,
    "PUT /fapi/v1/order": ORDER,
    "DELETE /fapi/v1/order": ORDER,
    "POST /fapi/v1/batchOrders item": ORDER,
    "DELETE /fapi/v1/batchOrders item": ORDER,
    "GET /fapi/v1/orderAmendment item": {"priceMatch"},
    "user ACCOUNT_UPDATE": {"ma"},
    "ws-api order.place": ORDER,
    "ws-api order.cancel": ORDER,
}
TYPES = {"s": str, "i": int, "b": bool, "n": (int, float)}
TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z]+)(?P<optional>\?)?(?P<kind>:[sibn]|\[|\{)|(?P<end>[\]}]))")


def parse(text):
    """The declared shape: {name: (optional, type letter | list | dict)}."""

    def fields(at):
        found = {}
        while match := TOKEN.match(text, at):
            at = match.end()
            if match["end"]:
                return found, at
            shape, at = (match["kind"][1:], at) if match["kind"].startswith(":") else inside(match["kind"], at)
            found[match["name"]] = (bool(match["optional"]), shape)
        return found, at

    def inside(opening, at):
        if opening == "{":
            return fields(at)
        if text[at] in "{[":
            shape, at = inside(text[at], at + 1)
        else:
            shape, at = text[at], at + 1
        assert text[at] == "]", text[at - 20 : at + 5]
        return [shape], at + 1

    return fields(0)[0]


def mismatches(value, shape, *, beyond, path=""):
    """Everything in which a value differs from its declaration."""
    if isinstance(shape, str):
        good = isinstance(value, TYPES[shape]) and (shape == "b" or not isinstance(value, bool))
        return [] if good else [f"{path}: {value!r} is not of type {shape}"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [one for item in value for one in mismatches(item, shape[0], beyond=beyond, path=f"{path}[]")]
    if not isinstance(value, dict):
        return [f"{path}: no object"]
    found = [f"{path}.{name} is missing" for name, (optional, _) in shape.items() if not optional and name not in value]
    found += [f"{path}.{name} is not declared" for name in value if name not in shape and name not in beyond]
    for name, (_, inner) in shape.items():
        if name in value:
            found += mismatches(value[name], inner, beyond=beyond, path=f"{path}.{name}")
    return found


def check(row, value):
    item = row.endswith(" item")
    assert not item or value, f"{row}: an empty list shows nothing"
    shape = parse(ROWS[row])
    assert mismatches(value, [shape] if item else shape, beyond=BEYOND.get(row, set())) == []


def test_the_checker_finds_what_is_wrong():
    shape = parse("a:s b?:i c{d:b} e[[s]] f[{g:n}]")
    good = {"a": "x", "c": {"d": True}, "e": [["1", "2"]], "f": [{"g": 1.5}]}
    assert mismatches(good, shape, beyond=set()) == []
    wrong = {"a": 1, "b": True, "c": {}, "e": [[1]], "f": [{"g": "1"}], "h": 0}
    assert len(mismatches(wrong, shape, beyond=set())) == 6


SYMBOL = {"symbol": "QUIETUSDT"}
TRADED = {"symbol": "ETHUSDT"}
PUBLIC = {
    "GET /fapi/v1/exchangeInfo": {},
    "GET /fapi/v1/depth": TRADED,
    "GET /fapi/v1/premiumIndex": TRADED,
    "GET /fapi/v1/aggTrades item": TRADED,
    "GET /fapi/v1/trades item": TRADED,
    "GET /fapi/v1/historicalTrades item": TRADED,
    "GET /fapi/v1/ticker/bookTicker": TRADED,
    "GET /fapi/v2/ticker/price": TRADED,
    "GET /fapi/v1/ticker/24hr": TRADED,
    "GET /fapi/v1/fundingInfo item": {},
    "GET /fapi/v1/openInterest": TRADED,
}
ACCOUNT = {
    "POST /fapi/v1/leverage": SYMBOL | {"leverage": 8},
    "GET /fapi/v3/positionRisk item": SYMBOL,
    "GET /fapi/v2/positionRisk item": SYMBOL,
    "GET /fapi/v3/account": {},
    "GET /fapi/v2/balance item": {},
    "GET /fapi/v3/balance item": {},
    "GET /fapi/v1/userTrades item": SYMBOL,
    "GET /fapi/v1/income item": SYMBOL,
    "GET /fapi/v1/allOrders item": SYMBOL,
    "GET /fapi/v1/leverageBracket item": SYMBOL,
    "GET /fapi/v1/commissionRate": SYMBOL,
    "GET /fapi/v1/accountConfig": {},
    "GET /fapi/v1/symbolConfig item": SYMBOL,
    "GET /fapi/v1/rateLimit/order item": {},
    "GET /fapi/v1/positionSide/dual": {},
    "GET /fapi/v1/multiAssetsMargin": {},
    "POST /fapi/v1/countdownCancelAll": SYMBOL | {"countdownTime": 60000},
    "DELETE /fapi/v1/allOpenOrders": SYMBOL,
}
LIMIT = SYMBOL | {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "2", "price": "98"}


async def ask(trader, row, **params):
    method, path = row.split()[:2]
    return await trader.call(method, path, **params)


async def eventually(trader, row, params):
    """ETHUSDT trades by itself, but not at once after the start."""
    for _ in range(100):
        reply = await ask(trader, row, **params)
        if reply:
            return reply
        await asyncio.sleep(0.05)
    return reply


@pytest.mark.parametrize("row", PUBLIC)
async def test_public_replies(trader, row):
    check(row, await eventually(trader, row, PUBLIC[row]))


async def test_replies_about_an_account_with_a_position_and_a_history(trader):
    await ask(trader, "POST /fapi/v1/leverage", **SYMBOL, leverage=6)
    check("POST /fapi/v1/marginType", await ask(trader, "POST /fapi/v1/marginType", **SYMBOL, marginType="ISOLATED"))
    await trader.market("BUY", "2")
    await trader.market("SELL", "1")
    for row, params in ACCOUNT.items():
        check(row, await ask(trader, row, **params))
    check("POST /fapi/v1/listenKey", (await trader.send("POST", "/fapi/v1/listenKey"))[1])


@pytest.mark.parametrize("response", ["ACK", "RESULT"])
async def test_replies_about_orders(trader, response):
    check("POST /fapi/v1/order/test", await ask(trader, "POST /fapi/v1/order/test", **LIMIT))
    assert await ask(trader, "GET /fapi/v1/openOrders", **SYMBOL) == []
    placed = await ask(trader, "POST /fapi/v1/order", **LIMIT, newOrderRespType=response)
    check("POST /fapi/v1/order", placed)
    name = SYMBOL | {"orderId": placed["orderId"]}
    check("PUT /fapi/v1/order", await ask(trader, "PUT /fapi/v1/order", **name, side="BUY", quantity="1", price="97"))
    for row in ("GET /fapi/v1/order", "GET /fapi/v1/openOrder"):
        check(row, await ask(trader, row, **name))
    for row in ("GET /fapi/v1/openOrders item", "GET /fapi/v1/orderAmendment item"):
        check(row, await ask(trader, row, **SYMBOL))
    check("DELETE /fapi/v1/order", await ask(trader, "DELETE /fapi/v1/order", **name))
    batch = json.dumps([LIMIT, LIMIT])
    made = await ask(trader, "POST /fapi/v1/batchOrders", batchOrders=batch)
    check("POST /fapi/v1/batchOrders item", made)
    ids = json.dumps([row["orderId"] for row in made])
    gone = await ask(trader, "DELETE /fapi/v1/batchOrders", **SYMBOL, orderIdList=ids)
    check("DELETE /fapi/v1/batchOrders item", gone)


@pytest.mark.parametrize("row", [row for row in ROWS if row.startswith("stream ")])
async def test_market_streams(trader, receive, row):
    kind = row.removeprefix("stream ")
    route = "public" if kind.startswith(("@depth", "@bookTicker")) else "market"
    async with websockets.connect(f"{trader.exchange.ws}/{route}/ws/ethusdt{kind}") as socket:
        check(row, await receive(socket, seconds=10))


async def test_user_events(open_account, receive):
    poor = await open_account(balances={"USDT": "100"})
    events = "ORDER_TRADE_UPDATE/ACCOUNT_UPDATE/TRADE_LITE/ACCOUNT_CONFIG_UPDATE/MARGIN_CALL/listenKeyExpired"
    async with await poor.user_stream(events) as socket:
        await poor.call("POST", "/fapi/v1/leverage", symbol="QUIETUSDT", leverage=9)
        await poor.market("BUY", "1")
        # Deep under water, with just enough left not to be liquidated.
        under_water = {"apiKey": poor.key, "symbol": "QUIETUSDT", "quantity": "9", "price": "109.80"}
        await poor.admin("POST", "/admin/positions", under_water)
        seen = {}
        while "MARGIN_CALL" not in seen:
            event = await receive(socket)
            seen[event.pop("e")] = event
        expiry = {"kind": "listen-key-expired", "target": "user-stream", "params": {"apiKey": poor.key}}
        await poor.admin("POST", "/admin/faults", expiry)
        event = await receive(socket, lambda frame: frame["e"] == "listenKeyExpired")
        seen[event.pop("e")] = event
        await poor.admin("DELETE", "/admin/faults")
        await poor.admin("POST", "/admin/positions", under_water | {"quantity": "-10", "price": "100"})
    assert {f"user {name}" for name in seen} == {row for row in ROWS if row.startswith("user ")}
    for name, event in seen.items():
        check(f"user {name}", event)


async def test_ws_api_replies(trader, receive):
    async with websockets.connect(trader.exchange.wsApi) as socket:

        async def request(method, **params):
            params |= {"apiKey": trader.key, "timestamp": int(time.time() * 1000)}
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
            frame = {"id": "x", "method": method, "params": params | {"signature": trader.sign(payload)}}
            await socket.send(json.dumps(frame))
            return await receive(socket)

        placed = await request("order.place", **LIMIT)
        check("ws-api order.place", placed)
        check("ws-api order.cancel", await request("order.cancel", **SYMBOL, orderId=placed["result"]["orderId"]))


def test_no_row_is_left_out():
    orders = {row for row in ROWS if re.match(r"(POST|PUT|DELETE|GET) /fapi/v1/(order|openOrder|batchOrders)", row)}
    settings = {"POST /fapi/v1/marginType", "POST /fapi/v1/listenKey"}
    rest = {row for row in ROWS if row.split()[0].isupper() and row.startswith(("GET", "POST", "PUT", "DELETE"))}
    assert rest == set(PUBLIC) | set(ACCOUNT) | orders | settings
