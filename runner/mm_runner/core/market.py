"""The market as the engine knows it: book, touch, mark price, and whether any of it may be trusted.

Asks for snapshots by itself: at the start, after a gap, and (REST fallback) when the stream has been silent for 1.2 s, 0.5 s while reducing.
"""

from __future__ import annotations

from typing import Final

from mm_runner.core.book import Book, Outcome, Sync
from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import (
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    FetchDepthSnapshot,
    MarkPrice,
    Stream,
    StreamDown,
    StreamUp,
)
from mm_runner.core.outbox import Outbox
from mm_runner.core.settings import MS, NEVER_NS, SECOND
from mm_runner.core.signals import Volatility

REFRESH_NS: Final = 1_200 * MS
REFRESH_REDUCING_NS: Final = 500 * MS
_FIRST_PAUSE_NS: Final = 250 * MS
_MAX_PAUSE_NS: Final = 10 * SECOND
_ANSWER_BOUND_NS: Final = 10 * SECOND
_MARK_FRESH_NS: Final = 10 * SECOND


class Market:
    """Book and marks of one symbol.

    Args:
        instrument: tick size.
        outbox: where requests for snapshots go.
    """

    def __init__(self, instrument: Instrument, outbox: Outbox) -> None:
        self.instrument = instrument
        self.book = Book(ticks_per_unit=instrument.ticks_per_unit)
        self.volatility = Volatility()
        self.funding_rate = 0.0
        self.malformed = 0
        self.resyncs = 0
        self.fresh_ns = 0
        """When the book was last known to be what the venue has."""
        self._scale = instrument.ticks_per_unit  # filters may change while we run, but not the tick (intake._filters)
        self._outbox = outbox
        self._streaming = False
        self._synced_once = False
        self._mark = 0.0
        self._mark_ns = 0
        self._ticker_id = 0
        self._ticker_bid = 0
        self._ticker_ask = 0
        self._asked_ns: int | None = None
        self._ask_at_ns: int | None = None
        self._reason = "start"
        self._failures = 0

    # -- reading -------------------------------------------------------------------------------------------------------

    def usable(self, *, now_ns: int, stale_ns: int) -> bool:
        """Synced and fresh: the third row from below of the table does not hold."""
        return self.book.synced and now_ns - self.fresh_ns <= stale_ns

    def age_ns(self, now_ns: int) -> int:
        """Age of the book."""
        return max(0, now_ns - self.fresh_ns)

    @property
    def touch(self) -> tuple[int, int]:
        """Best bid and ask in ticks as quotes must respect them: the depth's, or the ticker's where that is newer and narrows."""
        book = self.book
        if self._ticker_id > book.last_update_id and self._ticker_bid < self._ticker_ask:
            return self._ticker_bid, self._ticker_ask
        return book.best_bid, book.best_ask

    @property
    def mid_ticks(self) -> float:
        """Mid of the touch in ticks."""
        bid, ask = self.touch
        return (bid + ask) / 2

    def mark_ticks(self, now_ns: int) -> float:
        """The venue's mark price in ticks, or the mid where there is none or it is old."""
        if self._mark > 0 and now_ns - self._mark_ns <= _MARK_FRESH_NS:
            return self._mark * self.instrument.ticks_per_unit
        return self.mid_ticks if self.book.synced else self._mark * self.instrument.ticks_per_unit

    # -- events --------------------------------------------------------------------------------------------------------

    def on_diff(self, diff: DepthDiff, now_ns: int) -> None:
        """Apply a diff; ask for a snapshot where the book is lost."""
        outcome = self.book.on_diff(diff)
        if outcome is Outcome.APPLIED:
            self.fresh_ns = now_ns
        elif outcome is Outcome.GAP or outcome is Outcome.MALFORMED:
            self._lost(outcome, got=diff.previous_update_id, now_ns=now_ns)

    def on_snapshot(self, snapshot: DepthSnapshot, now_ns: int) -> None:
        """Load a snapshot, or find that the book is as new."""
        self._asked_ns = None
        self._failures = 0
        was_synced = self.book.synced
        outcome = self.book.on_snapshot(snapshot)
        if outcome is Outcome.APPLIED or (outcome is Outcome.STALE and was_synced):
            self.fresh_ns = max(self.fresh_ns, snapshot.sent_boot_ns)
            self._ask_at_ns = None
            if not was_synced and self.book.synced:
                self._announce(snapshot)
        elif outcome is not Outcome.STALE:
            self._lost(outcome, got=snapshot.last_update_id, now_ns=now_ns)

    def on_snapshot_failed(self, error: str, now_ns: int) -> None:
        """Ask again after a growing pause."""
        self._asked_ns = None
        name = "depth_refresh_error" if self._reason == "refresh" else "depth_snapshot_error"
        self._outbox.log(name, error=error)
        self._ask_at_ns = now_ns + min(_FIRST_PAUSE_NS << min(self._failures, 8), _MAX_PAUSE_NS)
        self._failures += 1

    def on_ticker(self, ticker: BookTicker, now_ns: int) -> bool:
        """A better view of the touch between two diffs; it cannot make an unsynced book usable. True where `touch` may have moved."""
        number, known = ticker.update_id, self._ticker_id
        if number <= known:
            return False
        scale, book = self._scale, self.book
        try:
            bid, ask = int(ticker.bid * scale + 0.5), int(ticker.ask * scale + 0.5)
        except (ValueError, OverflowError):
            self.malformed += 1
            return False
        if not 0 < bid < ask:
            self.malformed += 1
            return False
        self._ticker_id = number
        if book.sync is Sync.SYNCED:
            self.fresh_ns = now_ns
        if bid == self._ticker_bid and ask == self._ticker_ask and known > book.last_update_id:
            return False  # sizes only, as most tickers
        self._ticker_bid, self._ticker_ask = bid, ask
        return True

    def on_mark(self, mark: MarkPrice, now_ns: int) -> None:
        """Mark price and funding rate; absurd ones are counted and dropped."""
        if not (0.0 < mark.mark < 1e12 and -1.0 < mark.funding_rate < 1.0):
            self.malformed += 1
            return
        self._mark, self._mark_ns, self.funding_rate = mark.mark, now_ns, mark.funding_rate

    def on_stream_up(self, event: StreamUp, now_ns: int) -> None:
        """The public stream delivers from now on: synchronise."""
        if event.stream is Stream.PUBLIC:
            self._streaming = True
            self.book.begin()
            self._ask_at_ns, self._reason = now_ns, "reconnect" if self._synced_once else "start"

    def on_stream_down(self, event: StreamDown) -> None:
        """Without the stream the book is nothing but a memory."""
        if event.stream is Stream.PUBLIC:
            self._streaming = False
            self.book.lose()
            self.volatility.forget()
            self._ticker_id = 0
            self._ask_at_ns = None

    def on_time(self, now_ns: int, *, reducing: bool) -> None:
        """Ask for what is missing."""
        if not self._streaming:
            return
        if self._asked_ns is not None:
            if now_ns - self._asked_ns > _ANSWER_BOUND_NS:
                self._asked_ns = None
                self._ask_at_ns = now_ns
            return
        silent = now_ns - self.fresh_ns
        if self._ask_at_ns is None and self.book.synced and silent > (REFRESH_REDUCING_NS if reducing else REFRESH_NS):
            self._ask_at_ns, self._reason = now_ns, "refresh"
        if self._ask_at_ns is not None and now_ns >= self._ask_at_ns:
            self._ask_at_ns, self._asked_ns = None, now_ns
            self._outbox.put(FetchDepthSnapshot(reason=self._reason))

    def next_due_ns(self) -> int:
        """The instant at which `on_time` may have something to do; silence apart (`patience_ns`)."""
        if not self._streaming:
            return NEVER_NS
        if self._asked_ns is not None:
            return self._asked_ns + _ANSWER_BOUND_NS
        return NEVER_NS if self._ask_at_ns is None else self._ask_at_ns

    def _lost(self, outcome: Outcome, *, got: int, now_ns: int) -> None:
        if outcome is Outcome.MALFORMED:
            self.malformed += 1
            self._outbox.log("malformed_input", kind="depth", error="unusable level in depth update")
        if outcome is not Outcome.TOO_OLD:
            self._outbox.log("book_gap", expected=self.book.expected, got=got)
        self.volatility.forget()
        self._reason = "gap"
        pause = 0 if outcome is Outcome.GAP else _FIRST_PAUSE_NS
        self._ask_at_ns = now_ns + pause

    def _announce(self, snapshot: DepthSnapshot) -> None:
        self._synced_once = True
        self.resyncs += 1
        instrument = self.instrument
        self._outbox.log(
            "depth_snapshot",
            bid=float(instrument.price(self.book.best_bid)),
            ask=float(instrument.price(self.book.best_ask)),
            lastUpdateId=snapshot.last_update_id,
        )
        self._outbox.log("book_synced", lastUpdateId=self.book.last_update_id)
