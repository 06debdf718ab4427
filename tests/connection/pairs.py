"""Connections to test, and a way to know where a thread stands."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from chat.core.connection import Connection
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


@contextmanager
def connected(*, small: bool = False) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its peer, both closed at the end."""
    accepted, peer = tcp_pair(small=small)
    connection = Connection(accepted)
    with peer:
        try:
            yield connection, peer
        finally:
            Sender(Limits()).close(connection)


@contextmanager
def sending(**limits: float) -> Iterator[Sender]:
    """A sender, stopped at the end. Open it before the connections, so that they close first."""
    sender = Sender(Limits(**limits))  # type: ignore[arg-type] # names and kinds as in Limits
    try:
        yield sender
    finally:
        sender.stop()


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


def sender_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sender"]
