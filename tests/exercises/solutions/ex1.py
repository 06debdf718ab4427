"""The order of the calls: accept, recv and sendall until the end, close."""

import socket


def serve_one(listener: socket.socket) -> None:
    """Return to one client all that it sends."""
    connection, _address = listener.accept()
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk)
