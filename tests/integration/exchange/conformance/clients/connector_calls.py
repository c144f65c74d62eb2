"""Every call and socket of the official connector (binance-futures-connector) against the served exchange."""

import json
import queue

from binance.um_futures import UMFutures
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient
from recording import STEP_SECONDS, Admin, Report, world

ETH, QUIET = "ETHUSDT", "QUIETUSDT"


def public(report, it):
    report.call("ping", it.ping)
    report.call("time", it.time)
    report.call("exchange_info", it.exchange_info)
    report.call("depth", it.depth, ETH, limit=100)
    report.call("trades", it.trades, ETH, limit=20)
    report.call("historical_trades", it.historical_trades, ETH, limit=20)
    report.call("agg_trades", it.agg_trades, ETH, limit=20)
    report.call("klines", it.klines, ETH, "1m", limit=5)
    report.call("continuous_klines", it.continuous_klines, ETH, "PERPETUAL", "1m", limit=5)
    report.call("index_price_klines", it.index_price_klines, ETH, "1m", limit=5)
    report.call("mark_price_klines", it.mark_price_klines, ETH, "1m", limit=5)
    report.call("mark_price", it.mark_price, ETH)
    report.call("funding_rate", it.funding_rate, ETH, limit=3)
    report.call("funding_info", it.funding_info)
    report.call("ticker_24hr_price_change", it.ticker_24hr_price_change, ETH)
    report.call("ticker_price", it.ticker_price, ETH)
    report.call("book_ticker", it.book_ticker, ETH)
    report.call("open_interest", it.open_interest, ETH)


def settings(report, it):
    report.call("change_leverage", it.change_leverage, QUIET, 7)
    report.call("change_margin_type", it.change_margin_type, QUIET, "ISOLATED")
    report.call("change_margin_type_again", it.change_margin_type, QUIET, "ISOLATED")
    report.call("change_margin_type_back", it.change_margin_type, QUIET, "CROSSED")
    report.call("get_position_mode", it.get_position_mode)
    report.call("change_position_mode_same", it.change_position_mode, "false")
    report.call("get_multi_asset_mode", it.get_multi_asset_mode)
    report.call("leverage_brackets", it.leverage_brackets, symbol=QUIET)
    report.call("commission_rate", it.commission_rate, QUIET)
    report.call("futures_account_configuration", it.futures_account_configuration)
    report.call("symbol_configuration", it.symbol_configuration, symbol=QUIET)
    report.call("query_user_rate_limit", it.query_user_rate_limit)
    report.call("api_trading_status", it.api_trading_status)


def orders(report, it):
    limit = {"symbol": QUIET, "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": 2}
    report.call("new_order_test", it.new_order_test, price=98, **limit)
    placed = report.call("new_order", it.new_order, price=98, **limit)
    # With `show_limit_usage` a reply comes with the limits that its headers told of.
    number = placed["data"]["orderId"] if placed else 1
    report.call("modify_order", it.modify_order, QUIET, "BUY", 3, 97.5, orderId=number)
    report.call("query_order", it.query_order, QUIET, orderId=number)
    report.call("get_open_orders", it.get_open_orders, QUIET, orderId=number)
    report.call("get_orders", it.get_orders, symbol=QUIET)
    report.call("cancel_order", it.cancel_order, QUIET, orderId=number)
    report.call("cancel_order_again", it.cancel_order, QUIET, orderId=number)
    report.call("get_open_orders_gone", it.get_open_orders, QUIET, orderId=number)
    report.call("new_order_crossing", it.new_order, price=101, **limit)
    batch = [{**limit, "price": price, "quantity": "2"} for price in ("97", "101")]
    made = report.call("new_batch_order", it.new_batch_order, batch)
    numbers = [row["orderId"] for row in made["data"] if "orderId" in row] if made else []
    report.call("cancel_batch_order", it.cancel_batch_order, QUIET, numbers, [])
    report.call("countdown_cancel_order", it.countdown_cancel_order, QUIET, 60000)
    report.call("countdown_disarm", it.countdown_cancel_order, QUIET, 0)
    report.call("cancel_open_orders", it.cancel_open_orders, QUIET)
    market = {"symbol": QUIET, "type": "MARKET", "quantity": 2, "newOrderRespType": "RESULT"}
    report.call("new_order_market", it.new_order, side="BUY", **market)
    report.call("get_position_risk", it.get_position_risk, symbol=QUIET)
    report.call("adl_quantile", it.adl_quantile, symbol=QUIET)
    report.call("close_reduce_only", it.new_order, side="SELL", reduceOnly="true", **market)


def margin_and_modes(report, it):
    market = {"symbol": QUIET, "type": "MARKET", "quantity": 1}
    it.change_margin_type(QUIET, "ISOLATED")
    it.new_order(side="BUY", **market)
    report.call("modify_isolated_position_margin", it.modify_isolated_position_margin, QUIET, 5, 1)
    report.call("get_position_margin_history", it.get_position_margin_history, QUIET)
    it.new_order(side="SELL", reduceOnly="true", **market)
    it.change_margin_type(QUIET, "CROSSED")
    report.call("change_multi_asset_mode", it.change_multi_asset_mode, "true")
    report.call("change_multi_asset_mode_back", it.change_multi_asset_mode, "false")
    report.call("get_bnb_burn", it.get_bnb_burn)
    report.call("change_position_mode", it.change_position_mode, "true")
    report.call("new_order_long", it.new_order, side="BUY", positionSide="LONG", **market)
    report.call("get_position_risk_hedge", it.get_position_risk, symbol=QUIET)
    report.call("close_long", it.new_order, side="SELL", positionSide="LONG", **market)
    report.call("change_position_mode_back", it.change_position_mode, "false")


def histories(report, it):
    report.call("get_all_orders", it.get_all_orders, QUIET, limit=50)
    report.call("get_account_trades", it.get_account_trades, QUIET)
    report.call("get_income_history", it.get_income_history, symbol=QUIET, incomeType="COMMISSION")
    report.call("force_orders", it.force_orders, symbol=QUIET)
    report.call("account", it.account)
    report.call("balance", it.balance)


class Stream:
    """A socket of the library, with its frames in a queue."""

    def __init__(self, base, *, combined=False):
        self.frames, self.errors = queue.Queue(), []
        self.client = UMFuturesWebsocketClient(
            base, on_message=lambda _client, frame: self.frames.put(json.loads(frame)),
            on_error=lambda _client, error: self.errors.append(str(error)), is_combined=combined,
        )  # fmt: skip

    def first(self, wanted):
        while True:
            frame = self.frames.get(timeout=STEP_SECONDS)
            if wanted(frame):
                assert not self.errors, self.errors
                return frame


def streams(report, where):
    public_base, market_base = where["ws"] + "/public", where["ws"] + "/market"
    wants = (
        (public_base, "diff_book_depth", {"symbol": ETH, "speed": 100}, "depthUpdate"),
        (public_base, "partial_book_depth", {"symbol": ETH, "level": 5, "speed": 100}, "depthUpdate"),
        (public_base, "book_ticker", {"symbol": ETH}, "bookTicker"),
        (market_base, "agg_trade", {"symbol": ETH}, "aggTrade"),
        (market_base, "mark_price", {"symbol": ETH, "speed": 1}, "markPriceUpdate"),
        (market_base, "kline", {"symbol": ETH, "interval": "1m"}, "kline"),
        (
            market_base,
            "continuous_kline",
            {"pair": ETH, "contractType": "perpetual", "interval": "1m"},
            "continuous_kline",
        ),
        (market_base, "mini_ticker", {"symbol": ETH}, "24hrMiniTicker"),
        (market_base, "ticker", {"symbol": ETH}, "24hrTicker"),
    )
    for base, method, arguments, event in wants:
        stream = Stream(base)
        getattr(stream.client, method)(id=1, **arguments)
        report.call(method, stream.first, lambda frame, event=event: frame.get("e") == event)
        stream.client.stop()
    combined = Stream(public_base, combined=True)
    combined.client.book_ticker(id=7, symbol=ETH)
    report.call("subscribed_combined", combined.first, lambda frame: frame.get("id") == 7)
    report.call("book_ticker_combined", combined.first, lambda frame: frame.get("stream") == "ethusdt@bookTicker")
    combined.client.list_subscribe(id=8)
    report.call("list_subscribe", combined.first, lambda frame: frame.get("id") == 8)
    combined.client.unsubscribe("ethusdt@bookTicker", id=9)
    report.call("unsubscribe", combined.first, lambda frame: frame.get("id") == 9)
    combined.client.ping()
    combined.client.stop()


def user(report, it, where, admin):
    key = report.call("new_listen_key", it.new_listen_key)["data"]["listenKey"]
    report.call("renew_listen_key", it.renew_listen_key, key)
    stream = Stream(where["ws"] + "/private", combined=True)
    stream.client.user_data(key, id=1)
    stream.first(lambda frame: frame.get("id") == 1)
    it.new_order(
        symbol=QUIET, side="BUY", type="LIMIT", timeInForce="GTC", quantity=1, price=98, newClientOrderId="watched"
    )
    admin.post("/admin/trade", symbol=QUIET, side="SELL", quantity="1")
    report.call("user_data", stream.first, lambda frame: frame.get("data", {}).get("o", {}).get("X") == "FILLED")
    stream.client.stop()
    it.new_order(symbol=QUIET, side="SELL", type="MARKET", quantity=1, reduceOnly="true")
    report.call("close_listen_key", it.close_listen_key, key)


def main():
    where = world()
    report, admin = Report(), Admin(where["admin"])
    it = UMFutures(key=where["apiKey"], secret=where["apiSecret"], base_url=where["rest"], show_limit_usage=True)
    public(report, it)
    settings(report, it)
    orders(report, it)
    margin_and_modes(report, it)
    histories(report, it)
    streams(report, where)
    user(report, it, where, admin)
    report.write()


main()
