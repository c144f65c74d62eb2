"""A simulated Binance USD-M futures exchange that a stock client can be pointed at.

The core (`venue`, `matching`, `accounts`, `market`, `api`, `faults`) is sans-I/O: calls in with the time as a
parameter, replies and user events out. `server` puts it on sockets; a backtest drives the same objects on a
virtual clock. Nothing here imports another package of this project: engines meet it over the wire.
"""
