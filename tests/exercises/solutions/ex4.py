"""Read on until there is enough."""

import socket


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Return exactly *size* bytes. Raises `EOFError`."""
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += chunk
    return data
