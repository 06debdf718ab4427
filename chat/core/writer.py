"""The one thread that writes to every socket, so that nobody waits for the slowest reader.

Writing is the hard part of a chat. One message goes to everybody, and somebody's socket is always
full: a ``send`` that waits for a slow reader would make all others wait. And one ``send`` for each
delivery is slow whoever reads: system calls are what a chat spends its time on. So:

* Any thread *posts* a frame with its recipients: it appends to one list, in memory, without
  waiting, so it may do that under a lock that decides the order of messages. Then it *rings*.
* The writer takes the whole list, has the log commit what was said, joins the frames that
  everybody gets once, and sends each socket all that is for it in one ``send``.
* A socket that takes no more is watched until it can be written again. A queue that goes on growing
  meanwhile belongs to a reader too slow to keep: its connection is aborted.

Whatever is to happen to a connection is posted to the same list and happens in its turn: entering
and leaving the audience, closing, aborting, and the end of the writer itself.
"""

import contextlib
import enum
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from chat.core.connection import Connection, State, Waker
from chat.core.history import Entry
from chat.core.protocol import Limits

SEND_BYTES = 256 * 1024
"""The most that one ``send`` is given for a socket that was full: more than its buffer takes."""

logger = logging.getLogger("chat.writer")

_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))  # Windows

Frame = tuple[bytes, Connection | None, Connection | None, Entry | None, bytes]
"""A frame; for whom, None for the whole audience; its author, who does not get it; the entry of the
log that it tells of, if it does: when that is lost, nothing is sent; and what the author gets."""


class Action(enum.Enum):
    """What else can be posted."""

    ENTER = enum.auto()
    LEAVE = enum.auto()
    FINISH = enum.auto()
    ABORT = enum.auto()
    CLOSE = enum.auto()
    FLUSH = enum.auto()
    END = enum.auto()


@dataclass(frozen=True, slots=True)
class Order:
    """Something other than a frame that is to be done in its turn."""

    action: Action
    connection: Connection | None = None
    done: threading.Event | None = None


class _Stream:
    """What one connection gets in a round, where that is not just what everybody gets."""

    __slots__ = ("at", "pieces")

    def __init__(self, at: int | None) -> None:
        self.at = at  # from which byte of the shared frames on; None outside the audience
        self.pieces: list[bytes | tuple[int, int]] = []  # own frames, ranges of shared ones

    def put(self, frame: bytes, begin: int, end: int) -> None:
        """Take *frame* in the place of the shared bytes from *begin* to *end*."""
        if self.at is not None:
            if self.at < begin:
                self.pieces.append((self.at, begin))
            self.at = end
        self.pieces.append(frame)

    def joined(self, shared: memoryview) -> bytes:
        """Return it as bytes, with what is *shared* since the last piece."""
        self.put(b"", len(shared), len(shared))
        pieces = [shared[one[0] : one[1]] if isinstance(one, tuple) else one for one in self.pieces]
        return b"".join(pieces)


class _Streams(dict[Connection, _Stream]):
    """The streams of a round, by their connections; whoever is not here gets the shared frames."""

    def __init__(self, audience: Container[Connection]) -> None:
        self._audience = audience

    def __missing__(self, connection: Connection) -> _Stream:
        stream = self[connection] = _Stream(0 if connection in self._audience else None)
        return stream


class _Backlog:
    """What waits for a socket that is full."""

    __slots__ = ("data", "ending", "frames")

    def __init__(self) -> None:
        self.data = bytearray()
        self.frames = 0
        self.ending = False  # the stream is to be closed behind it

    def add(self, data: bytes) -> None:
        self.data += data
        self.frames += data.count(b"\n")

    def drop(self, size: int) -> None:
        """Forget the first *size* bytes: they are sent."""
        self.frames -= self.data.count(b"\n", 0, size)
        del self.data[:size]


def _nothing_to_commit(_entries: Sequence[Entry]) -> float | None:
    return None


class Writer:
    """The outbound queues of many connections, and the thread that empties them.

    Any thread may call any method. Those that post wait for nothing; `ring` afterwards, with no
    lock held. The others wait for the thread: `wait_caught_up`, `flush`, `close`, `end`.
    """

    def __init__(
        self,
        limits: Limits,
        commit: Callable[[Sequence[Entry]], float | None] = _nothing_to_commit,
        name: str = "writer",
    ) -> None:
        """Prepare a writer: what is posted before `open` waits for it.

        *commit* is called in the writer's thread, before anything of a round is sent, with the
        entries that its frames tell of; it marks those that are lost. It may return after how many
        seconds it is to be called again, if there are no others before.
        """
        self._limits = limits
        self._commit = commit
        # Appending to a deque and taking from it are atomic: the list needs no lock.
        self._posted: deque[Frame | Order] = deque()
        self._idle = False  # the thread sleeps, or is about to
        self._lock = threading.Lock()  # guards the two below
        self._waiting = 0
        self._ended = False
        self._caught_up = threading.Condition(self._lock)  # a round has begun
        self._thread = threading.Thread(target=self._run, name=name)
        # The thread's: who hears what is for everybody, and whose socket is full.
        self._audience: dict[Connection, None] = {}
        self._backlogs: dict[Connection, _Backlog] = {}
        self._commit_again: float | None = None

    def open(self) -> None:
        """Start the thread, with all that it will ever need. Raises `OSError`, `RuntimeError`."""
        with contextlib.ExitStack() as stack:
            self._waker = Waker()
            stack.callback(self._waker.close)
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._selector.register(self._waker.watched, selectors.EVENT_READ)
            self._resources = stack.pop_all()  # closed by the thread at its end
        try:
            self._thread.start()
        except Exception:
            self._resources.close()
            raise
        except BaseException:  # Ctrl-C while we wait for the thread, which begins all the same
            self._posted.append(Order(Action.END))
            self.ring()
            raise

    def end(self) -> None:
        """End the thread, once all that was posted is done. Every connection is closed by then."""
        if self._thread.ident is not None:  # else it was never opened
            self._posted.append(Order(Action.END))
            self.ring()
            self._thread.join()

    # Posting

    def post(
        self,
        frame: bytes,
        to: Connection | None = None,
        *,
        author: Connection | None = None,
        entry: Entry | None = None,
        ack: bytes = b"",
    ) -> None:
        """Queue *frame* for *to*, None for all in the audience but its *author*, who gets *ack*.

        Both are sent once *entry* is committed, and not at all if that is lost.
        """
        self._posted.append((frame, to, author, entry, ack))

    def enter(self, connection: Connection) -> None:
        """Let *connection* hear what is posted for everybody from now on."""
        self._posted.append(Order(Action.ENTER, connection))

    def leave(self, connection: Connection) -> None:
        """Let *connection* hear nothing more that is posted for everybody."""
        self._posted.append(Order(Action.LEAVE, connection))

    def finish(self, connection: Connection) -> None:
        """Close the stream to *connection* when it is flushed. Nothing posted later is sent."""
        if connection.state is State.OPEN:
            connection.state = State.CLOSING
        self._posted.append(Order(Action.FINISH, connection))

    def abort(self, connection: Connection, reason: str) -> None:
        """Give *connection* up because of *reason*: its reader wakes."""
        connection.give_up(reason)
        self._posted.append(Order(Action.ABORT, connection))

    def ring(self) -> None:
        """Have what was posted sent."""
        if self._idle:
            self._waker.wake()

    @property
    def behind(self) -> bool:
        """Whether so much is posted that who posts should `wait_caught_up` first."""
        return len(self._posted) > self._limits.pending_frames

    # Waiting

    def wait_caught_up(self, timeout: float) -> None:
        """Wait while the writer is `behind`, *timeout* seconds at most.

        A reader that went on would move the network's queue into our memory.
        """
        self.ring()
        with self._lock:
            self._waiting += 1
            self._caught_up.wait_for(lambda: not self.behind, timeout)
            self._waiting -= 1

    def flush(self, timeout: float) -> bool:
        """Wait until all that was posted is committed and written; False if *timeout* is over."""
        done = threading.Event()
        self._posted.append(Order(Action.FLUSH, done=done))
        self.ring()
        return done.wait(timeout)

    def close(self, connection: Connection) -> None:
        """Close the socket of *connection*. Its reader, at its end: nobody reads any more."""
        done = threading.Event()
        order = Order(Action.CLOSE, connection, done)
        with self._lock:
            ended = self._ended
            if not ended:
                self._posted.append(order)
        if ended:  # nobody else touches the socket
            self._abort(connection)
            self._conclude(order)
        self.ring()
        done.wait()

    # The thread

    def _run(self) -> None:
        while self._posted or not self._ended:
            try:
                for connection in self._wait():
                    self._resume(connection)
                self._gather()
            except Exception:
                logger.exception("cannot wait")
            self._write_round()
        self._resources.close()

    def _wait(self) -> list[Connection]:
        """Wait until there is something to do; return whose sockets can be written again."""
        self._idle = True  # before looking at the list: a thread that posts now wakes us
        events = self._selector.select(0 if self._posted else self._commit_again)
        self._idle = False
        writable: list[Connection] = [key.data for key, _events in events if key.data is not None]
        if len(writable) < len(events):
            self._waker.clear()
        return writable

    def _gather(self) -> None:
        """Give way to those who are about to post, as long as they do.

        What they have read already is then in this round, and not in one of its own: the next
        round would cost another system call for each recipient.
        """
        posted = -1
        while posted < len(self._posted) <= self._limits.pending_frames:
            posted = len(self._posted)
            _give_way()

    def _write_round(self) -> None:
        posted = [self._posted.popleft() for _ in range(len(self._posted))]
        try:
            if self._waiting:
                with self._lock:
                    self._caught_up.notify_all()
            entries = [one[3] for one in posted if type(one) is tuple and one[3] is not None]
            if entries or self._commit_again is not None:
                self._commit_again = self._commit(entries)
            self._distribute(posted)
            self._check_total()
        except Exception as error:  # no memory: whoever missed a frame is disconnected
            logger.exception("a round of writing has failed")
            concerned: set[Connection | None] = {*self._audience}
            for one in posted:
                concerned.update([one.connection] if isinstance(one, Order) else one[1:3])
            for connection in concerned:
                if connection is not None:
                    self._fail(connection, error)
        for one in posted:
            if isinstance(one, Order):
                self._conclude(one)

    def _distribute(self, posted: Iterable[Frame | Order]) -> None:
        """Put the frames of *posted* together, for all and for each, and write them."""
        shared = bytearray()
        streams = _Streams(self._audience)
        for one in posted:
            if isinstance(one, Order):
                if one.connection is not None:
                    self._execute(one.action, one.connection, streams, shared)
                continue
            frame, to, author, entry, ack = one
            if entry is not None and entry.lost:
                continue
            begin = len(shared)
            if to is None:
                shared += frame
            else:
                streams[to].put(frame, begin, begin)
            if author is not None:
                streams[author].put(ack, begin, len(shared))
        if shared:
            data = bytes(shared)
            for connection in [one for one in self._audience if one not in streams]:
                self._write(connection, data)
        view = memoryview(shared)
        for connection, stream in streams.items():
            self._write(connection, stream.joined(view))

    def _execute(
        self, action: Action, connection: Connection, streams: _Streams, shared: bytearray
    ) -> None:
        """Do what is to be done with *connection* behind the frames that are *shared* so far."""
        stream = streams[connection]
        if action is Action.ENTER:
            if stream.at is None:
                stream.at = len(shared)
                self._audience[connection] = None
            return
        self._write(connection, stream.joined(memoryview(shared)))
        self._audience.pop(connection, None)
        del streams[connection]
        if action is Action.FINISH:
            self._finish(connection)
        elif action is not Action.LEAVE:
            self._abort(connection)

    def _conclude(self, order: Order) -> None:
        """Do what is to be done when the round of *order* is written, and tell who waits for it."""
        try:
            if order.action is Action.END:
                with self._lock:
                    self._ended = True
            elif order.action is Action.CLOSE and order.connection is not None:
                order.connection.state = State.CLOSED
                order.connection.transport.close()
        except Exception:
            logger.exception("cannot close a socket")
        if order.done is not None:
            order.done.set()

    # One connection, in the thread: what goes wrong with it is the end of that one alone

    def _write(self, connection: Connection, data: bytes) -> None:
        """Write *data*; what the socket does not take waits until it can be written again."""
        backlog = self._backlogs.get(connection)
        if not data or connection.flushed or (backlog is not None and backlog.ending):
            return
        try:
            if backlog is not None:
                backlog.add(data)
                self._check_size(connection, backlog)
                return
            sent = connection.transport.send(data)
            if sent < len(data) or connection.transport.unsent:
                self._selector.register(connection.transport, selectors.EVENT_WRITE, connection)
                self._backlogs[connection] = backlog = _Backlog()
                backlog.add(data[sent:])
        except Exception as error:  # noqa: BLE001 - one client's error is not everybody's
            self._fail(connection, error)

    def _check_size(self, connection: Connection, backlog: _Backlog) -> None:
        """Abort *connection* when more waits for it than may: its reader is too slow."""
        limits = self._limits
        if len(backlog.data) > limits.queue_bytes or backlog.frames > limits.queue_frames:
            connection.give_up("slow")
            self._abort(connection)

    def _check_total(self) -> None:
        """Abort those for whom most waits while more waits for all together than may."""
        total = sum(len(backlog.data) for backlog in self._backlogs.values())
        while total > self._limits.queues_bytes:
            slowest = max(self._backlogs, key=lambda one: len(self._backlogs[one].data))
            total -= len(self._backlogs[slowest].data)
            slowest.give_up("slow")
            self._abort(slowest)

    def _resume(self, connection: Connection) -> None:
        """Write on to a socket that was full."""
        backlog, transport = self._backlogs[connection], connection.transport
        try:
            transport.flush()
            while backlog.data and not transport.unsent:
                chunk = bytes(backlog.data[:SEND_BYTES])
                sent = transport.send(chunk)
                backlog.drop(sent)
                if sent < len(chunk):
                    return
            if not transport.unsent:
                self._selector.unregister(transport)
                del self._backlogs[connection]
                if backlog.ending:
                    self._finish(connection)
        except Exception as error:  # noqa: BLE001 - one client's error is not everybody's
            self._fail(connection, error)

    def _finish(self, connection: Connection) -> None:
        """Close the stream behind all that was written."""
        if connection in self._backlogs:
            self._backlogs[connection].ending = True
        elif not connection.flushed:
            try:
                connection.transport.end()
                connection.note_flushed()
            except Exception as error:  # noqa: BLE001 - one client's error is not everybody's
                self._fail(connection, error)

    def _fail(self, connection: Connection, error: Exception) -> None:
        if not isinstance(error, OSError | MemoryError):  # else expected: lost, or no memory for it
            logger.error("cannot write to a client", exc_info=error)
        connection.give_up("lost")
        self._abort(connection)

    def _abort(self, connection: Connection) -> None:
        """Write nothing more to *connection*, and wake its reader."""
        self._audience.pop(connection, None)
        try:
            with contextlib.ExitStack() as stack:  # wakes the reader, whatever else fails
                stack.callback(connection.note_flushed)
                stack.callback(connection.transport.shut_down)
                if self._backlogs.pop(connection, None) is not None:
                    self._selector.unregister(connection.transport)
        except Exception:
            logger.exception("cannot give a connection up")
