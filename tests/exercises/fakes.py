"""What answers are given instead of the ordinary thing: it does on purpose what is rare."""

import contextlib
import enum
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from types import FrameType, SimpleNamespace
from typing import Any

from chat.app.i18n import gettext as _
from tests.exercises.answer import Hint, expect

DEADLINE = 3.0
"""Seconds that anything may take before it counts as failed: many times what it takes."""


class Work(threading.Thread):
    """The answer at work in a thread of its own."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call ``call(*arguments)``."""
        super().__init__(name="answer")
        self._call, self._arguments = call, arguments
        self.value: Any = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        """How long the call took."""
        self.start()

    def run(self) -> None:
        """Call, and keep what comes of it."""
        began = time.monotonic()
        try:
            self.value = self._call(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - raised by check()
            self.error = error
        self.seconds = time.monotonic() - began

    def check(self) -> None:
        """Raise what the call raised, if it has ended."""
        if not self.is_alive() and self.error is not None:
            raise self.error

    def result(self, hint: str) -> Any:
        """Return what the call returned, raise what it raised; `Hint` if it does not end."""
        self.join(DEADLINE)
        if self.is_alive():
            raise Hint(hint)
        self.check()
        return self.value


# --- sockets --------------------------------------------------------------------------------------


class Watched(socket.socket):
    """A socket that gives and takes a little at a time, and knows what was done to it."""

    gives: int | None = None
    """Bytes that `recv` returns at most."""
    takes: int | None = None
    """Bytes that `send` takes at most."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Make a socket as the base class does."""
        super().__init__(*arguments, **settings)
        self.accepted: list[Watched] = []
        self.sends = self.sendalls = self.ends = 0

    def accept(self) -> tuple["Watched", Any]:
        """Accept a connection as a socket of this kind."""
        plain, address = super().accept()
        connection = type(self)(fileno=plain.detach())
        connection.gives, connection.takes = self.gives, self.takes
        self.accepted.append(connection)
        return connection, address

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return a little; at the end of the stream, b"" ten times and then a `Hint`."""
        few = size if self.gives is None or flags else min(size, self.gives)
        return self._note_end(super().recv(few, flags), size)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read as `recv` does."""
        view = memoryview(buffer)
        size = nbytes or view.nbytes
        chunk = self.recv(size, flags)
        view[: len(chunk)] = chunk
        return len(chunk)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Take a little."""
        self.sends += 1
        return super().send(memoryview(data)[: self.takes], flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all, and note that it was this call."""
        self.sendalls += 1
        super().sendall(data, flags)

    def _note_end(self, chunk: bytes, size: int) -> bytes:
        self.ends += size > 0 and not chunk
        if self.ends >= 10:
            raise Hint(_("recv has returned b'' ten times: that was the end."))
        return chunk


def pair(**settings: int) -> tuple[Watched, socket.socket]:
    """Return the two ends of a connection; the answer gets the first, which has *settings*."""
    ours, theirs = socket.socketpair()
    watched = Watched(fileno=ours.detach())
    for name, value in settings.items():
        setattr(watched, name, value)
    theirs.settimeout(DEADLINE)
    return watched, theirs


@contextlib.contextmanager
def listening() -> Iterator[Watched]:
    """Yield a listening socket whose connections take seven bytes at a time."""
    with Watched(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.takes = 7
        yield listener


def hear(sock: socket.socket, size: int, work: Work) -> bytes:
    """Return the next *size* bytes from *sock*; fewer at the end, or when *work* has failed."""
    data = b""
    deadline = time.monotonic() + DEADLINE
    sock.settimeout(0.05)
    while len(data) < size and time.monotonic() < deadline:
        failed = work.error is not None
        try:
            chunk = sock.recv(size - len(data))
        except TimeoutError:
            if failed:
                break
            continue
        except ConnectionError:
            break
        if not chunk:
            break
        data += chunk
    sock.settimeout(DEADLINE)
    return data


# --- threads that meet ----------------------------------------------------------------------------


class Order(enum.Enum):
    """In which order two threads do their steps."""

    MEET = enum.auto()
    """Both have read before either goes on."""
    OVERTAKE = enum.auto()
    """The first stands after its first reading until the second has done all."""
    ABREAST = enum.auto()
    """Both go line by line together, and have read before either goes on."""


class Meeting:
    """Holds a thread that has read, for another thread which comes then, or cannot."""

    SECONDS = 0.4
    PER_LINE = 0.02

    def __init__(self) -> None:
        """Hold nobody until `race`."""
        self._hold: Callable[[], None] = lambda: None
        self._reached = threading.Event()

    def wait(self) -> None:
        """Wait for the other thread."""
        self._reached.set()
        self._hold()

    def race(
        self, path: str, first: Callable[[], Any], second: Callable[[], Any], order: Order
    ) -> list[Any]:
        """Call *first* and *second* in two threads, which go on in the *order* given.

        Returns what they return; `Hint` when they hang. A lock may keep one of them out: then the
        other goes on alone. Before each line of the file at *path* a thread lingers, so that
        another which waits for a lock gets it as soon as it is released.
        """
        ended = threading.Event()
        unread = threading.Semaphore(1)

        def stand_after_first_reading() -> None:
            if unread.acquire(blocking=False):
                ended.wait(self.SECONDS)

        overtakes = order is Order.OVERTAKE
        self._hold = stand_after_first_reading if overtakes else _joint(self.SECONDS)
        step = _joint(self.SECONDS) if order is Order.ABREAST else lambda: None

        def linger(frame: FrameType, event: str, _argument: object) -> Any:
            if frame.f_code.co_filename != path:
                return None
            if event == "line":
                step()
                time.sleep(self.PER_LINE)
            return linger

        def begin(call: Callable[[], Any]) -> Any:
            sys.settrace(linger)
            return call()

        def begin_second() -> Any:
            try:
                return begin(second)
            finally:
                ended.set()

        self._reached.clear()
        try:
            inside = Work(begin, first)
            deadline = time.monotonic() + DEADLINE
            while order is not Order.ABREAST and inside.is_alive() and not self._reached.wait(0.01):
                expect(time.monotonic() < deadline, held())
            late = Work(begin_second)
            return [work.result(held()) for work in (inside, late)]
        finally:
            self._hold = lambda: None


def _joint(seconds: float) -> Callable[[], None]:
    """Return what two threads call to wait for each other; after *seconds* in vain, never again."""
    barrier = threading.Barrier(2)

    def wait() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # a lock keeps the other out
            barrier.wait(seconds)

    return wait


def held() -> str:
    """Return the hint for a lock that is not released."""
    return _("A thread waits for ever: somebody holds the lock and does not release it. See with.")


class Cell(SimpleNamespace):
    """A place for a number, slow between reading and writing."""

    def __init__(self, value: int) -> None:
        """Begin with *value*."""
        super().__init__()
        self.meeting = Meeting()
        self._value = value

    @property
    def value(self) -> int:
        """The number."""
        value = self._value
        self.meeting.wait()
        return value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value


class SlowMapping(MutableMapping[str, object]):
    """A mapping that is slow after every way of reading it: they all end in these methods."""

    def __init__(self) -> None:
        """Be empty."""
        self.meeting = Meeting()
        self._items: dict[str, object] = {}

    def __getitem__(self, key: str) -> object:
        """Return the value of *key*. Raises `KeyError`."""
        try:
            return self._items[key]
        finally:
            self.meeting.wait()

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        keys = list(self._items)
        self.meeting.wait()
        return iter(keys)

    def __len__(self) -> int:
        """Return the number of keys."""
        size = len(self._items)
        self.meeting.wait()
        return size

    def __setitem__(self, key: str, value: object) -> None:
        """Write, which takes no time."""
        self._items[key] = value

    def __delitem__(self, key: str) -> None:
        """Delete *key*."""
        del self._items[key]
