"""The ordered log of what was said: every message gets the next number, ``seq``.

The log is written once for each message, whoever is there to hear it, so that a message said
to an empty room is remembered too. Messages are recorded in batches: `History.append` only takes
note, in memory, and `History.record` keeps all that was appended since, in a file with one commit
for all. What is not recorded is neither delivered nor acknowledged.
"""

import secrets
import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice

from chat.core.protocol import Message, message_frame


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
        message = {"type": "message", "seq": self.seq, "from": self.sender, "to": self.to}
        message |= {"text": self.text, "time": self.time}
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


class History:
    """The last messages, in memory.

    Any thread may call `append` and `said_by`; the rest belongs to one thread at a time.
    """

    def __init__(self, messages: int) -> None:
        """Remember up to *messages* messages; the oldest make way."""
        self.log_id = secrets.token_hex(8)
        """Which log it is: the numbers of another one mean nothing here."""

        self.last_seq = 0
        """The number of the last message recorded, 0 before the first."""

        self.failure: str | None = None
        """Why the last batch could not be recorded, None if it could."""

        self._lock = threading.Lock()  # guards the entries below
        self._appended: list[Entry] = []
        self._recorded: deque[Entry] = deque(maxlen=messages)

    def append(self, entry: Entry) -> None:
        """Take note of *entry*, to be recorded after all that were appended before. No waiting."""
        with self._lock:
            self._appended.append(entry)

    def record(self) -> None:
        """Give every entry that was appended its number, and keep it.

        Those that cannot be kept are marked as `Entry.failed`.
        """
        with self._lock:
            entries, self._appended = self._appended, []
        if not entries or not self._keep(entries):
            return
        with self._lock:
            for seq, entry in enumerate(entries, self.last_seq + 1):
                entry.seq = seq
            self.last_seq += len(entries)
            self._recorded.extend(entries)

    def take(self, entry: Entry) -> None:
        """Keep *entry*, which has its number already: several servers share one log."""
        with self._lock:
            self.last_seq = entry.seq
            self._recorded.append(entry)

    def take_over(self, log_id: str, last_seq: int, entries: list[Entry]) -> None:
        """Be the log *log_id*, whose last entries are *entries*, instead of what it was."""
        with self._lock:
            self.log_id, self.last_seq = log_id, last_seq
            self._recorded.clear()
            self._recorded.extend(entries)

    def _keep(self, _entries: list[Entry]) -> bool:
        return True

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, newest first.

        With *before*, only entries with a smaller number: the way to page back.
        """
        with self._lock:
            older = 0 if before is None else max(0, self.last_seq + 1 - before)
            entries = islice(reversed(self._recorded), older, None)
            return list(islice((e for e in entries if e.visible_to(session)), limit))

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        with self._lock:
            known = max(0, after - self._forgotten())
            entries = islice(self._recorded, known, None)
            heard = (e for e in entries if e.visible_to(session) and e.session != session)
            return list(islice(heard, limit))

    def has_gap(self, after: int) -> bool:
        """Tell whether something said after number *after* is not remembered any more."""
        with self._lock:
            return after < self._forgotten()

    def said_by(self, session: str, limit: int) -> list[Entry]:
        """Return the last *limit* entries of *session*, oldest first."""
        with self._lock:
            said = (entry for entry in reversed(self._recorded) if entry.session == session)
            return list(islice(said, limit))[::-1]

    def _forgotten(self) -> int:
        return self.last_seq - len(self._recorded)

    def close(self) -> None:
        """Let go of what it holds. Nothing is appended or recorded afterwards."""
