"""Two waits with a timeout, and a ping between them."""

import socket

PING = b"ping\n"


def next_chunk(sock: socket.socket, patience: float) -> bytes:
    """Return the next chunk. Raises `TimeoutError` after silence, a ping, and silence again."""
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        return sock.recv(4096)
