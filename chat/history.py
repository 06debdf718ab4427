"""The ordered log of what was said: every message gets the next number, ``seq``.

The log is written once for each message, whoever is there to hear it, so that a message said
to an empty room is remembered too.
"""

from collections import deque
from dataclasses import dataclass

from chat.protocol import Message


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as it was said."""

    seq: int
    """Its place in the order of all messages: 1, 2, 3 …"""

    sender: str
    """The sender's nickname, as shown."""

    to: str | None
    """The recipient's nickname, None for everyone."""

    text: str

    time: float
    """When the server recorded it, in Unix seconds."""

    sessions: frozenset[str] | None
    """Whose eyes it is for: sessions, because a nickname may have another owner tomorrow."""

    def message(self) -> Message:
        """Return the ``message`` that tells a recipient of it."""
        return {
            "type": "message",
            "seq": self.seq,
            "from": self.sender,
            "to": self.to,
            "text": self.text,
            "time": self.time,
        }

    def visible_to(self, session: str) -> bool:
        """Tell whether the user of *session* was allowed to see it."""
        return self.sessions is None or session in self.sessions


class MemoryHistory:
    """The last messages, in memory.

    Owned by the `chat.room.Room`, which calls it under its lock.
    """

    def __init__(self, messages: int) -> None:
        """Remember up to *messages* messages; the oldest make way."""
        self._entries: deque[Entry] = deque(maxlen=messages)
        self.last_seq = 0
        """The number of the last message said, 0 before the first."""

    def append(
        self, sender: str, to: str | None, text: str, time: float, sessions: frozenset[str] | None
    ) -> Entry:
        """Record a message under the next number and return it."""
        self.last_seq += 1
        entry = Entry(self.last_seq, sender, to, text, time, sessions)
        self._entries.append(entry)
        return entry

    def visible_to(self, session: str, limit: int, before: int | None = None) -> list[Entry]:
        """Return the last *limit* entries that *session* may see, oldest first.

        With *before*, only entries with a smaller ``seq``: the way to page back.
        """
        visible: list[Entry] = []
        for entry in reversed(self._entries):
            if len(visible) == limit:
                break
            if (before is None or entry.seq < before) and entry.visible_to(session):
                visible.append(entry)
        return visible[::-1]
