"""One peer on one socket: connecting, reading, closing.

Reading is simple: one thread owns it, and waits. Writing, which must not wait for anybody, is the
business of `chat.core.sender`. All sockets are in non-blocking mode; a thread that has to wait does
so in a selector, where ``shutdown`` of the socket wakes it.
"""

import contextlib
import os
import selectors
import socket
import threading
from collections import deque

from chat.core.timing import Deadline

RECEIVE_BYTES = 64 * 1024
"""What one ``recv`` may bring."""

# poll(2) where there is one: select(2) knows no descriptors beyond 1023. Neither needs one itself.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


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


class Connection:
    """One peer on one connected socket.

    `receive` and `close` belong to one thread, the connection's reader. `abort` may be called
    by any thread: it only wakes the reader, which then closes. Frames go out through a `Sender`.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over *sock*, connected or about to be by `connect`."""
        sock.setblocking(False)
        # Many small frames, gathered by us: Nagle's algorithm would only delay them (RFC 896).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._selector = _Selector()
        self._selector.register(sock, selectors.EVENT_READ)
        self.close_reason: str | None = None
        """Why this side gave the connection up, None while it has not."""

        self.finishing = False
        """Whether `Sender.finish` was asked to end the stream."""

        # Guards the reason above and the number of threads that use the descriptor right now. The
        # last one closes it: a closed descriptor's number is at once given to the next connection.
        self._users_lock = threading.Lock()
        self._users = 1

        # The outbound queue: pieces of the stream, and how many frames each ends; while the socket
        # is full (`blocked`), how much it is in all. It belongs to whichever thread flushes.
        self.queue: deque[tuple[bytes | memoryview, int]] = deque()
        self.queued_bytes = 0
        self.queued_frames = 0
        self.blocked = False
        self.ended = False
        self.finished = threading.Event()

    def connect(self, address: tuple[object, ...], deadline: Deadline) -> None:
        """Connect to *address*. Raises `OSError`, as `TimeoutError` in time. Reader thread."""
        self._selector.modify(self._socket, selectors.EVENT_WRITE)
        with contextlib.suppress(BlockingIOError):
            self._socket.connect(address)
        if not self._selector.select(deadline.remaining()):
            raise TimeoutError
        self._selector.modify(self._socket, selectors.EVENT_READ)
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))  # the right subclass, chosen by the number
        self._socket.getpeername()  # raises when `abort` was faster

    def notice_silence(self, seconds: float) -> None:
        """Have TCP itself give the connection up after *seconds* without an answer.

        Without data on the way it asks now and then (keepalive, RFC 9293, section 3.8.4); with
        data on the way it stops trying (TCP_USER_TIMEOUT, RFC 5482). Where the system has neither,
        the pings of the protocol still work.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        probes = 3
        wanted = {
            "TCP_KEEPIDLE": max(1, round(seconds / 2)),
            "TCP_KEEPINTVL": max(1, round(seconds / 2 / probes)),
            "TCP_KEEPCNT": probes,
            "TCP_USER_TIMEOUT": max(1, round(seconds * 1000)),
        }
        for name, value in wanted.items():
            if hasattr(socket, name):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def handshake(self, deadline: Deadline) -> None:
        """Do what must be done before the first message: nothing, unless the stream is encrypted.

        Raises `OSError`, as `TimeoutError` in time. Reader thread, before anything is posted.
        """

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

    def seal(self, data: bytes) -> bytes:
        """Return *data* as it goes over the wire. Only for the `Sender`."""
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Send as much of the sealed *data* as the socket takes now; return how many bytes.

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
            self.wait_finished(deadline.remaining())

    def wait_finished(self, timeout: float | None) -> None:
        """Wait until all is sent that will be, at most *timeout* seconds. Any thread."""
        self.finished.wait(timeout)

    def note_finished(self) -> None:
        """Note that nothing more will be sent. Only for the `Sender`, which then lets go of it."""
        self.finished.set()

    def close(self) -> None:
        """Close. Reader thread, at its end; once. Whoever has sent by it calls `Sender.close`."""
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
