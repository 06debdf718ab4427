"""One peer on one socket: connecting, reading, closing.

Reading is simple: one thread does it, and waits. Writing must not wait for anybody and is done by
`chat.core.writer`. The reader only reads; everything else (writing, shutting down, closing) is done
by the writer, so no thread can use a descriptor whose number already belongs to another connection.
"""

import contextlib
import enum
import select
import socket
import threading

from chat.core.timing import Deadline

LONGEST_KEEPALIVE = 32_767
"""Seconds, the most that Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL (tcp(7))."""


_LONGEST_POLL = 2**31 - 1  # milliseconds: poll(2) takes an int


class TransportError(ConnectionError):
    """The peer cannot be trusted, or it sent something invalid.

    Its text is a code, for which `chat.app.sentences` has a sentence.
    """


class Waker:
    """Wakes a thread that waits in a selector: a pair of sockets, one end watched, one written."""

    def __init__(self) -> None:
        """Make both ends. Raises `OSError`."""
        self.watched, self._rung = socket.socketpair()
        self.watched.setblocking(False)
        self._rung.setblocking(False)

    def wake(self) -> None:
        """Make `watched` readable. Any thread, and a signal handler: it takes no lock."""
        with contextlib.suppress(OSError):  # it is readable already; it is closed
            self._rung.send(b"!")

    def clear(self) -> None:
        """Forget all calls of `wake` so far."""
        with contextlib.suppress(OSError):  # there was none
            self.watched.recv(4096)

    def wait(self, timeout: float) -> None:
        """Wait for a call of `wake`, *timeout* seconds at most, and `clear`."""
        _wait(self.watched, timeout)
        self.clear()

    def close(self) -> None:
        """Close both ends."""
        self.watched.close()
        self._rung.close()


class Transport:
    """What a connection reads from and writes to: a TCP socket. Another class may encrypt.

    The reader thread calls `connect`, `handshake` and `receive`, the writer all the rest.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over *sock*, connected or about to be by `connect`. Raises `OSError`."""
        sock.setblocking(False)
        # We gather small frames ourselves: Nagle's algorithm would only delay them (RFC 896).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self.receive_bytes = 64 * 1024
        """The most that one ``recv`` returns."""

    def connect(self, address: tuple[object, ...], deadline: Deadline) -> None:
        """Connect to *address*. Raises `OSError`, as `TimeoutError` in time. Reader thread."""
        self._socket.settimeout(deadline.remaining())
        self._socket.connect(address)
        self._socket.setblocking(False)
        self._socket.getpeername()  # raises when `shut_down` was faster

    def notice_silence(self, seconds: float) -> None:
        """Have TCP itself abort the connection after about *seconds* without an answer.

        Without data in transit it sends probes (keep-alive, RFC 9293, section 3.8.4); with data in
        transit it stops retransmitting (TCP_USER_TIMEOUT, RFC 5482). Where the system has neither,
        the pings of the protocol still work.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle = min(LONGEST_KEEPALIVE, max(1, round(seconds / 2)))
        wanted = {
            "TCP_KEEPIDLE": idle,
            "TCP_KEEPINTVL": max(1, idle // 3),
            "TCP_KEEPCNT": 3,
            "TCP_USER_TIMEOUT": min(2**31 - 1, max(1, round(seconds * 1000))),
        }
        for name, value in wanted.items():
            if hasattr(socket, name):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def handshake(self, deadline: Deadline) -> None:
        """Negotiate before the first message; plain TCP does not. Raises `OSError`."""

    def receive(self, timeout: float | None) -> bytes:
        """Wait for the next chunk and return it; ``b""`` is the end of the stream.

        Raises `TimeoutError` after *timeout* seconds of silence.
        """
        while True:
            if not _wait(self._socket, timeout):
                raise TimeoutError
            try:
                return self._socket.recv(self.receive_bytes)
            except BlockingIOError:  # readable a moment ago, and yet not (select(2), BUGS)
                continue
            except OSError:  # reset by the peer, or given up by TCP
                return b""

    def send(self, data: bytes | memoryview) -> int:
        """Accept as much of *data* as fits without waiting; return how many bytes that was.

        Bytes that are `unsent` come first. Raises `OSError` when the connection is lost.
        """
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    @property
    def unsent(self) -> bool:
        """Whether `send` has accepted bytes that are not in the socket yet."""
        return False

    def end(self) -> None:
        """Send a FIN after everything that was sent."""
        with contextlib.suppress(OSError):  # the peer was faster
            self._socket.shutdown(socket.SHUT_WR)

    def shut_down(self) -> None:
        """End the stream in both directions at once; a waiting reader wakes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()


def _wait(sock: socket.socket, timeout: float | None) -> bool:
    """Wait until *sock* can be read; False after *timeout* seconds.

    By poll(2) where there is one: select(2) cannot handle descriptors above 1023.
    """
    if not hasattr(select, "poll"):  # Windows
        return any(select.select([sock], [], [], timeout))
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(None if timeout is None else min(timeout * 1000, _LONGEST_POLL)))


class State(enum.IntEnum):
    """The state of a connection. It only moves forwards."""

    OPEN = enum.auto()
    CLOSING = enum.auto()
    """Queued frames are still sent; nothing new is handled."""
    ABORTED = enum.auto()
    """Nothing is sent any more."""
    CLOSED = enum.auto()
    """The socket is closed."""


class Connection:
    """A peer: its socket and its state.

    Only one thread, the connection's reader, may call `receive` and `linger`. Everything else is
    done through the writer, by any thread: `Writer.post`, `finish`, `abort`, `close`.
    """

    address: tuple[str, int] | None = None
    """The peer's end, where it matters."""

    def __init__(self, transport: Transport, address: tuple[str, int] | None = None) -> None:
        """Talk to the peer at *address* through *transport*."""
        self.transport = transport
        self.address = address
        self.state = State.OPEN
        self.close_reason: str | None = None
        """Why this side aborted the connection, None if it has not."""

        self.flushed = False
        """Whether the writer has sent everything that it is going to send."""

        # Held until then. An Event would do the same in ten times the memory.
        self._flushing = threading.Lock()
        self._flushing.acquire()

    def give_up(self, reason: str | None) -> None:
        """Note that nothing more is sent or read because of *reason*. For the writer only."""
        if self.state is not State.CLOSED:
            self.close_reason = self.close_reason or reason
            self.state = State.ABORTED

    def note_flushed(self) -> None:
        """Note that nothing more will be sent, and wake `wait_flushed`. For the writer only."""
        if not self.flushed:
            self.flushed = True
            self._flushing.release()

    def wait_flushed(self, timeout: float) -> None:
        """Wait until the connection is `flushed`, *timeout* seconds at most."""
        if self._flushing.acquire(timeout=timeout):
            self._flushing.release()

    def receive(self, timeout: float | None = None) -> bytes:
        """Wait for the next chunk of the stream and return it; ``b""`` at its end.

        It ends when the peer closes its side (FIN) or the connection is lost or aborted. Raises
        `TimeoutError` after *timeout* seconds of silence.
        """
        if self.state is State.ABORTED:
            return b""
        return self.transport.receive(timeout)

    def linger(self, deadline: Deadline) -> None:
        """Read and forget what still comes, until the peer closes too and has got all we sent.

        Call it after `Writer.finish`; it waits no longer than *deadline*. A socket closed with
        bytes unread sends a reset instead of a FIN (RFC 1122, section 4.2.2.13) and discards what
        it has not sent yet: our last messages. The peer may discard what it has received and not
        read, too (RFC 9293, section 3.10.7.4); on Linux it can still read that.
        """
        with contextlib.suppress(TimeoutError):
            while self.receive(deadline.remaining()):
                pass
            self.wait_flushed(deadline.remaining())
