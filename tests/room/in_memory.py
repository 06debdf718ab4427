"""A room whose writer only keeps lists: who was sent what, without a socket."""

import time
from collections.abc import Callable
from typing import Any

from chat.core.connection import Connection, State
from chat.core.history import Entry, Log
from chat.core.protocol import Limits, decode
from chat.core.room import Room, Sessions
from chat.core.writer import Writer

Message = dict[str, Any]


class Guest(Connection):
    """A connection without a socket, and all that was posted to it."""

    def __init__(self, name: str = "guest") -> None:
        self.name = name
        self.inbox: list[Message] = []
        self.state = State.OPEN
        self.close_reason = None

    def __repr__(self) -> str:
        return self.name

    def take(self) -> list[Message]:
        """Return what has come since the last time."""
        taken, self.inbox = self.inbox, []
        return taken


class ListWriter(Writer):
    """A writer without a thread: what is posted has arrived."""

    def __init__(self, limits: Limits, before_each: Callable[[], None]) -> None:
        super().__init__(limits)
        self.log: Log
        self._before_each = before_each
        self._hearing: list[Connection] = []

    def post(
        self,
        frame: bytes,
        to: Connection | None = None,
        *,
        author: Connection | None = None,
        entry: Entry | None = None,
        ack: bytes = b"",
    ) -> None:
        if entry is not None:
            self.log.commit([entry])
        for connection in self._hearing if to is None else [to]:
            if connection is not author:
                self._deliver(connection, frame)
        if author is not None:
            self._deliver(author, ack)

    def _deliver(self, connection: Connection, frame: bytes) -> None:
        self._before_each()
        assert isinstance(connection, Guest)
        if frame and connection.state is State.OPEN:
            assert frame.endswith(b"\n")
            connection.inbox.append(decode(frame[:-1]))

    def enter(self, connection: Connection) -> None:
        self._hearing.append(connection)

    def leave(self, connection: Connection) -> None:
        self._hearing.remove(connection)

    def abort(self, connection: Connection, reason: str) -> None:
        connection.state, connection.close_reason = State.ABORTED, reason

    def ring(self) -> None:
        pass

    def flush(self, timeout: float | None) -> bool:
        return timeout is None or timeout > 0


def open_room(
    *,
    log: Log | None = None,
    sessions: Callable[[Limits, Log], Sessions] | None = None,
    before_each: Callable[[], None] = lambda: None,
    **limits: float,
) -> Room:
    """Return an empty room whose clock shows the number of the next message.

    *before_each* is called before each delivery of a frame.
    """
    chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
    writer = ListWriter(chosen, before_each)
    writer.log = log = log or Log(chosen)
    return Room(
        writer,
        chosen,
        log=log,
        sessions=None if sessions is None else sessions(chosen, log),
        clock=lambda: float(log.last_seq + 1),
    )


def let_others_run() -> None:
    """Let other threads run."""
    time.sleep(0)
