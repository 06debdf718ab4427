"""Servers and clients in background threads, and proof that nothing of them is left.

A notebook has one thread of its own; an experiment with a server and a client needs two. Here a
function runs in a thread for as long as a ``with`` block lasts::

    with listen() as listener, Background(echo, listener):
        ...talk to listener.getsockname()...

What went wrong in the thread is raised in the block, so that no experiment fails in silence; and
however the block ends, the thread is woken, joined, and its sockets are closed.
"""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar, TypeVarTuple

import psutil

from chat.app.i18n import gettext as _
from chat.core.protocol import Limits, Message
from chat.lab import waiting
from chat.lab.waiting import TIMEOUT, wait_until
from chat.promises.resume import ResumingClient

LOOPBACK = "127.0.0.1"

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


class Listener(socket.socket):
    """A listening socket that can hang up on everybody it has accepted.

    A naive server waits in ``accept`` or ``recv`` and knows no way to stop; shutting down its
    sockets wakes it. To the function that uses it, it is a socket as any other.
    """

    def __init__(self, backlog: int = 128) -> None:
        """Listen on a free port of the loopback interface."""
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._accepted_lock = threading.Lock()  # guards the two below
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._hung_up = False
        self.bind((LOOPBACK, 0))
        self.listen(backlog)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it. Any thread."""
        connection, address = super().accept()
        with self._accepted_lock:
            self._accepted.add(connection)
            late = self._hung_up
        if late:
            wake(connection)
        return connection, address

    def hang_up(self) -> None:
        """Wake every thread that waits on this socket or on one it has accepted. Any thread."""
        with self._accepted_lock:
            self._hung_up = True
            accepted = list(self._accepted)
        wake(self)
        for connection in accepted:
            wake(connection)


def listen(backlog: int = 128) -> Listener:
    """Return a socket that listens on a free port of this machine; it closes with its block."""
    return Listener(backlog)


def connected_pair(listener: socket.socket | None = None) -> tuple[socket.socket, socket.socket]:
    """Return the two ends of one TCP connection: the one that connected, the one accepted."""
    with contextlib.ExitStack() as stack:
        if listener is None:
            listener = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        client = socket.create_connection(listener.getsockname(), timeout=TIMEOUT)
        client.settimeout(None)
        server, _address = listener.accept()
    return client, server


def wake(sock: socket.socket) -> None:
    """Make every call that waits on *sock* return: its connection ends. Any thread."""
    with contextlib.suppress(OSError):  # closed or never connected: nobody can be waiting
        sock.shutdown(socket.SHUT_RDWR)
    if sys.platform != "linux" and isinstance(sock, Listener):
        # Elsewhere shutdown does not wake accept(2), and closing does.
        socket.close(sock.detach())


class Background(Generic[*Ts, R]):
    """A function running in a thread of its own while a ``with`` block lasts.

    At the end of the block the function is told to stop: *stop* is called, or, without one,
    every socket among the arguments is shut down, with all that a `Listener` has accepted. An
    `OSError` that this causes in the function is the expected end; any other exception is raised
    in the block's thread, at `result` or when the block ends.
    """

    def __init__(
        self, target: Callable[[*Ts], R], *args: *Ts, stop: Callable[[], object] | None = None
    ) -> None:
        """Prepare to call ``target(*args)``."""
        self._target = target
        self._args = args
        self._stop = stop
        self._stopping = False
        self._result: R | None = None
        self._error: BaseException | None = None
        self._reported = False
        name = getattr(target, "__name__", type(target).__name__)
        self._thread = threading.Thread(target=self._run, name=f"background {name}")

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        """Stop the thread, wait for it, raise what went wrong in it.

        Raises `RuntimeError` when it does not end within `TIMEOUT` seconds. An exception that
        the block itself raised goes on, with a note of what went wrong in the thread.
        """
        self._stopping = True
        if self._stop is not None:
            self._stop()
        else:
            self._wake_sockets()
        self._thread.join(TIMEOUT)
        problem = self._problem()
        if problem is None:
            return
        if error is None:
            raise problem
        error.add_note(
            f"meanwhile, in the thread {self._thread.name}:\n"
            + "".join(traceback.format_exception(problem))
        )

    @property
    def running(self) -> bool:
        """Whether the function has not ended yet."""
        return self._thread.is_alive()

    def result(self, timeout: float = TIMEOUT) -> R:
        """Wait for the function to end by itself; return what it returned, raise what it raised.

        Raises `TimeoutError` after *timeout* seconds.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{self._where()} after {timeout} s")
        problem = self._problem()
        if problem is not None:
            raise problem
        return self._result  # type: ignore[return-value]  # set, as nothing was raised

    def _run(self) -> None:
        try:
            self._result = self._target(*self._args)
        except BaseException as error:  # noqa: BLE001 - raised again by result() or at exit
            woken = self._stopping and isinstance(error, OSError)
            if not woken:
                self._error = error

    def _wake_sockets(self) -> None:
        for value in self._args:
            if isinstance(value, Listener):
                value.hang_up()
            elif isinstance(value, socket.socket):
                wake(value)

    def _problem(self) -> BaseException | None:
        if self._thread.is_alive():
            return RuntimeError(f"{self._where()} {TIMEOUT} s after it was told to stop")
        if self._reported:
            return None
        self._reported = True
        return self._error

    def _where(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        return f"the thread {self._thread.name} is still here:\n{stack}"


# --- a client that remembers ---------------------------------------------------------------------


class RecordingClient(ResumingClient):
    """A chat client that keeps every event and lets any thread wait for one."""

    def __init__(
        self,
        address: tuple[str, int],
        nick: str = "",
        *,
        limits: Limits | None = None,
        reconnect: bool = False,
        **settings: Any,
    ) -> None:
        """Prepare a client as `ResumingClient` does; the events go to the list.

        An experiment that loses its connection wants to see that, so it does not come back.
        """
        self._arrived_condition = threading.Condition()  # guards the two below
        self._events: list[Message] = []
        self._awaited: set[int] = set()  # positions of events that wait_for has returned
        super().__init__(
            address,
            nick,
            on_event=self._record,
            limits=limits or Limits(),
            reconnect=reconnect,
            **settings,
        )
        waiting.witnesses.add(self)

    def say(self, text: str, to: str | None = None) -> int:
        """Say *text* as `ChatClient` does. Raises `RuntimeError` when the server would refuse it.

        An experiment that goes on saying what is refused does not end, or fails much later.
        """
        if len(text) > self.text_chars:
            sentence = _(
                "{nick} is to say {n} characters, and the server takes {most} (text_too_long)."
            )
            raise RuntimeError(sentence.format(nick=self.nick, n=len(text), most=self.text_chars))
        return super().say(text, to)

    def story(self) -> list[Message]:
        """Return all events so far, oldest first. Any thread."""
        return self.events

    @property
    def events(self) -> list[Message]:
        """All events so far, oldest first."""
        with self._arrived_condition:
            return list(self._events)

    def wait_for(self, type: str, *, timeout: float = TIMEOUT, **keys: object) -> Message:
        """Return the oldest event of that type not returned before, whose *keys* have these values.

        The key ``from``, a word of Python's own, is written ``from_``. Raises `TimeoutError` after
        *timeout* seconds, and `ConnectionError` at once when the connection has ended before such
        an event came; both say what did come.
        """
        wanted = {"type": type} | {name.rstrip("_"): value for name, value in keys.items()}
        with self._arrived_condition:
            came = self._arrived_condition.wait_for(
                lambda: self._find(wanted) is not None or self._ended(), timeout
            )
            position = self._find(wanted)
            if position is not None:
                self._awaited.add(position)
                return self._events[position]
        what = _("{nick} is told {event}").format(nick=self.nick, event=wanted)
        if came:
            raise ConnectionError(
                waiting.complaint(what, timeout, [_("The connection had ended before.")])
            )
        raise TimeoutError(waiting.complaint(what, timeout))

    def _record(self, event: Message) -> None:
        with self._arrived_condition:
            self._events.append(event)
            self._arrived_condition.notify_all()

    def _find(self, wanted: Message) -> int | None:
        for position, event in enumerate(self._events):
            if position not in self._awaited and wanted.items() <= event.items():
                return position
        return None

    def _ended(self) -> bool:
        return bool(self._events) and self._events[-1]["type"] == "closed"


# --- nothing is left behind ----------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """What this process holds at one moment: threads, sockets, child processes."""

    threads: frozenset[threading.Thread] = field(
        default_factory=lambda: frozenset(threading.enumerate())
    )
    sockets: frozenset[str] = field(default_factory=lambda: frozenset(_sockets()))
    children: frozenset[psutil.Process] = field(
        default_factory=lambda: frozenset(psutil.Process().children(recursive=True))
    )
    own_ports: frozenset[int] = field(default_factory=lambda: frozenset(_listening_ports()))
    """Ports that somebody in this process listened on already: a Jupyter kernel does."""

    def leftovers(self) -> list[str]:
        """Say what is here now and was not then."""
        now = Snapshot()
        threads = {thread for thread in now.threads - self.threads if not _of_jupyter(thread)}
        sockets = {
            name
            for name in now.sockets - self.sockets
            if not any(f":{port} " in name for port in self.own_ports)
        }
        return sorted(
            [f"thread {thread.name}" for thread in threads]
            + [f"socket {name}" for name in sockets]
            + [f"process {child.pid}" for child in now.children - self.children]
        )


def assert_nothing_left(since: Snapshot, *, timeout: float = TIMEOUT) -> None:
    """Raise `AssertionError` that names every thread, socket and child left since *since*.

    A thread that is just ending gets *timeout* seconds for it.
    """
    gc.collect()  # what only a cycle of references still holds is not left behind
    try:
        wait_until(lambda: not since.leftovers(), timeout=timeout)
    except TimeoutError:
        left = "\n".join(since.leftovers())
        raise AssertionError(f"left behind:\n{left}") from None


@contextlib.contextmanager
def no_leftovers(timeout: float = TIMEOUT) -> Iterator[None]:
    """Check that the block leaves no thread, no socket and no child process behind."""
    before = Snapshot()
    yield
    assert_nothing_left(before, timeout=timeout)


def _sockets() -> Iterator[str]:
    """Yield a name for every open socket: those of Python, and those of the process as a whole."""
    for candidate in gc.get_objects():
        if issubclass(type(candidate), socket.socket) and candidate.fileno() >= 0:
            yield f"object {candidate!r} "
    for connection in psutil.Process().net_connections("inet"):
        ends = [f"{end.ip}:{end.port}" for end in (connection.laddr, connection.raddr) if end]
        yield f"{' → '.join(ends)} "


def _listening_ports() -> Iterator[int]:
    for connection in psutil.Process().net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN:
            yield connection.laddr.port


def _of_jupyter(thread: threading.Thread) -> bool:
    """Tell whether the kernel or its event loop started this thread, when it pleased."""
    return type(thread).__module__.split(".")[0] in {"ipykernel", "IPython", "tornado", "zmq"}
