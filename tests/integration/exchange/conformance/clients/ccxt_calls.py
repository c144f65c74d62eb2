"""Every call of ccxt that a futures bot makes, REST and sockets, against the served exchange."""

import asyncio

from ccxt.pro.binanceusdm import binanceusdm
from recording import Admin, Report, world

ETH, QUIET = "ETH/USDT:USDT", "QUIET/USDT:USDT"


def client(where):
    ex = binanceusdm({"apiKey": where["apiKey"], "secret": where["apiSecret"], "enableRateLimit": False})
    rest, ws = where["rest"], where["ws"]
    for name, version in (
        ("fapiPublic", 1),
        ("fapiPrivate", 1),
        ("fapiPublicV2", 2),
        ("fapiPrivateV2", 2),
        ("fapiPublicV3", 3),
        ("fapiPrivateV3", 3),
    ):
        ex.urls["api"][name] = f"{rest}/fapi/v{version}"
    ex.urls["api"]["fapiData"] = f"{rest}/futures/data"
    ex.urls["api"]["ws"]["linear"] = f"{ws}/ws"
    ex.urls["api"]["ws"]["future"] = f"{ws}/ws"
    ex.urls["api"]["ws"]["ws-api"]["linear"] = where["wsApi"]
    ex.urls["api"]["ws"]["ws-api"]["future"] = where["wsApi"]
    ex.options["fetchCurrencies"] = False
    # ccxt chooses its table of futures errors by the venue's host name.
    ex.exceptions["exact"] = ex.exceptions["exact"] | ex.exceptions["linear"]["exact"]
    return ex


async def public(report, ex):
    await report.wait("load_markets", ex.load_markets())
    await report.wait("fetch_time", ex.fetch_time())
    await report.wait("fetch_order_book", ex.fetch_order_book(ETH, 100))
    await report.wait("fetch_trades", ex.fetch_trades(ETH, limit=20))
    await report.wait("fetch_trades_since", ex.fetch_trades(ETH, since=ex.milliseconds() - 600_000, limit=20))
    await report.wait("fetch_ticker", ex.fetch_ticker(ETH))
    await report.wait("fetch_tickers", ex.fetch_tickers())
    await report.wait("fetch_last_prices", ex.fetch_last_prices())
    await report.wait("fetch_bids_asks", ex.fetch_bids_asks())
    await report.wait("fetch_ohlcv", ex.fetch_ohlcv(ETH, "1m", limit=5))
    await report.wait("fetch_ohlcv_mark", ex.fetch_ohlcv(ETH, "1m", limit=5, params={"price": "mark"}))
    await report.wait("fetch_ohlcv_index", ex.fetch_ohlcv(ETH, "1m", limit=5, params={"price": "index"}))
    await report.wait("fetch_mark_price", ex.fetch_mark_price(ETH))
    await report.wait("fetch_funding_rate", ex.fetch_funding_rate(ETH))
    await report.wait("fetch_funding_rates", ex.fetch_funding_rates())
    await report.wait("fetch_funding_intervals", ex.fetch_funding_intervals())
    await report.wait("fetch_funding_rate_history", ex.fetch_funding_rate_history(ETH, limit=3))
    await report.wait("fetch_open_interest", ex.fetch_open_interest(ETH))


async def settings(report, ex):
    await report.wait("set_leverage", ex.set_leverage(7, QUIET))
    await report.wait("set_margin_mode", ex.set_margin_mode("isolated", QUIET))
    await report.wait("set_margin_mode_again", ex.set_margin_mode("isolated", QUIET))
    await report.wait("set_margin_mode_back", ex.set_margin_mode("cross", QUIET))
    await report.wait("fetch_position_mode", ex.fetch_position_mode(QUIET))
    await report.wait("set_position_mode_same", ex.set_position_mode(False, QUIET))
    await report.wait("fetch_leverages", ex.fetch_leverages())
    await report.wait("fetch_leverage_tiers", ex.fetch_leverage_tiers())
    await report.wait("fetch_margin_modes", ex.fetch_margin_modes())
    await report.wait("fetch_trading_fee", ex.fetch_trading_fee(QUIET))
    await report.wait("fetch_trading_fees", ex.fetch_trading_fees())


async def orders(report, ex):
    placed = await report.wait("create_order", ex.create_order(QUIET, "limit", "buy", 2, 98.0, {"postOnly": True}))
    number = placed["id"] if placed else "1"
    await report.wait("edit_order", ex.edit_order(number, QUIET, "limit", "buy", 3, 97.5))
    await report.wait("fetch_order", ex.fetch_order(number, QUIET))
    await report.wait("fetch_open_order", ex.fetch_open_order(number, QUIET))
    await report.wait("fetch_open_orders", ex.fetch_open_orders(QUIET))
    await report.wait("cancel_order", ex.cancel_order(number, QUIET))
    await report.wait("cancel_order_again", ex.cancel_order(number, QUIET))
    await report.wait("fetch_order_unknown", ex.fetch_order("1", QUIET))
    await report.wait("create_order_crossing", ex.create_order(QUIET, "limit", "buy", 1, 101.0, {"postOnly": True}))
    await report.wait("create_order_too_big", ex.create_order(QUIET, "limit", "buy", 9000, 98.0))
    await report.wait(
        "create_order_reduce_flat", ex.create_order(QUIET, "market", "sell", 1, None, {"reduceOnly": True})
    )
    batch = [{"symbol": QUIET, "type": "limit", "side": "buy", "amount": 1, "price": price} for price in (97.0, 96.9)]
    made = await report.wait("create_orders", ex.create_orders(batch))
    await report.wait(
        "edit_orders",
        ex.edit_orders(
            [
                {"id": row["id"], "symbol": QUIET, "type": "limit", "side": "buy", "amount": 2, "price": 96.5}
                for row in made or []
            ]
        ),
    )
    await report.wait("cancel_orders", ex.cancel_orders([row["id"] for row in made or []], QUIET))
    await report.wait("create_limit", ex.create_order(QUIET, "limit", "sell", 1, 103.0))
    countdown = {"symbol": "QUIETUSDT", "countdownTime": 60_000}
    await report.wait("countdown", ex.fapiPrivatePostCountdownCancelAll(countdown))
    await report.wait("countdown_disarm", ex.fapiPrivatePostCountdownCancelAll(countdown | {"countdownTime": 0}))
    await report.wait("cancel_all_orders", ex.cancel_all_orders(QUIET))
    await report.wait("create_market", ex.create_order(QUIET, "market", "buy", 2))
    await report.wait("fetch_positions", ex.fetch_positions([QUIET]))
    await report.wait("fetch_positions_risk", ex.fetch_positions_risk([QUIET]))
    await report.wait("close_reduce_only", ex.create_order(QUIET, "market", "sell", 2, None, {"reduceOnly": True}))
    await report.wait("fetch_orders", ex.fetch_orders(QUIET))
    await report.wait("fetch_closed_orders", ex.fetch_closed_orders(QUIET))
    await report.wait("fetch_canceled_orders", ex.fetch_canceled_orders(QUIET))
    await report.wait("fetch_my_trades", ex.fetch_my_trades(QUIET))
    await report.wait("fetch_balance", ex.fetch_balance())
    await report.wait("fetch_ledger", ex.fetch_ledger("USDT"))
    await report.wait("fetch_funding_history", ex.fetch_funding_history(QUIET))
    await report.wait("fetch_my_liquidations", ex.fetch_my_liquidations(QUIET))
    await report.wait("listen_key", ex.fapiPrivatePostListenKey())
    await report.wait("listen_key_keep", ex.fapiPrivatePutListenKey())


async def conditional(report, ex):
    stop = {"stopPrice": 90.0}
    placed = await report.wait("create_stop_market", ex.create_order(QUIET, "STOP_MARKET", "sell", 1, None, stop))
    by_id = {"trigger": True}
    number = placed["id"] if placed else "1"
    await report.wait(
        "create_take_profit", ex.create_order(QUIET, "TAKE_PROFIT", "sell", 1, 110.0, {"stopPrice": 109.0})
    )
    trailing = {"callbackRate": 1.0}
    await report.wait("create_trailing", ex.create_order(QUIET, "TRAILING_STOP_MARKET", "sell", 1, None, trailing))
    await report.wait("fetch_open_conditional", ex.fetch_open_orders(QUIET, params=by_id))
    await report.wait("fetch_conditional", ex.fetch_order(number, QUIET, by_id))
    await report.wait("cancel_conditional", ex.cancel_order(number, QUIET, by_id))
    await report.wait("cancel_all_conditional", ex.cancel_all_orders(QUIET, by_id))
    await report.wait(
        "create_stop_at_once", ex.create_order(QUIET, "STOP_MARKET", "sell", 1, None, {"stopPrice": 120.0})
    )


async def margin(report, ex):
    await report.wait("set_margin_mode_isolated", ex.set_margin_mode("isolated", QUIET))
    await report.wait("open_isolated", ex.create_order(QUIET, "market", "buy", 1))
    await report.wait("add_margin", ex.add_margin(QUIET, 5.0))
    await report.wait("reduce_margin", ex.reduce_margin(QUIET, 2.0))
    await report.wait("fetch_margin_adjustment_history", ex.fetch_margin_adjustment_history(QUIET))
    await report.wait("close_isolated", ex.create_order(QUIET, "market", "sell", 1, None, {"reduceOnly": True}))
    await report.wait("set_margin_mode_cross", ex.set_margin_mode("cross", QUIET))


async def hedge(report, ex):
    await report.wait("set_position_mode_hedge", ex.set_position_mode(True, QUIET))
    for side, position in (("buy", "LONG"), ("sell", "SHORT")):
        name = f"open_{position.lower()}"
        await report.wait(name, ex.create_order(QUIET, "market", side, 1, None, {"positionSide": position}))
    await report.wait("fetch_positions_hedge", ex.fetch_positions([QUIET]))
    await report.wait("set_position_mode_with_positions", ex.set_position_mode(False, QUIET))
    for side, position in (("sell", "LONG"), ("buy", "SHORT")):
        name = f"close_{position.lower()}"
        await report.wait(name, ex.create_order(QUIET, "market", side, 1, None, {"positionSide": position}))
    await report.wait("set_position_mode_one_way", ex.set_position_mode(False, QUIET))


async def streams(report, ex):
    await report.wait("watch_order_book", ex.watch_order_book(ETH))
    await report.wait("watch_order_book_10", ex.watch_order_book(ETH, 10))
    await report.wait("watch_trades", ex.watch_trades(ETH))
    await report.wait("watch_agg_trades", ex.watch_trades(ETH, params={"name": "aggTrade"}))
    await report.wait("watch_ticker", ex.watch_ticker(ETH))
    await report.wait("watch_tickers", ex.watch_tickers([ETH]))
    await report.wait("watch_bids_asks", ex.watch_bids_asks([ETH]))
    await report.wait("watch_mark_price", ex.watch_mark_price(ETH))
    await report.wait("watch_mark_prices", ex.watch_mark_prices([ETH]))
    await report.wait("watch_ohlcv", ex.watch_ohlcv(ETH, "1m"))
    await report.wait("watch_liquidations_idle", quiet(ex.watch_liquidations(ETH)))
    await report.wait("un_watch_trades", ex.un_watch_trades(ETH))
    await report.wait("un_watch_ticker", ex.un_watch_ticker(ETH))
    await report.wait("un_watch_ohlcv", ex.un_watch_ohlcv(ETH, "1m"))


async def quiet(awaitable):
    """A stream of rare events: subscribed, and silent."""
    try:
        async with asyncio.timeout(1):
            return await awaitable
    except TimeoutError:
        return "silent"


def awaited(ex):
    """What calls wait for on the user stream, once it is connected: `future:balance` is `balance`."""
    return {
        key.rpartition(":")[2]
        for url, socket in ex.clients.items()
        if "listenKey" in url and socket.connection
        for key in socket.futures
    }


async def user(report, ex, admin):
    names = ("orders", "myTrades", "positions", "balance")
    calls = (ex.watch_orders, ex.watch_my_trades, ex.watch_positions, ex.watch_balance)
    waits = [asyncio.create_task(report.wait(call.__name__, call())) for call in calls]
    # Until the user stream stands and a call waits for it, an event would be missed; ccxt says so only by its socket and what is awaited there.
    for _ in range(300):
        if all(wait.done() or name in awaited(ex) for name, wait in zip(names, waits, strict=True)):
            break
        await asyncio.sleep(0.1)
    await report.wait("create_watched", ex.create_order(QUIET, "limit", "buy", 1, 98.0, {"clientOrderId": "watched"}))
    await asyncio.to_thread(admin.post, "/admin/trade", symbol="QUIETUSDT", side="SELL", quantity="1")
    await asyncio.gather(*waits)
    await report.wait("close_watched", ex.create_order(QUIET, "market", "sell", 1, None, {"reduceOnly": True}))


async def ws_api(report, ex):
    placed = await report.wait("create_order_ws", ex.create_order_ws(QUIET, "limit", "buy", 1, 97.0))
    number = placed["id"] if placed else "1"
    await report.wait("edit_order_ws", ex.edit_order_ws(number, QUIET, "limit", "buy", 2, 96.0))
    await report.wait("fetch_order_ws", ex.fetch_order_ws(number, QUIET))
    await report.wait("cancel_order_ws", ex.cancel_order_ws(number, QUIET))
    await report.wait("cancel_order_ws_again", ex.cancel_order_ws(number, QUIET))
    await report.wait("fetch_order_book_ws", ex.fetch_order_book_ws(QUIET, 20))
    stop = {"stopPrice": 90.0}
    stopped = await report.wait("create_stop_ws", ex.create_order_ws(QUIET, "STOP_MARKET", "sell", 1, None, stop))
    trigger = {"trigger": True}
    await report.wait("cancel_stop_ws", ex.cancel_order_ws(stopped["id"] if stopped else "1", QUIET, trigger))
    await report.wait("fetch_balance_ws", ex.fetch_balance_ws())
    await report.wait("fetch_positions_ws", ex.fetch_positions_ws())


async def main():
    where = world()
    report, ex, admin = Report(), client(where), Admin(where["admin"])
    try:
        await public(report, ex)
        await settings(report, ex)
        await orders(report, ex)
        await conditional(report, ex)
        await margin(report, ex)
        await hedge(report, ex)
        await streams(report, ex)
        await user(report, ex, admin)
        await ws_api(report, ex)
    finally:
        await ex.close()
    report.write()


if __name__ == "__main__":
    asyncio.run(main())
