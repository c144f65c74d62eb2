"""What operator and engine agree on, and nothing else.

Both sides import this package and neither imports the other, so every name that crosses the gap between them (resource fields, states, label and
port names, the status report, Lease and client-order-id rules, log events, metrics) is written down here once.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("market-maker-operator")
except PackageNotFoundError:  # pragma: no cover - a source tree that nobody installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
