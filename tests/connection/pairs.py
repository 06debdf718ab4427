"""Connections to test, a writer for them, and a way to know where a thread stands."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from chat.core.connection import Connection, Transport
from chat.core.history import Entry
from chat.core.protocol import Limits
from chat.core.writer import Writer
from tests.wire import PATIENCE

SMALL_BUFFER = 4096
"""Asked for with SO_SNDBUF and SO_RCVBUF (bytes): the kernel takes the smallest it knows."""


def tcp_pair(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: for a `Connection`, and for the test (a blocking one).

    *small*: what is sent and not read soon fills both ends.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        peer.settimeout(PATIENCE)
        peer.connect(listener.getsockname())
        accepted, _address = listener.accept()
    return accepted, peer


def ignore(_entries: Sequence[Entry]) -> None:
    """Stand in for a log that keeps everything."""


@contextmanager
def writing(
    commit: Callable[[Sequence[Entry]], None] = ignore, **limits: float
) -> Iterator[Writer]:
    """An open writer, ended at the end. Make it before the connections: they close first."""
    chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
    writer = Writer(chosen, commit)
    writer.open()
    try:
        yield writer
    finally:
        writer.end()


@contextmanager
def connected(
    writer: Writer,
    *,
    small: bool = False,
    transport: Callable[[socket.socket], Transport] = Transport,
) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection of *writer* and its peer, both closed at the end."""
    accepted, peer = tcp_pair(small=small)
    connection = Connection(transport(accepted))
    with peer:
        try:
            yield connection, peer
        finally:
            writer.close(connection)


@contextmanager
def audience(
    writer: Writer, count: int, *, small: bool = False
) -> Iterator[list[tuple[Connection, socket.socket]]]:
    """So many connections that hear what is posted for everybody, and their peers."""
    with ExitStack() as stack:
        ends = [stack.enter_context(connected(writer, small=small)) for _ in range(count)]
        for connection, _peer in ends:
            writer.enter(connection)
        yield ends


def flush(writer: Writer) -> None:
    """Wait until all that was posted before was given to the sockets, or waits for one."""
    assert writer.flush(PATIENCE)


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """Read *count* bytes, or less if the stream ends before."""
    parts = []
    while count and (part := sock.recv(min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the stream ends."""
    return read_exactly(sock, sys.maxsize)


def stands_in(thread: threading.Thread, function: str) -> bool:
    """Tell whether *thread* is inside a call of the Python function of that name."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False
