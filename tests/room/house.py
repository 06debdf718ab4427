"""A room whose post office is a list: who was sent what, without a socket."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from chat.core.history import History
from chat.core.protocol import Limits, decode
from chat.core.room import Frame, Room

Message = dict[str, Any]


class Guest:
    """A peer of the room, and all that was posted to it."""

    def __init__(self, name: str = "guest") -> None:
        self.name = name
        self.inbox: list[Message] = []

    def __repr__(self) -> str:
        return self.name

    def take(self) -> list[Message]:
        """Return what has come since the last time."""
        taken, self.inbox = self.inbox, []
        return taken


def open_room(
    *,
    history: History | None = None,
    before_each: Callable[[], None] = lambda: None,
    **limits: float,
) -> Room:
    """Return an empty room whose clock shows 1, then 2, then 3.

    What is posted is recorded and delivered at once; *before_each* peer.
    """
    ticks = itertools.count(1)
    chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
    log = history or History(chosen.history_messages)

    def post(peers: Sequence[Guest], frame: Frame, but: object = None, *, size: int = 0) -> None:
        log.record()
        data = frame() if callable(frame) else frame
        assert not size or len(data) <= size + len('{"type":"history","messages":[]}') + 100
        for peer in peers:
            before_each()
            if data and peer is not but:
                assert data.endswith(b"\n")
                peer.inbox.append(decode(data[:-1]))

    return Room(post, chosen, log, lambda: float(next(ticks)))


def let_others_run() -> None:
    """Let other threads run."""
    time.sleep(0)
