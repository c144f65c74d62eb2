"""The order book: a dense ladder of integer ticks, kept in step with the venue by U/u/pu.

A Python list indexed by tick beats every tree at this (2.4x dict + bisect, trading-anchors section 4.2): one multiplication finds a level,
and the touch moves by a short scan. Levels outside the ladder wait in a dict and come in when the ladder is centred anew.

Sequence rules (venue documents): buffer diffs, load a snapshot, drop u < lastUpdateId, the first one used has U <= lastUpdateId <= u
(or continues the snapshot exactly, pu == lastUpdateId), from then on pu == previous u; anything else is a gap and the book is lost.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from mm_runner.core.messages import DepthDiff, DepthSnapshot, Levels

LADDER_SLOTS: Final = 65_536
_MARGIN: Final = LADDER_SLOTS // 8
_MAX_BUFFER: Final = 4_096
_ABSURD_QUANTITY: Final = 1e15
_ABSURD_TICKS: Final = 10**12


class Sync(Enum):
    """Where the book stands against the venue's sequence."""

    LOST = "lost"
    BUFFERING = "buffering"
    SYNCED = "synced"


class Outcome(Enum):
    """What a diff or snapshot did to the book."""

    APPLIED = "applied"
    BUFFERED = "buffered"
    STALE = "stale"
    """Older than what is known: dropped, as the rules say."""
    GAP = "gap"
    TOO_OLD = "too_old"
    """The snapshot is older than the first buffered diff: another one is needed."""
    MALFORMED = "malformed"
    """The next diff in sequence cannot be used, so an update is missing: the book is lost like after a gap."""


class Book:
    """Bids and asks of one symbol. Prices are ticks, quantities base units as decoded.

    Args:
        ticks_per_unit: 1 / tick size.
    """

    __slots__ = (
        "_ask", "_asks", "_base", "_bid", "_bids", "_buffer", "_far_asks", "_far_bids", "_first", "best_ask", "best_bid", "expected",
        "last_update_id", "sync", "synced", "ticks_per_unit",
    )  # fmt: skip

    def __init__(self, *, ticks_per_unit: float) -> None:
        self.ticks_per_unit = ticks_per_unit
        self.sync = Sync.LOST
        self.last_update_id = 0
        self.expected = 0
        """After a gap: the `pu` that was expected."""
        self._buffer: deque[DepthDiff] = deque(maxlen=_MAX_BUFFER)
        self._first = False
        self._clear(center=LADDER_SLOTS // 2)
        self._note()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _note(self) -> None:
        """Keep what is read at every event as plain attributes; every method that changes the book ends here."""
        self.synced = self.sync is Sync.SYNCED and self._bid >= 0 and self._ask < LADDER_SLOTS
        """In step with the venue, both sides present."""
        self.best_bid = self._base + self._bid
        """Ticks; only meaningful while `synced`."""
        self.best_ask = self._base + self._ask
        """Ticks; only meaningful while `synced`."""

    @property
    def bid_quantity(self) -> float:
        """Base units at the best bid."""
        return self._bids[self._bid]

    @property
    def ask_quantity(self) -> float:
        """Base units at the best ask."""
        return self._asks[self._ask]

    def quantity_at(self, ticks: int, *, bids: bool) -> float:
        """Base units resting at a price; 0.0 where nothing is known."""
        index = ticks - self._base
        if 0 < index < LADDER_SLOTS:
            return (self._bids if bids else self._asks)[index]
        return (self._far_bids if bids else self._far_asks).get(ticks, 0.0)

    def levels(self, *, bids: bool) -> dict[int, float]:
        """Every level as ticks to base units; for tests and inspection, not for the hot path."""
        ladder, far = (self._bids, self._far_bids) if bids else (self._asks, self._far_asks)
        near = {self._base + index: quantity for index, quantity in enumerate(ladder) if quantity}
        return near | far

    # -- sequencing ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forget the book and buffer diffs until a snapshot comes."""
        self.sync = Sync.BUFFERING
        self._buffer.clear()
        self._note()

    def lose(self) -> None:
        """The stream ended: nothing is known and nothing is buffered."""
        self.sync = Sync.LOST
        self._buffer.clear()
        self._note()

    def on_diff(self, diff: DepthDiff) -> Outcome:
        """Take the next diff of the stream."""
        if self.sync is Sync.SYNCED:
            outcome = self._in_sequence(diff)
            if outcome is Outcome.GAP:
                self._buffer.append(diff)  # what is missing lies before it; it may join the next snapshot
            self._note()
            return outcome
        if self.sync is Sync.BUFFERING:
            self._buffer.append(diff)
            return Outcome.BUFFERED
        return Outcome.STALE

    def on_snapshot(self, snapshot: DepthSnapshot) -> Outcome:
        """Load a snapshot and what was buffered since; a synced book takes it only where it is newer."""
        outcome = self._take_snapshot(snapshot)
        self._note()
        return outcome

    def _take_snapshot(self, snapshot: DepthSnapshot) -> Outcome:
        if self.sync is Sync.LOST or (self.sync is Sync.SYNCED and snapshot.last_update_id <= self.last_update_id):
            return Outcome.STALE
        if not self._load(snapshot.bids, snapshot.asks):
            self.sync = Sync.BUFFERING
            return Outcome.MALFORMED
        self.last_update_id = snapshot.last_update_id
        self.sync = Sync.SYNCED
        self._first = True
        pending, self._buffer = self._buffer, deque(maxlen=_MAX_BUFFER)
        for number, diff in enumerate(pending):
            outcome = self._in_sequence(diff)
            if outcome in (Outcome.GAP, Outcome.MALFORMED):
                # What follows may still join a newer snapshot.
                self._buffer.extend(list(pending)[number if outcome is Outcome.GAP else number + 1 :])
                return Outcome.TOO_OLD if self._first else outcome
        return Outcome.APPLIED

    def _in_sequence(self, diff: DepthDiff) -> Outcome:
        if self._first:
            if diff.last_update_id < self.last_update_id:
                return Outcome.STALE
            continues = diff.previous_update_id == self.last_update_id
            if not continues and diff.first_update_id > self.last_update_id:
                return self._lost(Outcome.GAP)
        elif diff.previous_update_id != self.last_update_id:
            if diff.last_update_id <= self.last_update_id:
                return Outcome.STALE  # a duplicate changes nothing: quantities are absolute and newer ones are in
            return self._lost(Outcome.GAP)
        if not self._apply(diff.bids, diff.asks):
            self._first = False
            return self._lost(Outcome.MALFORMED)
        self._first = False
        self.last_update_id = diff.last_update_id
        return Outcome.APPLIED

    def _lost(self, outcome: Outcome) -> Outcome:
        self.expected = self.last_update_id
        self.sync = Sync.BUFFERING
        self._buffer.clear()
        return outcome

    # -- levels --------------------------------------------------------------------------------------------------------

    def _clear(self, *, center: int) -> None:
        self._base = center - LADDER_SLOTS // 2
        self._bids = [0.0] * LADDER_SLOTS
        self._asks = [0.0] * LADDER_SLOTS
        self._far_bids: dict[int, float] = {}
        self._far_asks: dict[int, float] = {}
        self._bid = -1
        self._ask = LADDER_SLOTS

    def _load(self, bids: Levels, asks: Levels) -> bool:
        center = LADDER_SLOTS // 2
        for side in (bids, asks):
            if side and 0.0 < side[0][0] * self.ticks_per_unit < _ABSURD_TICKS:
                center = int(side[0][0] * self.ticks_per_unit + 0.5)
                break
        self._clear(center=center)
        return self._apply(bids, asks)

    def _apply(self, bids: Levels, asks: Levels) -> bool:  # noqa: C901 - two unrolled loops; a call per level would double the time
        """Set absolute quantities; False where a level is unusable (then the book must not be read any more)."""
        scale, top, most = self.ticks_per_unit, LADDER_SLOTS, _ABSURD_QUANTITY
        offset = (
            0.5 - self._base
        )  # rounds to the nearest tick and counts from the ladder's beginning; slot 0 stays empty
        ladder, best = self._bids, self._bid
        try:
            for price, quantity in bids:
                index = int(price * scale + offset)
                # Plain comparisons are faster here than chained ones, and this line is where the time goes.
                if index > 0 and index < top and quantity >= 0.0 and quantity < most:
                    ladder[index] = quantity
                    if index > best and quantity:
                        best = index
                elif not self._far(self._far_bids, price, quantity):
                    return False
            while best >= 0 and not ladder[best]:
                best -= 1
            self._bid = best
            ladder, best = self._asks, self._ask
            for price, quantity in asks:
                index = int(price * scale + offset)
                if index > 0 and index < top and quantity >= 0.0 and quantity < most:
                    ladder[index] = quantity
                    if index < best and quantity:
                        best = index
                elif not self._far(self._far_asks, price, quantity):
                    return False
            while best < top and not ladder[best]:
                best += 1
            self._ask = best
        except (ValueError, OverflowError, TypeError):  # NaN, infinity, not a number
            return False
        if self._bid <= _MARGIN or self._ask >= LADDER_SLOTS - _MARGIN:
            self._recenter()
        return not (self._bid >= self._ask and self._bid >= 0 and self._ask < LADDER_SLOTS)

    def _recenter(self) -> None:
        """Rebuild the ladder around the touch; milliseconds, but only after moves of tens of thousands of ticks."""
        bids, asks = self.levels(bids=True), self.levels(bids=False)
        touch = [max(bids)] if bids else []
        touch += [min(asks)] if asks else []
        if not touch:
            return
        center = sum(touch) // len(touch)
        if abs(center - LADDER_SLOTS // 2 - self._base) < _MARGIN // 2:
            return  # the touch itself spans the ladder; turning it over at every diff would not help
        self._clear(center=center)
        for levels, ladder, far in ((bids, self._bids, self._far_bids), (asks, self._asks, self._far_asks)):
            for ticks, quantity in levels.items():
                index = ticks - self._base
                if 0 < index < LADDER_SLOTS:
                    ladder[index] = quantity
                else:
                    far[ticks] = quantity
        near_bids = [ticks - self._base for ticks in bids if 0 < ticks - self._base < LADDER_SLOTS]
        near_asks = [ticks - self._base for ticks in asks if 0 < ticks - self._base < LADDER_SLOTS]
        self._bid = max(near_bids, default=-1)
        self._ask = min(near_asks, default=LADDER_SLOTS)

    def _far(self, far: dict[int, float], price: float, quantity: float) -> bool:
        """A level outside the ladder, or one that no book can have."""
        ticks = int(price * self.ticks_per_unit + 0.5)
        if not (0 < ticks < _ABSURD_TICKS and 0.0 <= quantity < _ABSURD_QUANTITY):
            return False
        if quantity:
            far[ticks] = quantity
        else:
            far.pop(ticks, None)
        return True
