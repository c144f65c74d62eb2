"""The proof that no own order is left: none unresolved here and none listed there, seen twice with a recvWindow between (invariant 7)."""

from __future__ import annotations

from typing import Final

_MARGIN_NS: Final = 100_000_000


class ZeroProof:
    """Takes account snapshots until two of them, far enough apart, show no own order."""

    __slots__ = ("_first_ns", "proven")

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self.proven = False

    def reset(self) -> None:
        """An own order was seen or sent: everything from the beginning."""
        self._first_ns = None
        self.proven = False

    def witness(self, *, own_orders: int, unresolved: int, sent_ns: int, recv_window_ns: int) -> None:
        """A snapshot whose request left at `sent_ns`."""
        if own_orders or unresolved:
            self.reset()
        elif self._first_ns is None:
            self._first_ns = sent_ns
        elif sent_ns >= self._first_ns + recv_window_ns + _MARGIN_NS:
            # Between the two an order that left just before the first could not land any more unseen.
            self.proven = True

    def next_ns(self, *, now_ns: int, recv_window_ns: int) -> int:
        """When the next snapshot is worth asking for."""
        return now_ns if self._first_ns is None else max(now_ns, self._first_ns + recv_window_ns + _MARGIN_NS)
