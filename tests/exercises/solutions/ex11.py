"""One try for each, and a note of who did not take it."""

import socket
from collections.abc import Iterable


def broadcast(sockets: Iterable[socket.socket], frame: bytes) -> list[socket.socket]:
    """Send *frame*; return who has not taken all of it."""
    slow = []
    for sock in sockets:
        try:
            taken = sock.send(frame)
        except OSError:  # full, which is BlockingIOError, or gone
            taken = 0
        if taken < len(frame):
            slow.append(sock)
    return slow
