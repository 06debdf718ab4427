"""The ordered log of what was said: every message gets the next number, ``seq``.

The log is written once for each message, whoever is there to hear it, so that a message said
to an empty room is remembered too. Messages are recorded in batches: `append` only takes note,
in memory, and `record` writes all that was appended since, with one commit for all. What is not
recorded is neither delivered nor acknowledged.
"""

import contextlib
import secrets
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path

from chat.protocol import Message, message_frame


@dataclass(slots=True, eq=False)
class Entry:
    """One message as it was said."""

    sender: str
    """The sender's nickname, as shown."""

    session: str
    """Whose it is: a session, because a nickname may have another owner tomorrow."""

    to: str | None
    """The recipient's nickname, None for everyone."""

    to_session: str | None
    """The recipient's session, None for everyone."""

    text: str

    time: float
    """When the server heard it, in Unix seconds."""

    message_id: int | None = None
    """The sender's own number for it, the same when it is sent again."""

    sealed: bool = False
    """Whether the text is a cipher that only the users can read."""

    seq: int = 0
    """Its place in the order of all messages: 1, 2, 3 …; 0 until it is recorded."""

    failed: bool = False
    """Whether it could not be recorded."""

    def message(self) -> Message:
        """Return the ``message`` that tells a recipient of it."""
        message: Message = {
            "type": "message",
            "seq": self.seq,
            "from": self.sender,
            "to": self.to,
            "text": self.text,
            "time": self.time,
        }
        return message | {"sealed": True} if self.sealed else message

    def frame(self) -> bytes:
        """Return the frame of `message`; nothing when it is not recorded."""
        if not self.seq:
            return b""
        return message_frame(
            self.seq, self.sender, self.to, self.text, self.time, sealed=self.sealed
        )

    def visible_to(self, session: str) -> bool:
        """Tell whether the user of *session* was allowed to see it."""
        return self.to_session is None or session in (self.session, self.to_session)


class History(ABC):
    """A log of messages. `record` belongs to one thread at a time; any thread calls the rest."""

    def __init__(self) -> None:
        """Begin with nothing to record."""
        self.log_id = secrets.token_hex(8)
        """Which log it is: numbers of another one mean nothing here."""

        self.last_seq = 0
        """The number of the last message recorded, 0 before the first."""

        self.failure: str | None = None
        """Why the last batch could not be recorded, None if it could."""

        self._lock = threading.Lock()  # guards the list below
        self._appended: list[Entry] = []

    def append(self, entry: Entry) -> None:
        """Take note of *entry*, to be recorded after all that were appended before. No waiting."""
        with self._lock:
            self._appended.append(entry)

    def record(self) -> list[Entry]:
        """Give every entry that was appended its number and keep it; return them.

        Those that cannot be kept are marked as `Entry.failed`.
        """
        with self._lock:
            entries, self._appended = self._appended, []
        if entries:
            self._keep(entries)
        return entries

    @abstractmethod
    def _keep(self, entries: list[Entry]) -> None:
        """Number *entries* and keep them."""

    @abstractmethod
    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, oldest first.

        With *before*, only entries with a smaller number: the way to page back.
        """

    @abstractmethod
    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""

    @abstractmethod
    def forgotten(self, after: int) -> bool:
        """Tell whether something said after number *after* is not remembered any more."""

    @abstractmethod
    def said_by(self, session: str, limit: int) -> list[Entry]:
        """Return the last *limit* entries of *session*, oldest first."""

    def close(self) -> None:  # noqa: B027 - there may be nothing to let go of
        """Let go of what it holds. Nothing is appended or recorded afterwards."""


class MemoryHistory(History):
    """The last messages, in memory."""

    def __init__(self, messages: int) -> None:
        """Remember up to *messages* messages; the oldest make way."""
        super().__init__()
        self._entries: deque[Entry] = deque(maxlen=messages)
        self._entries_lock = threading.Lock()

    def _keep(self, entries: list[Entry]) -> None:
        for seq, entry in enumerate(entries, self.last_seq + 1):
            entry.seq = seq
        with self._entries_lock:
            self._entries.extend(entries)
            self.last_seq += len(entries)

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, oldest first."""
        with self._entries_lock:
            visible = (
                entry
                for entry in reversed(self._entries)
                if (before is None or entry.seq < before) and entry.visible_to(session)
            )
            return list(islice(visible, limit))[::-1]

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        with self._entries_lock:
            skipped = max(0, after - (self.last_seq - len(self._entries)))
            said_to = (
                entry
                for entry in islice(self._entries, skipped, None)
                if entry.session != session and entry.visible_to(session)
            )
            return list(islice(said_to, limit))

    def forgotten(self, after: int) -> bool:
        """Tell whether something said after number *after* is not remembered any more."""
        with self._entries_lock:
            return after < self.last_seq - len(self._entries)

    def said_by(self, session: str, limit: int) -> list[Entry]:
        """Return the last *limit* entries of *session*, oldest first."""
        with self._entries_lock:
            said = (entry for entry in reversed(self._entries) if entry.session == session)
            return list(islice(said, limit))[::-1]


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
CREATE INDEX IF NOT EXISTS messages_session ON messages (session, seq);
"""
_COLUMNS = "sender, session, recipient, to_session, text, time, message_id, sealed, seq"
_VISIBLE = "(to_session IS NULL OR to_session = :session OR session = :session)"


class SqliteHistory(History):
    """All messages, in a file that survives the server, its crash and the machine's.

    The write-ahead log lets others read while one writes, and a commit returns when the disk has
    it (https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous).
    """

    def __init__(self, path: str | Path) -> None:
        """Open the history in the file at *path*, or make it.

        Raises `sqlite3.Error` when that is not possible.
        """
        super().__init__()
        self._path = Path(path).absolute()
        with contextlib.ExitStack() as stack:
            self._database = self._connect()
            stack.callback(self._database.close)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            with self._transaction():
                self._database.execute(
                    "INSERT INTO log SELECT ? WHERE NOT EXISTS (SELECT * FROM log)", [self.log_id]
                )
            self.log_id = self._database.execute("SELECT id FROM log").fetchone()[0]
            newest = self._database.execute("SELECT max(seq) FROM messages").fetchone()[0]
            self.last_seq = newest or 0
            stack.pop_all()

    def _connect(self) -> sqlite3.Connection:
        # Whichever thread flushes records, one at a time; `isolation_level` None: we say BEGIN.
        return sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # some errors have rolled back already
                self._database.execute("ROLLBACK")
            raise

    def _keep(self, entries: list[Entry]) -> None:
        rows = [(*astuple(entry)[:8], seq) for seq, entry in enumerate(entries, self.last_seq + 1)]
        try:
            with self._transaction():
                self._database.executemany(
                    f"INSERT INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
                )
        except sqlite3.Error as error:  # no room on the disk, the disk is gone …
            self.failure = str(error)
            for entry in entries:
                entry.failed = True
            return
        self.failure = None
        for seq, entry in enumerate(entries, self.last_seq + 1):
            entry.seq = seq
        self.last_seq += len(entries)

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, oldest first."""
        older = "" if before is None else "seq < :before AND"
        query = f"WHERE {older} {_VISIBLE} ORDER BY seq DESC LIMIT :limit"
        return self._select(query, session=session, limit=limit, before=before)[::-1]

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        query = (
            f"WHERE seq > :after AND session != :session AND {_VISIBLE} ORDER BY seq LIMIT :limit"
        )
        return self._select(query, session=session, limit=limit, after=after)

    def forgotten(self, after: int) -> bool:
        """Tell whether something said after number *after* is not remembered: it always is."""
        return False

    def said_by(self, session: str, limit: int) -> list[Entry]:
        """Return the last *limit* entries of *session*, oldest first."""
        query = "WHERE session = :session ORDER BY seq DESC LIMIT :limit"
        return self._select(query, session=session, limit=limit)[::-1]

    def _select(self, query: str, **values: object) -> list[Entry]:
        # A connection of its own: what is being committed meanwhile is not in its way.
        with contextlib.closing(self._connect()) as database:
            rows: Iterable[tuple[object, ...]] = database.execute(
                f"SELECT {_COLUMNS} FROM messages {query}", values
            )
            return [Entry(*row) for row in rows]  # type: ignore[arg-type] # as we wrote them

    def close(self) -> None:
        """Close the file."""
        self._database.close()
