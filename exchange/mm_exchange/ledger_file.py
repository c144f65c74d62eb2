"""The part of the ledger that is on disk: one SQLite table, written by a thread of its own, read by the loop.

Temporary unless it is given a path. Nothing is synced: it is a test double's memory, not a bank's. A slice of entries
goes down as one JSON text that SQLite takes apart itself, in one statement: the thread then holds Python's lock for
microseconds only, and does not hold up the loop.

    sqlite3 ledger.sqlite "SELECT kind, count(*) FROM ledger GROUP BY kind"
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Searched columns are stored; the rest are read out of the entry when somebody asks for them.
_STORED = ("time", "kind", "symbol", "apiKey")
_SHOWN = ("clientOrderId", "orderId", "side", "status", "price", "quantity", "executedQuantity", "code", "msg")
_JSON = "json_extract({source}, '$.{name}')"
_COLUMNS = "".join(
    f", {name} GENERATED ALWAYS AS ({_JSON.format(source='entry', name=name)}) VIRTUAL" for name in _SHOWN
)
# The page size comes first: it can only be chosen for an empty file.
_CREATE = f"""
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE ledger (seq INTEGER PRIMARY KEY, time INTEGER, kind TEXT, symbol TEXT, apiKey TEXT, entry TEXT{_COLUMNS});
CREATE INDEX by_symbol ON ledger (symbol);
CREATE INDEX by_account ON ledger (apiKey);
"""
_INSERT = (
    f"INSERT INTO ledger (seq, {', '.join(_STORED)}, entry) "  # noqa: S608 - names of our own
    f"SELECT ? + key, {', '.join(_JSON.format(source='value', name=name) for name in _STORED)}, value FROM json_each(?)"
)
# Slices on their way to the disk at most; beyond it entries wait in the ledger.
_QUEUE = 4


class LedgerFile:
    """Entries by `seq` in a file.

    Args:
        path: where; must not hold a ledger already. None: a temporary file that goes with `close`.

    Raises:
        ValueError: the file exists.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        # Whoever names a file wants everything in it; a temporary one takes only what memory would not hold.
        self.eager = path is not None
        if path is not None and path.exists():
            raise ValueError(f"{path} exists: a ledger is the record of one run; remove it or name another file")
        self._temporary = None if path is not None else tempfile.TemporaryDirectory(prefix="mm-exchange-")
        self._path = path if path is not None else Path(self._temporary.name, "ledger.sqlite")  # type: ignore[union-attr]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[int, Future[None]]] = []
        self._written = 0
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection = self._made(self._thread.submit(self._create))

    def _made(self, made: Future[sqlite3.Connection]) -> sqlite3.Connection:
        try:
            return made.result()
        except sqlite3.Error as error:
            self._thread.shutdown()
            raise OSError(f"the ledger cannot be kept in {self._path}: {error}") from error

    def _create(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.executescript(_CREATE)
        return connection

    @property
    def idle(self) -> bool:
        """May another slice come?"""
        return len(self._waiting) < _QUEUE

    def write(self, entries: bytes, *, first: int, last: int) -> None:
        """Queue a slice: a JSON list of the entries from `first` to `last`."""
        self._waiting.append((last, self._thread.submit(self._insert, first, entries.decode())))

    def _insert(self, first: int, entries: str) -> None:
        self._writer.execute(_INSERT, (first, entries))

    def wait(self) -> None:
        """Until the oldest slice on its way is on disk; `written` tells how that went."""
        wait([slice_ for _, slice_ in self._waiting[:1]])

    def written(self) -> int:
        """The last `seq` that is on disk.

        Raises:
            OSError: a slice could not be written.
        """
        while self._waiting and self._waiting[0][1].done():
            last, slice_ = self._waiting.pop(0)
            error = slice_.exception()
            if error is not None:
                raise OSError(f"the ledger cannot be written to {self._path}: {error}") from error
            self._written = last
        return self._written

    def page(self, after: int, through: int, *, most: int, wanted: Mapping[str, str | None]) -> list[tuple[int, str]]:
        """Up to `most` entries with `after` < `seq` <= `through` and the wanted columns: (`seq`, JSON text)."""
        filters = {name: value for name, value in wanted.items() if value is not None}
        where = "".join(f" AND {name} = ?" for name in filters)
        return self._read(
            f"SELECT seq, entry FROM ledger WHERE seq > ? AND seq <= ?{where} ORDER BY seq LIMIT ?",  # noqa: S608 - see _INSERT
            (after, through, *filters.values(), most),
        )

    def time_ms(self, seq: int) -> int:
        """Time of an entry that is on disk."""
        return int(self._read("SELECT time, '' FROM ledger WHERE seq = ?", (seq,))[0][0])

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[int, str]]:
        if self._reader is None:
            self._reader = sqlite3.connect(self._path, isolation_level=None)
        return self._reader.execute(query, values).fetchall()

    def close(self) -> None:
        """Write what waits and close; a temporary file is removed.

        Raises:
            OSError: the last slices could not be written.
        """
        if self._reader is not None:
            self._reader.close()
        try:
            self._made(self._thread.submit(self._leave))
            self._thread.shutdown()
            self.written()
        finally:
            if self._temporary is not None:
                with contextlib.suppress(OSError):
                    self._temporary.cleanup()

    def _leave(self) -> sqlite3.Connection:
        # One file, without a log beside it, is what a person takes away.
        self._writer.execute("PRAGMA journal_mode = DELETE")
        self._writer.close()
        return self._writer
