"""Request weights and order counts of every endpoint, as the venue's documents give them."""

import json

import pytest

from mm_exchange.api.params import Params
from mm_exchange.api.table import ENDPOINTS
from support.exchange_world import Client

# With a symbol, without one; None where a symbol must be sent or none can be.
WEIGHTS = {
    "GET /fapi/v1/ping": (1, None), "GET /fapi/v1/time": (1, None), "GET /fapi/v1/exchangeInfo": (1, None),
    "GET /fapi/v1/depth": (10, None), "GET /fapi/v1/trades": (5, None), "GET /fapi/v1/historicalTrades": (20, None),
    "GET /fapi/v1/aggTrades": (20, None), "GET /fapi/v1/klines": (5, None),
    "GET /fapi/v1/continuousKlines": (5, None), "GET /fapi/v1/markPriceKlines": (5, None),
    "GET /fapi/v1/indexPriceKlines": (5, None), "GET /fapi/v1/premiumIndexKlines": (5, None),
    "GET /fapi/v1/premiumIndex": (1, 10), "GET /fapi/v1/fundingRate": (0, 0), "GET /fapi/v1/fundingInfo": (0, None),
    "GET /fapi/v1/ticker/24hr": (1, 40), "GET /fapi/v1/ticker/bookTicker": (2, 5),
    "GET /fapi/v1/ticker/price": (1, 2), "GET /fapi/v2/ticker/price": (1, 2), "GET /fapi/v1/openInterest": (1, None),
    "POST /fapi/v1/order": (0, None), "POST /fapi/v1/order/test": (0, None), "PUT /fapi/v1/order": (0, None),
    "GET /fapi/v1/order": (1, None), "DELETE /fapi/v1/order": (1, None), "GET /fapi/v1/openOrder": (1, None),
    "GET /fapi/v1/openOrders": (1, 40), "GET /fapi/v1/allOrders": (5, None), "GET /fapi/v1/orderAmendment": (1, None),
    "POST /fapi/v1/batchOrders": (5, None), "PUT /fapi/v1/batchOrders": (5, None),
    "DELETE /fapi/v1/batchOrders": (1, None), "DELETE /fapi/v1/allOpenOrders": (1, None),
    "POST /fapi/v1/countdownCancelAll": (10, None), "POST /fapi/v1/algoOrder": (0, None),
    "GET /fapi/v1/algoOrder": (1, None), "DELETE /fapi/v1/algoOrder": (1, None),
    "GET /fapi/v1/openAlgoOrders": (1, 40), "GET /fapi/v1/allAlgoOrders": (5, None),
    "DELETE /fapi/v1/algoOpenOrders": (1, None), "POST /fapi/v1/leverage": (1, None),
    "POST /fapi/v1/marginType": (1, None), "POST /fapi/v1/positionMargin": (1, None),
    "GET /fapi/v1/positionMargin/history": (1, None), "GET /fapi/v1/positionSide/dual": (30, None),
    "POST /fapi/v1/positionSide/dual": (1, None), "GET /fapi/v1/multiAssetsMargin": (30, None),
    "POST /fapi/v1/multiAssetsMargin": (1, None), "GET /fapi/v1/feeBurn": (30, None), "POST /fapi/v1/feeBurn": (1, None),
    "GET /fapi/v1/leverageBracket": (1, 1), "GET /fapi/v1/commissionRate": (20, None),
    "GET /fapi/v1/accountConfig": (5, None), "GET /fapi/v1/symbolConfig": (5, 5),
    "GET /fapi/v1/rateLimit/order": (1, None), "GET /fapi/v2/account": (5, None), "GET /fapi/v3/account": (5, None),
    "GET /fapi/v2/balance": (5, None), "GET /fapi/v3/balance": (5, None), "GET /fapi/v2/positionRisk": (5, 5),
    "GET /fapi/v3/positionRisk": (5, 5), "GET /fapi/v1/userTrades": (5, None), "GET /fapi/v1/income": (30, 30),
    "GET /fapi/v1/forceOrders": (20, 50), "GET /fapi/v1/adlQuantile": (5, 5),
    "GET /fapi/v1/apiTradingStatus": (1, 10), "POST /fapi/v1/listenKey": (1, None),
    "PUT /fapi/v1/listenKey": (1, None), "DELETE /fapi/v1/listenKey": (1, None),
}  # fmt: skip
# What a call counts as in the order limits: per ten seconds, per minute.
COUNTED = {
    "POST /fapi/v1/order": (1, 1),
    "PUT /fapi/v1/order": (1, 1),
    "POST /fapi/v1/batchOrders": (5, 1),
    "PUT /fapi/v1/batchOrders": (5, 1),
    "POST /fapi/v1/algoOrder": (1, 1),
}


def weight(endpoint, **params):
    return endpoint.weight if isinstance(endpoint.weight, int) else endpoint.weight(Params(params))


def test_every_endpoint_has_its_documented_weight_and_count():
    assert {f"{method} {path}" for method, path in ENDPOINTS} == set(WEIGHTS)
    for (method, path), endpoint in ENDPOINTS.items():
        name = f"{method} {path}"
        with_symbol, without = WEIGHTS[name]
        assert weight(endpoint, symbol="ETHUSDT") == with_symbol, name
        assert without is None or weight(endpoint) == without, name
        assert endpoint.orders == COUNTED.get(name, (0, 0)), name


@pytest.mark.parametrize(("limit", "expected"), [(5, 2), (50, 2), (100, 5), (500, 10), (1000, 20)], ids=str)
def test_a_deeper_book_weighs_more(limit, expected):
    assert weight(ENDPOINTS["GET", "/fapi/v1/depth"], limit=str(limit)) == expected


def test_counts_are_told_by_every_call_that_counts(world):
    client = Client(world)
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "98"}
    placed = client("POST", "/fapi/v1/order", **order)
    number = json.loads(placed.body)["orderId"]
    amended = client("PUT", "/fapi/v1/order", symbol="ETHUSDT", orderId=number, side="BUY", quantity="1", price="97")
    batch = client("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps([order]))
    gone = client("DELETE", "/fapi/v1/order", symbol="ETHUSDT", orderId=number)
    counts = [
        (reply.headers.get("X-MBX-ORDER-COUNT-10S"), reply.headers.get("X-MBX-ORDER-COUNT-1M"))
        for reply in (placed, amended, batch, gone)
    ]
    assert counts == [("1", "1"), ("2", "2"), ("7", "3"), (None, None)]
    assert gone.headers["X-MBX-USED-WEIGHT-1M"] == "6"
