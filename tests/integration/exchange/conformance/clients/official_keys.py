"""The SDK with an Ed25519 key: REST, and a WebSocket API session that is logged on once."""

import asyncio

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI
from binance_common.signature import Signers
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from recording import Report, world
from sdk_calls import plain

LIMIT = {"symbol": "QUIETUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 1.0, "price": 95.0}


async def main():
    where, report = world(), Report(plain)
    keys = {"api_key": where["apiKey"], "private_key": where["privateKey"]}
    client = DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(base_path=where["rest"], timeout=10_000, **keys),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=where["wsApi"], **keys),
    )
    rest = client.rest_api
    placed = report.call("sdk_new_order", lambda: rest.new_order(**LIMIT).data())
    name = {"symbol": "QUIETUSDT", "order_id": placed.order_id}
    report.call("sdk_cancel_order", lambda: rest.cancel_order(**name).data())
    api = client.websocket_api
    connection = await api.create_connection()
    signer = Signers.get_signer(where["privateKey"])

    async def parsed(awaitable):
        return (await awaitable).data()

    logon = api.send_signed_message(
        {"method": "session.logon", "params": {}}, signer=signer, api_key=True, session_logon=True
    )
    await report.wait("sdk_session_logon", parsed(logon))
    placed = await report.wait("sdk_ws_new_order", parsed(connection.new_order(**LIMIT)))
    name = {"symbol": "QUIETUSDT", "order_id": placed.result.order_id}
    await report.wait("sdk_ws_cancel_order", parsed(connection.cancel_order(**name)))
    status = api.send_message({"method": "session.status", "params": {}})
    await report.wait("sdk_session_status", parsed(status))
    logout = api.send_message({"method": "session.logout", "params": {}}, session_logout=True)
    await report.wait("sdk_session_logout", parsed(logout))
    await connection.close_connection(close_session=True)
    report.write()


asyncio.run(main())
