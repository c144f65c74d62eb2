"""ccxt and python-binance with an Ed25519 key: the exchange knows only its public half."""

import asyncio

from ccxt_calls import QUIET, client
from python_binance_calls import client as binance_client
from recording import Report, world

LIMIT = {"symbol": "QUIETUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "1", "price": "95"}


async def main():
    where, report = world(), Report()
    ex = client(where | {"apiSecret": where["privateKey"]})
    it = binance_client(where | {"apiSecret": None}, private_key=where["privateKey"])
    try:
        placed = await report.wait("ccxt_create_order", ex.create_order(QUIET, "limit", "buy", 1, 96.0))
        await report.wait("ccxt_cancel_order", ex.cancel_order(placed["id"], QUIET))
        placed = await report.wait("ccxt_create_order_ws", ex.create_order_ws(QUIET, "limit", "buy", 1, 96.0))
        await report.wait("ccxt_cancel_order_ws", ex.cancel_order_ws(placed["id"], QUIET))
        placed = await report.wait("binance_create_order", it.futures_create_order(**LIMIT))
        name = {"symbol": "QUIETUSDT", "orderId": placed["orderId"]}
        await report.wait("binance_cancel_order", it.futures_cancel_order(**name))
        placed = await report.wait("binance_ws_create_order", it.ws_futures_create_order(**LIMIT))
        name = {"symbol": "QUIETUSDT", "orderId": placed["orderId"]}
        await report.wait("binance_ws_cancel_order", it.ws_futures_cancel_order(**name))
    finally:
        await ex.close()
        await it.close_connection()
    report.write()


asyncio.run(main())
