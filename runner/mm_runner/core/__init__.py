"""The engine's core: plain synchronous objects without clock, socket or log. Events in, actions out (`messages`, `engine`).

The asyncio shell feeds it live; tests, dry runs and backtests feed it on a virtual clock.
"""
