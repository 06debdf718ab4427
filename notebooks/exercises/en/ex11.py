"""Exercise 11. A broadcast that nobody can hold up.

``sockets`` are the sockets of all listeners, non-blocking already. Send *frame* to each of them
with one call of ``send``. Whoever takes only a part of it, or nothing, is too slow; a client that
has disconnected cannot be sent anything. Return a list of both, so that they can be disconnected.
You may not wait for anybody: that would delay all the others.
"""

import socket
from collections.abc import Iterable


def broadcast(sockets: Iterable[socket.socket], frame: bytes) -> list[socket.socket]:
    """Send *frame* to all; return those who have not taken the whole of it."""
    for sock in sockets:
        sock.sendall(frame)
    return []
