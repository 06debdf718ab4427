"""Exercise 6. Several clients at once.

This echo server serves its clients one after the other: while the first is silent, the rest wait.
Change it so that nobody waits for anybody: a thread for each client. Accept exactly *clients*
clients, and return when all of them have finished and the threads have ended.
"""

import socket


def echo(connection: socket.socket) -> None:
    """Send one client everything that it sends, until it ends."""
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk)


def serve(listener: socket.socket, clients: int) -> None:
    """Accept *clients* clients on *listener* and serve them all at the same time."""
    for _number in range(clients):
        connection, _address = listener.accept()
        echo(connection)
