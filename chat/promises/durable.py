"""A log in a file, so that what was said survives the server, its crash and the machine's.

A commit returns when the disk has it: ``synchronous`` is FULL, and the write-ahead log makes that
one write (https://www.sqlite.org/wal.html). The file keeps all messages; the last of them are in
memory too, because they are what everybody asks for. Older ones are read by whoever asks, on
another connection than the writer's, and within a limit of time.

Seam: `chat.core.history.Log`.
"""

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from chat.core.history import Entry, Log
from chat.core.protocol import Limits, ProtocolError

try:
    import fcntl
except ImportError:  # Windows: there the file's unique numbers still keep two servers apart
    fcntl = None  # type: ignore[assignment]

LONGEST_READ = 1.0
"""Seconds that one question for old messages may take."""

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
_INDEX = """
CREATE INDEX IF NOT EXISTS said ON messages (session, message_id) WHERE message_id IS NOT NULL
"""
_INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = attrgetter(
    "sender", "session", "to", "to_session", "text", "time", "message_id", "sealed", "seq"
)
_VISIBLE = "(to_session IS NULL OR :session IN (session, to_session))"


class SqliteLog(Log):
    """A log in a file, the last of it in memory too."""

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        """Open the file at *path*, or make it.

        Only the user who runs the server may read it afterwards. Raises `sqlite3.Error` or
        `OSError` when it cannot be had.
        """
        super().__init__(limits)
        self._appended: list[Entry] = []  # guarded as the entries in memory are
        self._given = 0  # the last number given
        self._reading_lock = threading.Lock()  # one question at a time; never under another lock
        with contextlib.ExitStack() as stack:
            path = Path(path)
            path.touch(mode=0o600)
            if path.is_file():
                path.chmod(0o600)  # SQLite gives the files beside it the same mode
            self._file, self._reading = (
                stack.enter_context(contextlib.closing(_connect(path))) for _ in range(2)
            )
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._last = stack.enter_context(_LastNumber(path.with_name(path.name + "-last")))
            self._begin()
            self._resources = stack.pop_all()

    def _begin(self) -> None:
        self._file.executescript(_SCHEMA)
        with contextlib.suppress(sqlite3.DatabaseError):  # damaged: what can be read still can
            self._file.execute(_INDEX)
        newest = self._select("ORDER BY seq DESC LIMIT :limit", limit=self._limits.history_messages)
        self._replace(reversed(newest))
        self.last_seq = self._given = newest[0].seq if newest else 0
        found = self._file.execute("SELECT id FROM log").fetchone()
        if found is None:
            self._file.execute("INSERT INTO log VALUES (?)", [self.id])
        elif self._last.read() <= self.last_seq:
            self.id = found[0]
        else:  # restored from a copy: the numbers that follow have been given before
            self.id = secrets.token_hex(8)
            self._file.execute("UPDATE log SET id = ?", [self.id])
        self._last.write(self.last_seq)

    def append(self, entry: Entry) -> bool:
        """Give *entry* the next number, to be kept by the next `commit`."""
        with self._lock:
            self._given += 1
            entry.seq = self._given
            self._appended.append(entry)
        return True

    def commit(self) -> Sequence[Entry]:
        """Write to the file what was appended, in one transaction; return it if that fails."""
        with self._lock:
            entries, self._appended = self._appended, []
        if not entries:
            return ()
        try:
            self._file.execute("BEGIN")
            self._file.executemany(_INSERT, map(_COLUMNS, entries))
            self._file.execute("COMMIT")
        except sqlite3.Error as error:  # no room on the disk, the disk is gone …
            self.failure = str(error)
            if self._file.in_transaction:  # some errors have ended it already
                self._file.execute("ROLLBACK")
            for entry in entries:
                entry.lost = True
            return entries
        self.failure = None
        with self._lock:
            self.last_seq = entries[-1].seq
            for entry in entries:
                self._keep(entry)
        self._last.write(self.last_seq)
        return ()

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
        """Tell whether something is not remembered any more: the file remembers everything."""
        return False

    def find(self, session: str, message_id: int) -> int | None:
        """Return the number of what *session* said under *message_id*."""
        query = "WHERE session = :session AND message_id = :id ORDER BY seq LIMIT 1"
        found = self._select(query, session=session, id=message_id)
        return found[0].seq if found else None

    def last_id(self, session: str) -> int:
        """Return the largest ``message_id`` of what *session* has said."""
        query = "WHERE session = :session AND message_id IS NOT NULL ORDER BY message_id DESC"
        found = self._select(f"{query} LIMIT 1", session=session)
        return found[0].message_id or 0 if found else 0

    def _select(self, query: str, **values: object) -> list[Entry]:
        """Return what is in the file. Raises `ProtocolError` ``unavailable`` for the asker."""
        end = time.monotonic() + LONGEST_READ
        with self._reading_lock:
            self._reading.set_progress_handler(lambda: time.monotonic() > end, 1000)
            try:
                rows = self._reading.execute(f"SELECT * FROM messages {query}", values).fetchall()
            except sqlite3.Error as error:
                if not self._given:  # while the server starts
                    raise
                raise ProtocolError("unavailable") from error
        entries = [Entry(*row) for row in rows]
        if not all(isinstance(entry.text, str) for entry in entries):  # a damaged page
            raise ProtocolError("unavailable")
        return entries

    def close(self) -> None:
        """Close the file."""
        self._resources.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database; used by one thread at a time. Autocommit: BEGIN is said above."""
    return sqlite3.connect(path, timeout=1, check_same_thread=False, isolation_level=None)


class _LastNumber:
    """The last number given, in a small file beside the database.

    It shows when the database was replaced by an older copy. Who holds its lock owns the database:
    two servers with one would both give out the next number.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises `sqlite3.OperationalError` when another program has it."""
        path.touch(mode=0o600)
        self._file = path.open("r+b", buffering=0)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise sqlite3.OperationalError("database is locked") from error

    def __enter__(self) -> "_LastNumber":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    def read(self) -> int:
        """Return the number, 0 if there is none."""
        self._file.seek(0)
        text = self._file.read(20)
        return int(text) if text.strip().isdigit() else 0

    def write(self, number: int) -> None:
        """Keep *number*, if there is room: without it, only a restored copy goes unnoticed."""
        with contextlib.suppress(OSError):
            self._file.seek(0)
            self._file.write(b"%-20d" % number)
