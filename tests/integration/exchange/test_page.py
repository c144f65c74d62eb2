"""The live page: what it is told, and that nothing that a client sends can become markup or code."""

import base64
import hashlib
import re

import pytest

HOSTILE = "<img src=x onerror=alert(1)>"


async def page(trader, symbol="QUIETUSDT"):
    status, body = await trader.admin("GET", f"/admin/page?symbol={symbol}")
    assert status == 200
    return body


async def test_orders_fills_positions_and_faults_are_shown(trader, faults):
    await trader.limit("BUY", "99.00", newClientOrderId="far")
    await trader.limit("BUY", "99.50", newClientOrderId="near")
    await trader.market("BUY", "2")
    await faults("delay", "rest", count=3, params={"path": "/none"})
    shown = await page(trader)
    market = shown["market"]
    assert market["symbol"] == "QUIETUSDT"
    assert [row["clientOrderId"] for row in market["orders"]["rows"] if row["apiKey"] == trader.key] == ["near", "far"]
    assert float(market["bids"][0][0]) < float(market["asks"][0][0])
    fill = market["fills"][0]
    assert (fill["side"], fill["lastQuantity"], fill["maker"]) == ("BUY", "2.00", False)
    assert [entry["kind"] for entry in market["events"][:2]] == ["fault", "order"]
    (position,) = [row for row in shown["positions"]["rows"] if row["apiKey"] == trader.key]
    assert position["position"] == "2.00"
    assert [(fault["kind"], fault["state"]) for fault in shown["faults"]] == [("delay", "active")]
    await trader.market("SELL", "2")


async def test_a_symbol_that_is_not_listed_shows_the_first_one(trader):
    assert (await page(trader, "NOUSDT"))["market"]["symbol"] == "ETHUSDT"


async def test_many_orders_are_counted_and_cut(trader):
    for number in range(205):
        await trader.limit("BUY", f"{90 + number // 100}.{number % 100:02}", "0.3")
    orders = (await page(trader))["market"]["orders"]
    assert (len(orders["rows"]), orders["total"] >= 200) == (200, True)


async def test_the_page_needs_nothing_else_and_runs_no_other_script(trader):
    async with trader.session.get(trader.exchange.admin) as reply:
        assert reply.content_type == "text/html"
        html, policy = await reply.text(), reply.headers["Content-Security-Policy"]
    assert not re.search(r"(src|href)=.?(https?:)?//", html)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    # Whatever is shown is set as text.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)


async def test_hostile_texts_arrive_as_what_they_are(trader, faults):
    await faults("delay", "rest", params={"path": HOSTILE})
    await trader.limit("BUY", "1.00", newClientOrderId=HOSTILE)
    async with trader.session.get(f"{trader.exchange.admin}/admin/page?symbol=QUIETUSDT") as reply:
        assert reply.content_type == "application/json"
        body = await reply.json()
    assert body["faults"][0]["params"]["path"] == HOSTILE
    assert HOSTILE in {row.get("clientOrderId") for row in body["market"]["events"]}


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("null", 403), (None, 200)])
async def test_other_peoples_pages_may_not_call(trader, origin, status):
    headers = {} if origin is None else {"Origin": origin}
    async with trader.session.delete(f"{trader.exchange.admin}/admin/faults", headers=headers) as reply:
        assert reply.status == status


async def test_the_pages_own_calls_are_let_through(trader):
    headers = {"Origin": trader.exchange.admin}
    async with trader.session.delete(f"{trader.exchange.admin}/admin/faults", headers=headers) as reply:
        assert reply.status == 200
