"""Every call and stream of the official SDK (binance-sdk-derivatives-trading-usds-futures) against the served exchange.

The SDK's models are strict: a reply of another type than they declare is parsed only after a logged warning, and a
warning fails the test.
"""

import asyncio

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from binance_sdk_derivatives_trading_usds_futures.rest_api.models import (
    ModifyMultipleOrdersBatchOrdersParameterInner,
    PlaceMultipleOrdersBatchOrdersParameterInner,
)
from recording import Admin, Report, world

ETH, QUIET = "ETHUSDT", "QUIETUSDT"


def plain(value):
    """What the models hold, extra fields included."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "actual_instance") and value.actual_instance is not None:
        return plain(value.actual_instance)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return value


class Rest:
    """Calls the REST client and parses, as a user would."""

    def __init__(self, report, api):
        self._report, self._api = report, api

    def __call__(self, method, *, name=None, **arguments):
        return self._report.call(name or method, lambda: getattr(self._api, method)(**arguments).data())


def public(ask):
    ask("test_connectivity")
    ask("check_server_time")
    ask("exchange_information")
    ask("order_book", symbol=ETH, limit=100)
    ask("recent_trades_list", symbol=ETH, limit=20)
    ask("old_trades_lookup", symbol=ETH, limit=20)
    ask("compressed_aggregate_trades_list", symbol=ETH, limit=20)
    ask("kline_candlestick_data", symbol=ETH, interval="1m", limit=5)
    ask("continuous_contract_kline_candlestick_data", pair=ETH, contract_type="PERPETUAL", interval="1m", limit=5)
    ask("index_price_kline_candlestick_data", pair=ETH, interval="1m", limit=5)
    ask("mark_price_kline_candlestick_data", symbol=ETH, interval="1m", limit=5)
    ask("premium_index_kline_data", symbol=ETH, interval="1m", limit=5)
    ask("mark_price", symbol=ETH)
    ask("mark_price", name="mark_price_all")
    ask("get_funding_rate_history", symbol=ETH, limit=3)
    ask("get_funding_rate_info")
    ask("ticker24hr_price_change_statistics", symbol=ETH)
    ask("ticker24hr_price_change_statistics", name="ticker24hr_price_change_statistics_all")
    ask("symbol_price_ticker", symbol=ETH)
    ask("symbol_price_ticker_v2", symbol=ETH)
    ask("symbol_price_ticker_v2", name="symbol_price_ticker_v2_all")
    ask("symbol_order_book_ticker", symbol=ETH)
    ask("symbol_order_book_ticker", name="symbol_order_book_ticker_all")
    ask("open_interest", symbol=ETH)


def settings(ask):
    ask("change_initial_leverage", symbol=QUIET, leverage=7)
    ask("change_margin_type", symbol=QUIET, margin_type="ISOLATED")
    ask("change_margin_type", name="change_margin_type_again", symbol=QUIET, margin_type="ISOLATED")
    ask("change_margin_type", name="change_margin_type_back", symbol=QUIET, margin_type="CROSSED")
    ask("get_current_position_mode")
    ask("change_position_mode", name="change_position_mode_same", dual_side_position="false")
    ask("get_current_multi_assets_mode")
    ask("notional_and_leverage_brackets", symbol=QUIET)
    ask("user_commission_rate", symbol=QUIET)
    ask("futures_account_configuration")
    ask("symbol_configuration", symbol=QUIET)
    ask("query_user_rate_limit")


def orders(ask):
    limit = {"symbol": QUIET, "side": "BUY", "type": "LIMIT", "time_in_force": "GTX", "quantity": 2.0}
    ask("test_order", price=98.0, **limit)
    placed = ask("new_order", price=98.0, **limit)
    name = {"symbol": QUIET, "order_id": placed.order_id if placed else 1}
    ask("modify_order", side="BUY", quantity=3.0, price=97.5, **name)
    ask("get_order_modify_history", **name)
    ask("query_order", **name)
    ask("query_current_open_order", **name)
    ask("current_all_open_orders", symbol=QUIET)
    ask("cancel_order", **name)
    ask("cancel_order", name="cancel_order_again", **name)
    ask("query_current_open_order", name="query_current_open_order_gone", **name)
    ask("new_order", name="new_order_crossing", price=101.0, **limit)
    batch = [
        PlaceMultipleOrdersBatchOrdersParameterInner(
            symbol=QUIET, side="BUY", type="LIMIT", time_in_force="GTX", quantity=1.0, price=price)
        for price in (97.0, 101.0)
    ]  # fmt: skip
    made = ask("place_multiple_orders", batch_orders=batch) or []
    numbers = [row.order_id for row in made if row.order_id]
    ask("modify_multiple_orders", batch_orders=[
        ModifyMultipleOrdersBatchOrdersParameterInner(
            order_id=number, symbol=QUIET, side="BUY", quantity=2.0, price=96.0)
        for number in numbers
    ])  # fmt: skip
    ask("cancel_multiple_orders", symbol=QUIET, order_id_list=numbers)
    ask("auto_cancel_all_open_orders", symbol=QUIET, countdown_time=60000)
    ask("auto_cancel_all_open_orders", name="countdown_disarm", symbol=QUIET, countdown_time=0)
    ask("cancel_all_open_orders", symbol=QUIET)
    market = {"symbol": QUIET, "type": "MARKET", "quantity": 2.0, "new_order_resp_type": "RESULT"}
    ask("new_order", name="new_order_market", side="BUY", **market)
    ask("position_information_v2", symbol=QUIET)
    ask("position_information_v3", symbol=QUIET)
    ask("position_adl_quantile_estimation", symbol=QUIET)
    ask("new_order", name="close_reduce_only", side="SELL", reduce_only="true", **market)


def conditional(ask):
    stop = {"algo_type": "CONDITIONAL", "symbol": QUIET, "side": "SELL", "quantity": 1.0}
    placed = ask("new_algo_order", type="STOP_MARKET", trigger_price=90.0, **stop)
    name = {"algo_id": placed.algo_id if placed else 1}
    ask("new_algo_order", name="new_algo_order_limit", type="TAKE_PROFIT", trigger_price=109.0, price=110.0, **stop)
    ask("new_algo_order", name="new_algo_order_trailing", type="TRAILING_STOP_MARKET", callback_rate=1.0, **stop)
    ask("query_algo_order", **name)
    ask("current_all_algo_open_orders", symbol=QUIET)
    ask("cancel_algo_order", **name)
    ask("cancel_all_algo_open_orders", symbol=QUIET)
    ask("query_all_algo_orders", symbol=QUIET)


def margin_and_modes(ask):
    market = {"symbol": QUIET, "type": "MARKET", "quantity": 1.0}
    ask("change_margin_type", name="change_margin_type_isolated", symbol=QUIET, margin_type="ISOLATED")
    ask("new_order", name="open_isolated", side="BUY", **market)
    ask("modify_isolated_position_margin", symbol=QUIET, amount=5.0, type=1)
    ask("get_position_margin_change_history", symbol=QUIET)
    ask("position_information_v2", name="position_information_v2_isolated", symbol=QUIET)
    ask("new_order", name="close_isolated", side="SELL", reduce_only="true", **market)
    ask("change_margin_type", name="change_margin_type_crossed", symbol=QUIET, margin_type="CROSSED")
    ask("change_multi_assets_mode", multi_assets_margin="true")
    ask("account_information_v3", name="account_information_v3_multi_assets")
    ask("change_multi_assets_mode", name="change_multi_assets_mode_back", multi_assets_margin="false")
    ask("get_bnb_burn_status")
    ask("change_position_mode", dual_side_position="true")
    ask("new_order", name="open_long", side="BUY", position_side="LONG", **market)
    ask("new_order", name="open_short", side="SELL", position_side="SHORT", **market)
    ask("position_information_v3", name="position_information_v3_hedge", symbol=QUIET)
    ask("position_adl_quantile_estimation", name="position_adl_quantile_estimation_hedge", symbol=QUIET)
    ask("new_order", name="close_long", side="SELL", position_side="LONG", **market)
    ask("new_order", name="close_short", side="BUY", position_side="SHORT", **market)
    ask("change_position_mode", name="change_position_mode_back", dual_side_position="false")


def histories(ask):
    ask("all_orders", symbol=QUIET, limit=50)
    ask("account_trade_list", symbol=QUIET)
    ask("get_income_history", symbol=QUIET, income_type="COMMISSION")
    ask("users_force_orders", symbol=QUIET)
    ask("account_information_v2")
    ask("account_information_v3")
    ask("futures_account_balance_v2")
    ask("futures_account_balance_v3")


MARKET_STREAMS = (
    ("aggregate_trade_streams", {"symbol": "ethusdt"}),
    ("mark_price_stream", {"symbol": "ethusdt", "update_speed": "1s"}),
    ("mark_price_stream_for_all_market", {"update_speed": "1s"}),
    ("kline_candlestick_streams", {"symbol": "ethusdt", "interval": "1m"}),
    ("continuous_contract_kline_candlestick_streams",
     {"pair": "ethusdt", "contract_type": "perpetual", "interval": "1m"}),
    ("individual_symbol_mini_ticker_stream", {"symbol": "ethusdt"}),
    ("all_market_mini_tickers_stream", {}),
    ("individual_symbol_ticker_streams", {"symbol": "ethusdt"}),
    ("all_market_tickers_streams", {}),
    ("diff_book_depth_streams", {"symbol": "ethusdt", "update_speed": "100ms"}),
    ("partial_book_depth_streams", {"symbol": "ethusdt", "levels": "5", "update_speed": "100ms"}),
    ("individual_symbol_book_ticker_streams", {"symbol": "ethusdt"}),
    ("all_book_tickers_stream", {}),
)  # fmt: skip


async def _first(frames, wanted=lambda _frame: True):
    while True:
        frame = await frames.get()
        if wanted(frame):
            return frame


async def streams(report, client):
    connection = await client.websocket_streams.create_connection()
    for method, arguments in MARKET_STREAMS:
        frames = asyncio.Queue()
        stream = await getattr(connection, method)(**arguments)
        stream.on("message", frames.put_nowait)
        await report.wait(method, _first(frames))
        await stream.unsubscribe()
    await report.wait("list_subscribe", connection.list_subscribe())
    await connection.close_connection(close_session=True)


async def user(report, client, admin, ask):
    # The SDK hands the same live key out to everybody who asks.
    key = ask("start_user_data_stream").listen_key
    ask("keepalive_user_data_stream")
    connection = await client.websocket_streams.create_connection()
    frames, events = asyncio.Queue(), {}
    stream = await connection.user_data(key)
    stream.on("message", frames.put_nowait)

    async def all_events():
        wanted = {"AccountUpdate", "TradeLite", "OrderTradeUpdate", "AccountConfigUpdate", "AlgoUpdate"}
        while not wanted <= set(events) or events["OrderTradeUpdate"]["o"]["X"] != "FILLED":
            event = (await frames.get()).actual_instance
            events[type(event).__name__] = plain(event)
        return events

    def act():
        rest = client.rest_api
        rest.change_initial_leverage(symbol=QUIET, leverage=9)
        stop = {"algo_type": "CONDITIONAL", "type": "STOP_MARKET", "trigger_price": 90.0, "quantity": 1.0}
        rest.new_algo_order(symbol=QUIET, side="SELL", **stop)
        rest.cancel_all_algo_open_orders(symbol=QUIET)
        rest.new_order(
            symbol=QUIET,
            side="BUY",
            type="LIMIT",
            time_in_force="GTC",
            quantity=1.0,
            price=98.0,
            new_client_order_id="watched",
        )
        admin.post("/admin/trade", symbol=QUIET, side="SELL", quantity="1")

    await asyncio.to_thread(act)
    await report.wait("user_data", all_events())
    await connection.close_connection(close_session=True)
    ask("new_order", name="close_watched", symbol=QUIET, side="SELL", type="MARKET", quantity=1.0, reduce_only="true")
    ask("close_user_data_stream")


async def ws_api(report, client):
    connection = await client.websocket_api.create_connection()

    async def ask(method, *, name=None, **arguments):
        async def parsed():
            return (await getattr(connection, method)(**arguments)).data()

        return await report.wait(f"ws_{name or method}", parsed())

    placed = await ask(
        "new_order", symbol=QUIET, side="BUY", type="LIMIT", time_in_force="GTC", quantity=1.0, price=97.0
    )
    name = {"symbol": QUIET, "order_id": placed.result.order_id if placed else 1}
    await ask("modify_order", side="BUY", quantity=2.0, price=96.0, **name)
    await ask("query_order", **name)
    await ask("cancel_order", **name)
    stop = {"algo_type": "CONDITIONAL", "symbol": QUIET, "side": "SELL", "type": "STOP_MARKET", "quantity": 1.0}
    stopped = await ask("new_algo_order", trigger_price=90.0, **stop)
    await ask("cancel_algo_order", algo_id=stopped.result.algo_id if stopped else 1)
    await ask("order_book", symbol=ETH, limit=20)
    await ask("symbol_order_book_ticker", symbol=ETH)
    await ask("symbol_price_ticker", symbol=ETH)
    await ask("position_information")
    await ask("position_information_v2")
    await ask("futures_account_balance")
    await ask("futures_account_balance_v2")
    await ask("account_information")
    await ask("account_information_v2")
    await ask("start_user_data_stream")
    await ask("keepalive_user_data_stream")
    await ask("close_user_data_stream")
    await connection.close_connection(close_session=True)


async def main():
    where = world()
    keys = {"api_key": where["apiKey"], "api_secret": where["apiSecret"]}
    report, admin = Report(plain), Admin(where["admin"])
    client = DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(base_path=where["rest"], timeout=10_000, **keys),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=where["ws"]),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=where["wsApi"], **keys),
    )
    ask = Rest(report, client.rest_api)
    for part in (public, settings, orders, conditional, margin_and_modes, histories):
        await asyncio.to_thread(part, ask)
    await streams(report, client)
    await user(report, client, admin, ask)
    await ws_api(report, client)
    report.write()


if __name__ == "__main__":
    asyncio.run(main())
