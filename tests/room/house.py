"""A room whose post office is a list: who was sent what, without a socket."""

import itertools
import time
from collections.abc import Iterable
from typing import Any

from chat.protocol import Limits, decode
from chat.room import Post, Room

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


def post(peers: Iterable[Guest], frame: bytes) -> None:
    assert frame.endswith(b"\n")
    for peer in peers:
        peer.inbox.append(decode(frame[:-1]))


def dawdling_post(peers: Iterable[Guest], frame: bytes) -> None:
    """Post, and let other threads run before every peer."""
    for peer in peers:
        time.sleep(0)
        post([peer], frame)


def open_room(post: Post = post, **limits: float) -> Room:
    """Return an empty room whose clock shows 1, then 2, then 3."""
    ticks = itertools.count(1)
    return Room(post, Limits(**limits), clock=lambda: float(next(ticks)))  # type: ignore[arg-type]
