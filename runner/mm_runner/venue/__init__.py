"""Binance USD-M futures: everything between the engine's core and the venue's wire.

The only part of the runner that knows URLs, signatures, error codes and frames. `gateway.UsdmGateway` is its face: the shell hands it the core's
actions and gets events back; below it, `rest` sends requests, `market_stream` and `user_stream` keep sockets alive, `wire` decodes frames.
"""
