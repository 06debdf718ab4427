"""Send the rest until there is none."""

import socket


def send_everything(sock: socket.socket, data: bytes) -> None:
    """Send all of *data*."""
    rest = memoryview(data)
    while rest:
        rest = rest[sock.send(rest) :]
