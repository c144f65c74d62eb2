"""The journal: every input of a live engine and what it decided, so that `mm-backtest replay` reaches the same decisions.

`codec` is pure bytes, `writer` a file behind a thread, `reader` a file read back, `replay` the comparison. docs/engine.md describes the format.
"""
