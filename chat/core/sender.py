"""The outbound queues: what is said once goes to many, and nobody waits for the slowest.

Writing is the hard part of a chat, because one message goes to everybody, and somebody's socket is
always full: a ``send`` that waits for a slow reader would make all others wait. And a ``send``
for every delivery is slow whoever reads: system calls are what a chat spends its time on. So:

* `Sender.post` appends a frame and its recipients to one log. Memory only, no system call, and
  no work for each recipient, so it may be called under a lock that decides the order of messages.
* `Sender.flush` takes the whole log, joins its frames once, gives the same bytes to everybody
  who is to get the same, and sends each socket all that is queued for it, in one ``send``. Whoever
  has posted flushes; while one thread does, the others need not.
* A socket that takes no more is watched by the sender's own thread, which waits until it can be
  written again. A queue that goes on growing meanwhile is a reader too slow to keep: it is closed.
"""

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from chat.core.connection import Connection, Waker
from chat.core.protocol import Limits

SEND_BYTES = 256 * 1024
"""What is joined for one ``send``: more than a socket's buffer usually takes."""

Frame = bytes | Callable[[], bytes]
"""A frame, or a way to make it once it is known what it says; ``b""`` then: nothing at all."""

_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))  # Windows

_Posted = tuple[Frame | None, Sequence[Connection], Connection | None]
"""A frame, to whom, and who of them is left out; None instead of a frame ends the stream."""


def _nothing() -> None:
    """Do nothing before a round."""


class Sender:
    """The outbound queues of many connections, and the thread that waits for full sockets.

    Any thread may `post`, `finish` and `flush`. One thread at a time *flushes*: it alone touches
    the queues and writes to the sockets, so these need no lock.
    """

    def __init__(self, limits: Limits, before_round: Callable[[], None] = _nothing) -> None:
        """Make a sender without a thread: that starts when the first socket is full.

        *before_round* is called with no lock held, by one thread at a time, after a round's
        frames were taken and before the first of them is made and sent. It must not raise.
        """
        self._limits = limits
        self._before_round = before_round
        # Guards everything down to `_has_thread`.
        self._lock = threading.Lock()
        self._caught_up = threading.Condition(self._lock)  # a round has begun, or all are over
        self._log: list[_Posted] = []
        self._log_bytes = 0
        self._writable: list[Connection] = []
        self._to_watch: list[Connection] = []
        self._flushing = False
        self._handed_over = False  # the flush goes on in the sender's thread
        self._stopping = False
        self._has_thread = False
        # Made by the thread that first needs help.
        self._thread: threading.Thread | None = None
        self._waker: Waker | None = None

    def post(
        self,
        connections: Sequence[Connection],
        frame: Frame,
        but: Connection | None = None,
        *,
        size: int = 0,
    ) -> None:
        """Queue *frame* for each of *connections* but one. Never waits; call `flush` afterwards.

        *connections* must not change any more; frames for one and the same sequence, one after
        the other, cost least. *size* is what a frame that is made later takes at most, in bytes.
        """
        with self._lock:
            self._log.append((frame, connections, but))
            self._log_bytes += len(frame) if isinstance(frame, bytes) else size

    def finish(self, connections: Sequence[Connection]) -> None:
        """Let each of *connections* end its stream once its queue is empty; then call `flush`.

        Nothing posted later is sent.
        """
        for connection in connections:
            connection.finishing = True
        with self._lock:
            self._log.append((None, connections, None))

    def close(self, connection: Connection) -> None:
        """Close *connection*, once nobody writes to it any more. Its reader thread, at its end."""
        connection.abort("closed")
        self.finish((connection,))
        self.flush()
        connection.wait_finished(None)
        connection.close()

    @property
    def crowded(self) -> bool:
        """Whether so much is waiting for the next round that who posts should `flush` first."""
        return (
            len(self._log) > self._limits.pending_frames
            or self._log_bytes > self._limits.pending_bytes
        )

    def flush(self) -> None:
        """Send what is queued, or leave that to the thread that is flushing already.

        Waits only while the sender is `crowded`: a reader that went on would move the network's
        queue into our memory. Call it with no lock held.
        """
        with self._lock:
            while self._flushing and self.crowded:
                self._caught_up.wait()
            if self._flushing:
                return
            self._flushing = True
        try:
            self._gather()
            self._flush_round()
        finally:  # Ctrl-C in the middle must not leave everybody waiting
            self._pass_on()

    def stop(self) -> None:
        """End the sender's thread. Call it when every connection is closed and nobody posts.

        It waits for ever when a socket was closed in another way than by its `Connection`.
        """
        with self._lock:
            self._stopping = True
        if self._thread is not None and self._waker is not None:
            self._waker.wake()
            self._thread.join()
            self._waker.close()

    # The thread that flushes

    def _gather(self) -> None:
        """Give way to those who are about to post, as long as they do.

        What they have read already is then in this round, and not in one of its own: the next
        round would cost another system call for each recipient.
        """
        posted = -1
        while posted < len(self._log) and not self.crowded:
            posted = len(self._log)
            _give_way()

    def _flush_round(self) -> None:
        with self._lock:
            log, self._log, self._log_bytes = self._log, [], 0
            writable, self._writable = self._writable, []
            self._caught_up.notify_all()
        self._before_round()
        for connection in writable:
            connection.blocked = False
            connection.queued_bytes = connection.queued_frames = 0  # counted anew if it is full
        for connection in self._distribute(log, writable):
            self._drain(connection)

    def _pass_on(self) -> None:
        """Leave what there is to do next to the sender's thread, if there is anything."""
        # One round for all is fair; a reader that went on would neglect its own client.
        with self._lock:
            self._handed_over = self._more_to_flush()
            call_thread = self._handed_over or bool(self._to_watch)
            start_thread = call_thread and not self._has_thread
            self._has_thread = self._has_thread or start_thread
        if start_thread:
            self._start_thread()
        elif call_thread and self._waker is not None:  # else it is being made, and looks first
            self._waker.wake()

    def _distribute(
        self, log: list[_Posted], touched: Iterable[Connection]
    ) -> dict[Connection, None]:
        """Put the frames of *log* into the queues; return who has something to send.

        Frames in a row for the same audience are one run, whose bytes its members share. So are
        those for an audience that others have joined meanwhile: many come at once.
        """
        ready = dict.fromkeys(touched)
        audience: Sequence[Connection] = ()
        run: list[_Posted] = []
        for posted in log:
            frame, connections, _but = posted
            if not (
                connections is audience
                or len(connections) == 1
                or (audience and connections[: len(audience)] == audience)
            ):
                self._distribute_run(run, audience, ready)
                run, audience = [], connections
            if frame is not None:
                run.append(posted)
                continue
            self._distribute_run(run, audience, ready)
            run, audience = [], ()
            for connection in connections:
                connection.ended = True
                ready[connection] = None
        self._distribute_run(run, audience, ready)
        return ready

    def _distribute_run(
        self,
        run: list[_Posted],
        audience: Sequence[Connection],
        ready: dict[Connection, None],
    ) -> None:
        if not run:
            return
        shared, special = self._make_frames(run, audience)
        if shared:
            data = b"".join(shared)
            for connection in audience:
                if connection not in special:
                    self._enqueue(connection, data, len(shared), ready)
        for connection, frames in special.items():
            if frames:
                self._enqueue(connection, b"".join(frames), len(frames), ready)

    def _make_frames(
        self, run: list[_Posted], audience: Sequence[Connection]
    ) -> tuple[list[bytes], dict[Connection, list[bytes]]]:
        """Return what all of *audience* get, and what those get who get a frame less or more."""
        shared: list[bytes] = []
        # Where the stream of one differs: at which frame, and what comes there (nothing: not that).
        differences: dict[Connection, list[tuple[int, bytes]]] = {}
        for frame, connections, but in run:
            data = frame() if callable(frame) else frame
            if not data:
                continue
            others: Sequence[Connection] = ()
            if connections is not audience:
                others = connections if len(connections) == 1 else connections[len(audience) :]
                for one in others:
                    if one is not but:
                        differences.setdefault(one, []).append((len(shared), data))
            if others is not connections:
                if but is not None and but not in others:
                    differences.setdefault(but, []).append((len(shared), b""))
                shared.append(data)
        members = set(audience) if differences else ()
        return shared, {
            one: _spliced(shared if one in members else [], places)
            for one, places in differences.items()
        }

    def _enqueue(
        self, connection: Connection, data: bytes, frames: int, ready: dict[Connection, None]
    ) -> None:
        if connection.ended:
            return
        try:
            sealed = connection.seal(data)
        except OSError:
            self._give_up(connection, "lost")
            return
        connection.queue.append((sealed, frames))
        if not connection.blocked:
            ready[connection] = None
            return
        connection.queued_bytes += len(sealed)
        connection.queued_frames += frames
        if (
            connection.queued_bytes > self._limits.queue_bytes
            or connection.queued_frames > self._limits.queue_frames
        ):
            self._give_up(connection, "slow")

    def _drain(self, connection: Connection) -> None:
        """Send what is in the queue of *connection*; what the socket does not take stays there."""
        if connection.blocked or connection.finished.is_set():
            return
        queue = connection.queue
        try:
            while queue:
                data, frames = queue.popleft()
                if queue:
                    data, frames = _joined(data, frames, queue)
                sent = connection.send(data)
                if sent < len(data):
                    self._put_back(connection, data, sent, frames)
                    return
            if connection.ended:
                connection.finish_sending()
                connection.note_finished()
        except OSError:
            self._give_up(connection, "lost")

    def _put_back(
        self, connection: Connection, data: bytes | memoryview, sent: int, frames: int
    ) -> None:
        """Return the rest that the full socket did not take, and have the socket watched."""
        rest = memoryview(data)[sent:]  # a slice of bytes would copy a slow reader's backlog
        connection.queue.appendleft((rest, frames))
        connection.queued_bytes = sum(len(piece) for piece, _frames in connection.queue)
        connection.queued_frames = sum(frames for _piece, frames in connection.queue)
        connection.blocked = True
        with self._lock:
            self._to_watch.append(connection)

    def _give_up(self, connection: Connection, reason: str) -> None:
        connection.ended = True
        connection.queue.clear()
        connection.abort(reason)
        connection.note_finished()

    def _start_thread(self) -> None:
        self._waker = Waker()
        self._thread = threading.Thread(target=self._run, args=[self._waker], name="sender")
        self._thread.start()

    # The sender's own thread

    def _run(self, waker: Waker) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(waker.watched, selectors.EVENT_READ)
            while True:
                with self._lock:
                    to_watch, self._to_watch = self._to_watch, []
                    handed_over, stopping = self._handed_over, self._stopping
                for connection in to_watch:
                    if connection.hold():
                        selector.register(connection, selectors.EVENT_WRITE)
                if stopping and not handed_over and len(selector.get_map()) == 1:
                    return
                writable = []
                for key, _events in selector.select(0 if handed_over else None):
                    if isinstance(key.fileobj, Connection):
                        selector.unregister(key.fileobj)
                        key.fileobj.release()
                        writable.append(key.fileobj)
                    else:
                        waker.clear()
                if writable:
                    with self._lock:
                        self._writable += writable
                if handed_over:
                    self._flush_round()
                    with self._lock:
                        self._handed_over = self._more_to_flush()
                elif writable:
                    self.flush()

    # Under the lock

    def _more_to_flush(self) -> bool:
        self._flushing = bool(self._log or self._writable)
        self._caught_up.notify_all()
        return self._flushing


def _joined(
    data: bytes | memoryview, frames: int, queue: deque[tuple[bytes | memoryview, int]]
) -> tuple[bytes, int]:
    """Return *data* and what follows it in the *queue*, together `SEND_BYTES` or a little more."""
    pieces, size = [data], len(data)
    while queue and size < SEND_BYTES:
        piece, more = queue.popleft()
        pieces.append(piece)
        size += len(piece)
        frames += more
    return b"".join(pieces), frames


def _spliced(shared: list[bytes], places: list[tuple[int, bytes]]) -> list[bytes]:
    """Return the *shared* frames with what comes at some *places*; nothing: that one left out."""
    frames: list[bytes] = []
    begin = 0
    for place, data in places:
        frames += shared[begin:place]
        begin = place if data else place + 1
        if data:
            frames.append(data)
    return frames + shared[begin:]
