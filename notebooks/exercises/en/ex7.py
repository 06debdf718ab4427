"""Exercise 7. A silent peer.

``recv`` waits for ever when the other side is silent: the power is off, the network is down, the
program hangs. Write a function that returns the next chunk and reacts to silence:

* a chunk has come: return it at once, and ``b""`` at the end of the stream as well;
* *patience* seconds of silence: send ``PING`` and wait *patience* seconds more;
* silence after that, too: raise ``TimeoutError``.
"""

import socket

PING = b"ping\n"


def next_chunk(sock: socket.socket, patience: float) -> bytes:
    """Return the next chunk from *sock*, or raise ``TimeoutError``."""
    return sock.recv(4096)
