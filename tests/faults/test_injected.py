"""One failure at a time, at every system call and store call of a running server under load.

Whatever it was, the others chat on afterwards, no acknowledged message is lost or doubled, the
failure is logged once where it is one, and the server stops in time.
"""

import contextlib
import errno
import itertools
import logging
import select
import selectors
import socket
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

import chat.core.history
import chat.core.room
import chat.core.server
from chat.core.client import ChatClient
from chat.core.history import Entry, Log
from chat.core.server import ChatServer, ClientConnection
from chat.lab.background import Snapshot, assert_nothing_left
from chat.lab.faults import Chat, Person
from chat.promises import resume
from chat.promises.durable import SqliteLog
from chat.promises.limits import Budgets, ClientBudget
from chat.promises.resume import RememberedSessions
from chat.server import assemble
from tests.wire import PATIENCE, Message, Wire, eventually

ERRORS: dict[str, Callable[[str], Exception]] = {
    "EMFILE": lambda text: OSError(errno.EMFILE, text),
    "no thread": lambda text: RuntimeError(f"can't start new thread ({text})"),
    "MemoryError": MemoryError,
    "OSError": lambda text: OSError(errno.EIO, text),
    "sqlite3.Error": sqlite3.OperationalError,
    "KeyError": KeyError,
}
SURPRISES = ("KeyError", "no thread")
"""What no system call and no store raises in daily life: it must be in the log, once."""


@dataclass
class Fuse:
    """Fails as many of the next calls of a running server as it is armed for."""

    server: ChatServer
    armed: deque[Exception] = field(default_factory=deque)

    def burn(self) -> None:
        """Raise what it is armed with, in a thread of the server, each only once."""
        if self.armed and self._in_server():
            with contextlib.suppress(IndexError):  # another thread was faster
                raise self.armed.popleft()

    def _in_server(self) -> bool:
        thread = threading.current_thread()
        return isinstance(thread, ClientConnection) or thread in (
            self.server._thread,
            self.server.writer._thread,
        )


@dataclass
class Point:
    """A call that a server makes: the attribute *name* of *owner*."""

    owner: object
    name: str
    durable: bool = False
    """Whether it is made only where the history is kept in a file."""

    silent: bool = False
    """Whether there is nobody to log it: it is the log that fails, or nothing was lost by it."""

    def __str__(self) -> str:
        return f"{getattr(self.owner, '__name__', 'handler')}.{self.name}"


class Broken(logging.NullHandler):
    """A handler of records that can be made to fail."""

    def handle(self, record: logging.LogRecord) -> bool:
        return bool(record)


POINTS = [
    *(Point(socket.socket, name) for name in ("accept", "recv", "send", "setsockopt")),
    *(Point(socket.socket, name, silent=True) for name in ("shutdown", "close")),
    *(Point(selectors.DefaultSelector, name) for name in ("select", "register", "unregister")),
    *([Point(select, "poll")] if hasattr(select, "poll") else ()),
    Point(threading.Thread, "start"),
    *(Point(sqlite3, name, durable=True) for name in ("execute", "executemany")),
    *(Point(Log, name) for name in ("append", "commit", "before", "after", "find", "last_id")),
    *(Point(RememberedSessions, name) for name in ("open", "resume", "remember")),
    Point(Budgets, "admit"),
    *(Point(ClientBudget, name) for name in ("take", "refuse", "close")),
    Point(Broken, "handle", silent=True),
    *(Point(chat.core.server, name) for name in ("encode", "decode", "register_request")),
    *(Point(chat.core.room, name) for name in ("encode", "ack_frame")),
    Point(chat.core.history, "message_frame"),
]


def lay(fuse: Fuse, point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every call at *point* go through *fuse*."""
    if point.owner is sqlite3:
        return
    owner: Any = point.owner
    if owner is Log and isinstance(fuse.server.room.log, SqliteLog):
        owner = SqliteLog
    original = getattr(owner, point.name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        if point.name == "close":  # the descriptor is given back, whatever close(2) returns
            original(*arguments, **keywords)
            return fuse.burn()
        fuse.burn()
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, point.name, call)


class Burning(Protocol):
    """What may fail instead of a call."""

    def burn(self) -> None: ...


def sqlite_through(fuse: Sequence[Burning], name: str) -> type[sqlite3.Connection]:
    """Return a connection to SQLite whose method *name* goes through the *fuse*, once there."""

    def call(self: sqlite3.Connection, *arguments: Any) -> Any:
        for one in fuse:
            one.burn()
        return getattr(sqlite3.Connection, name)(self, *arguments)

    return type("Connection", (sqlite3.Connection,), {name: call})


class Stranger:
    """Does in a loop all that a client can do, so that every call of the server is made."""

    def __init__(self, server: ChatServer) -> None:
        self._server = server
        self._over = threading.Event()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        secret: str | None = None
        try:
            while not self._over.is_set():
                # What it does may be the very thing that fails: it comes again.
                with contextlib.suppress(OSError, EOFError, AssertionError):
                    secret = self._visit(secret)
                with contextlib.suppress(OSError, EOFError, AssertionError):
                    self._read_slowly()
        except BaseException as error:  # noqa: BLE001 - raised again where the block ends
            self._error = error

    def _dial(self, receive_buffer: int | None = None) -> Wire:
        wire = Wire(self._server.address, receive_buffer=receive_buffer)
        wire.socket.settimeout(0.5)
        return wire

    def _visit(self, secret: str | None) -> str:
        """Come back, say, repeat, ask, be refused, and be cut off. Return the session's secret."""
        session = {} if secret is None else {"session": secret}
        with self._dial() as wire, self._dial() as other:
            other.enter("Соня")
            wire.expect("register")
            wire.send({"type": "register", "nick": "Ева"} | session)
            welcome: Message = wire.skip_to("welcome")
            first, second = next(self._numbers), next(self._numbers)
            say = {"type": "message", "text": "x", "to": "Соня"}
            wire.send(say | {"id": second}, say | {"id": second}, {"type": "users"})
            wire.send(say | {"id": first}, say | {"to": "?"}, {"type": "history", "before": 5})
            wire.send({"type": "history", "after": 1}, {"type": "ping"})
            wire.skip_to("pong")
            wire.reset()
        return str(welcome["session"])

    def _read_slowly(self) -> None:
        """Ask for more than a socket takes."""
        with self._dial(receive_buffer=4096) as wire:
            wire.enter("Лена")
            wire.send(*[{"type": "history", "before": 21}] * 2, {"type": "ping"})
            wire.skip_to("pong")


class Records(Broken):
    """Everything that the server has logged, and the exceptions that nobody has caught."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def handle(self, record: logging.LogRecord) -> bool:
        about = record.exc_info[1] if record.exc_info else ""
        self.said.append(f"{record.getMessage()} {getattr(record, 'event', '')} {about!r}")
        return True

    def count(self, text: str) -> int:
        return sum(text in line for line in list(self.said))


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """What the server logs; an exception that ends a thread is a failure."""
    records = Records()
    uncaught: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", uncaught.append)
    logger = logging.getLogger("chat")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(records)
    yield records
    logger.removeHandler(records)
    logger.setLevel(before)
    assert [(one.thread, one.exc_value) for one in uncaught] == []


@pytest.fixture(autouse=True)
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(chat.core.server, "RETRY_AFTER", 0.02)


def exchange(anya: Person, borya: Person) -> None:
    """Wait until each has heard something from the other that is said from now on."""
    for one, other in ((anya, borya), (borya, anya)):
        heard = len(other.heard)
        other.wait_for(
            lambda one=one, other=other, heard=heard: any(  # type: ignore[misc]
                message["from"] == one.nick for message in other.heard[heard:]
            ),
            timeout=PATIENCE,
        )


def texts_in(history: Path) -> list[str]:
    """Return what is recorded in the file."""
    with contextlib.closing(sqlite3.connect(history)) as file:
        return [text for (text,) in file.execute("SELECT text FROM messages")]


def compare_with_the_file(talk: Chat, history: Path) -> None:
    """Check that what was acknowledged is recorded once, and what was refused is not."""
    recorded = texts_in(history)
    for one in talk.people:
        kept = [one.said[number][0] for number in one.acknowledged]
        assert [recorded.count(text) for text in kept] == [1] * len(kept)
        lost = [one.said[number][0] for number in one.refused]
        assert not {*lost} & {*recorded}, "refused, and recorded all the same"


CASES = [(point, kind) for point in POINTS for kind in ("memory", "file")]


@pytest.mark.parametrize(
    ("point", "kind"),
    [case for case in CASES if case[1] == "file" or not case[0].durable],
    ids=str,
)
def test_one_failure_is_the_end_of_one_thing_at_most(
    point: Point,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    records: Records,
) -> None:
    fuses: list[Fuse] = []
    if point.owner is sqlite3:
        connect, factory = sqlite3.connect, sqlite_through(fuses, point.name)
        monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=factory))
    history = None if kind == "memory" else tmp_path / "history.db"
    server = assemble(history=history)
    fuse = Fuse(server)
    fuses.append(fuse)
    server.bind()
    # Inherited by every connection (tcp(7)): each answer of some size fills a socket.
    server._listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    errors = {name: make(f"injected {n}") for n, (name, make) in enumerate(ERRORS.items())}
    lay(fuse, point, monkeypatch)
    extra = Broken()
    logging.getLogger("chat").addHandler(extra)
    try:
        server.start()
        with Wire(server.address, "Глеб") as gleb:
            for _n in range(20):
                gleb.say("ж" * 2000)
        with Person(server.address, "Аня") as anya, Person(server.address, "Боря") as borya:
            talk = Chat([anya, borya])
            anya.talk([None, "Боря"], 0.002)
            borya.talk([None, "Аня"], 0.002)
            with Stranger(server):
                exchange(anya, borya)
                for number, (name, error) in enumerate(errors.items()):
                    text = f"injected {number}"
                    fuse.armed.append(error)
                    eventually(lambda: not fuse.armed)
                    exchange(anya, borya)
                    least = 1 if name in SURPRISES and not point.silent else 0
                    eventually(lambda t=text, n=least: records.count(t) >= n)  # type: ignore[misc]
                    assert records.count(text) <= 1, records.said
            exchange(anya, borya)
            talk.settle()
            assert talk.losses() == []
            assert talk.disorder() == []
            start = time.monotonic()
            server.stop()
            assert time.monotonic() - start < server.limits.drain_timeout + 2
            if history is not None:
                compare_with_the_file(talk, history)
    finally:
        fuse.armed.clear()
        server.stop()
        logging.getLogger("chat").removeHandler(extra)


@pytest.mark.parametrize("statement", ["executemany", "execute"])
@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
def test_a_commit_that_fails_costs_what_was_in_it_and_nothing_else(
    make: Callable[[str], Exception],
    statement: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    armed: list[Exception] = []

    class Once:
        def burn(self) -> None:
            if armed:
                raise armed.pop()

    connect, factory = sqlite3.connect, sqlite_through([Once()], statement)
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=factory))
    history = tmp_path / "history.db"
    with contextlib.closing(SqliteLog(history)) as log:
        entries = [
            Entry("Аня", "session", None, None, text, 0.0, n) for n, text in enumerate("абв")
        ]
        for number, entry in enumerate(entries):
            log.append(entry)
            armed.extend([make("injected")] * (number == 1))
            with pytest.raises(Exception, match="injected") if armed else contextlib.nullcontext():
                log.commit([entry])
    assert texts_in(history) == ["а", "в"]


@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("owner", [selectors, socket, threading.Thread], ids=str)
def test_a_server_that_cannot_have_all_it_needs_does_not_start_and_leaves_nothing(
    owner: Any, make: Callable[[str], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the whole server needs is had before the first client, or `bind` says what it lacks."""
    name = {selectors: "DefaultSelector", socket: "socketpair"}.get(owner, "start")

    def fail(*_arguments: object) -> None:
        raise make("injected")

    before = Snapshot()
    server = assemble()
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        with pytest.raises(Exception, match="injected"):
            server.bind()
    server.stop()
    assert_nothing_left(before)


@pytest.mark.parametrize("name", ["writer", "listener", "chat writer", "chat listener"])
def test_ctrl_c_while_a_thread_begins_leaves_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's reader stops a cell at any moment; the thread runs all the same."""
    begin = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        begin(thread)
        if thread.name == name:
            raise KeyboardInterrupt

    before = Snapshot()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with (
            pytest.raises(KeyboardInterrupt),
            assemble() as server,
            ChatClient(server.address, "Аня"),
        ):
            pass
    assert_nothing_left(before)
