"""Every REST path this exchange answers, with its weight (source: the venue's public documents)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange.api import (
    account_history,
    accounts,
    algos,
    amendments,
    history,
    modes,
    orders,
    positions,
    public,
    standing,
)
from mm_exchange.api.core import Endpoint, Handler, Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_exchange.api.params import Params

_KEY, _SIGNED = Security.KEY, Security.SIGNED


def _by_symbol(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if params.get("symbol") else every


def _signed(handler: Handler, weight: int | Callable[[Params], int] = 1) -> Endpoint:
    return Endpoint(handler, _SIGNED, weight)


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/fapi/v1/ping"): Endpoint(public.ping),
    ("GET", "/fapi/v1/time"): Endpoint(public.time),
    ("GET", "/fapi/v1/exchangeInfo"): Endpoint(public.exchange_info),
    ("GET", "/fapi/v1/depth"): Endpoint(public.depth, weight=public.depth_weight),
    ("GET", "/fapi/v1/trades"): Endpoint(history.trades, weight=5),
    ("GET", "/fapi/v1/historicalTrades"): Endpoint(history.historical_trades, _KEY, 20),
    ("GET", "/fapi/v1/aggTrades"): Endpoint(history.aggregate_trades, weight=20),
    ("GET", "/fapi/v1/klines"): Endpoint(history.klines, weight=history.candles_weight),
    ("GET", "/fapi/v1/continuousKlines"): Endpoint(history.continuous_klines, weight=history.candles_weight),
    ("GET", "/fapi/v1/markPriceKlines"): Endpoint(history.mark_klines, weight=history.candles_weight),
    ("GET", "/fapi/v1/indexPriceKlines"): Endpoint(history.index_klines, weight=history.candles_weight),
    ("GET", "/fapi/v1/premiumIndexKlines"): Endpoint(history.premium_klines, weight=history.candles_weight),
    ("GET", "/fapi/v1/ticker/24hr"): Endpoint(history.day_ticker, weight=_by_symbol(1, 40)),
    # The venue counts these two by a limit of their own (500 in 5 minutes), not by weight.
    ("GET", "/fapi/v1/fundingRate"): Endpoint(history.funding_rates, weight=0),
    ("GET", "/fapi/v1/fundingInfo"): Endpoint(history.funding_terms, weight=0),
    ("GET", "/fapi/v1/openInterest"): Endpoint(history.open_interest),
    ("GET", "/fapi/v1/premiumIndex"): Endpoint(public.premium_index, weight=_by_symbol(1, 10)),
    ("GET", "/fapi/v1/ticker/bookTicker"): Endpoint(public.book_ticker, weight=_by_symbol(2, 5)),
    ("GET", "/fapi/v1/ticker/price"): Endpoint(public.price_ticker, weight=_by_symbol(1, 2)),
    ("GET", "/fapi/v2/ticker/price"): Endpoint(public.price_ticker, weight=_by_symbol(1, 2)),
    ("POST", "/fapi/v1/order"): Endpoint(orders.place, _SIGNED, 0, orders=(1, 1), enters=True),
    ("POST", "/fapi/v1/order/test"): _signed(orders.test_place, 0),
    ("PUT", "/fapi/v1/order"): Endpoint(amendments.amend, _SIGNED, 0, orders=(1, 1)),
    ("GET", "/fapi/v1/order"): _signed(orders.query),
    ("DELETE", "/fapi/v1/order"): _signed(orders.cancel),
    ("GET", "/fapi/v1/openOrder"): _signed(orders.open_order),
    ("GET", "/fapi/v1/openOrders"): _signed(orders.open_orders, orders.open_orders_weight),
    ("GET", "/fapi/v1/allOrders"): _signed(account_history.all_orders, 5),
    ("POST", "/fapi/v1/batchOrders"): Endpoint(orders.place_batch, _SIGNED, 5, orders=(5, 1), enters=True),
    ("PUT", "/fapi/v1/batchOrders"): Endpoint(amendments.amend_batch, _SIGNED, 5, orders=(5, 1)),
    ("GET", "/fapi/v1/orderAmendment"): _signed(amendments.history),
    ("DELETE", "/fapi/v1/batchOrders"): _signed(orders.cancel_batch),
    ("DELETE", "/fapi/v1/allOpenOrders"): _signed(orders.cancel_all),
    ("POST", "/fapi/v1/countdownCancelAll"): _signed(orders.countdown, 10),
    ("POST", "/fapi/v1/algoOrder"): Endpoint(algos.place, _SIGNED, 0, orders=(1, 1), enters=True),
    ("GET", "/fapi/v1/algoOrder"): _signed(algos.query),
    ("DELETE", "/fapi/v1/algoOrder"): _signed(algos.cancel),
    ("GET", "/fapi/v1/openAlgoOrders"): _signed(algos.open_algos, _by_symbol(1, 40)),
    ("GET", "/fapi/v1/allAlgoOrders"): _signed(algos.all_algos, 5),
    ("DELETE", "/fapi/v1/algoOpenOrders"): _signed(algos.cancel_all),
    ("POST", "/fapi/v1/leverage"): _signed(accounts.leverage),
    ("POST", "/fapi/v1/marginType"): _signed(accounts.margin_type),
    ("GET", "/fapi/v1/positionSide/dual"): _signed(modes.get_dual, 30),
    ("POST", "/fapi/v1/positionSide/dual"): _signed(modes.set_dual),
    ("GET", "/fapi/v1/multiAssetsMargin"): _signed(modes.get_multi_assets, 30),
    ("POST", "/fapi/v1/multiAssetsMargin"): _signed(modes.set_multi_assets),
    ("GET", "/fapi/v1/feeBurn"): _signed(modes.get_fee_burn, 30),
    ("POST", "/fapi/v1/feeBurn"): _signed(modes.set_fee_burn),
    ("POST", "/fapi/v1/positionMargin"): _signed(positions.move_margin),
    ("GET", "/fapi/v1/positionMargin/history"): _signed(positions.margin_history),
    ("GET", "/fapi/v1/leverageBracket"): _signed(accounts.leverage_bracket),
    ("GET", "/fapi/v1/commissionRate"): _signed(accounts.commission_rate, 20),
    ("GET", "/fapi/v1/accountConfig"): _signed(accounts.account_config, 5),
    ("GET", "/fapi/v1/symbolConfig"): _signed(accounts.symbol_config, 5),
    ("GET", "/fapi/v1/forceOrders"): _signed(standing.force_orders, _by_symbol(20, 50)),
    ("GET", "/fapi/v1/adlQuantile"): _signed(standing.adl_quantile, 5),
    ("GET", "/fapi/v1/apiTradingStatus"): _signed(standing.api_trading_status, _by_symbol(1, 10)),
    ("GET", "/fapi/v1/rateLimit/order"): _signed(accounts.order_rate_limits),
    ("GET", "/fapi/v2/account"): _signed(accounts.account_v2, 5),
    ("GET", "/fapi/v3/account"): _signed(accounts.account_v3, 5),
    ("GET", "/fapi/v2/balance"): _signed(accounts.balance, 5),
    ("GET", "/fapi/v3/balance"): _signed(accounts.balance, 5),
    ("GET", "/fapi/v2/positionRisk"): _signed(accounts.position_risk_v2, 5),
    ("GET", "/fapi/v3/positionRisk"): _signed(accounts.position_risk_v3, 5),
    ("GET", "/fapi/v1/userTrades"): _signed(account_history.user_trades, 5),
    ("GET", "/fapi/v1/income"): _signed(account_history.income, 30),
    ("POST", "/fapi/v1/listenKey"): Endpoint(accounts.create_listen_key, _KEY),
    ("PUT", "/fapi/v1/listenKey"): Endpoint(accounts.keep_listen_key, _KEY),
    ("DELETE", "/fapi/v1/listenKey"): Endpoint(accounts.delete_listen_key, _KEY),
}
