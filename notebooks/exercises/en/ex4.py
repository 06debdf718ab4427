"""Exercise 4. Read exactly as much as you need.

``recv(n)`` returns from one to *n* bytes, and ``b""`` at the end of the stream. Write a function
that returns exactly *size* bytes, however many chunks that takes. If the stream ends before that,
raise ``EOFError``.
"""

import socket


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Return exactly *size* bytes from *sock*."""
    return sock.recv(size)
