"""The numbered log of what was said: every message gets the next number, ``seq``.

A message is written to the log once, whoever is there to hear it, so that a message said to an
empty room is remembered too. This log keeps them in memory. Others keep them on a disk
(`chat.promises.durable`) or share them between several servers (`chat.promises.cluster`).
"""

import secrets
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from chat.core.protocol import Limits, Message, message_frame

_NUMBER = attrgetter("seq")


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
    """Whether the text is encrypted, so that only the users can read it."""

    seq: int = 0
    """Its place in the order of all messages: 1, 2, 3 …; 0 while it has none."""

    lost: bool = False
    """Whether the log could not keep it: it is neither delivered nor acknowledged."""

    address: tuple[str, int] | None = None
    """The sender's end of the connection, for the journal; None if it is not one of ours."""

    def message(self) -> Message:
        """Return the ``message`` that tells a recipient of it."""
        message = {"type": "message", "seq": self.seq, "from": self.sender, "to": self.to}
        message |= {"text": self.text, "time": self.time}
        return message | {"sealed": True} if self.sealed else message

    def frame(self) -> bytes:
        """Return the frame of `message`."""
        return message_frame(
            self.seq, self.sender, self.to, self.text, self.time, sealed=self.sealed
        )

    def visible_to(self, session: str) -> bool:
        """Tell whether the user of *session* was allowed to see it."""
        public = self.to_session is None
        return not self.lost and (public or session in (self.session, self.to_session))


class Log:
    """The last messages, in memory: as many, and as many bytes, as the limits say.

    Another log derives from it. `append` is called under the room's lock, so it only takes note, in
    memory; the writer calls `commit` before it delivers anything. Any thread may ask the questions,
    which may take their time: whoever asks waits.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        """Begin an empty log."""
        self._limits = limits or Limits()
        self.id = secrets.token_hex(8)
        """Which log it is: the numbers of another one mean nothing here."""

        self.last_seq = 0
        """The number of the last message that is kept, 0 before the first."""

        self.failure: str | None = None
        """Why the last `commit` has lost something, None if it has not."""

        # Guards the entries. Taken under the room's lock; nothing else is taken under it.
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def append(self, entry: Entry) -> bool:
        """Take *entry*; True: it has its number, False: `Room.deliver` is called when it has.

        Raises `ProtocolError` ``not_recorded``.
        """
        with self._lock:
            self.last_seq += 1
            entry.seq = self.last_seq
            self._keep(entry)
        return True

    def commit(self) -> Sequence[Entry]:
        """Keep for good what was appended; return, marked as lost, what could not be kept."""
        return ()

    def before(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, newest first.

        With *before*, only entries with a smaller number: the way to page back.
        """
        entries = self._snapshot()
        end = len(entries) if before is None else bisect_left(entries, before, key=_NUMBER)
        visible = (entries[place] for place in reversed(range(end)))
        return list(islice((entry for entry in visible if entry.visible_to(session)), limit))

    def after(self, session: str, limit: int, after: int) -> list[Entry]:
        """Return the first *limit* entries after number *after* that others said to *session*."""
        entries = self._snapshot()
        later = islice(entries, bisect_right(entries, after, key=_NUMBER), None)
        heard = (e for e in later if e.visible_to(session) and e.session != session)
        return list(islice(heard, limit))

    def has_gap(self, after: int) -> bool:
        """Tell whether something said after number *after* is not remembered any more."""
        with self._lock:
            first = self._entries[0].seq if self._entries else self.last_seq + 1
            return after < first - 1

    def find(self, session: str, message_id: int) -> int | None:
        """Return the number of what *session* said under *message_id*, None if that is unknown."""
        said = (e for e in reversed(self._snapshot()) if e.session == session and not e.lost)
        return next((entry.seq for entry in said if entry.message_id == message_id), None)

    def last_id(self, session: str) -> int:
        """Return the largest ``message_id`` of what *session* has said, 0 if nothing is known."""
        mine = (e for e in self._snapshot() if e.session == session and not e.lost)
        said = (e.message_id or 0 for e in mine)
        return max(said, default=0)

    def close(self) -> None:
        """Let go of what it holds. Nothing is appended or committed afterwards."""

    def _snapshot(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    # Under the lock

    def _keep(self, entry: Entry) -> None:
        """Keep *entry*; the oldest make way for it."""
        self._entries.append(entry)
        self._bytes += _weight(entry)
        limits = self._limits
        while len(self._entries) > limits.history_messages or self._bytes > limits.history_bytes:
            self._bytes -= _weight(self._entries.popleft())

    def _replace(self, entries: Iterable[Entry]) -> None:
        """Keep *entries* instead of all that was kept."""
        self._entries.clear()
        self._bytes = 0
        for entry in entries:
            self._keep(entry)


def _weight(entry: Entry) -> int:
    """Return what *entry* takes in memory, in bytes, about."""
    return 500 + 4 * len(entry.text)
