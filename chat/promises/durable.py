"""A history in a file, so that what was said survives the server, its crash and the machine's."""

import contextlib
import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path

from chat.core.history import Entry, History

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    sender TEXT NOT NULL,
    session TEXT NOT NULL,
    recipient TEXT,
    to_session TEXT,
    text TEXT NOT NULL,
    time REAL NOT NULL,
    message_id INTEGER,
    sealed INTEGER NOT NULL,
    seq INTEGER PRIMARY KEY
);
"""
_KEPT = ("sender", "session", "to", "to_session", "text", "time", "message_id", "sealed")
_COLUMNS = attrgetter(*_KEPT)
_VISIBLE = "(to_session IS NULL OR :session IN (session, to_session))"


class SqliteHistory(History):
    """A history in a file too, which survives the server, its crash and the machine's.

    A commit returns when the disk has it: ``synchronous`` is FULL, and the write-ahead log makes
    that one write (https://www.sqlite.org/wal.html). The file keeps all messages; the last of
    them are in memory too, because they are what everybody asks for.
    """

    def __init__(self, path: str | Path, messages: int) -> None:
        """Open the file at *path*, or make it; have its last *messages* messages in memory.

        Only the user who runs the server may read it. Raises `sqlite3.Error` or `OSError` when it
        cannot be had.
        """
        super().__init__(messages)
        Path(path).touch(mode=0o600)  # SQLite gives the files beside it the same mode
        with contextlib.ExitStack() as stack:
            # Whichever thread flushes records, one at a time. Autocommit: BEGIN is said below.
            self._file = sqlite3.connect(
                path, timeout=1, check_same_thread=False, isolation_level=None
            )
            stack.callback(self._file.close)
            # Two servers with one file would both give out the next number.
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.executescript(_SCHEMA)
            self._file.execute(
                "INSERT INTO log SELECT ? WHERE NOT EXISTS (SELECT * FROM log)", [self.log_id]
            )
            [(self.log_id,)] = self._file.execute("SELECT id FROM log")
            self._recorded.extendleft(
                self._select("ORDER BY seq DESC LIMIT :limit", limit=messages)
            )
            self.last_seq = self._recorded[-1].seq if self._recorded else 0
            stack.pop_all()

    def _keep(self, entries: list[Entry]) -> bool:
        rows = [(*_COLUMNS(entry), seq) for seq, entry in enumerate(entries, self.last_seq + 1)]
        try:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._file.execute("COMMIT")
            self.failure = None
        except sqlite3.Error as error:  # no room on the disk, the disk is gone …
            self.failure = str(error)
            if self._file.in_transaction:  # some errors have ended it already
                self._file.execute("ROLLBACK")
            for entry in entries:
                entry.failed = True
        return self.failure is None

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, newest first."""
        if before is None or before > self._forgotten() + 1:
            return super().before(session, limit, before)
        query = f"WHERE seq < :before AND {_VISIBLE} ORDER BY seq DESC LIMIT :limit"
        return self._select(query, session=session, before=before, limit=limit)

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        if after >= self._forgotten():
            return super().after(session, limit, after)
        heard = f"seq > :after AND session != :session AND {_VISIBLE}"
        query = f"WHERE {heard} ORDER BY seq LIMIT :limit"
        return self._select(query, session=session, after=after, limit=limit)

    def has_gap(self, _after: int) -> bool:
        """Tell whether something is not remembered any more: the file remembers everything."""
        return False

    def _select(self, query: str, **values: object) -> list[Entry]:
        rows: Iterable[tuple[object, ...]] = self._file.execute(
            f"SELECT * FROM messages {query}", values
        )
        return [Entry(*row) for row in rows]  # type: ignore[arg-type] # as we wrote them

    def close(self) -> None:
        """Close the file."""
        self._file.close()
