"""Exercise 7. A broadcast that nobody holds up.

``sockets`` are the sockets of all listeners, non-blocking already. Send *frame* to everybody who is
ready to take it, with a single ``send`` each. Whoever has not taken all of it is too slow: return a
list of those, so that they can be disconnected. You may wait for nobody: it is not the others'
fault. Whoever has hung up goes into the list, too.
"""

import socket
from collections.abc import Iterable


def broadcast(sockets: Iterable[socket.socket], frame: bytes) -> list[socket.socket]:
    """Send *frame* to all; return those who have not taken the whole of it."""
    for sock in sockets:
        sock.sendall(frame)
    return []
