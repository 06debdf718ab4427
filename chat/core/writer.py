"""The one thread that writes to every socket, so that nobody waits for the slowest reader.

Writing is the hard part of a chat. One message goes to everybody, and some socket is always full: a
``send`` that waits for a slow reader would make all others wait. And one ``send`` per delivery is
slow even with fast readers, because a chat spends most of its time in system calls. So:

* Any thread *posts* a frame with its recipients: it appends to one list in memory and does not
  wait, so it may post under the lock that decides the order of messages. Then it *rings*.
* The writer takes the whole list, has the log commit the new messages, joins the frames for
  everybody once, and sends each socket all its frames in one ``send``.
* A full socket is watched until it can be written again. If its queue grows beyond a limit in the
  meantime, its reader is too slow, and the connection is aborted.

Everything else that is done to a connection is posted to the same list and done in its turn:
entering and leaving the audience, closing, aborting, and the end of the writer itself.
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
"""Bytes passed to one ``send`` on a socket that was full: more than its buffer holds."""

logger = logging.getLogger("chat.writer")

_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))  # Windows

Frame = tuple[bytes, Connection | None, Connection | None, Entry | None, bytes]
"""A frame; its recipient, None for the whole audience; its author, who does not get it; the log
entry that it is about, if any (nothing is sent if that is lost); what the author gets instead."""


class Action(enum.Enum):
    """What can be posted besides frames."""

    ENTER = enum.auto()
    LEAVE = enum.auto()
    FINISH = enum.auto()
    ABORT = enum.auto()
    CLOSE = enum.auto()
    FLUSH = enum.auto()
    END = enum.auto()


@dataclass(frozen=True, slots=True)
class Order:
    """An action to be done in its turn."""

    action: Action
    connection: Connection | None = None
    done: threading.Event | None = None


class _Stream:
    """What one connection gets in a round, if it differs from what everybody gets."""

    __slots__ = ("at", "pieces")

    def __init__(self, at: int | None) -> None:
        self.at = at  # from which byte of the shared frames on; None outside the audience
        self.pieces: list[bytes | tuple[int, int]] = []  # own frames, ranges of shared ones

    def put(self, frame: bytes, begin: int, end: int) -> None:
        """Add *frame* in place of the shared bytes from *begin* to *end*."""
        if self.at is not None:
            if self.at < begin:
                self.pieces.append((self.at, begin))
            self.at = end
        self.pieces.append(frame)

    def joined(self, shared: memoryview) -> bytes:
        """Return the stream as bytes, with all that is *shared* since the last piece."""
        self.put(b"", len(shared), len(shared))
        pieces = [shared[one[0] : one[1]] if isinstance(one, tuple) else one for one in self.pieces]
        return b"".join(pieces)


class _Streams(dict[Connection, _Stream]):
    """The streams of a round by connection; all other connections get just the shared frames."""

    def __init__(self, audience: Container[Connection]) -> None:
        self._audience = audience

    def __missing__(self, connection: Connection) -> _Stream:
        stream = self[connection] = _Stream(0 if connection in self._audience else None)
        return stream


class _Backlog:
    """What waits for a full socket."""

    __slots__ = ("data", "ending", "frames")

    def __init__(self) -> None:
        self.data = bytearray()
        self.frames = 0
        self.ending = False  # the stream is to be closed behind it

    def add(self, data: bytes) -> None:
        self.data += data
        self.frames += data.count(b"\n")

    def drop(self, size: int) -> None:
        """Drop the first *size* bytes, which are sent."""
        self.frames -= self.data.count(b"\n", 0, size)
        del self.data[:size]


def _commit_nothing(_entries: Sequence[Entry]) -> None:
    """Do nothing: without a log there is nothing to commit."""


class Writer:
    """The outbound queues of many connections, and the thread that empties them.

    Any thread may call any method. Methods that post do not wait; call `ring` afterwards, with no
    lock held. `wait_caught_up`, `flush`, `close` and `end` wait for the thread.
    """

    def __init__(
        self,
        limits: Limits,
        commit: Callable[[Sequence[Entry]], None] = _commit_nothing,
        name: str = "writer",
    ) -> None:
        """Prepare a writer; frames may be posted before `open`.

        *commit* is called in the writer's thread, before a round is sent, with the entries that its
        frames are about; it marks those that are lost.
        """
        self._limits = limits
        self._commit = commit
        # Appending to a deque and popping from it are atomic: the list needs no lock.
        self._posted: deque[Frame | Order] = deque()
        self._idle = False  # the thread sleeps, or is about to
        self._lock = threading.Lock()  # guards the two below
        self._waiting = 0
        self._ended = False
        self._caught_up = threading.Condition(self._lock)  # a round has begun
        self._thread = threading.Thread(target=self._run, name=name)
        # Owned by the thread: who gets frames for everybody, and whose socket is full.
        self._audience: dict[Connection, None] = {}
        self._backlogs: dict[Connection, _Backlog] = {}

    def open(self) -> None:
        """Start the thread and all its resources. Raises `OSError`, `RuntimeError`."""
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
        except BaseException:  # Ctrl-C while we wait for the thread, which starts all the same
            self._posted.append(Order(Action.END))
            self.ring()
            raise

    def end(self) -> None:
        """End the thread when everything posted is done. Close all connections before."""
        if self._thread.ident is not None:  # it was opened
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
        """Queue *frame* for *to*, None: for the audience without *author*, which gets *ack*.

        Both are sent once *entry* is committed, and not at all if it is lost.
        """
        self._posted.append((frame, to, author, entry, ack))

    def enter(self, connection: Connection) -> None:
        """Add *connection* to the audience: it gets the frames for everybody from now on."""
        self._posted.append(Order(Action.ENTER, connection))

    def leave(self, connection: Connection) -> None:
        """Remove *connection* from the audience."""
        self._posted.append(Order(Action.LEAVE, connection))

    def finish(self, connection: Connection) -> None:
        """Close the stream to *connection* when it is flushed. Later frames are dropped."""
        if connection.state is State.OPEN:
            connection.state = State.CLOSING
        self._posted.append(Order(Action.FINISH, connection))

    def abort(self, connection: Connection, reason: str) -> None:
        """Abort *connection* because of *reason*; its reader wakes."""
        connection.give_up(reason)
        self._posted.append(Order(Action.ABORT, connection))

    def ring(self) -> None:
        """Have the posted frames sent."""
        if self._idle:
            self._waker.wake()

    @property
    def behind(self) -> bool:
        """Whether so much is posted that readers should call `wait_caught_up`."""
        return len(self._posted) > self._limits.pending_frames

    # Waiting

    def wait_caught_up(self, timeout: float) -> None:
        """Wait while the writer is `behind`, *timeout* seconds at most.

        A reader that did not wait would move the network's queue into our memory.
        """
        self.ring()
        with self._lock:
            self._waiting += 1
            self._caught_up.wait_for(lambda: not self.behind, timeout)
            self._waiting -= 1

    def flush(self, timeout: float) -> bool:
        """Wait until everything posted is committed and written; False after *timeout* seconds."""
        done = threading.Event()
        self._posted.append(Order(Action.FLUSH, done=done))
        self.ring()
        return done.wait(timeout)

    def close(self, connection: Connection) -> None:
        """Close the socket of *connection*. Only its reader may call this, as its last act."""
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
        """Wait for something to do; return the connections that can be written again."""
        self._idle = True  # before looking: whoever posts from now on wakes us
        events = self._selector.select(0 if self._posted else None)
        self._idle = False
        writable: list[Connection] = [key.data for key, _events in events if key.data is not None]
        if len(writable) < len(events):
            self._waker.clear()
        return writable

    def _gather(self) -> None:
        """Yield the processor to threads that are about to post, as long as they do.

        Messages that they have already read then go out in this round. A round of their own would
        cost another system call for each recipient.
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
            if entries:
                self._commit(entries)
            self._distribute(posted)
            self._check_total()
        except Exception as error:  # no memory: no client may miss a frame without noticing
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
        """Join the frames of *posted* for everybody and for each connection, and write them."""
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
        """Do *action* to *connection* after the frames that are *shared* so far."""
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
        """Do what is left when the round of *order* is written, and wake whoever waits for it."""
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

    # One connection, in the thread: an error ends that connection and no other

    def _write(self, connection: Connection, data: bytes) -> None:
        """Write *data*; what does not fit into the socket waits until it can be written again."""
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
        except Exception as error:  # noqa: BLE001 - it concerns one client only
            self._fail(connection, error)

    def _check_size(self, connection: Connection, backlog: _Backlog) -> None:
        """Abort *connection* if its backlog is above the limits: its reader is too slow."""
        limits = self._limits
        if len(backlog.data) > limits.queue_bytes or backlog.frames > limits.queue_frames:
            connection.give_up("slow")
            self._abort(connection)

    def _check_total(self) -> None:
        """Abort connections with the largest backlogs while all together are above the limit."""
        total = sum(len(backlog.data) for backlog in self._backlogs.values())
        while total > self._limits.queues_bytes:
            slowest = max(self._backlogs, key=lambda one: len(self._backlogs[one].data))
            total -= len(self._backlogs[slowest].data)
            slowest.give_up("slow")
            self._abort(slowest)

    def _resume(self, connection: Connection) -> None:
        """Continue writing to a socket that was full."""
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
        except Exception as error:  # noqa: BLE001 - it concerns one client only
            self._fail(connection, error)

    def _finish(self, connection: Connection) -> None:
        """Close the stream after everything that was written."""
        if connection in self._backlogs:
            self._backlogs[connection].ending = True
        elif not connection.flushed:
            try:
                connection.transport.end()
                connection.note_flushed()
            except Exception as error:  # noqa: BLE001 - it concerns one client only
                self._fail(connection, error)

    def _fail(self, connection: Connection, error: Exception) -> None:
        if not isinstance(error, OSError | MemoryError):  # these are expected
            logger.error("cannot write to a client", exc_info=error)
        connection.give_up("lost")
        self._abort(connection)

    def _abort(self, connection: Connection) -> None:
        """Stop writing to *connection*, and wake its reader."""
        self._audience.pop(connection, None)
        try:
            with contextlib.ExitStack() as stack:  # the reader wakes even if the rest fails
                stack.callback(connection.note_flushed)
                stack.callback(connection.transport.shut_down)
                if self._backlogs.pop(connection, None) is not None:
                    self._selector.unregister(connection.transport)
        except Exception:
            logger.exception("cannot give a connection up")
