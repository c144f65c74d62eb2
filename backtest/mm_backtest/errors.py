"""What a person can mend: each message says what was wrong, where, and what to do. The command line shows it and ends with 2."""

from __future__ import annotations


class BacktestError(Exception):
    """A backtest that cannot be run as asked."""
