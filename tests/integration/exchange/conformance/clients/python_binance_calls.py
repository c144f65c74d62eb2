"""Every futures call and socket of python-binance against the served exchange."""

import asyncio

from binance import AsyncClient, BinanceSocketManager
from binance.ws.depthcache import FuturesDepthCacheManager
from recording import Admin, Report, world

ETH, QUIET = "ETHUSDT", "QUIETUSDT"


def client(where, **options):
    AsyncClient.FUTURES_URL = where["rest"] + "/fapi"
    AsyncClient.FUTURES_DATA_URL = where["rest"] + "/futures/data"
    AsyncClient.WS_FUTURES_URL = where["wsApi"]
    BinanceSocketManager.FSTREAM_URL = where["ws"] + "/"
    # `create()` would ask the spot exchange first.
    return AsyncClient(where["apiKey"], where["apiSecret"], **options)


async def public(report, it):
    await report.wait("futures_ping", it.futures_ping())
    await report.wait("futures_time", it.futures_time())
    await report.wait("futures_exchange_info", it.futures_exchange_info())
    await report.wait("futures_order_book", it.futures_order_book(symbol=ETH, limit=100))
    await report.wait("futures_recent_trades", it.futures_recent_trades(symbol=ETH, limit=20))
    await report.wait("futures_historical_trades", it.futures_historical_trades(symbol=ETH, limit=20))
    await report.wait("futures_aggregate_trades", it.futures_aggregate_trades(symbol=ETH, limit=20))
    await report.wait("futures_klines", it.futures_klines(symbol=ETH, interval="1m", limit=5))
    await report.wait("futures_mark_price_klines", it.futures_mark_price_klines(symbol=ETH, interval="1m", limit=5))
    await report.wait("futures_index_price_klines", it.futures_index_price_klines(pair=ETH, interval="1m", limit=5))
    await report.wait(
        "futures_premium_index_klines", it.futures_premium_index_klines(symbol=ETH, interval="1m", limit=5)
    )
    await report.wait(
        "futures_continuous_klines",
        it.futures_continuous_klines(pair=ETH, contractType="PERPETUAL", interval="1m", limit=5),
    )
    await report.wait("futures_mark_price", it.futures_mark_price(symbol=ETH))
    await report.wait("futures_mark_price_all", it.futures_mark_price())
    await report.wait("futures_funding_rate", it.futures_funding_rate(symbol=ETH, limit=3))
    await report.wait("futures_v1_get_funding_info", it.futures_v1_get_funding_info())
    await report.wait("futures_ticker", it.futures_ticker(symbol=ETH))
    await report.wait("futures_ticker_all", it.futures_ticker())
    await report.wait("futures_symbol_ticker", it.futures_symbol_ticker(symbol=ETH))
    await report.wait("futures_orderbook_ticker", it.futures_orderbook_ticker(symbol=ETH))
    await report.wait("futures_orderbook_ticker_all", it.futures_orderbook_ticker())
    await report.wait("futures_open_interest", it.futures_open_interest(symbol=ETH))


async def settings(report, it):
    await report.wait("futures_change_leverage", it.futures_change_leverage(symbol=QUIET, leverage=7))
    await report.wait("futures_change_margin_type", it.futures_change_margin_type(symbol=QUIET, marginType="ISOLATED"))
    await report.wait(
        "futures_change_margin_type_again", it.futures_change_margin_type(symbol=QUIET, marginType="ISOLATED")
    )
    await report.wait(
        "futures_change_margin_type_back", it.futures_change_margin_type(symbol=QUIET, marginType="CROSSED")
    )
    await report.wait("futures_get_position_mode", it.futures_get_position_mode())
    await report.wait("futures_change_position_mode_same", it.futures_change_position_mode(dualSidePosition="false"))
    await report.wait("futures_get_multi_assets_mode", it.futures_get_multi_assets_mode())
    await report.wait("futures_leverage_bracket", it.futures_leverage_bracket(symbol=QUIET))
    await report.wait("futures_commission_rate", it.futures_commission_rate(symbol=QUIET))
    await report.wait("futures_account_config", it.futures_account_config())
    await report.wait("futures_symbol_config", it.futures_symbol_config(symbol=QUIET))
    await report.wait("futures_v1_get_rate_limit_order", it.futures_v1_get_rate_limit_order())
    await report.wait("futures_api_trading_status", it.futures_api_trading_status())


async def orders(report, it):
    limit = {"symbol": QUIET, "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "2"}
    await report.wait("futures_create_test_order", it.futures_create_test_order(price="98", **limit))
    placed = await report.wait("futures_create_order", it.futures_create_order(price="98", **limit)) or {}
    name = {"symbol": QUIET, "orderId": placed.get("orderId", 1)}
    await report.wait("futures_modify_order", it.futures_modify_order(**name, side="BUY", quantity="3", price="97.5"))
    await report.wait("futures_v1_get_order_amendment", it.futures_v1_get_order_amendment(**name))
    await report.wait("futures_get_order", it.futures_get_order(**name))
    await report.wait("futures_v1_get_open_order", it.futures_v1_get_open_order(**name))
    await report.wait("futures_get_open_orders", it.futures_get_open_orders(symbol=QUIET))
    await report.wait("futures_cancel_order", it.futures_cancel_order(**name))
    await report.wait("futures_cancel_order_again", it.futures_cancel_order(**name))
    await report.wait("futures_v1_get_open_order_gone", it.futures_v1_get_open_order(**name))
    await report.wait("futures_create_order_crossing", it.futures_create_order(price="101", **limit))
    batch = [limit | {"price": price} for price in ("97", "101")]
    made = await report.wait("futures_place_batch_order", it.futures_place_batch_order(batchOrders=batch)) or []
    await report.wait(
        "futures_cancel_orders",
        it.futures_cancel_orders(symbol=QUIET, orderidlist=[row["orderId"] for row in made if "orderId" in row]),
    )
    await report.wait(
        "futures_countdown_cancel_all", it.futures_countdown_cancel_all(symbol=QUIET, countdownTime=60000)
    )
    await report.wait("futures_countdown_disarm", it.futures_countdown_cancel_all(symbol=QUIET, countdownTime=0))
    await report.wait(
        "futures_limit_sell_order",
        it.futures_limit_sell_order(symbol=QUIET, quantity="1", price="103", timeInForce="GTC"),
    )
    await report.wait("futures_cancel_all_open_orders", it.futures_cancel_all_open_orders(symbol=QUIET))
    await report.wait(
        "futures_create_market",
        it.futures_create_order(symbol=QUIET, side="BUY", type="MARKET", quantity="2", newOrderRespType="RESULT"),
    )
    await report.wait("futures_position_information", it.futures_position_information(symbol=QUIET))
    await report.wait("futures_adl_quantile_estimate", it.futures_adl_quantile_estimate(symbol=QUIET))
    await report.wait(
        "close_reduce_only",
        it.futures_create_order(
            symbol=QUIET, side="SELL", type="MARKET", quantity="2", reduceOnly="true", newOrderRespType="RESULT"
        ),
    )


async def conditional(report, it):
    stop = {"symbol": QUIET, "side": "SELL", "type": "STOP_MARKET", "quantity": "1", "triggerPrice": "90"}
    placed = await report.wait("futures_create_algo_order", it.futures_create_algo_order(**stop)) or {}
    name = {"algoId": placed.get("algoId", 1)}
    # The library sends conditional types of an ordinary order there as well.
    await report.wait(
        "futures_create_order_stop",
        it.futures_create_order(symbol=QUIET, side="SELL", type="TAKE_PROFIT_MARKET", quantity="1", stopPrice="110"),
    )
    await report.wait("futures_get_algo_order", it.futures_get_algo_order(**name))
    await report.wait("futures_get_open_algo_orders", it.futures_get_open_algo_orders(symbol=QUIET))
    await report.wait("futures_cancel_algo_order", it.futures_cancel_algo_order(symbol=QUIET, **name))
    await report.wait("futures_cancel_all_algo_open_orders", it.futures_cancel_all_algo_open_orders(symbol=QUIET))
    await report.wait("futures_get_all_algo_orders", it.futures_get_all_algo_orders(symbol=QUIET))


async def margin_and_modes(report, it):
    await it.futures_change_margin_type(symbol=QUIET, marginType="ISOLATED")
    await it.futures_create_order(symbol=QUIET, side="BUY", type="MARKET", quantity="1")
    await report.wait(
        "futures_change_position_margin", it.futures_change_position_margin(symbol=QUIET, amount="5", type=1)
    )
    await report.wait("futures_position_margin_history", it.futures_position_margin_history(symbol=QUIET))
    await it.futures_create_order(symbol=QUIET, side="SELL", type="MARKET", quantity="1", reduceOnly="true")
    await it.futures_change_margin_type(symbol=QUIET, marginType="CROSSED")
    await report.wait("futures_change_multi_assets_mode", it.futures_change_multi_assets_mode(multiAssetsMargin=True))
    await report.wait(
        "futures_change_multi_assets_mode_back", it.futures_change_multi_assets_mode(multiAssetsMargin=False)
    )
    await report.wait("futures_v1_get_fee_burn", it.futures_v1_get_fee_burn())
    await report.wait("futures_change_position_mode", it.futures_change_position_mode(dualSidePosition="true"))
    long = {"symbol": QUIET, "type": "MARKET", "quantity": "1", "positionSide": "LONG"}
    await report.wait("futures_create_order_long", it.futures_create_order(side="BUY", **long))
    await report.wait("futures_position_information_hedge", it.futures_position_information(symbol=QUIET))
    await report.wait("futures_create_order_close_long", it.futures_create_order(side="SELL", **long))
    await report.wait("futures_change_position_mode_back", it.futures_change_position_mode(dualSidePosition="false"))


async def histories(report, it):
    await report.wait("futures_get_all_orders", it.futures_get_all_orders(symbol=QUIET, limit=50))
    await report.wait("futures_account_trades", it.futures_account_trades(symbol=QUIET))
    await report.wait("futures_income_history", it.futures_income_history(symbol=QUIET, incomeType="COMMISSION"))
    await report.wait("futures_liquidation_orders", it.futures_liquidation_orders(symbol=QUIET))
    await report.wait("futures_account", it.futures_account())
    await report.wait("futures_account_balance", it.futures_account_balance())
    await report.wait("futures_stream_get_listen_key", it.futures_stream_get_listen_key())
    key = await it.futures_stream_get_listen_key()
    await report.wait("futures_stream_keepalive", it.futures_stream_keepalive(key))


async def one(report, name, context, wanted=lambda _frame: True):
    async def first():
        async with context as socket:
            while True:
                frame = await socket.recv()
                if wanted(frame):
                    return frame

    await report.wait(name, first())


async def streams(report, it):
    # A fast stream overruns the library's default queue of 100 while the test looks elsewhere.
    manager = BinanceSocketManager(it, max_queue_size=10_000)
    await one(report, "kline_futures_socket", manager.kline_futures_socket(ETH, "1m"))
    await one(report, "aggtrade_futures_socket", manager.aggtrade_futures_socket(ETH))
    await one(report, "symbol_mark_price_socket", manager.symbol_mark_price_socket(ETH))
    await one(report, "all_mark_price_socket", manager.all_mark_price_socket())
    await one(report, "symbol_ticker_futures_socket", manager.symbol_ticker_futures_socket(ETH))
    await one(report, "individual_symbol_ticker_futures_socket", manager.individual_symbol_ticker_futures_socket(ETH))
    await one(report, "all_ticker_futures_socket", manager.all_ticker_futures_socket())
    await one(report, "futures_depth_socket", manager.futures_depth_socket(ETH))
    await one(
        report,
        "futures_multiplex_socket_public",
        manager.futures_multiplex_socket(["ethusdt@depth@100ms", "ethusdt@bookTicker"], category="public"),
    )
    await one(
        report,
        "futures_multiplex_socket_market",
        manager.futures_multiplex_socket(["ethusdt@aggTrade", "ethusdt@markPrice@1s"]),
    )


async def depth_cache(report, it):
    async def first():
        async with FuturesDepthCacheManager(it, ETH) as socket:
            cache = await socket.recv()
            return {"bids": cache.get_bids(), "asks": cache.get_asks()}

    await report.wait("futures_depth_cache_manager", first())


async def user(report, it, admin):
    manager = BinanceSocketManager(it)
    async with manager.futures_user_socket() as socket:
        placed = await it.futures_create_order(
            symbol=QUIET,
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="1",
            price="98",
            newClientOrderId="watched",
        )
        await asyncio.to_thread(admin.post, "/admin/trade", symbol=QUIET, side="SELL", quantity="1")
        events = {}

        async def all_events():
            while not {"ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE/FILLED"} <= set(events):
                frame = await socket.recv()
                status = "/" + frame["o"]["X"] if frame["e"] == "ORDER_TRADE_UPDATE" else ""
                events[frame["e"] + status] = frame
            return events

        await report.wait("futures_user_socket", all_events())
        report.note("watched", placed)
    await it.futures_create_order(symbol=QUIET, side="SELL", type="MARKET", quantity="1", reduceOnly="true")


async def ws_api(report, it):
    placed = (
        await report.wait(
            "ws_futures_create_order",
            it.ws_futures_create_order(
                symbol=QUIET, side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="97"
            ),
        )
        or {}
    )
    name = {"symbol": QUIET, "orderId": placed.get("orderId", 1)}
    await report.wait("ws_futures_edit_order", it.ws_futures_edit_order(**name, side="BUY", quantity="2", price="96"))
    await report.wait("ws_futures_get_order", it.ws_futures_get_order(**name))
    await report.wait("ws_futures_cancel_order", it.ws_futures_cancel_order(**name))
    await report.wait("ws_futures_cancel_order_again", it.ws_futures_cancel_order(**name))
    stop = {"symbol": QUIET, "side": "SELL", "type": "STOP_MARKET", "quantity": "1", "triggerPrice": "90"}
    stopped = (
        await report.wait(
            "ws_futures_create_algo_order", it.ws_futures_create_algo_order(algoType="CONDITIONAL", **stop)
        )
        or {}
    )
    await report.wait("ws_futures_cancel_algo_order", it.ws_futures_cancel_algo_order(algoId=stopped.get("algoId", 1)))
    await report.wait("ws_futures_get_order_book", it.ws_futures_get_order_book(symbol=ETH))
    await report.wait("ws_futures_get_all_tickers", it.ws_futures_get_all_tickers())
    await report.wait("ws_futures_get_order_book_ticker", it.ws_futures_get_order_book_ticker(symbol=ETH))
    await report.wait("ws_futures_v2_account_position", it.ws_futures_v2_account_position())
    await report.wait("ws_futures_account_position", it.ws_futures_account_position())
    await report.wait("ws_futures_v2_account_balance", it.ws_futures_v2_account_balance())
    await report.wait("ws_futures_account_balance", it.ws_futures_account_balance())
    await report.wait("ws_futures_v2_account_status", it.ws_futures_v2_account_status())
    await report.wait("ws_futures_account_status", it.ws_futures_account_status())


async def main():
    where = world()
    report, it, admin = Report(), client(where), Admin(where["admin"])
    try:
        await public(report, it)
        await settings(report, it)
        await orders(report, it)
        await conditional(report, it)
        await margin_and_modes(report, it)
        await histories(report, it)
        await streams(report, it)
        await depth_cache(report, it)
        await user(report, it, admin)
        await ws_api(report, it)
        await report.wait("futures_stream_close", it.futures_stream_close(await it.futures_stream_get_listen_key()))
    finally:
        await it.close_connection()
    report.write()


if __name__ == "__main__":
    asyncio.run(main())
