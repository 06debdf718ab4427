"""One peer on one socket: reading, the outbound queue, closing.

Reading is simple: one thread owns it, and waits. Writing is the hard part of a chat, because
one message goes to everybody, and somebody's socket is always full: a ``send`` that waits for a
slow reader would make all others wait. So nobody here ever waits to write:

* `Sender.post` appends a frame to the queues of its recipients. Memory only, no system call,
  so it may be called under a lock that decides the order of messages.
* `Sender.flush` gives each socket all that has gathered in its queue, in one ``send``. Whoever has
  posted flushes; while one thread does, the others need not.
* A socket that takes no more is handed to the sender's own thread, which waits until it can be
  written again. A queue that goes on growing meanwhile is a reader too slow to keep: it is closed.

All sockets are in non-blocking mode; a thread that has to wait does so in `_wait`, where
``shutdown`` of the socket wakes it.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from enum import Enum

from chat.protocol import Limits

RECEIVE_BYTES = 64 * 1024
"""What one ``recv`` may bring."""

SEND_BYTES = 256 * 1024
"""What one ``send`` is offered: more than a socket's buffer usually takes."""

# poll(2) where there is one: select(2) knows no descriptors beyond 1023. Neither needs one itself.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Deadline:
    """One limit of time through several steps."""

    def __init__(self, seconds: float) -> None:
        """Start now; end after *seconds*."""
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left. Raises `TimeoutError` when none are."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


class TokenBucket:
    """Limits a rate: *burst* at once, and *rate* a second after that. For one thread.

    A token is added every 1 / *rate* seconds, up to *burst* of them; whatever is done takes one
    (Tanenbaum, Computer Networks, 5th edition, section 5.4.2).
    """

    def __init__(self, rate: float, burst: float) -> None:
        """Start full; a *rate* of 0 is no limit."""
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled = time.monotonic()

    def take(self) -> bool:
        """Take a token; False if there is none."""
        if self.wait_time() > 0:
            return False
        self._tokens -= 1
        return True

    def wait_time(self) -> float:
        """Return the seconds until there is a token."""
        if not self._rate:
            return 0
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return max(0, (1 - self._tokens) / self._rate)

    @property
    def full(self) -> bool:
        """Whether nothing was taken for long enough."""
        return self._tokens >= self._burst - 1


class Waker:
    """Wakes a thread that waits in a selector: a pair of sockets, one end watched, one written."""

    def __init__(self) -> None:
        """Make both ends."""
        self.watched, self._rung = socket.socketpair()
        self.watched.setblocking(False)
        self._rung.setblocking(False)

    def wake(self) -> None:
        """Make `watched` readable. Any thread, and a signal handler: it takes no lock."""
        with contextlib.suppress(BlockingIOError, OSError):  # it rings already; it is closed
            self._rung.send(b"!")

    def clear(self) -> None:
        """Take note of all rings so far."""
        with contextlib.suppress(BlockingIOError):
            self.watched.recv(4096)

    def close(self) -> None:
        """Close both ends."""
        self.watched.close()
        self._rung.close()


class State(Enum):
    """Where a connection's outbound queue stands with the `Sender`."""

    IDLE = "nothing to send"
    READY = "has frames; the next flush takes them"
    BLOCKED = "the socket is full; the sender's thread watches it"
    FINISHED = "everything is sent, and nothing more will be"


class Connection:
    """One peer on one connected socket.

    `receive` and `close` belong to one thread, the connection's reader. `abort` may be called
    by any thread: it only wakes the reader, which then closes. Frames go out through a `Sender`.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over the connected *sock*."""
        sock.setblocking(False)
        # Many small frames, gathered by us: Nagle's algorithm would only delay them (RFC 896).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._selector = _Selector()
        self._selector.register(sock, selectors.EVENT_READ)
        self.close_reason: str | None = None
        """Why this side gave the connection up, None while it has not."""

        # Guards the reason above and the number of threads that use the descriptor right now. The
        # last one closes it: a closed descriptor's number is at once given to the next connection.
        self._users_lock = threading.Lock()
        self._users = 1

        # The outbound queue. These belong to the Sender, under its lock.
        self.queue: deque[bytes] = deque()
        self.queued_bytes = 0
        self.state = State.IDLE
        self.finishing = False
        self._finished = threading.Event()

    def receive(self, timeout: float | None = None) -> bytes:
        """Wait for the next chunk of the stream and return it; ``b""`` means that it has ended.

        Ended: the peer closed its side (its FIN), the connection was lost, or `abort` was called.
        Raises `TimeoutError` after *timeout* seconds of silence. Reader thread.
        """
        while self.close_reason is None:
            if not self._selector.select(timeout):
                raise TimeoutError
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:  # readable a moment ago, and yet not (select(2), BUGS)
                continue
            except OSError:  # reset by the peer, or given up by TCP
                break
        return b""

    def send(self, data: bytes) -> int:
        """Send as much of *data* as the socket takes now; return how many bytes that was.

        Raises `OSError` when the connection is lost. Only for the `Sender`.
        """
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def finish_sending(self) -> None:
        """Say that nothing more will be sent: a FIN after all that was. Only for the `Sender`."""
        with contextlib.suppress(OSError):  # the peer was faster
            self._socket.shutdown(socket.SHUT_WR)

    def abort(self, reason: str) -> None:
        """Give the connection up because of *reason*: its reader wakes and closes. Any thread."""
        if not self.hold():
            return
        with self._users_lock:
            self.close_reason = self.close_reason or reason
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.release()

    def discard(self, deadline: Deadline) -> None:
        """Read and forget what still comes, until the peer closes too and has got all we sent.

        Call it after `Sender.finish`; it waits no longer than *deadline*. A socket closed with
        bytes unread resets the connection, and a reset can destroy our last words before the peer
        has read them (RFC 1122, section 4.2.2.13). Reader thread.
        """
        with contextlib.suppress(TimeoutError):
            while self.receive(deadline.remaining()):
                pass
            self._finished.wait(deadline.remaining())

    def note_finished(self) -> None:
        """Note that the queue is empty and stays so. Only for the `Sender`."""
        self.state = State.FINISHED
        self._finished.set()

    def close(self) -> None:
        """Close, once no other thread uses the socket. Reader thread, at its end; once."""
        self.abort("closed")
        self._selector.close()
        self.release()

    def hold(self) -> bool:
        """Keep the descriptor open until `release`; False when it is closed already."""
        with self._users_lock:
            if not self._users:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Let go of the descriptor; the last one closes it."""
        with self._users_lock:
            self._users -= 1
            last = not self._users
        if last:
            self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()


class Sender:
    """The outbound queues of many connections, and the thread that waits for full sockets.

    Any thread may `post`, `finish` and `flush`. At any moment one thread at most writes to a given
    connection: the one that flushes (state READY) or the sender's own (state BLOCKED).
    """

    def __init__(self, limits: Limits) -> None:
        """Make a sender without a thread: that starts when the first socket is full."""
        self._limits = limits
        # Guards the queues of all connections and everything down to `_has_thread`.
        self._lock = threading.Lock()
        self._caught_up = threading.Condition(self._lock)  # a round has begun, or all are over
        self._ready: list[Connection] = []
        self._ready_bytes = 0
        self._too_slow: list[Connection] = []
        self._to_watch: list[Connection] = []
        self._flushing = False
        self._handed_over = False  # the flush goes on in the sender's thread
        self._stopping = False
        self._has_thread = False
        # Made by the thread that first needs help.
        self._thread: threading.Thread | None = None
        self._waker: Waker | None = None

    def post(self, connections: Iterable[Connection], frame: bytes) -> None:
        """Queue *frame* for each of *connections*. Never waits; call `flush` afterwards."""
        with self._lock:
            for connection in connections:
                if connection.finishing:
                    continue
                connection.queue.append(frame)
                connection.queued_bytes += len(frame)
                if connection.state is State.BLOCKED:
                    self._check_queue(connection)
                else:
                    self._ready_bytes += len(frame)
                    self._make_ready(connection)

    def finish(self, connections: Iterable[Connection]) -> None:
        """Let each of *connections* end its stream once its queue is empty; then call `flush`.

        Nothing posted later is sent.
        """
        with self._lock:
            for connection in connections:
                connection.finishing = True
                self._make_ready(connection)

    def flush(self) -> None:
        """Send what is queued, or leave that to the thread that is flushing already.

        Waits only while `Limits.pending_bytes` are on their way: a reader that went on would
        move the network's queue into our memory. Call it with no lock held.
        """
        with self._lock:
            if self._flushing:
                while self._flushing and self._ready_bytes > self._limits.pending_bytes:
                    self._caught_up.wait()
                return
            self._flushing = True
        self._flush_round()
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

    def stop(self) -> None:
        """End the sender's thread. Call it when every connection is closed and nobody posts."""
        with self._lock:
            self._stopping = True
        if self._thread is not None and self._waker is not None:
            self._waker.wake()
            self._thread.join()
            self._waker.close()

    # The thread that flushes

    def _flush_round(self) -> None:
        with self._lock:
            ready, self._ready, self._ready_bytes = self._ready, [], 0
            too_slow, self._too_slow = self._too_slow, []
            self._caught_up.notify_all()
        for connection in too_slow:
            connection.abort("slow")
        for connection in ready:
            self._drain(connection)

    def _drain(self, connection: Connection) -> bool:
        """Send what is in the queue of *connection*; False if the socket would not take it all."""
        if not connection.hold():
            return True
        try:
            while data := self._take(connection):
                sent = connection.send(data)
                if sent < len(data):
                    self._put_back(connection, data[sent:])
                    return False
            if connection.state is State.FINISHED:
                connection.finish_sending()
        except OSError:
            self._drop_queue(connection)
            connection.abort("lost")
        finally:
            connection.release()
        return True

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
                if stopping and len(selector.get_map()) == 1:
                    return
                for key, _ in selector.select(0 if handed_over else None):
                    if isinstance(key.fileobj, Connection):
                        if self._drain(key.fileobj):
                            selector.unregister(key.fileobj)
                            key.fileobj.release()
                    else:
                        waker.clear()
                if handed_over:
                    self._flush_round()
                    with self._lock:
                        self._handed_over = self._more_to_flush()

    # Under the lock

    def _make_ready(self, connection: Connection) -> None:
        if connection.state is State.IDLE:
            connection.state = State.READY
            self._ready.append(connection)

    def _more_to_flush(self) -> bool:
        self._flushing = bool(self._ready or self._too_slow)
        self._caught_up.notify_all()
        return self._flushing

    def _check_queue(self, connection: Connection) -> None:
        """Give up a connection whose socket is full and whose queue is too."""
        limits = self._limits
        if (
            connection.queued_bytes > limits.queue_bytes
            or len(connection.queue) > limits.queue_frames
        ):
            connection.queue.clear()
            connection.queued_bytes = 0
            connection.finishing = True
            self._too_slow.append(connection)

    # Each takes the lock

    def _take(self, connection: Connection) -> bytes:
        """Take up to `SEND_BYTES` from the queue; when there are none, note that it is idle."""
        with self._lock:
            if not connection.queue:
                connection.state = State.IDLE
                if connection.finishing:
                    connection.note_finished()
                return b""
            data = b"".join(connection.queue)
            connection.queue.clear()
            if len(data) > SEND_BYTES:
                connection.queue.append(data[SEND_BYTES:])
            connection.queued_bytes = max(0, len(data) - SEND_BYTES)
            return data[:SEND_BYTES]

    def _put_back(self, connection: Connection, rest: bytes) -> None:
        """Return the *rest* that the full socket did not take, and have the socket watched."""
        with self._lock:
            connection.queue.appendleft(rest)
            connection.queued_bytes += len(rest)
            if connection.state is not State.BLOCKED:
                connection.state = State.BLOCKED
                self._to_watch.append(connection)

    def _drop_queue(self, connection: Connection) -> None:
        with self._lock:
            connection.finishing = True
            connection.queue.clear()
            connection.queued_bytes = 0
            connection.note_finished()
