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
import functools
import logging
import os
import selectors
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

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
    """What can be done to a connection besides sending it frames."""

    ENTER = enum.auto()
    LEAVE = enum.auto()
    FINISH = enum.auto()
    ABORT = enum.auto()
    CLOSE = enum.auto()


@dataclass(frozen=True, slots=True)
class Order:
    """An action to be done in its turn."""

    action: Action
    connection: Connection


Posted = Frame | Order | threading.Event
"""What the writer is given; an event is set when everything before it is written."""

_Edits = list[tuple[int, int, bytes]]
"""What one connection gets in a round in place of the shared bytes from one position to another."""


@dataclass(slots=True)
class _Backlog:
    """What waits for a full socket."""

    data: bytearray = field(default_factory=bytearray)
    frames: int = 0
    ending: bool = False  # the stream is to be closed behind it

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
    lock held. `flush`, `close` and `end` wait for the thread.
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
        self._posted: deque[Posted] = deque()
        self._idle = False  # the thread sleeps, or is about to
        self._ending = False  # the thread ends as soon as nothing is posted
        self._thread = threading.Thread(target=self._run, name=name)
        self._resources = contextlib.ExitStack()
        # Owned by the thread: who gets frames for everybody, and whose socket is full.
        self._audience: dict[Connection, None] = {}
        self._backlogs: dict[Connection, _Backlog] = {}

    def open(self) -> None:
        """Start the thread and all its resources. Raises `OSError`, `RuntimeError`."""
        try:
            self._waker = Waker()
            self._resources.callback(self._waker.close)
            self._selector = self._resources.enter_context(selectors.DefaultSelector())
            self._selector.register(self._waker.watched, selectors.EVENT_READ, self._waker.clear)
            self._thread.start()
        except BaseException:  # also Ctrl-C while the thread starts, which it does all the same
            self.end()
            raise

    def end(self) -> None:
        """End the thread when everything posted is done. Close all connections before."""
        self._ending = True
        self.ring()
        if self._thread.is_alive():
            self._thread.join()
        self._resources.close()

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
        connection.state = max(connection.state, State.CLOSING)
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
        """Whether so much is posted that readers should `flush` before they read on.

        A reader that did not wait would move the network's queue into our memory.
        """
        return len(self._posted) > self._limits.pending_frames

    # Waiting

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything posted is committed and written.

        False after *timeout* seconds, or if the writer has ended before.
        """
        done = threading.Event()
        self._posted.append(done)
        self.ring()
        # We post, then look at the flag; the thread looks at the flag, then at the list. So either
        # we see the flag, or the thread sees `done`.
        if self._ending:
            self._thread.join(timeout)
            return done.is_set()
        return done.wait(timeout)

    def close(self, connection: Connection) -> None:
        """Close the socket of *connection*. Only its reader may call this, as its last act."""
        self._posted.append(Order(Action.CLOSE, connection))
        if not self.flush(None):  # the thread has ended: nobody else touches the socket
            self._abort(connection)
            self._close(connection)

    # The thread

    def _run(self) -> None:
        while not self._ending or self._posted:  # in this order: see `flush`
            try:
                self._wait()
                self._gather()
            except Exception:
                logger.exception("cannot wait")
            self._write_round()

    def _wait(self) -> None:
        """Wait for something to do; continue writing to sockets that have room again."""
        self._idle = True  # before looking: whoever posts from now on wakes us
        events = self._selector.select(0 if self._posted or self._ending else None)
        self._idle = False
        for key, _events in events:
            key.data()

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
            entries = [one[3] for one in posted if type(one) is tuple and one[3] is not None]
            if entries:
                self._commit(entries)
            self._distribute(posted)
            self._check_total()
        except Exception as error:  # no memory: no client may miss a frame without noticing
            logger.exception("a round of writing has failed")
            concerned: set[Connection | None] = {*self._audience}
            for one in posted:
                if isinstance(one, Order):
                    concerned.add(one.connection)
                elif isinstance(one, tuple):
                    concerned.update(one[1:3])
            for connection in filter(None, concerned):
                self._fail(connection, error)
        for done in [one for one in posted if not isinstance(one, tuple)]:
            if isinstance(done, threading.Event):
                done.set()
            elif done.action is Action.CLOSE:
                self._close(done.connection)

    def _distribute(self, posted: Iterable[Posted]) -> None:
        """Join the frames of *posted* for everybody and for each connection, and write them."""
        shared = bytearray()
        edits: defaultdict[Connection, _Edits] = defaultdict(list)
        for one in posted:
            if not isinstance(one, tuple):
                if isinstance(one, Order):
                    self._execute(one, shared, edits[one.connection])
                continue
            frame, to, author, entry, ack = one
            if entry is not None and entry.lost:
                continue
            begin = len(shared)
            if to is None:
                shared += frame
            else:
                edits[to].append((begin, begin, frame))
            if author is not None:
                edits[author].append((begin, len(shared), ack))
        if shared:
            data = bytes(shared)
            for connection in [one for one in self._audience if one not in edits]:
                self._write(connection, data)
        for connection, own in edits.items():
            self._write(connection, self._edited(shared, connection, own))

    def _edited(self, shared: bytearray, connection: Connection, edits: _Edits) -> bytes:
        """Return what *connection* gets: its own frames, and in the audience the *shared* ones."""
        view = memoryview(shared if connection in self._audience else b"")
        pieces: list[bytes | memoryview] = []
        at = 0
        for begin, end, own in edits:
            if at < begin:
                pieces.append(view[at:begin])
            pieces.append(own)
            at = end
        return b"".join([*pieces, view[at:]])

    def _execute(self, order: Order, shared: bytearray, edits: _Edits) -> None:
        """Do what *order* says after the frames that are *shared* so far."""
        action, connection = order.action, order.connection
        so_far = self._edited(shared, connection, edits)
        if action is Action.ENTER:
            edits[:] = [(0, len(shared), so_far)]
            self._audience[connection] = None
            return
        self._write(connection, so_far)
        edits.clear()
        self._audience.pop(connection, None)
        if action is Action.FINISH:
            self._finish(connection)
        elif action is not Action.LEAVE:
            self._abort(connection)

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
                resume = functools.partial(self._resume, connection)
                self._selector.register(connection.transport, selectors.EVENT_WRITE, resume)
                self._backlogs[connection] = backlog = _Backlog()
                backlog.add(data[sent:])
        except Exception as error:  # noqa: BLE001 - it concerns one client only
            self._fail(connection, error)

    def _check_size(self, connection: Connection, backlog: _Backlog) -> None:
        """Abort *connection* if its backlog is above the limits: its reader is too slow."""
        limits = self._limits
        if len(backlog.data) > limits.queue_bytes or backlog.frames > limits.queue_frames:
            self._abort(connection, "slow")

    def _check_total(self) -> None:
        """Abort connections with the largest backlogs while all together are above the limit."""
        total = sum(len(backlog.data) for backlog in self._backlogs.values())
        while total > self._limits.queues_bytes:
            slowest = max(self._backlogs, key=lambda one: len(self._backlogs[one].data))
            total -= len(self._backlogs[slowest].data)
            self._abort(slowest, "slow")

    def _resume(self, connection: Connection) -> None:
        """Continue writing to a socket that was full."""
        backlog, transport = self._backlogs[connection], connection.transport
        try:
            backlog.drop(transport.send(bytes(backlog.data[:SEND_BYTES])))
            if not backlog.data and not transport.unsent:
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
        self._abort(connection, "lost")

    def _abort(self, connection: Connection, reason: str | None = None) -> None:
        """Stop writing to *connection*, and wake its reader."""
        connection.give_up(reason)
        self._audience.pop(connection, None)
        try:
            with contextlib.ExitStack() as stack:  # the reader wakes even if the rest fails
                stack.callback(connection.note_flushed)
                stack.callback(connection.transport.shut_down)
                if self._backlogs.pop(connection, None) is not None:
                    self._selector.unregister(connection.transport)
        except Exception:
            logger.exception("cannot give a connection up")

    def _close(self, connection: Connection) -> None:
        """Close the socket of *connection*, which was aborted."""
        connection.state = State.CLOSED
        try:
            connection.transport.close()
        except Exception:
            logger.exception("cannot close a socket")
