"""The numbered log of what was said: every message gets the next number, ``seq``.

A message is written to the log once, however many users receive it, even none. This log keeps
messages in memory; others keep them on disk (`chat.promises.durable`) or share them between several
servers (`chat.promises.cluster`).
"""

import secrets
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from chat.core.protocol import Limits, Message, message_frame


@dataclass(slots=True, eq=False)
class Entry:
    """One message in the log."""

    sender: str
    """The sender's nickname, as shown."""

    session: str
    """The sender's session: the nickname may belong to another user tomorrow."""

    to: str | None
    """The recipient's nickname, None for everyone."""

    to_session: str | None
    """The recipient's session, None for everyone."""

    text: str

    time: float
    """When the server received it, in Unix seconds."""

    message_id: int | None = None
    """The number that the sender gave it; the same when it is sent again."""

    sealed: bool = False
    """Whether the text is encrypted end to end."""

    seq: int = 0
    """Its place in the order of all messages: 1, 2, 3 …; 0 while it has none."""

    lost: bool = False
    """Whether the log could not record it: it is neither delivered nor acknowledged."""

    address: tuple[str, int] | None = None
    """The sender's end of the connection, for the journal; None if at another server."""

    def message(self) -> Message:
        """Return the ``message`` for its recipients."""
        message = {"type": "message", "seq": self.seq, "from": self.sender, "to": self.to}
        message |= {"text": self.text, "time": self.time}
        return message | {"sealed": True} if self.sealed else message

    def frame(self) -> bytes:
        """Return `message` as a frame."""
        return message_frame(
            self.seq, self.sender, self.to, self.text, self.time, sealed=self.sealed
        )

    def visible_to(self, session: str) -> bool:
        """Tell whether the user of *session* may see it."""
        return self.to_session is None or session in (self.session, self.to_session)


class Log:
    """The last messages, in memory: up to a number of messages and of bytes.

    Other logs derive from it. `append` is called under the room's lock and does not wait; the
    writer's thread calls `commit` before it delivers anything. Any thread may call the query
    methods, which may take time: only the caller waits.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        """Begin an empty log."""
        self._limits = limits or Limits()
        self.id = secrets.token_hex(8)
        """Identifies the log: numbers of another log mean nothing here."""

        self.last_seq = 0
        """The number of the last recorded message, 0 before the first."""

        self._given = 0  # the last number given, under the room's lock
        # Guards the entries. Nothing is taken under it.
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def append(self, entry: Entry) -> bool:
        """Number *entry*. True: it has a number; False: `Room.deliver` is called when it has.

        Raises `ProtocolError` ``not_recorded``.
        """
        self._given += 1
        entry.seq = self._given
        return True

    def commit(self, entries: Sequence[Entry]) -> None:
        """Record *entries*, appended in this order; raise any error if that fails."""
        with self._lock:
            for entry in entries:
                self._keep(entry)
                self.last_seq = entry.seq

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, newest first.

        With *before*, only entries with smaller numbers, to page back.
        """
        earlier = (e for e in reversed(self._snapshot()) if before is None or e.seq < before)
        return list(islice((e for e in earlier if e.visible_to(session)), limit))

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        later = (e for e in self._snapshot() if e.seq > after)
        heard = (e for e in later if e.visible_to(session) and e.session != session)
        return list(islice(heard, limit))

    def has_gap(self, after: int) -> bool:
        """Tell whether messages after number *after* have been dropped from the log."""
        with self._lock:
            first = self._entries[0].seq if self._entries else self.last_seq + 1
            return after < first - 1

    def find(self, session: str, message_id: int) -> int | None:
        """Return the number of the message *message_id* of *session*, None if unknown."""
        said = (e for e in reversed(self._snapshot()) if e.session == session)
        return next((entry.seq for entry in said if entry.message_id == message_id), None)

    def last_id(self, session: str) -> int:
        """Return the largest ``message_id`` of *session*, 0 if none is known."""
        said = (e for e in self._snapshot() if e.session == session)
        return max((entry.message_id or 0 for entry in said), default=0)

    def close(self) -> None:
        """Release all resources. Nothing is appended or committed afterwards."""

    def _snapshot(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    # Under the lock

    def _keep(self, entry: Entry) -> None:
        """Keep *entry*, dropping the oldest entries above the limits."""
        self._entries.append(entry)
        self._bytes += _weight(entry)
        limits = self._limits
        while len(self._entries) > limits.history_messages or self._bytes > limits.history_bytes:
            self._bytes -= _weight(self._entries.popleft())

    def _replace(self, entries: Iterable[Entry]) -> None:
        """Replace all entries by *entries*."""
        self._entries.clear()
        self._bytes = 0
        for entry in entries:
            self._keep(entry)


def _weight(entry: Entry) -> int:
    """Return about how many bytes *entry* takes in memory."""
    return 500 + 4 * len(entry.text)
