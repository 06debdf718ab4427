"""Exercise 5. Send everything.

``send`` returns how many bytes the kernel has taken, which may be fewer than it was given. Write a
function that sends everything using nothing but ``send``: no ``sendall``.
"""

import socket


def send_everything(sock: socket.socket, data: bytes) -> None:
    """Send all of *data*."""
    sock.send(data)
