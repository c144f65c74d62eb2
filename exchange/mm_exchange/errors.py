"""What the venue answers when it refuses: a code, a message, and an HTTP status.

The messages are the venue's own, because stock clients match on them (ccxt tells -4046 by its text).
"""

from __future__ import annotations


class VenueError(Exception):
    """A refusal as the client sees it.

    Args:
        code: the venue's negative code.
        msg: the venue's sentence.
        status: HTTP status; 400 unless the venue uses another.
        retry_after: seconds for the `Retry-After` header of 418 and 429.
    """

    def __init__(self, code: int, msg: str, *, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.retry_after = retry_after


def mandatory(name: str) -> VenueError:
    """-1102: a parameter is missing, empty or malformed."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def invalid_parameter(name: str) -> VenueError:
    """-1130: a parameter was sent with an unusable value."""
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_symbol() -> VenueError:
    """-1121: no such symbol."""
    return VenueError(-1121, "Invalid symbol.")


def unknown_order() -> VenueError:
    """-2011: a cancel of what does not rest."""
    return VenueError(-2011, "Unknown order sent.")


def no_such_order() -> VenueError:
    """-2013: a query for what never was."""
    return VenueError(-2013, "Order does not exist.")
