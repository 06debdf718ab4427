"""Locks are taken one at a time, so no two threads can wait for each other."""

import sys
import threading
from pathlib import Path
from types import TracebackType

import pytest

from chat.core.protocol import Limits
from chat.server import assemble
from tests.wire import Wire

REAL = threading.Lock
HELD = threading.local()


class NotedLock:
    """A lock that notes where it was made, and what its thread holds when it takes it."""

    def __init__(self, owner: str, taken: set[tuple[str, ...]]) -> None:
        self.owner = owner
        self.taken = taken
        self.lock = REAL()
        self.acquire, self.release = self.lock.acquire, self.lock.release

    def __enter__(self) -> None:
        held = HELD.locks = [*getattr(HELD, "locks", []), self.owner]
        self.taken.add(tuple(held))
        self.lock.acquire()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        HELD.locks.pop()
        self.lock.release()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, ...]]:
    """Return all that a thread has held at once, in its order, of locks made from now on."""
    taken: set[tuple[str, ...]] = set()

    def make() -> object:
        owner = str(sys._getframe(1).f_globals["__name__"])
        ours = owner.startswith(("chat.core", "chat.promises"))
        return NotedLock(owner, taken) if ours else REAL()

    monkeypatch.setattr(threading, "Lock", make)
    return taken


def test_locks_are_taken_one_at_a_time(taken: set[tuple[str, ...]], tmp_path: Path) -> None:
    """With all promises but several servers, whose lock is taken inside the room's."""
    limits = Limits(history_messages=2)  # older ones are read from the file
    with (
        assemble(limits=limits, admin_password="сова", history=tmp_path / "a.db") as server,
        Wire(server.address, "Аня") as anya,
        Wire(server.address, "Боря") as borya,
    ):
        for number in (1, 2, 3, 4, 1):  # the last one is sent again, and looked up
            borya.send({"type": "message", "text": "всем", "id": number})
            borya.skip_to("ack", id=number)
        anya.send({"type": "message", "text": "тайна", "to": "Боря", "id": 1})
        anya.send({"type": "users"}, {"type": "history"}, {"type": "history", "after": 0})
        anya.skip_to("history", after=0)
        anya.send({"type": "admin", "password": "филин"}, {"type": "admin", "password": "сова"})
        anya.skip_to("admin")
        anya.send({"type": "kick", "nick": "Боря"})
        anya.skip_to("left", nick="Боря")
    owners = {owner for held in taken for owner in held}
    assert owners >= {
        "chat.core.history",
        "chat.core.room",
        "chat.core.server",
        "chat.promises.durable",
        "chat.promises.limits",
    }
    assert {held for held in taken if len(held) > 1} == set()
