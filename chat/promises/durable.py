"""A log in a file, so that messages survive the server, its crash, and that of the machine.

A commit returns when the data is on disk: ``synchronous`` is FULL, and the write-ahead log makes
that one write (https://www.sqlite.org/wal.html). The file keeps all messages. The last of them are
kept in memory as well, because nearly all requests are for these; older ones are read in the thread
of the client that asks, on a database connection of its own, with a time limit.

Seam: `chat.core.history.Log`.
"""

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path

from chat.core.history import Entry, Log
from chat.core.protocol import Limits, ProtocolError
from chat.core.server import log

LONGEST_READ = 1.0
"""Seconds that one query for old messages may take."""

_SCHEMA = """
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
CREATE TABLE IF NOT EXISTS log (id TEXT NOT NULL);
"""
_INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS = "SELECT session, message_id, seq FROM messages WHERE seq > ?"
_COLUMNS = attrgetter(
    "sender", "session", "to", "to_session", "text", "time", "message_id", "sealed", "seq"
)
_VISIBLE = "(to_session IS NULL OR :session IN (session, to_session))"


_Row = tuple[str, int | None, int]
"""The session, the id and the number of a message."""


class SqliteLog(Log):
    """A log in a file, with the last messages in memory as well."""

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        """Open the file at *path*, or create it, readable only by the user who runs the server.

        Raises `sqlite3.Error` or `OSError`.
        """
        super().__init__(limits)
        self._resources: contextlib.ExitStack | None = None  # set when it is ready
        self._reading_lock = threading.Lock()  # one query at a time; never under another lock
        with contextlib.ExitStack() as stack:
            path = Path(path).resolve()  # or a link could hide that another server uses it
            path.touch(mode=0o600)
            if path.is_file():
                path.chmod(0o600)  # SQLite gives the files beside it the same mode
            self._file, self._reading = (
                stack.enter_context(contextlib.closing(_connect(path))) for _ in range(2)
            )
            _check_whose(self._file)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._said = stack.enter_context(contextlib.closing(_Said(path)))
            self._path, self._identity = path, path.stat()
            self._begin()
            self._resources = stack.pop_all()

    def _begin(self) -> None:
        self._file.executescript(_SCHEMA)
        newest = self._select("ORDER BY seq DESC LIMIT :limit", limit=self._limits.history_messages)
        with self._lock:
            self._replace(reversed(newest))
        self.last_seq = self._given = newest[0].seq if newest else 0
        found = self._file.execute("SELECT id FROM log").fetchone()
        if found is not None and self._said.last_seq <= self.last_seq:
            self.id = found[0]
        else:  # it is new, or restored from a copy: the next numbers have been given before
            self._file.execute("INSERT OR REPLACE INTO log (rowid, id) VALUES (1, ?)", [self.id])
        self._said.add([], self._file, self.last_seq)
        # What cannot be read now is not asked for again.
        self._said.last_seq, self._said.complete = self.last_seq, True

    def commit(self, entries: Sequence[Entry]) -> None:
        """Write *entries* in one transaction. Raises `OSError`, `sqlite3.Error`."""
        if not os.path.samestat(self._path.stat(), self._identity):
            # It was deleted or replaced, and SQLite would not notice.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with self._file:
            self._file.execute("BEGIN")
            self._file.executemany(_INSERT, map(_COLUMNS, entries))
        super().commit(entries)
        rows = [(one.session, one.message_id, one.seq) for one in entries]
        self._said.add(rows, self._file, self.last_seq)

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, newest first."""
        found = super().before(session, limit, before)
        if len(found) == limit or not super().has_gap(0):
            return found
        before = self.last_seq + 1 if before is None else before
        query = f"WHERE seq < :before AND {_VISIBLE} ORDER BY seq DESC LIMIT :limit"
        return self._select(query, session=session, before=before, limit=limit)

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        if not super().has_gap(after):
            return super().after(session, limit, after)
        heard = f"seq > :after AND session != :session AND {_VISIBLE}"
        query = f"WHERE {heard} ORDER BY seq LIMIT :limit"
        return self._select(query, session=session, after=after, limit=limit)

    def has_gap(self, _after: int) -> bool:
        """Return False: the file keeps all messages."""
        return False

    def find(self, session: str, message_id: int) -> int | None:
        """Return the number of the message *message_id* of *session*."""
        return self._said.find(session, message_id) or super().find(session, message_id)

    def last_id(self, session: str) -> int:
        """Return the largest ``message_id`` of *session*."""
        return max(self._said.last_id(session), super().last_id(session))

    def _select(self, query: str, **values: object) -> list[Entry]:
        """Return entries from the file. Raises `ProtocolError` ``unavailable``."""
        end = time.monotonic() + LONGEST_READ
        with self._reading_lock:
            self._reading.set_progress_handler(lambda: time.monotonic() > end, 1000)
            try:
                rows = self._reading.execute(f"SELECT * FROM messages {query}", values).fetchall()
            except sqlite3.Error as error:
                if not self._resources:  # the server has not started yet
                    raise
                raise ProtocolError("unavailable") from error
        entries = [Entry(*row) for row in rows]
        if not all(isinstance(entry.text, str) for entry in entries):  # a damaged page
            raise ProtocolError("unavailable")
        return entries

    def close(self) -> None:
        """Close the files."""
        if self._resources is not None:
            self._resources.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database, for one thread at a time; autocommit, where nothing says BEGIN."""
    return sqlite3.connect(path, timeout=1, check_same_thread=False, isolation_level=None)


def _check_whose(file: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` if it is the database of another program."""
    columns = {name for _number, name, *_rest in file.execute("PRAGMA table_info(messages)")}
    [(tables,)] = file.execute("SELECT count(*) FROM sqlite_master")
    if tables and not columns >= {"sender", "session", "sealed", "seq"}:
        raise sqlite3.DatabaseError("file is not a database")


class _Said:
    """An index from a message's session and id to its number, in a file beside the database.

    In a file of its own, because a damaged page of an index would stop all writing, and written
    without waiting for the disk, because it can be rebuilt. It also shows whether the database was
    replaced by an older copy, and serves as its lock: two servers with one database would give out
    the same numbers.
    """

    def __init__(self, database: Path) -> None:
        """Open the file beside *database*, or create it. Raises `sqlite3.OperationalError`."""
        path = database.with_name(database.name + "-said")
        self._lock = threading.Lock()  # guards the connection; nothing is taken under it
        self.complete = False  # has all that the database has
        try:
            self._open(path)
        except sqlite3.OperationalError:  # another program has it
            raise
        except sqlite3.DatabaseError:
            self._file.close()
            path.unlink()
            self._open(path)

    def _open(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._file = _connect(path)
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = OFF"):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS said (session TEXT, id INTEGER, seq INTEGER PRIMARY KEY)"
        )
        self._file.execute("CREATE INDEX IF NOT EXISTS by_session ON said (session, id)")
        [(self.last_seq,)] = self._file.execute("SELECT coalesce(max(seq), 0) FROM said")

    def add(self, rows: Iterable[_Row], messages: sqlite3.Connection, last_seq: int) -> None:
        """Add *rows*, up to number *last_seq*.

        At first, and after a failure, add all that is in *messages* and not in the index instead.
        """
        try:
            with self._lock, self._file:
                self._file.execute("BEGIN")
                if not self.complete:
                    self._file.execute("DELETE FROM said WHERE seq > ?", [last_seq])
                    rows = messages.execute(_ROWS, [self.last_seq])
                self._file.executemany("INSERT OR REPLACE INTO said VALUES (?, ?, ?)", rows)
            self.last_seq, self.complete = last_seq, True
        except Exception as error:  # noqa: BLE001 - the messages are in the database already
            if self.complete:
                log("failed", reason=repr(error))
            self.complete = False

    def find(self, session: str, message_id: int) -> int | None:
        """Return the number of the message *message_id* of *session*."""
        query = "SELECT min(seq) FROM said WHERE session = ? AND id = ?"
        return self._ask(query, session, message_id)

    def last_id(self, session: str) -> int:
        """Return the largest id of *session*, 0 if there is none."""
        return self._ask("SELECT max(id) FROM said WHERE session = ?", session) or 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _ask(self, query: str, *values: str | int) -> int | None:
        try:
            with self._lock:
                found: int | None = self._file.execute(query, values).fetchone()[0]
        except sqlite3.Error as error:
            raise ProtocolError("unavailable") from error
        return found
